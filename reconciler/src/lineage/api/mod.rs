//! Lineage over HTTP: questions for whoever may see what they ask about, and the log for who proves it.
//!
//! Comes in: requests with a token. Goes out: graphs, tiles, or why there are none. Never: anything of a namespace that the
//! asker may not see, or a write; work of the agent that waits for an asker.

mod access;
mod problem;
mod query;
mod questions;
#[cfg(test)]
mod tests;
mod witness;

use std::{path::PathBuf, sync::Arc};

use axum::{
    Router,
    extract::{Path, State},
    http::{HeaderMap, HeaderValue, StatusCode, Uri, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use sitewright_ledger::{Ask, PublicKey, Question, Reader};
use sitewright_model::{
    digest::Digest,
    lineage::{Graph, compare},
};

pub(crate) use self::{access::Access, witness::Stand};
use self::{
    access::{Caller, Sees},
    problem::Problem,
    query::Query,
    questions::Questions,
};
use super::Form;
use crate::output::{self, lineage::api};

/// Namespaces that are looked at for one asker who may not see everything; what is of further ones is hidden from them.
const NAMESPACES: usize = 1_000;

/// Bytes of an answer.
const LARGEST: usize = 128 * 1024 * 1024;

/// What never changes: a full tile.
const FOR_GOOD: &str = "private, max-age=31536000, immutable";

/// Answers questions to a log. Clones are the same.
#[derive(Clone)]
pub(crate) struct Api(Arc<Shared>);

struct Shared {
    questions: Arc<Questions>,
    access: Access,
    document: String,
    /// Where logs of others are witnessed, if they are.
    stand: Option<Stand>,
}

/// An answer, as it is sent.
struct Answer {
    media: &'static str,
    text: String,
}

impl Answer {
    fn json(value: &impl serde::Serialize) -> Self {
        Self { media: "application/json", text: output::json(value) }
    }
}

impl Api {
    /// Answers questions to the log in the folder `dir`. `is_beside` says that this program writes it.
    pub(crate) fn new(dir: PathBuf, is_beside: bool, access: Access) -> Self {
        let document = output::json(&api::openapi());
        let questions = Arc::new(Questions::new(dir, is_beside));
        Self(Arc::new(Shared { questions, access, document, stand: None }))
    }

    /// Witnesses logs of others as well.
    #[must_use]
    pub(crate) fn witnessing(self, stand: Stand) -> Self {
        let Shared { questions, access, document, .. } =
            Arc::into_inner(self.0).expect("nobody has a clone before it is served");
        Self(Arc::new(Shared { questions, access, document, stand: Some(stand) }))
    }

    /// Returns what is served.
    pub(crate) fn routes(self) -> Router {
        Router::new()
            .route("/lineage/v1/openapi.json", get(document))
            .route("/lineage/v1/{question}", get(question))
            .route("/lineage/log/{*path}", get(log))
            .route("/lineage/witness/add-checkpoint", post(witness::add_checkpoint))
            .fallback(async || Problem::no_path())
            .with_state(self)
    }

    /// Returns what a caller may see.
    async fn sees(&self, caller: &Caller) -> Result<Sees, Problem> {
        let Shared { questions, access, .. } = &*self.0;
        if access.sees_everything(caller).await? {
            return Ok(Sees::Everything);
        }
        let turn = questions.turn(caller).await?;
        let namespaces = questions.answer(turn, |reader, _| {
            reader.namespaces(NAMESPACES).map_err(|error| Problem::of(&error))
        });
        access.sees(caller, namespaces.await?).await.map(Sees::Namespaces)
    }
}

async fn document(State(api): State<Api>) -> Response {
    let Shared { document, .. } = &*api.0;
    sent("application/json", document.clone(), "public, max-age=300")
}

async fn question(
    State(api): State<Api>,
    Path(name): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let asked = Asked::read(&name, uri.query());
    let caller = api.0.access.caller(&headers).await?;
    // who is not known is told nothing of what can be asked
    let asked = asked?;
    api.0.questions.count(&caller)?;
    let sees = api.sees(&caller).await?;
    let turn = api.0.questions.turn(&caller).await?;
    let answer = api.0.questions.answer(turn, move |reader, until| {
        let namespaces = match sees {
            Sees::Everything => None,
            Sees::Namespaces(namespaces) => Some(namespaces),
        };
        let ask = |question| Ask {
            namespaces: namespaces.clone(),
            until: Some(until),
            ..Ask::new(question)
        };
        asked.answer(reader, ask)
    });
    let Answer { media, text } = answer.await?;
    if text.len() > LARGEST {
        return Err(Problem::too_large());
    }
    Ok(sent(media, text, "private, no-store"))
}

fn sent(media: &'static str, body: impl IntoResponse, cached: &'static str) -> Response {
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cached));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if media == Form::Html.media() {
        // names in it come from anybody
        let policy = "sandbox allow-scripts; default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'";
        headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    }
    response
}

