//! What a refusal means: which kind it is, whose field it names, and no secret in what it says.

use serde_json::Value;
use sitewright_model::{
    live::{Cause, Deferred, FieldConflict, Refusal},
    object::Object,
};

use crate::client::{http::Failure, status::Refused};

/// What a validator says where upstream does not allow a field to change. Texts, since the API has no
/// reason of its own for it (`apimachinery/pkg/api/validation/objectmeta.go`, `pkg/apis/*/validation`);
/// they only nominate: law 5 wants the replacement proven before anything is called immutable.
const IMMUTABLE: [&str; 9] = [
    "immutable",
    "may not change once set",
    "may not change",
    "may not be changed",
    "cannot change",
    "cannot be changed",
    "can not be changed",
    "updates to ",
    "may not be updated",
];

/// What a failed dry run or write of one object means.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Meaning {
    /// A final verdict.
    Refused(Refusal),
    /// All causes say that a field that differs cannot change.
    LooksImmutable(Vec<Cause>),
    /// The namespace is not there, or is going away.
    NoNamespace(Vec<Cause>),
    /// A webhook could not be called: name, message.
    WebhookDown(String, String),
    /// The object was deleted, made anew, or changed since it was read.
    AnotherObject,
}

/// Reads the meaning of `failure` for `object`; `live` is what is there of it.
pub(crate) fn meaning(failure: &Failure, object: &Object, live: Option<&Value>) -> Meaning {
    let refused = match failure {
        Failure::Broken(error) => return Meaning::Refused(Refusal::Unavailable(error.to_string())),
        Failure::Refused(refused) => refused,
    };
    let teller = Teller { shy: holds_secrets(object) };
    if let Some(webhook) = refused.unreachable_webhook() {
        return Meaning::WebhookDown(webhook.to_owned(), teller.message(refused));
    }
    if let Some(webhook) = no_dry_run(refused) {
        return Meaning::WebhookDown(webhook.to_owned(), "it does not support dry runs".into());
    }
    if refused.is_field_conflict() {
        return Meaning::Refused(Refusal::Conflict(conflicts(refused)));
    }
    let causes = teller.causes(refused);
    let namespace_is_gone = refused.is_not_found() && refused.message.starts_with("namespaces \"");
    if refused.is_namespace_terminating() || namespace_is_gone {
        return Meaning::NoNamespace(causes);
    }
    if refused.malformed().is_some() {
        return Meaning::Refused(Refusal::Invalid(causes));
    }
    if refused.is_about_another_object() {
        return Meaning::AnotherObject;
    }
    if refused.is_invalid() {
        let immutable = !refused.causes.is_empty()
            && live.is_some_and(|live| {
                refused.causes.iter().all(|cause| is_immutable(cause, object.expose(), live))
            });
        return match immutable {
            true => Meaning::LooksImmutable(causes),
            false if refused.is_denied_by_admission() => {
                Meaning::Refused(Refusal::Denied(teller.message(refused)))
            }
            false => Meaning::Refused(Refusal::Invalid(causes)),
        };
    }
    Meaning::Refused(match refused.code {
        _ if refused.is_denied_by_admission() => Refusal::Denied(teller.message(refused)),
        401 => Refusal::Forbidden(teller.message(refused)),
        // admission (quotas, pod security) says 403 too; only RBAC speaks of a user who cannot
        403 if refused.message.contains("User \"") => Refusal::Forbidden(teller.message(refused)),
        404 => Refusal::NoSuchKind,
        429 | 500.. => Refusal::Unavailable(teller.message(refused)),
        _ => Refusal::Denied(teller.message(refused)),
    })
}

/// `webhookdispatcher`: a webhook with side effects, or one that does not say, is not called in a dry run.
fn no_dry_run(refused: &Refused) -> Option<&str> {
    if !refused.message.contains("does not support dry run") {
        return None;
    }
    refused.message.split_once("admission webhook \"")?.1.split('"').next()
}

/// Returns the causes of a refusal as they may be shown.
pub(crate) fn causes(refused: &Refused, object: &Object) -> Vec<Cause> {
    Teller { shy: holds_secrets(object) }.causes(refused)
}

