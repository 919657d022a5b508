//! The listeners: who may connect, how long a request may take, and which path is whose.
//!
//! Comes in: connections. Goes out: answers. Never: more connections than a bound, or one that stays open by
//! saying nothing.

#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::{Path, Request, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use jiff::Timestamp;
use sitewright_cluster::{CancellationToken, sync::SyncKey};
use sitewright_source::cache;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    sync::Semaphore,
    task::{JoinSet, spawn_blocking},
    time::{Instant, sleep, timeout},
};

use super::{
    Web,
    hooks::{Message, Verdict},
    identity::Identity,
    metrics::{Forge, Hooked},
};

/// The largest message of a forge. Theirs have a few commits; what is beyond is found by the next poll.
const LARGEST: usize = 1024 * 1024;

/// Connections at once, per listener. Each holds one message at most, so this bounds memory too.
const CONNECTIONS: usize = 32;

/// How long the head of a request may take: it is one packet.
const HEAD: Duration = Duration::from_secs(5);

/// How long the body of a message may take.
const BODY: Duration = Duration::from_secs(10);

/// How long a connection may take in all: GitHub and GitLab wait 10 s.
const WHOLE: Duration = Duration::from_secs(20);

/// How long requests under way are waited for at the end.
const GRACE: Duration = Duration::from_secs(5);

/// How long to wait after a connection could not be accepted: the program is out of files for now.
const BREATH: Duration = Duration::from_millis(100);

/// The format of `/metrics`.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Returns what Kubernetes and Prometheus read: `/livez`, `/readyz` and `/metrics`.
pub(crate) fn status_routes(web: Web) -> Router {
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(web)
}

/// Returns what forges send to: `/hooks/NAMESPACE/NAME`.
pub(crate) fn hook_routes(web: Web) -> Router {
    Router::new().route("/hooks/{namespace}/{name}", post(hook)).with_state(web)
}

async fn livez(State(web): State<Web>) -> Response {
    verdict(web.vitals.is_alive(Instant::now()), "the loop that follows the SiteSyncs hangs")
}

async fn readyz(State(web): State<Web>) -> Response {
    verdict(web.vitals.is_ready(), "the SiteSyncs were not listed yet")
}

fn verdict(is_good: bool, otherwise: &'static str) -> Response {
    if is_good {
        "ok\n".into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, format!("{otherwise}\n")).into_response()
    }
}

async fn metrics(State(web): State<Web>) -> Response {
    if let Some(cache) = web.cache.clone() {
        let bytes = spawn_blocking(move || cache::bytes_of(&cache)).await;
        web.metrics.caches(bytes.unwrap_or_default());
    }
    let text = web.metrics.text(Instant::now());
    ([(header::CONTENT_TYPE, OPENMETRICS)], text).into_response()
}

async fn hook(
    State(web): State<Web>,
    Path((namespace, name)): Path<(String, String)>,
    request: Request,
) -> StatusCode {
    let (head, body) = request.into_parts();
    let forge = Forge::of(&head.headers);
    let (code, result) = if web.vitals.is_at_work() {
        match read(body).await {
            Err(refusal) => refusal,
            Ok(body) => {
                let (hooks, headers) = (web.hooks.clone(), head.headers);
                let key = SyncKey { namespace, name };
                let judged = spawn_blocking(move || {
                    let message = Message { forge, headers: &headers, body: &body };
                    hooks.take(&key, &message, Timestamp::now())
                });
                // a panic there is a bug, and tells the sender nothing
                judged.await.unwrap_or(Verdict::Refused).answer()
            }
        }
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, Hooked::StandingBy)
    };
    web.metrics.hooked(forge, result);
    code
}

/// Reads the body of a message.
async fn read(body: Body) -> Result<Vec<u8>, (StatusCode, Hooked)> {
    // who says that it is too large need not send it
    if axum::body::HttpBody::size_hint(&body).lower() > LARGEST as u64 {
        return Err((StatusCode::PAYLOAD_TOO_LARGE, Hooked::TooLarge));
    }
    match timeout(BODY, Limited::new(body, LARGEST).collect()).await {
        Ok(Ok(body)) => Ok(Vec::from(body.to_bytes())),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            Err((StatusCode::PAYLOAD_TOO_LARGE, Hooked::TooLarge))
        }
        Ok(Err(_)) => Err((StatusCode::BAD_REQUEST, Hooked::Late)),
        Err(_) => Err((StatusCode::REQUEST_TIMEOUT, Hooked::Late)),
    }
}

/// Serves `routes` until it is stopped; then requests under way may end, for some seconds.
pub(crate) async fn serve(
    listener: TcpListener,
    routes: Router,
    identity: Option<Identity>,
    stop: CancellationToken,
) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let accepted = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place.expect("this semaphore is never closed"), listener.accept().await)
        };
        tokio::select! {
            () = stop.cancelled() => break,
            Some(_) = connections.join_next() => {}
            (place, accepted) = accepted => match accepted {
                Ok((socket, _)) => {
                    let (routes, identity) = (routes.clone(), identity.clone());
                    connections.spawn(async move {
                        match identity {
                            None => connection(socket, routes).await,
                            Some(identity) => {
                                if let Some(socket) = identity.accept(socket).await {
                                    connection(socket, routes).await;
                                }
                            }
                        }
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::debug!(%error, "a connection could not be accepted");
                    sleep(BREATH).await;
                }
            },
        }
    }
    drop(listener);
    let _ = timeout(GRACE, async { while connections.join_next().await.is_some() {} }).await;
}

/// Answers the one request of a connection. Without keep-alive, so that nobody holds a place by saying nothing.
async fn connection(socket: impl AsyncRead + AsyncWrite + Unpin, routes: Router) {
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .keep_alive(false)
        .serve_connection(TokioIo::new(socket), TowerToHyperService::new(routes));
    // what a client does wrong is its own trouble
    let _ = timeout(WHOLE, served).await;
}