// === questions ===

/// A question of a request.
enum Asked {
    Drawn { question: Question, thing: String, limit: Limit, form: Form },
    Explain { thing: String, field: Option<String>, limit: Limit },
    Reproduce { thing: String, limit: Limit },
    Diff { one: String, other: String, limit: Limit },
    Gaps,
    Verify,
}

type Limit = sitewright_model::lineage::Grade;

impl Asked {
    fn read(name: &str, query: Option<&str>) -> Result<Self, Problem> {
        let drawn = |question: fn(String) -> Question| {
            let query = Query::read(query, &["thing", "atLeast", "form"])?;
            let thing = query.needed("thing")?;
            let (limit, form) = (query.limit()?, query.form()?);
            Ok(Self::Drawn { question: question(thing.clone()), thing, limit, form })
        };
        match name {
            "of" => drawn(Question::Of),
            "impact" => drawn(Question::Impact),
            "during" => drawn(Question::During),
            "config" => drawn(Question::Config),
            "explain" => {
                let query = Query::read(query, &["thing", "atLeast", "field"])?;
                let (thing, field) = (query.needed("thing")?, query.value("field"));
                Ok(Self::Explain { thing, field, limit: query.limit()? })
            }
            "reproduce" => {
                let query = Query::read(query, &["thing", "atLeast"])?;
                Ok(Self::Reproduce { thing: query.needed("thing")?, limit: query.limit()? })
            }
            "diff" => {
                let query = Query::read(query, &["one", "other", "atLeast"])?;
                let (one, other) = (query.needed("one")?, query.needed("other")?);
                Ok(Self::Diff { one, other, limit: query.limit()? })
            }
            "gaps" => Query::read(query, &[]).map(|_| Self::Gaps),
            "verify" => Query::read(query, &[]).map(|_| Self::Verify),
            _ => Err(Problem::no_path()),
        }
    }

    fn answer(self, reader: &Reader, ask: impl Fn(Question) -> Ask) -> Result<Answer, Problem> {
        let graph = |question, limit| {
            let ask = Ask { limit, ..ask(question) };
            reader.ask(&ask).map_err(|error| Problem::of(&error))
        };
        Ok(match self {
            Self::Drawn { question, thing, limit, form } => {
                let graph = graph(question, limit)?;
                Answer { media: form.media(), text: form.write(&graph, &thing, None) }
            }
            Self::Explain { thing, field, limit } => {
                let graph = graph(Question::Explain(thing), limit)?;
                Answer::json(&super::explained(graph, field.as_deref()))
            }
            Self::Reproduce { thing, limit } => {
                Answer::json(&compare::reproduction(&graph(Question::Of(thing), limit)?))
            }
            Self::Diff { one, other, limit } => {
                let (one, other) =
                    (graph(Question::Of(one), limit)?, graph(Question::Of(other), limit)?);
                Answer::json(&compare::difference(&one, &other))
            }
            Self::Gaps => {
                let Graph { gaps, log_size, .. } = graph(Question::Gaps, Limit::Unknown)?;
                Answer::json(&api::Gaps { format: api::GAPS.to_owned(), gaps, log_size })
            }
            Self::Verify => Answer::json(&state(reader).map_err(|error| Problem::of(&error))?),
        })
    }
}

