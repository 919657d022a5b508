//! From a kubeconfig, or a pod's service account, to a client.

use std::time::Duration;

use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig, KubeconfigError},
};

use super::{Connection, GivenKubeconfig};
use crate::Error;

/// How long a connection may take to be made; a retry follows, so this is short.
const CONNECT: Duration = Duration::from_secs(5);

/// What the server's audit log and its metrics know us by.
const USER_AGENT: &str = concat!("sitewright/", env!("CARGO_PKG_VERSION"));

/// Returns a client, the name of the cluster for people, and the server's URL.
pub(super) async fn connect(connection: &Connection) -> Result<(Client, String, String), Error> {
    let (mut config, name) = load(connection).await?;
    let server = config.cluster_url.to_string().trim_end_matches('/').to_owned();
    config.default_retry = false; // ours knows deadlines, and which writes may be sent again
    config.connect_timeout = Some(CONNECT);
    if connection.act_as.is_some() {
        config.auth_info.impersonate.clone_from(&connection.act_as);
    }
    config.headers.push((::http::header::USER_AGENT, ::http::HeaderValue::from_static(USER_AGENT)));
    let client = Client::try_from(config)
        .map_err(|error| super::http::broken(&server, &error).into_error(&server))?;
    Ok((client, name.unwrap_or_else(|| server.clone()), server))
}

/// Returns the namespace of the context.
pub(super) async fn namespace(connection: &Connection) -> Result<String, Error> {
    load(connection).await.map(|(config, _)| config.default_namespace)
}

async fn load(connection: &Connection) -> Result<(Config, Option<String>), Error> {
    if let Some(given) = &connection.given {
        return from_kubeconfig(tame(given)?, connection).await;
    }
    let kubeconfig = match &connection.kubeconfig {
        Some(path) => Kubeconfig::read_from(path),
        None => Kubeconfig::read(),
    };
    match kubeconfig {
        Ok(kubeconfig) => from_kubeconfig(kubeconfig, connection).await,
        Err(error) if connection.kubeconfig.is_none() && connection.context.is_none() => {
            let config = Config::incluster().map_err(|_| unusable(&error, connection))?;
            Ok((config, None))
        }
        Err(error) => Err(unusable(&error, connection)),
    }
}

/// Reads a kubeconfig that somebody else wrote: it may name no program to run and no file to read here.
fn tame(given: &GivenKubeconfig) -> Result<Kubeconfig, Error> {
    let refused = |why: &str| Error::NoKubeconfig { why: format!("the given kubeconfig {why}") };
    let kubeconfig =
        Kubeconfig::from_yaml(&given.0).map_err(|_| refused("is not YAML, or not a kubeconfig"))?;
    let users = kubeconfig.auth_infos.iter().filter_map(|user| user.auth_info.as_ref());
    for user in users {
        if user.exec.is_some() || user.auth_provider.is_some() {
            return Err(refused(
                "gets credentials by running a program; give a token or a certificate",
            ));
        }
        if user.token_file.is_some()
            || user.client_certificate.is_some()
            || user.client_key.is_some()
        {
            return Err(refused("names files; give their content (`…-data`)"));
        }
    }
    let clusters = kubeconfig.clusters.iter().filter_map(|cluster| cluster.cluster.as_ref());
    for cluster in clusters {
        if cluster.certificate_authority.is_some() {
            return Err(refused("names files; give their content (`…-data`)"));
        }
        if cluster.insecure_skip_tls_verify == Some(true) {
            return Err(refused(
                "takes any certificate (`insecure-skip-tls-verify`), so anybody on the way could read its credentials; \
                 give `certificate-authority-data`",
            ));
        }
        let is_encrypted = |server: &String| server.to_ascii_lowercase().starts_with("https://");
        if !cluster.server.as_ref().is_none_or(is_encrypted) {
            return Err(refused(
                "sends its credentials in the clear; its server must be `https://`",
            ));
        }
    }
    Ok(kubeconfig)
}

async fn from_kubeconfig(
    kubeconfig: Kubeconfig,
    connection: &Connection,
) -> Result<(Config, Option<String>), Error> {
    let context = connection.context.clone().or_else(|| kubeconfig.current_context.clone());
    let known: Vec<String> =
        kubeconfig.contexts.iter().map(|context| context.name.clone()).collect();
    if let Some(context) = context.as_ref().filter(|context| !known.contains(context)) {
        return Err(Error::NoContext { context: context.clone(), known });
    }
    let options = KubeConfigOptions { context: context.clone(), ..Default::default() };
    let config = Config::from_custom_kubeconfig(kubeconfig, &options)
        .await
        .map_err(|error| unusable(&error, connection))?;
    Ok((config, context))
}

/// The parser quotes the file, and the file holds tokens: of its message only the place is kept.
fn unusable(error: &KubeconfigError, connection: &Connection) -> Error {
    let named = connection.kubeconfig.as_ref();
    let file = named.map_or("the kubeconfig".to_owned(), |path| path.display().to_string());
    let why = match error {
        KubeconfigError::Parse(_) => format!("{file} is not YAML, or not a kubeconfig"),
        KubeconfigError::CurrentContextNotSet => {
            format!("{file} has no `current-context`, and --context is not given")
        }
        // It names the file itself.
        KubeconfigError::ReadConfig(..) => error.to_string(),
        other => format!("{file}: {other}"),
    };
    Error::NoKubeconfig { why }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(cluster: &str, user: &str) -> String {
        let text = format!(
            "apiVersion: v1\nkind: Config\nclusters: [{{ name: a, cluster: {{ {cluster} }} }}]\n\
             users: [{{ name: a, user: {{ {user} }} }}]\n"
        );
        tame(&GivenKubeconfig(text)).err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn what_somebody_else_wrote_names_no_program_no_file_and_no_open_way() {
        let (server, user) = ("server: 'https://a.example.edu'", "token: s3cret");
        assert_eq!(refusal(server, user), "");
        for (cluster, user, why) in [
            (server, "exec: { apiVersion: v1, command: sh }", "running a program"),
            (server, "auth-provider: { name: gcp, config: {} }", "running a program"),
            (server, "tokenFile: /etc/passwd", "names files"),
            (server, "client-key: /etc/passwd", "names files"),
            ("server: 'https://a', certificate-authority: /etc/passwd", user, "names files"),
            ("server: 'https://a', insecure-skip-tls-verify: true", user, "any certificate"),
            ("server: 'http://a.example.edu'", user, "in the clear"),
            ("server: a.example.edu", user, "in the clear"),
        ] {
            let refused = refusal(cluster, user);
            assert!(refused.contains(why) && !refused.contains("s3cret"), "{cluster}: {refused}");
        }
    }
}
