//! Where logs of others ask to be witnessed (C2SP tlog-witness).
//!
//! Comes in: a checkpoint with its proof. Goes out: our signature, or why there is none. Never: a token; the checkpoint
//! itself says who asks.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use axum::{
    body::Body,
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use http_body_util::{BodyExt, Limited};
use sitewright_ledger::{
    PublicKey,
    witness::{LARGEST, Unsigned, Witness},
};
use tokio::{
    task::spawn_blocking,
    time::{Instant, timeout},
};

use super::{
    Api,
    access::{Bucket, Rate, lock},
};
use crate::lineage::Witnessing;

/// How long the body of a request may take.
const BODY: Duration = Duration::from_secs(5);

/// How often anybody may ask: a log asks once in a minute.
const ASKS: Rate = Rate { a_second: 10.0, at_once: 40.0 };

/// The media type of the size of a log.
const SIZE: &str = "text/x.tlog.size";

/// Where logs of others are witnessed.
pub(crate) struct Stand {
    dir: PathBuf,
    key: PathBuf,
    logs: Vec<PublicKey>,
    /// Opened when somebody asks: the key may be there later than the agent.
    witness: Arc<Mutex<Option<Witness>>>,
    asks: Mutex<Bucket>,
}

impl Stand {
    /// Witnesses in the folder `dir` with the key in the file `key`.
    pub(crate) fn new(dir: PathBuf, key: PathBuf, witnessing: Witnessing) -> Self {
        let asks = Mutex::new(Bucket::new(ASKS, Instant::now()));
        Self { dir, key, logs: witnessing.logs, witness: Arc::default(), asks }
    }

    /// Judges a request on a thread that may block; one at a time, as what was seen is kept one after another.
    async fn add(&self, request: Vec<u8>) -> Result<String, Unsigned> {
        let (dir, key, logs) = (self.dir.clone(), self.key.clone(), self.logs.clone());
        let witness = Arc::clone(&self.witness);
        let judged = spawn_blocking(move || {
            let mut witness = lock(&witness);
            if witness.is_none() {
                *witness = Some(Witness::open(&dir, crate::lineage::read_key(&key)?, logs)?);
            }
            let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
            match witness.as_mut() {
                Some(witness) => witness.add(&request, at),
                None => Err(Unsigned::UnknownLog),
            }
        });
        // a panic there is a bug, and signs nothing
        judged.await.unwrap_or(Err(Unsigned::Malformed("it cannot be judged")))
    }
}

pub(super) async fn add_checkpoint(State(api): State<Api>, body: Body) -> Response {
    let Some(stand) = api.0.stand.as_ref().filter(|stand| !stand.logs.is_empty()) else {
        return (StatusCode::NOT_FOUND, "no log is witnessed here\n").into_response();
    };
    if !lock(&stand.asks).take(Instant::now()) {
        return (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, "1")]).into_response();
    }
    let request = match timeout(BODY, Limited::new(body, LARGEST).collect()).await {
        Ok(Ok(body)) => Vec::from(body.to_bytes()),
        Ok(Err(_)) => return (StatusCode::PAYLOAD_TOO_LARGE, "it is too large\n").into_response(),
        Err(_) => return StatusCode::REQUEST_TIMEOUT.into_response(),
    };
    match stand.add(request).await {
        Ok(lines) => lines.into_response(),
        Err(unsigned) => refused(&unsigned),
    }
}

fn refused(unsigned: &Unsigned) -> Response {
    let (status, text) = match unsigned {
        Unsigned::Malformed(_) => (StatusCode::BAD_REQUEST, format!("{unsigned}\n")),
        Unsigned::UnknownLog => (StatusCode::NOT_FOUND, format!("{unsigned}\n")),
        Unsigned::NotSigned => (StatusCode::FORBIDDEN, format!("{unsigned}\n")),
        Unsigned::Elsewhere(size) | Unsigned::Fork(size) => {
            (StatusCode::CONFLICT, format!("{size}\n"))
        }
        Unsigned::Unproven => (StatusCode::UNPROCESSABLE_ENTITY, format!("{unsigned}\n")),
        Unsigned::Broken(error) => {
            tracing::warn!(code = %error.code(), "lineage: nothing is witnessed: {error}");
            (StatusCode::SERVICE_UNAVAILABLE, "it cannot be kept what was seen\n".to_owned())
        }
    };
    if matches!(unsigned, Unsigned::Fork(_) | Unsigned::Unproven) {
        tracing::warn!(
            "lineage: a log that is witnessed asks for a signature of another history: {unsigned}"
        );
    }
    let mut response = (status, text).into_response();
    if status == StatusCode::CONFLICT {
        let size = HeaderValue::from_static(SIZE);
        response.headers_mut().insert(header::CONTENT_TYPE, size);
    }
    response
}
