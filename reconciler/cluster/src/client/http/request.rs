//! One request, and its answer.

use std::{fmt, time::Duration};

use http::{HeaderValue, Method, header};
use kube::client::Body;
use serde::de::DeserializeOwned;

use crate::Error;

/// What kind of request it is: for the counters, and for what may be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    /// Reads one object, or the server's own facts.
    Get,
    /// Reads a collection.
    List,
    /// Asks what a write would do.
    DryRun,
    /// Server-side apply.
    Apply,
    /// Creates, where it must not be there.
    Create,
    /// Replaces or patches, bound to a resource version.
    Update,
    /// Deletes.
    Delete,
}

/// One request.
#[derive(Clone)]
pub(crate) struct Request {
    pub(super) verb: Verb,
    method: Method,
    url: String,
    pub(super) what: String,
    body: Option<(&'static str, Vec<u8>)>,
    accept: &'static str,
    pub(super) within: Option<Duration>,
    pub(super) races: Races,
    pub(super) turn: Turn,
}

/// What to do when a write meets another write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Races {
    /// The server lost a race with itself: send it again.
    Again,
    /// The write is bound to what was read: it must not be sent again.
    Final,
}

/// Whether a request waits for its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// While as many as allowed are in flight.
    Queued,
    /// It goes at once, however many are in flight.
    AtOnce,
}

/// An answer that is not a refusal.
pub(crate) struct Answer {
    /// The body.
    pub body: Vec<u8>,
    /// When the server answered, by its own clock: the `Date` header.
    pub date: Option<HeaderValue>,
    /// The texts of the `Warning` headers; may quote values of the object.
    pub warnings: Vec<String>,
    pub(super) what: String,
    pub(super) verb: Verb,
}

impl Verb {
    /// Returns the verb for people.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::DryRun => "dry-run",
            Self::Apply => "apply",
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }
}

// === impl Request ===

impl Request {
    fn new(verb: Verb, method: Method, url: impl Into<String>, what: impl Into<String>) -> Self {
        Self {
            verb,
            method,
            url: url.into(),
            what: what.into(),
            body: None,
            accept: "application/json",
            within: None,
            races: if matches!(verb, Verb::Apply | Verb::DryRun) {
                Races::Again
            } else {
                Races::Final
            },
            turn: Turn::Queued,
        }
    }

    /// Reads what is at `url`; `what` names it in messages.
    pub(crate) fn get(url: impl Into<String>, what: impl Into<String>) -> Self {
        Self::new(Verb::Get, Method::GET, url, what)
    }

    /// Reads the collection at `url`.
    pub(crate) fn list(url: impl Into<String>, what: impl Into<String>) -> Self {
        Self::new(Verb::List, Method::GET, url, what)
    }

    /// Applies `body` (server-side apply), for real or as a dry run by `verb`.
    pub(crate) fn apply(verb: Verb, url: String, what: impl Into<String>, body: Vec<u8>) -> Self {
        let mut request = Self::new(verb, Method::PATCH, url, what);
        request.body = Some(("application/apply-patch+yaml", body));
        request
    }

    /// Creates `body` in the collection at `url`, for real or as a dry run by `verb`.
    pub(crate) fn post(verb: Verb, url: String, what: impl Into<String>, body: Vec<u8>) -> Self {
        let mut request = Self::new(verb, Method::POST, url, what);
        request.body = Some(("application/json", body));
        request
    }

    /// Replaces the object at `url`; `body` carries the resource version.
    pub(crate) fn put(url: String, what: impl Into<String>, body: Vec<u8>) -> Self {
        let mut request = Self::new(Verb::Update, Method::PUT, url, what);
        request.body = Some(("application/json", body));
        request
    }

    /// Patches the object at `url` with a JSON patch (RFC 6902) that tests the resource version.
    pub(crate) fn json_patch(
        verb: Verb,
        url: String,
        what: impl Into<String>,
        body: Vec<u8>,
    ) -> Self {
        let mut request = Self::new(verb, Method::PATCH, url, what);
        request.body = Some(("application/json-patch+json", body));
        request
    }

    /// Deletes the object at `url`; `options` carry the preconditions.
    pub(crate) fn delete(url: String, what: impl Into<String>, options: Vec<u8>) -> Self {
        let mut request = Self::new(Verb::Delete, Method::DELETE, url, what);
        request.body = Some(("application/json", options));
        request
    }

    /// Asks for another representation.
    #[must_use]
    pub(crate) fn accept(mut self, accept: &'static str) -> Self {
        self.accept = accept;
        self
    }

    /// Makes a dry run of it; the URL must say so too.
    #[must_use]
    pub(crate) fn dry_run(mut self) -> Self {
        self.verb = Verb::DryRun;
        self
    }

    /// Says that the body names a resource version, so that a conflict is final.
    #[must_use]
    pub(crate) fn pinned(mut self) -> Self {
        self.races = Races::Final;
        self
    }

    /// Bounds all attempts together.
    #[must_use]
    pub(crate) fn within(mut self, deadline: Duration) -> Self {
        self.within = Some(deadline);
        self
    }

    /// Sends it at once: what keeps the lock must not wait behind what the lock protects.
    #[must_use]
    pub(crate) fn at_once(mut self) -> Self {
        self.turn = Turn::AtOnce;
        self
    }

    /// Returns whether it is for `url`.
    pub(super) fn is_at(&self, url: &str) -> bool {
        self.url == url
    }

    pub(super) fn build(&self) -> Result<http::Request<Body>, Error> {
        let builder = http::Request::builder()
            .method(self.method.clone())
            .uri(&self.url)
            .header(header::ACCEPT, self.accept);
        let request = match &self.body {
            Some((kind, body)) => {
                builder.header(header::CONTENT_TYPE, *kind).body(Body::from(body.clone()))
            }
            None => builder.body(Body::empty()),
        };
        request.map_err(|error| Error::BadAnswer {
            verb: self.verb.text().into(),
            resource: self.what.clone(),
            why: format!("the request cannot be built: {error}"),
        })
    }
}

/// Which request it is, and no more: a body may hold secrets (law 10).
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Request({} {})", self.verb.text(), self.what)
    }
}

// === impl Answer ===

/// Which answer it is, and no more: body and warnings may hold secrets (law 10).
impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Answer(to {} {})", self.verb.text(), self.what)
    }
}

impl Answer {
    /// Reads the body as JSON.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_slice(&self.body).map_err(|error| Error::BadAnswer {
            verb: self.verb.text().into(),
            resource: self.what.clone(),
            // the category and place alone: the text may quote a secret
            why: format!(
                "line {}, column {}: {:?}",
                error.line(),
                error.column(),
                error.classify()
            ),
        })
    }
}
