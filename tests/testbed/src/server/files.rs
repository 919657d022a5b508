//! Files over HTTP.

use std::{
    fs,
    path::{Component, Path, PathBuf},
};

use anyhow::Result;
use hyper::{Method, Request, Response, StatusCode, body::Bytes};

use super::{Server, status};

/// A server of the files in a folder, such as a Helm chart repository; stops when dropped.
#[derive(Debug)]
pub struct HttpFiles(Server);

impl HttpFiles {
    /// Serves `folder` over plain HTTP on a free port. Changes of the files show at once.
    ///
    /// # Errors
    /// No port is free.
    pub fn serve(folder: impl Into<PathBuf>) -> Result<Self> {
        let folder = folder.into();
        Server::start(None, move |request| Ok(answer(&folder, request))).map(Self)
    }

    /// The address, such as `http://127.0.0.1:40125`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.0.address)
    }

    /// Every request so far, as `METHOD PATH?QUERY`.
    #[must_use]
    pub fn requests(&self) -> Vec<String> {
        self.0.requests()
    }
}

fn answer(folder: &Path, request: &Request<Bytes>) -> Response<Vec<u8>> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return status(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD");
    }
    let path = Path::new(request.uri().path().trim_start_matches('/'));
    let inside = path.components().all(|part| matches!(part, Component::Normal(_)));
    match inside.then(|| fs::read(folder.join(path))) {
        Some(Ok(bytes)) => Response::new(bytes),
        _ => status(StatusCode::NOT_FOUND, "no such file"),
    }
}
