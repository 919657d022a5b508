//! What the server says when it refuses: `metav1.Status`, read for decisions, not for printing.

use std::{fmt, time::Duration};

use kube::core::Status;
use sitewright_model::live::Cause;

/// A refusal of one request.
#[derive(Clone)]
pub(crate) struct Refused {
    /// The HTTP code.
    pub code: u16,
    /// The machine-readable reason, for example `Conflict`; empty where the answer is not a Status.
    pub reason: String,
    /// The message as the server wrote it; may quote values of the object.
    pub message: String,
    /// The causes as the server wrote them; may quote values of the object.
    pub causes: Vec<Cause>,
    /// How long the server asks to wait.
    pub retry_after: Option<Duration>,
}

impl Refused {
    /// Reads an answer of `code`; what is not a Status is kept as a short text.
    pub(crate) fn read(code: u16, retry_after: Option<Duration>, body: &[u8]) -> Self {
        let status = serde_json::from_slice::<Status>(body).ok();
        let Some(status) = status.filter(|status| !status.message.is_empty()) else {
            let text: String = String::from_utf8_lossy(body).trim().chars().take(200).collect();
            let message = if text.is_empty() { format!("HTTP {code}") } else { text };
            return Self { code, reason: String::new(), message, causes: Vec::new(), retry_after };
        };
        let (causes, asked) = status
            .details
            .map_or((Vec::new(), 0), |details| (details.causes, details.retry_after_seconds));
        let cause = |cause: kube::core::response::StatusCause| Cause {
            field: cause.field,
            reason: cause.reason,
            message: cause.message,
        };
        Self {
            code,
            reason: status.reason,
            message: status.message,
            causes: causes.into_iter().map(cause).collect(),
            retry_after: retry_after
                .or_else(|| (asked > 0).then(|| Duration::from_secs(asked.into()))),
        }
    }

    /// Makes the refusal of a request that the server leaves unanswered while it answers others: what
    /// a gateway in between would say.
    pub(crate) fn unanswered(why: &str) -> Self {
        Self {
            code: 504,
            reason: "Timeout".into(),
            message: format!("{why}; the server answers other requests"),
            causes: Vec::new(),
            retry_after: None,
        }
    }

    /// Returns whether the object is not there.
    pub(crate) fn is_not_found(&self) -> bool {
        self.code == 404
    }

    /// Returns whether the namespace is being deleted.
    pub(crate) fn is_namespace_terminating(&self) -> bool {
        self.causes.iter().any(|cause| cause.reason == "NamespaceTerminating")
    }

    /// Returns whether other managers own fields that were set.
    pub(crate) fn is_field_conflict(&self) -> bool {
        self.code == 409 && self.causes.iter().any(|cause| cause.reason == "FieldManagerConflict")
    }

    /// Returns whether the UID or resource version that the request named is not that of the object.
    ///
    /// An apply that names the UID of an object that was made anew is refused as a change of an
    /// immutable field.
    pub(crate) fn is_about_another_object(&self) -> bool {
        let names_uid = self.causes.iter().any(|cause| cause.field == "metadata.uid");
        names_uid || (self.code == 409 && self.reason == "Conflict" && !self.is_field_conflict())
    }

    /// Returns whether a validator found fields invalid.
    pub(crate) fn is_invalid(&self) -> bool {
        matches!(self.code, 400 | 422)
    }

    /// Returns what server-side apply finds wrong with the form of the object, where that is the reason:
    /// field and text, line by line.
    ///
    /// The server calls it an internal error and gives no causes (kubernetes#111937).
    pub(crate) fn malformed(&self) -> Option<Vec<(String, String)>> {
        let markers = ["failed to create typed patch object (", "failed to convert new object ("];
        let rest = markers.iter().find_map(|marker| Some(self.message.split_once(marker)?.1))?;
        let lines = rest.split_once("): ").map_or(rest, |(_, lines)| lines);
        let lines = lines.lines().map(str::trim).filter(|line| *line != "errors:");
        let read = |line: &str| {
            // what follows quotes the value in the words of a Go program
            let line = line.split(", got &").next().unwrap_or(line);
            match line.strip_prefix('.').and_then(|line| line.split_once(": ")) {
                Some((field, text)) => (field.to_owned(), text.to_owned()),
                None => (String::new(), line.to_owned()),
            }
        };
        Some(lines.filter(|line| !line.is_empty()).map(read).collect())
    }

    /// Returns the name of the webhook that could not be called, where that is the reason.
    ///
    /// The API server has no machine-readable form of this
    /// (`apiserver/pkg/admission/plugin/webhook/errors/statuserror.go`).
    pub(crate) fn unreachable_webhook(&self) -> Option<&str> {
        let markers = ["failed calling webhook \"", "conversion webhook for "];
        let rest = markers.iter().find_map(|marker| Some(self.message.split_once(marker)?.1))?;
        rest.split(['"', ',', ' ']).next()
    }

    /// Returns whether an admission webhook or policy said no.
    pub(crate) fn is_denied_by_admission(&self) -> bool {
        self.message.contains("admission webhook \"")
            || self.message.contains("ValidatingAdmissionPolicy '")
    }
}

/// Code and reason, and no more: messages may quote a secret (law 10).
impl fmt::Debug for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Refused({} {})", self.code, self.reason)
    }
}