/// Returns whether a message about `object` might quote a secret.
pub(crate) fn holds_secrets(object: &Object) -> bool {
    !object.sensitive().is_empty() || object.is_secret("/data")
}

const HIDDEN: &str = "(not shown: the object holds secrets)";

/// Tells what the server said; of an object that holds secrets only reason and field, since messages quote values.
struct Teller {
    shy: bool,
}

impl Teller {
    fn causes(&self, refused: &Refused) -> Vec<Cause> {
        if let Some(lines) = refused.malformed() {
            let tell = |(field, text): (String, String)| Cause {
                field,
                reason: "FieldValueInvalid".into(),
                message: if self.shy { HIDDEN.into() } else { text },
            };
            return lines.into_iter().map(tell).collect();
        }
        if refused.causes.is_empty() {
            let reason = refused.reason.clone();
            return vec![Cause { field: String::new(), reason, message: self.message(refused) }];
        }
        let tell = |cause: &Cause| match self.shy {
            true => Cause { message: HIDDEN.into(), ..cause.clone() },
            false => cause.clone(),
        };
        refused.causes.iter().map(tell).collect()
    }

    fn message(&self, refused: &Refused) -> String {
        if !self.shy {
            return refused.message.clone();
        }
        let reason = if refused.reason.is_empty() { "no reason" } else { &refused.reason };
        format!("HTTP {}, {reason} (message not shown: the object holds secrets)", refused.code)
    }
}

/// Reads the conflicts of a refused server-side apply: `conflict with "MANAGER" using VERSION: FIELD`.
pub(crate) fn conflicts(refused: &Refused) -> Vec<FieldConflict> {
    let is_conflict = |cause: &&Cause| cause.reason == "FieldManagerConflict";
    let read = |cause: &Cause| {
        let quoted = cause.message.split_once('"').and_then(|(_, rest)| rest.split_once('"'));
        let manager = quoted.map_or(cause.message.as_str(), |(manager, _)| manager);
        FieldConflict { manager: manager.to_owned(), field: cause.field.clone() }
    };
    let mut conflicts: Vec<_> = refused.causes.iter().filter(is_conflict).map(read).collect();
    conflicts.sort();
    conflicts.dedup();
    conflicts
}

fn is_immutable(cause: &Cause, desired: &Value, live: &Value) -> bool {
    let by_reason = matches!(cause.reason.as_str(), "FieldValueForbidden" | "FieldValueInvalid");
    let message = cause.message.to_ascii_lowercase();
    by_reason
        && !cause.field.starts_with("metadata")
        && IMMUTABLE.iter().any(|marker| message.contains(marker))
        && differs(&cause.field, desired, live)
}

/// Returns whether the field, or the nearest field above it that can be found, differs.
fn differs(field: &str, desired: &Value, live: &Value) -> bool {
    let segments = field.split(['.', '[']).map(|part| part.trim_end_matches(']'));
    let (mut desired, mut live) = (Some(desired), Some(live));
    for segment in segments.filter(|segment| !segment.is_empty()) {
        let below = (
            desired.and_then(|value| step(value, segment)),
            live.and_then(|value| step(value, segment)),
        );
        if below == (None, None) {
            break;
        }
        (desired, live) = below;
    }
    desired != live
}

fn step<'v>(value: &'v Value, segment: &str) -> Option<&'v Value> {
    match value {
        Value::Array(list) => list.get(segment.parse::<usize>().ok()?),
        Value::Object(map) => map.get(segment),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

/// Returns what a webhook that is down means: it comes with this plan, or its service is not ready yet;
/// else it blocks, and a person must look.
pub(crate) fn webhook(
    name: String,
    message: String,
    is_desired: bool,
) -> Result<Deferred, Refusal> {
    let unready = ["no endpoints available", "not found", "connection refused", "dry runs"];
    if is_desired || unready.iter().any(|marker| message.contains(marker)) {
        return Ok(Deferred::WebhookNotReady(name, message));
    }
    Err(Refusal::Denied(format!("webhook `{name}` cannot be called: {message}")))
}

#[cfg(test)]
mod tests;
