//! Why no answer came, and whether trying again can help.

use crate::Error;

/// Why there was no answer.
pub(crate) enum Reach {
    /// It may work later.
    Later(String),
    /// It will not work until a person changes something.
    Never(Error),
}

impl Reach {
    pub(crate) fn into_error(self, server: &str) -> Error {
        match self {
            Self::Never(error) => error,
            Self::Later(why) => Error::Unreachable { server: server.into(), why },
        }
    }
}

/// Tells what a transport error means. rustls, hyper and kube erase their types into boxes, so the
/// texts of the chain of causes are what there is to go by.
pub(crate) fn broken(server: &str, error: &kube::Error) -> Reach {
    let server = server.to_owned();
    match error {
        kube::Error::Auth(error) => {
            Reach::Never(Error::Unauthorised { server, why: credentials(error) })
        }
        kube::Error::RustlsTls(error) => {
            Reach::Never(Error::Certificate { server, why: error.to_string() })
        }
        kube::Error::ProxyProtocolDisabled { .. }
        | kube::Error::ProxyProtocolUnsupported { .. }
        | kube::Error::InferKubeconfig(_) => {
            Reach::Never(Error::NoKubeconfig { why: error.to_string() })
        }
        other => {
            let why = innermost(other);
            if why.contains("certificate") || why.contains("fatal alert") {
                return Reach::Never(Error::Certificate { server, why });
            }
            Reach::Later(why)
        }
    }
}

/// Credential plugins print tokens: of their failure, only the program and its exit status are told.
fn credentials(error: &kube::client::AuthError) -> String {
    match error {
        kube::client::AuthError::AuthExecRun { cmd, out } => {
            let program = cmd.split(['"', ' ']).find(|word| !word.is_empty()).unwrap_or("?");
            format!("the credential plugin `{program}` failed: {}", out.status)
        }
        kube::client::AuthError::AuthExecParse(_) => {
            "the credential plugin printed something else than an ExecCredential".into()
        }
        other => other.to_string(),
    }
}

fn innermost(error: &kube::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
