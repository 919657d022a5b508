//! HTTP requests with bounds, deadlines, redirects that git and browsers would follow, and credentials
//! that go to their own server alone.

use std::{
    io::{self, Read},
    sync::OnceLock,
    time::Duration,
};

use ureq::{
    Agent,
    config::Config,
    http::{Response, header},
    tls::{Certificate, RootCerts, TlsConfig},
};

use crate::{
    credentials::{self, Login},
    outbound::{self, Reach},
    url::{Secret, Url},
};

/// Time to reach a server, and the longest silence from it.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
const SILENCE_TIMEOUT: Duration = Duration::from_secs(60);

/// Redirects that are followed; git's own `http.maxRedirects` is 20, real servers need one or two.
const REDIRECTS: usize = 5;

/// What can go wrong with a request. Addresses are shown without credentials and queries.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpError {
    /// No connection, or it broke.
    #[error("`{url}` does not answer: {reason}")]
    Unreachable { url: Url, reason: String },
    /// The server wants another or any login.
    #[error("`{url}` refuses access (HTTP {status})")]
    Refused { url: Url, status: u16 },
    /// There is nothing at the address.
    #[error("there is nothing at `{url}` (HTTP {status})")]
    NotFound { url: Url, status: u16 },
    /// Any other status.
    #[error("`{url}` answers with HTTP {status}")]
    Status { url: Url, status: u16 },
    /// More than the bound.
    #[error("`{url}` sends more than {limit} bytes")]
    TooLarge { url: Url, limit: u64 },
    /// Redirects that lead nowhere, or away from encryption.
    #[error("`{url}` redirects {problem}")]
    Redirect { url: Url, problem: &'static str },
    /// A credential would cross the network unencrypted.
    #[error("a password would be sent to `{url}` without encryption")]
    Plaintext { url: Url },
    /// Somebody else chose the address, and it is one that is not for them to choose.
    #[error("`{url}` may not be spoken to: {reason}")]
    Forbidden { url: Url, reason: &'static str },
}

/// What is asked of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Get,
    Head,
    Post,
    Put,
}

/// One request.
#[derive(Clone)]
pub(crate) struct Request<'a> {
    pub(crate) verb: Verb,
    pub(crate) url: &'a Url,
    /// Who may be spoken to, redirects included.
    pub(crate) reach: Reach,
    /// Further headers.
    pub(crate) headers: Vec<(&'static str, String)>,
    /// A header `Authorization` to send instead of what the address, environment and files hold.
    pub(crate) authorization: Option<Secret>,
    /// The body of a POST or PUT, which follow no redirect.
    pub(crate) body: Vec<u8>,
    /// The whole time for it.
    pub(crate) deadline: Duration,
    /// Statuses besides 2xx that are answers, not errors.
    pub(crate) accepted: &'static [u16],
}

impl<'a> Request<'a> {
    pub(crate) fn get(url: &'a Url, deadline: Duration) -> Self {
        let (headers, authorization, body) = (Vec::new(), None, Vec::new());
        let (verb, reach) = (Verb::Get, Reach::Anybody);
        Self { verb, url, reach, headers, authorization, body, deadline, accepted: &[] }
    }

    /// Makes a request that sends something.
    pub(crate) fn send(verb: Verb, url: &'a Url, body: Vec<u8>, deadline: Duration) -> Self {
        Self { verb, body, ..Self::get(url, deadline) }
    }

    #[must_use]
    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// What a server answered.
pub(crate) struct Answer {
    /// Where it came from, after redirects; with the credentials of the address if it is the same server.
    pub(crate) url: Url,
    pub(crate) status: u16,
    response: Response<ureq::Body>,
}

impl Answer {
    /// Returns a header, if it is there and readable.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.response.headers().get(name)?.to_str().ok()
    }

    /// Returns the body as a stream; who reads it counts the bytes.
    pub(crate) fn into_reader(self) -> impl Read + Send + 'static {
        self.response.into_body().into_reader()
    }

    /// Returns the whole body, of at most `limit` bytes.
    pub(crate) fn bytes(self, limit: u64) -> Result<Vec<u8>, HttpError> {
        let url = self.url.clone();
        let mut bytes = Vec::new();
        self.into_reader()
            .take(limit.saturating_add(1))
            .read_to_end(&mut bytes)
            .map_err(|error| HttpError::Unreachable { url: url.clone(), reason: reason(&error) })?;
        if bytes.len() as u64 > limit {
            return Err(HttpError::TooLarge { url, limit });
        }
        Ok(bytes)
    }
}

/// Sends `request`, following redirects of a GET.
pub(crate) fn send(request: &Request<'_>) -> Result<Answer, HttpError> {
    let mut url = request.url.clone();
    for _ in 0..=REDIRECTS {
        let response = send_once(request, &url)?;
        let status = response.status().as_u16();
        match status {
            200..=299 => return Ok(Answer { url, status, response }),
            status if request.accepted.contains(&status) => {
                return Ok(Answer { url, status, response });
            }
            301 | 302 | 303 | 307 | 308 if matches!(request.verb, Verb::Get | Verb::Head) => {
                url = redirected(&url, &response)?;
            }
            401 | 403 => return Err(HttpError::Refused { url, status }),
            404 | 410 => return Err(HttpError::NotFound { url, status }),
            status => return Err(HttpError::Status { url, status }),
        }
    }
    Err(HttpError::Redirect { url, problem: "too often" })
}

