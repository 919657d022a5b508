//! Git repositories over smart HTTP.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context, Result, bail};
use base64::{Engine, engine::general_purpose::STANDARD};
use hyper::{
    Request, Response, StatusCode,
    body::Bytes,
    header::{
        AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, WWW_AUTHENTICATE,
    },
};

use tokio_rustls::TlsAcceptor;

use super::{Server, status};

use crate::{
    pki::{Authority, Certificate},
    process, proxy,
};

/// A server of the bare repositories in a folder, by `git http-backend`; stops when dropped.
///
/// It only reads: tests commit into the repositories directly.
#[derive(Debug)]
pub struct GitHttp {
    server: Server,
    scheme: &'static str,
    trouble: Arc<Mutex<Option<GitTrouble>>>,
    login: Arc<Mutex<Option<String>>>,
}

/// What is wrong with a server of repositories.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GitTrouble {
    /// Whatever is asked of it, it answers 503.
    Away,
    /// Packs end in their middle.
    TruncatedPacks,
}

impl GitHttp {
    /// Serves over plain HTTP on a free port; `folder/x.git` is at `URL/x.git`.
    ///
    /// # Errors
    /// No port is free.
    pub fn serve(folder: impl Into<PathBuf>) -> Result<Self> {
        let folder = folder.into();
        Self::start(folder, None, "http")
    }

    /// Serves over HTTPS on a free port, with a certificate of `authority` for `127.0.0.1` and
    /// `localhost`.
    ///
    /// # Errors
    /// No port is free.
    pub fn serve_tls(folder: impl Into<PathBuf>, authority: &Authority) -> Result<Self> {
        let folder = folder.into();
        let certificate: Certificate = authority.server(&["127.0.0.1", "localhost"])?;
        let tls = proxy::acceptor(&certificate)?;
        Self::start(folder, Some(tls), "https")
    }

    fn start(folder: PathBuf, tls: Option<TlsAcceptor>, scheme: &'static str) -> Result<Self> {
        let trouble = Arc::new(Mutex::new(None));
        let has = Arc::clone(&trouble);
        let login: Arc<Mutex<Option<String>>> = Arc::default();
        let wanted = Arc::clone(&login);
        let server = Server::start(tls, move |request| {
            let trouble: Option<GitTrouble> = *has.lock().unwrap_or_else(PoisonError::into_inner);
            let wanted = wanted.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if wanted.is_some_and(|wanted| text(request.headers(), &AUTHORIZATION) != wanted) {
                return Ok(Response::builder()
                    .status(StatusCode::UNAUTHORIZED)
                    .header(WWW_AUTHENTICATE, "Basic realm=\"git\"")
                    .body(Vec::new())?);
            }
            let is_pack = request.uri().path().ends_with("/git-upload-pack");
            match trouble {
                Some(GitTrouble::Away) => {
                    Ok(status(StatusCode::SERVICE_UNAVAILABLE, "the server is away"))
                }
                Some(GitTrouble::TruncatedPacks) if is_pack => {
                    let half = |mut body: Vec<u8>| {
                        body.truncate(body.len() / 2);
                        body
                    };
                    Ok(answer(&folder, request)?.map(half))
                }
                Some(GitTrouble::TruncatedPacks) | None => answer(&folder, request),
            }
        })?;
        Ok(Self { server, scheme, trouble, login })
    }

    /// Lets in this user with this password alone, from now on.
    pub fn login(&self, user: &str, password: &str) {
        let wanted = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
        *self.login.lock().unwrap_or_else(PoisonError::into_inner) = Some(wanted);
    }

    /// Gives the server a trouble, or takes it away.
    pub fn trouble(&self, trouble: Option<GitTrouble>) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }

    /// The address, such as `http://127.0.0.1:40126`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.server.address)
    }

    /// Every request so far, as `METHOD PATH?QUERY`.
    #[must_use]
    pub fn requests(&self) -> Vec<String> {
        self.server.requests()
    }
}

/// Runs the request through git as a CGI program (RFC 3875).
fn answer(folder: &Path, request: &Request<Bytes>) -> Result<Response<Vec<u8>>> {
    let header = |name: HeaderName| text(request.headers(), &name);
    let mut command = Command::new("git");
    command
        .arg("http-backend")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_PROJECT_ROOT", folder)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("GIT_PROTOCOL", header(HeaderName::from_static("git-protocol")))
        .env("REQUEST_METHOD", request.method().as_str())
        .env("PATH_INFO", request.uri().path())
        .env("QUERY_STRING", request.uri().query().unwrap_or_default())
        .env("CONTENT_TYPE", header(CONTENT_TYPE))
        .env("CONTENT_LENGTH", request.body().len().to_string())
        .env("HTTP_CONTENT_ENCODING", header(CONTENT_ENCODING))
        .env("REMOTE_ADDR", "127.0.0.1");
    // What it refuses, git tells the client, and then fails.
    parse(&process::finished(&mut command, request.body())?.stdout)
}

fn text(headers: &HeaderMap, name: &HeaderName) -> String {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
}

/// Splits what a CGI program prints into headers and body.
fn parse(output: &[u8]) -> Result<Response<Vec<u8>>> {
    let separator = b"\r\n\r\n";
    let end = output
        .windows(separator.len())
        .position(|window| window == separator)
        .context("git answered without headers")?;
    let (head, body) = output.split_at(end);
    let mut response = Response::builder();
    for line in std::str::from_utf8(head)?.lines() {
        let Some((name, value)) = line.split_once(": ") else { bail!("not a header: {line}") };
        response = match name {
            "Status" => response.status(value.split(' ').next().unwrap_or_default()),
            _ => response.header(name, value),
        };
    }
    let body = body.get(separator.len()..).unwrap_or_default();
    Ok(response.body(body.to_vec())?)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn a_status_line_of_a_cgi_program_is_the_status() {
        let response = parse(b"Status: 404 Not Found\r\nPragma: no-cache\r\n\r\nnothing").unwrap();
        assert_eq!(response.status().as_u16(), 404);
        assert_eq!(response.headers()["pragma"], "no-cache");
        assert_eq!(response.body(), b"nothing");
    }
}
