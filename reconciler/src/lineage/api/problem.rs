//! Why there is no answer, as RFC 9457 has it.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use sitewright_ledger::Error;
use sitewright_model::code::{Code, lineage};

use crate::output::lineage::api;

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    status: StatusCode,
    code: Code,
    detail: String,
    help: Option<&'static str>,
    /// When to ask again, in seconds.
    again: Option<u32>,
}

impl Problem {
    fn new(status: StatusCode, code: Code, detail: impl Into<String>) -> Self {
        Self { status, code, detail: detail.into(), help: None, again: None }
    }

    /// The question cannot be understood.
    pub(super) fn bad_question(detail: impl Into<String>) -> Self {
        let help = "what can be asked is in openapi.json";
        let problem = Self::new(StatusCode::BAD_REQUEST, lineage::BAD_QUESTION, detail);
        Self { help: Some(help), ..problem }
    }

    /// Nobody knows who asks.
    pub(super) fn unknown_asker(detail: impl Into<String>) -> Self {
        let help = "send `Authorization: Bearer TOKEN` with a token that the cluster knows and that is meant for this server";
        let problem = Self::new(StatusCode::UNAUTHORIZED, lineage::UNKNOWN_ASKER, detail);
        Self { help: Some(help), ..problem }
    }

    /// Who asks may not see it.
    pub(super) fn refused(detail: impl Into<String>) -> Self {
        let help = "ask who runs the cluster for the role sitewright-lineage-reader, in a namespace or everywhere";
        let problem = Self::new(StatusCode::FORBIDDEN, lineage::REFUSED, detail);
        Self { help: Some(help), ..problem }
    }

    /// There is no such path.
    pub(super) fn no_path() -> Self {
        let problem = Self::new(
            StatusCode::NOT_FOUND,
            lineage::BAD_QUESTION,
            "there is nothing at this path",
        );
        Self { help: Some("what can be asked is in openapi.json"), ..problem }
    }

    /// There is no such resource of the log.
    pub(super) fn no_resource() -> Self {
        Self::new(StatusCode::NOT_FOUND, lineage::NOTHING, "the log has no such resource")
    }

    /// One asker asks too much.
    pub(super) fn too_many(again: u32) -> Self {
        let detail = "you ask too much at once";
        let problem = Self::new(StatusCode::TOO_MANY_REQUESTS, lineage::CROWDED, detail);
        Self { again: Some(again), ..problem }
    }

    /// All together ask too much.
    pub(super) fn crowded() -> Self {
        let detail = "too many questions are being answered";
        let problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, lineage::CROWDED, detail);
        Self { again: Some(1), ..problem }
    }

    /// The cluster does not say who asks, or what they may see.
    pub(super) fn unjudged() -> Self {
        let detail = "the API server does not say who asks, or what they may see";
        let problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, lineage::UNJUDGED, detail);
        Self { again: Some(5), ..problem }
    }

    /// The answer is larger than what is sent.
    pub(super) fn too_large() -> Self {
        let problem = Self::of(&Error::Slow);
        Self { detail: "the answer is too large".to_owned(), ..problem }
    }

    /// Something of ours is broken.
    pub(super) fn broken() -> Self {
        let detail = "this is a bug";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, sitewright_model::code::machine::BUG, detail)
    }

    /// Returns whether the record cannot be read, so that it has to be opened anew.
    pub(super) fn is_of_the_record(&self) -> bool {
        ![lineage::NOTHING, lineage::SEVERAL, lineage::SLOW].contains(&self.code)
    }

    /// What an error of the log is to who asks. Paths of this machine are not their business.
    pub(super) fn of(error: &Error) -> Self {
        let (code, told) = (error.code(), error.to_string());
        match error {
            Error::Nothing { .. } => Self {
                help: Some("ask by digest, reference, URI, commit, or namespace/name"),
                ..Self::new(StatusCode::NOT_FOUND, code, told)
            },
            Error::Several { found, .. } => {
                Self::new(StatusCode::CONFLICT, code, format!("{told}: {}", found.join(", ")))
            }
            Error::Slow => Self {
                help: Some("ask about less: one run instead of a node, or with a better grade"),
                ..Self::new(StatusCode::SERVICE_UNAVAILABLE, code, told)
            },
            _ => {
                tracing::warn!(%code, "lineage: a question has no answer: {told}");
                let detail = "the record cannot be read; the log of the program says why";
                Self::new(StatusCode::SERVICE_UNAVAILABLE, code, detail)
            }
        }
    }

    /// Returns the status of HTTP.
    #[cfg(test)]
    pub(super) fn status(&self) -> StatusCode {
        self.status
    }

    fn body(&self) -> api::Problem {
        api::Problem {
            kind: format!("https://sitewright.dev/errors/{}", self.code),
            title: self.code.title.to_owned(),
            status: self.status.as_u16(),
            detail: self.detail.clone(),
            code: self.code.to_string(),
            help: self.help.map(str::to_owned),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.status, crate::output::json(&self.body())).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(api::PROBLEM));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(again) = self.again {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(again));
        }
        response
    }
}
