//! The testbed's own small client of the API server: JSON over one blocking agent.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use ureq::{
    Agent,
    tls::{Certificate as Pem, ClientCert, PrivateKey, RootCerts, TlsConfig},
};

use crate::pki::{Authority, Certificate};

/// The user that the testbed itself acts as; the audit log leaves it out.
pub(crate) const USER: &str = "sitewright-testbed";

/// No request of the testbed takes longer on a server that works.
const DEADLINE: Duration = Duration::from_secs(10);

/// A client that authenticates as [`USER`].
#[derive(Clone, Debug)]
pub(crate) struct Client {
    agent: Agent,
    url: String,
}

impl Client {
    pub(crate) fn new(url: &str, authority: &Authority, identity: &Certificate) -> Result<Self> {
        let root = Pem::from_pem(authority.certificate().as_bytes())?.to_owned();
        let certificate = Pem::from_pem(identity.certificate.as_bytes())?.to_owned();
        let key = PrivateKey::from_pem(identity.key.as_bytes())?.to_owned();
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::new_with_certs(&[root]))
            .client_cert(Some(ClientCert::new_with_certs(&[certificate], key)))
            .build();
        let agent = Agent::config_builder()
            .tls_config(tls)
            .proxy(None)
            .timeout_global(Some(DEADLINE))
            .http_status_as_error(false)
            .user_agent(USER)
            .build()
            .into();
        Ok(Self { agent, url: url.to_owned() })
    }

    /// The body of a GET as text.
    pub(crate) fn text(&self, path: &str) -> Result<String> {
        let response = self.agent.get(format!("{}{path}", self.url)).call()?;
        body(path, response)
    }

    /// The object that a GET answers.
    pub(crate) fn get(&self, path: &str) -> Result<Value> {
        parse(path, &self.text(path)?)
    }

    /// Creates `object` in the collection at `path`.
    pub(crate) fn create(&self, path: &str, object: &Value) -> Result<Value> {
        let request = self.agent.post(format!("{}{path}", self.url));
        let response = request
            .header("Content-Type", "application/json")
            .send(serde_json::to_vec(object)?.as_slice())?;
        parse(path, &body(path, response)?)
    }
}

fn body(path: &str, response: ureq::http::Response<ureq::Body>) -> Result<String> {
    let status = response.status();
    let text =
        response.into_body().read_to_string().with_context(|| format!("{path} broke off"))?;
    if !status.is_success() {
        bail!("{path} answered {status}: {text}");
    }
    Ok(text)
}

fn parse(path: &str, text: &str) -> Result<Value> {
    serde_json::from_str(text).with_context(|| format!("{path} answered no JSON"))
}
