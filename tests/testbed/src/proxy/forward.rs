//! Carrying requests from a client to the API server and answers back.

use std::{convert::Infallible, fmt, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context, Result, bail};
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::{
    Response, StatusCode,
    body::{Bytes, Incoming},
    client::conn::http1::{self as client, SendRequest},
    header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER, USER_AGENT},
    server::conn::http1 as server,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Mutex, watch},
    time::{sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::rules::{Call, Fate, Fault, Moment, Request, Rules};
use crate::pki::Certificate;

/// A loopback server takes a connection at once, or not at all.
const CONNECT: Duration = Duration::from_secs(5);

type Body = BoxBody<Bytes, hyper::Error>;

/// What every connection needs.
pub(super) struct Forwarder {
    upstream: SocketAddr,
    connector: TlsConnector,
    acceptor: TlsAcceptor,
    rules: Arc<Rules>,
    /// Moves on when all connections are to be cut.
    cuts: watch::Sender<u64>,
}

impl fmt::Debug for Forwarder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Forwarder").field("upstream", &self.upstream).finish_non_exhaustive()
    }
}

impl Forwarder {
    pub(super) fn new(
        upstream: SocketAddr,
        authority: &str,
        identity: &Certificate,
        certificate: &Certificate,
        rules: Arc<Rules>,
    ) -> Result<Self> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let connector = Arc::new(client_tls(&provider, authority, identity)?).into();
        let cuts = watch::Sender::new(0);
        Ok(Self { upstream, connector, acceptor: acceptor(certificate)?, rules, cuts })
    }

    /// Closes every connection of a client, whatever it waits for.
    pub(super) fn cut_all(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    async fn connect(&self) -> Result<SendRequest<Incoming>> {
        let stream = timeout(CONNECT, TcpStream::connect(self.upstream)).await??;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from("127.0.0.1")?;
        let stream = timeout(CONNECT, self.connector.connect(name, stream)).await??;
        let (sender, connection) = client::handshake(TokioIo::new(stream)).await?;
        // Ends when its sender is dropped, that is with the client's connection.
        tokio::spawn(connection);
        Ok(sender)
    }
}

fn client_tls(
    provider: &Arc<CryptoProvider>,
    authority: &str,
    identity: &Certificate,
) -> Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.as_bytes())?)?;
    let (chain, key) = parse(identity)?;
    Ok(ClientConfig::builder_with_provider(Arc::clone(provider))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)?)
}

/// The server side of TLS with `certificate`, for HTTP/1.1.
pub(crate) fn acceptor(certificate: &Certificate) -> Result<TlsAcceptor> {
    let (chain, key) = parse(certificate)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config).into())
}

fn parse(
    certificate: &Certificate,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)> {
    let chain = vec![CertificateDer::from_pem_slice(certificate.certificate.as_bytes())?];
    Ok((chain, PrivateKeyDer::from_pem_slice(certificate.key.as_bytes())?))
}

/// Serves clients until the runtime ends.
pub(super) async fn accept(listener: TcpListener, forwarder: Arc<Forwarder>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let forwarder = Arc::clone(&forwarder);
        tokio::spawn(async move {
            // A cut is an error too: the connection closes, which is all that it should do.
            let _ = serve(stream, forwarder).await;
        });
    }
}

async fn serve(stream: TcpStream, forwarder: Arc<Forwarder>) -> Result<()> {
    stream.set_nodelay(true)?;
    let stream = timeout(CONNECT, forwarder.acceptor.accept(stream)).await??;
    let upstream = Arc::new(Mutex::new(None));
    let mut cuts = forwarder.cuts.subscribe();
    let service = service_fn(move |request| {
        let (forwarder, upstream) = (Arc::clone(&forwarder), Arc::clone(&upstream));
        async move { handle(request, &forwarder, &upstream).await }
    });
    tokio::select! {
        served = server::Builder::new().serve_connection(TokioIo::new(stream), service) => Ok(served?),
        _ = cuts.changed() => bail!("cut"),
    }
}

/// An error closes the client's connection without an answer.
async fn handle(
    request: hyper::Request<Incoming>,
    forwarder: &Forwarder,
    upstream: &Mutex<Option<SendRequest<Incoming>>>,
) -> Result<Response<Body>> {
    let (ticket, fate) = forwarder.rules.arrive(describe(&request));
    let response = match fate {
        Fate::Fail(Fault::Silence) => std::future::pending().await,
        Fate::Fail(Fault::Late(wait)) => {
            sleep(wait).await;
            pass(request, forwarder, upstream).await?
        }
        Fate::Fail(fault) => refusal(fault)?,
        Fate::Pass => pass(request, forwarder, upstream).await?,
        Fate::Cut(moment, call) => {
            if moment == Moment::After {
                pass(request, forwarder, upstream).await?;
            }
            return cut(call).await;
        }
    };
    forwarder.rules.answered(ticket, response.status().as_u16());
    Ok(response)
}

async fn cut(call: Call) -> Result<Response<Body>> {
    tokio::task::spawn_blocking(call).await?;
    bail!("cut")
}

fn describe(request: &hyper::Request<Incoming>) -> Request {
    let agent = request.headers().get(USER_AGENT).and_then(|value| value.to_str().ok());
    Request {
        number: None,
        method: request.method().to_string(),
        path: request.uri().path().to_owned(),
        query: request.uri().query().unwrap_or_default().to_owned(),
        user_agent: agent.unwrap_or_default().to_owned(),
        status: None,
    }
}

/// Forwards a request and gives the answer, whose body is still to come.
async fn pass(
    mut request: hyper::Request<Incoming>,
    forwarder: &Forwarder,
    upstream: &Mutex<Option<SendRequest<Incoming>>>,
) -> Result<Response<Body>> {
    request.headers_mut().remove(AUTHORIZATION);
    let mut upstream = upstream.lock().await;
    let mut sender = match reusable(upstream.take()).await {
        Some(sender) => sender,
        None => forwarder.connect().await?,
    };
    let response = sender.send_request(request).await?;
    *upstream = Some(sender);
    Ok(response.map(BodyExt::boxed))
}

/// The connection, if the API server has not closed it meanwhile.
async fn reusable(sender: Option<SendRequest<Incoming>>) -> Option<SendRequest<Incoming>> {
    let mut sender = sender?;
    sender.ready().await.is_ok().then_some(sender)
}

/// The answer that the API server would give, as a `Status` object.
fn refusal(fault: Fault) -> Result<Response<Body>> {
    let (status, reason, retry) = match fault {
        Fault::Conflict => (StatusCode::CONFLICT, "Conflict", None),
        Fault::TooManyRequests(wait) => {
            (StatusCode::TOO_MANY_REQUESTS, "TooManyRequests", Some(wait.as_secs()))
        }
        Fault::InternalError => (StatusCode::INTERNAL_SERVER_ERROR, "InternalError", None),
        Fault::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", Some(1)),
        Fault::Gone => (StatusCode::GONE, "Expired", None),
        Fault::Late(_) | Fault::Silence => bail!("these are no answers of our own"),
    };
    let body = serde_json::json!({
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "message": format!("injected by the testbed: {reason}"),
        "reason": reason,
        "code": status.as_u16(),
    });
    let mut response = Response::builder().status(status).header(CONTENT_TYPE, "application/json");
    if let Some(seconds) = retry {
        response = response.header(RETRY_AFTER, seconds);
    }
    let body = Full::new(Bytes::from(body.to_string())).map_err(|never: Infallible| match never {});
    response.body(body.boxed()).context("the answer is well-formed")
}
