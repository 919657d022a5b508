//! Small servers on loopback: files, git repositories, OCI artifacts, buckets.

mod files;
mod git;
mod registry;
mod s3;

use std::{
    fmt,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::Result;
use http_body_util::{BodyExt, Full};
use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    runtime::Runtime,
};
use tokio_rustls::TlsAcceptor;

pub use self::{
    files::HttpFiles,
    git::{GitHttp, GitTrouble},
    registry::Registry,
    s3::S3Server,
};

/// What a server answers, given the whole request.
type Handler = dyn Fn(&Request<Bytes>) -> Result<Response<Vec<u8>>> + Send + Sync;

/// A running HTTP/1.1 server; stops when dropped.
struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    runtime: Option<Runtime>,
}

struct Shared {
    handler: Box<Handler>,
    requests: Mutex<Vec<String>>,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Server {
    /// Serves `handler` on a free port, over TLS if there is an acceptor.
    fn start(
        tls: Option<TlsAcceptor>,
        handler: impl Fn(&Request<Bytes>) -> Result<Response<Vec<u8>>> + Send + Sync + 'static,
    ) -> Result<Self> {
        let shared = Arc::new(Shared { handler: Box::new(handler), requests: Mutex::default() });
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("test-server")
            .enable_all()
            .build()?;
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))?;
        let address = listener.local_addr()?;
        runtime.spawn(accept(listener, tls, Arc::clone(&shared)));
        Ok(Self { address, shared, runtime: Some(runtime) })
    }

    /// Every request so far, as `METHOD PATH?QUERY`.
    fn requests(&self) -> Vec<String> {
        self.shared.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, shared: Arc<Shared>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let (tls, shared) = (tls.clone(), Arc::clone(&shared));
        tokio::spawn(async move {
            // A client that breaks off is no matter of the server's.
            let _ = match tls {
                None => serve(stream, shared).await,
                Some(tls) => match tls.accept(stream).await {
                    Ok(stream) => serve(stream, shared).await,
                    Err(_) => Ok(()),
                },
            };
        });
    }
}

async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    shared: Arc<Shared>,
) -> Result<()> {
    let service = service_fn(move |request| answer(request, Arc::clone(&shared)));
    Ok(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await?)
}

async fn answer(request: Request<Incoming>, shared: Arc<Shared>) -> Result<Response<Full<Bytes>>> {
    let (head, body) = request.into_parts();
    let request = Request::from_parts(head, body.collect().await?.to_bytes());
    let line = format!("{} {}", request.method(), request.uri());
    shared.requests.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    let respond =
        move || (shared.handler)(&request).unwrap_or_else(|error| failure(&format!("{error:#}")));
    let response = tokio::task::spawn_blocking(respond).await?;
    Ok(response.map(|body| Full::new(Bytes::from(body))))
}

fn failure(message: &str) -> Response<Vec<u8>> {
    status(StatusCode::INTERNAL_SERVER_ERROR, message)
}

fn status(status: StatusCode, message: &str) -> Response<Vec<u8>> {
    let mut response = Response::new(format!("{message}\n").into_bytes());
    *response.status_mut() = status;
    response
}