/// What the end of a log proves is little.
const NOT_PROVEN: [&str; 4] = [
    "that every leaf, body and row is what was recorded: `sitewright lineage verify` reads them all",
    "that the key is the log's: whoever changes the log can say another one; bring the one that you were given",
    "that witnesses have signed: bring their keys, and verify an export",
    "that the recorder told the truth, or saw everything",
];

fn state(reader: &Reader) -> Result<api::State, sitewright_ledger::Error> {
    let end = reader.log().end()?;
    let key = end.key.as_deref().and_then(|text| PublicKey::parse(text).ok());
    let signed = end.checkpoint.as_ref();
    let witnessed = end.cosigned.as_ref().and_then(|note| {
        let size = sitewright_ledger::Checkpoint::parse(&note.text).ok()?.size;
        let witness =
            |one: sitewright_ledger::Cosigned| api::Witness { name: one.name, at: one.at };
        let witnesses = note.cosignatures().into_iter().map(witness).collect();
        Some(api::Witnessed { size, note: note.to_string(), witnesses })
    });
    Ok(api::State {
        format: api::STATE.to_owned(),
        origin: end.origin,
        size: signed.map_or(0, |(_, checkpoint)| checkpoint.size),
        root: signed.map(|(_, checkpoint)| Digest::from_bytes(checkpoint.root).hex()),
        is_signed: signed.is_some_and(|(note, _)| key.is_some_and(|key| key.signed(note))),
        key: end.key,
        checkpoint: signed.map(|(note, _)| note.to_string()),
        fits: end.fits,
        witnessed,
        not_proven: NOT_PROVEN.map(str::to_owned).to_vec(),
    })
}

// === the log ===

/// What a path of the log is, and who may read it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    /// The checkpoint: whoever may see something.
    Checkpoint,
    /// Hashes: whoever may see something. They tell nothing that was not known.
    Hashes,
    /// Leaves: they name things of all namespaces.
    Leaves,
    /// Bodies: they hold personal data, and can be erased.
    Bodies,
}

impl Part {
    fn of(path: &str) -> Option<Self> {
        match path.strip_prefix("tile/").and_then(|rest| rest.split_once('/')) {
            None => ["checkpoint", "cosigned"].contains(&path).then_some(Self::Checkpoint),
            Some(("entries", _)) => Some(Self::Leaves),
            Some(("bodies", _)) => Some(Self::Bodies),
            Some((level, _)) => level.parse::<u8>().is_ok().then_some(Self::Hashes),
        }
    }

    fn media(self) -> &'static str {
        match self {
            Self::Checkpoint => "text/plain; charset=utf-8",
            _ => "application/octet-stream",
        }
    }

    fn cached(self, is_full: bool) -> &'static str {
        match self {
            Self::Checkpoint => "private, no-cache",
            Self::Bodies => "private, no-store",
            Self::Hashes | Self::Leaves if is_full => FOR_GOOD,
            // what is not full is of use until the log has grown
            Self::Hashes | Self::Leaves => "private, max-age=60",
        }
    }
}

async fn log(
    State(api): State<Api>,
    Path(path): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let caller = api.0.access.caller(&headers).await?;
    let part = Part::of(&path).ok_or_else(Problem::no_resource)?;
    let query = Query::read(uri.query(), &[]);
    match (part, api.sees(&caller).await?) {
        (_, Sees::Everything) | (Part::Checkpoint | Part::Hashes, _) => {}
        (Part::Leaves | Part::Bodies, Sees::Namespaces(_)) => {
            let why = "leaves and bodies are for who may see the runs of all namespaces";
            return Err(Problem::refused(why));
        }
    }
    query?;
    let is_full = !path.contains(".p/");
    let turn = api.0.questions.turn(&caller).await?;
    let bytes = api.0.questions.answer(turn, move |reader, _| {
        let found = reader.log().resource(&path).map_err(|error| Problem::of(&error))?;
        found.ok_or_else(Problem::no_resource)
    });
    let mut response = sent(part.media(), bytes.await?, part.cached(is_full));
    *response.status_mut() = StatusCode::OK;
    Ok(response)
}