fn send_once(request: &Request<'_>, url: &Url) -> Result<Response<ureq::Body>, HttpError> {
    let authorization = authorization_for(request, url)?;
    let mut headers = request.headers.clone();
    if let Some(authorization) = &authorization {
        headers.push(("Authorization", authorization.expose().to_owned()));
    }
    let forbidden = |reason| HttpError::Forbidden { url: url.clone(), reason };
    request.reach.permits(url).map_err(forbidden)?;
    let agent = outbound::agent_for(&request.reach);
    let address = url.address();
    let deadline = Some(request.deadline);
    let sent = match request.verb {
        Verb::Get | Verb::Head => {
            let is_get = request.verb == Verb::Get;
            let mut builder = if is_get { agent.get(&address) } else { agent.head(&address) };
            for (name, value) in &headers {
                builder = builder.header(*name, value);
            }
            builder.config().timeout_global(deadline).build().call()
        }
        Verb::Post | Verb::Put => {
            let is_put = request.verb == Verb::Put;
            let mut builder = if is_put { agent.put(&address) } else { agent.post(&address) };
            for (name, value) in &headers {
                builder = builder.header(*name, value);
            }
            builder.config().timeout_global(deadline).build().send(&request.body[..])
        }
    };
    sent.map_err(|error| match outbound::is_forbidden(&error) {
        true => forbidden(outbound::LOCAL),
        false => HttpError::Unreachable { url: url.clone(), reason: in_words(&error) },
    })
}

/// Returns the header `Authorization` for one hop.
fn authorization_for(request: &Request<'_>, url: &Url) -> Result<Option<Secret>, HttpError> {
    // A header that was made for one server is not for the one that it redirects to.
    if let Some(own) = request.authorization.as_ref().filter(|_| url.same_origin(request.url)) {
        return Ok(Some(own.clone()));
    }
    if url.is_private() {
        return Ok(credentials::known(url).as_ref().map(Login::header));
    }
    // What was written for this very address is missed; what merely lies there stays there.
    match url.password() {
        Some(_) => Err(HttpError::Plaintext { url: url.clone() }),
        None => Ok(None),
    }
}

fn redirected(from: &Url, response: &Response<ureq::Body>) -> Result<Url, HttpError> {
    let wrong = |problem| HttpError::Redirect { url: from.clone(), problem };
    let target = response
        .headers()
        .get(header::LOCATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|target| from.join(target).ok())
        .ok_or_else(|| wrong("to an address that cannot be read"))?;
    match target.scheme() {
        "https" => {}
        "http" if from.scheme() == "http" => {}
        "http" => return Err(wrong("from https to http")),
        _ => return Err(wrong("to something other than HTTP")),
    }
    Ok(if from.same_origin(&target) { target.with_credentials_of(from) } else { target })
}

/// Returns the one agent of the process: it keeps connections and the certificates that are trusted.
pub(crate) fn agent() -> &'static Agent {
    static AGENT: OnceLock<Agent> = OnceLock::new();
    AGENT.get_or_init(|| config().new_agent())
}

/// Returns how every agent is: it follows nothing by itself, waits for so long, and trusts whom this machine trusts.
pub(crate) fn config() -> Config {
    Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .timeout_connect(Some(CONNECT_TIMEOUT))
        .timeout_recv_response(Some(SILENCE_TIMEOUT))
        .timeout_per_read(Some(SILENCE_TIMEOUT))
        .user_agent(concat!("sitewright/", env!("CARGO_PKG_VERSION")))
        .tls_config(TlsConfig::builder().root_certs(trusted()).build())
        .build()
}

/// Returns the certificates that this machine trusts; Mozilla's where it has none, as in a bare container.
fn trusted() -> RootCerts {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(%error, "a trusted certificate of this machine cannot be read");
    }
    if found.certs.is_empty() {
        return RootCerts::WebPki;
    }
    let certificates = found.certs.iter().map(|found| Certificate::from_der(found).to_owned());
    RootCerts::from(certificates)
}

/// Returns the error of a request in words, without the address, whose query may be a secret.
pub(crate) fn in_words(error: &ureq::Error) -> String {
    match error {
        ureq::Error::BadUri(_) => "its address cannot be asked for".to_owned(),
        other => other.to_string(),
    }
}

/// Returns why reading a body failed, in words.
pub(crate) fn reason(error: &io::Error) -> String {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<ureq::Error>()) {
        Some(inner) => in_words(inner),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn authorization(text: &str) -> Result<bool, HttpError> {
        let url = Url::parse(text).unwrap();
        authorization_for(&Request::get(&url, Duration::ZERO), &url).map(|found| found.is_some())
    }

    #[test]
    fn passwords_cross_the_network_encrypted_or_not_at_all() {
        assert!(authorization("https://ann:canary@h.example/x").unwrap());
        assert!(authorization("http://ann:canary@127.0.0.1:80/x").unwrap());
        let refused = authorization("http://ann:canary@h.example/x").unwrap_err();
        assert!(matches!(refused, HttpError::Plaintext { .. }));
        assert!(!format!("{refused} {refused:?}").contains("canary"));
        assert!(!authorization("http://h.example/x").unwrap());
    }

    #[test]
    fn a_login_stays_with_its_server() {
        let url = Url::parse("https://h.example/x").unwrap();
        let mut request = Request::get(&url, Duration::ZERO);
        request.authorization = Some(Secret::new("canary"));
        let other = Url::parse("https://other.example/x").unwrap();
        assert!(authorization_for(&request, &url).unwrap().is_some());
        assert!(authorization_for(&request, &other).unwrap().is_none());
    }
}
