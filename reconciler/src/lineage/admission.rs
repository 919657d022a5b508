//! The gate before what serves: whether its model meets what the site demands, asked by the API server.
//!
//! Comes in: an AdmissionReview (`admission.k8s.io/v1`) of somebody who makes or changes a service. Goes out: the answer,
//! with the reasons. Never: a refusal because the record cannot be read, or of a change that leaves the model as it is;
//! anything written.

use std::{path::PathBuf, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::post,
};
use serde_json::{Value, json};
use sitewright_ledger::{Ask, Error, Question, Reader};
use sitewright_model::{
    format::lineage::{Policy, ServingRule},
    lineage::{self, ClusterId, EntityId, Relation, Seen, Statement, Work, policy},
    object::{GroupKind, ObjectId},
    terminal,
};
use tokio::{
    sync::Semaphore,
    task::spawn_blocking,
    time::{Instant, timeout_at},
};

/// The largest review: two objects of 1.5 MiB, the limit of etcd, and what is around them.
const LARGEST: usize = 4 * 1024 * 1024;

/// Reviews that are looked at, at once.
const AT_ONCE: usize = 4;

/// How long one may take; the API server waits for five seconds, and then lets it pass.
const DEADLINE: Duration = Duration::from_secs(3);

/// What answers reviews. Clones are the same.
#[derive(Clone)]
pub(crate) struct Admission(Arc<Inner>);

struct Inner {
    dir: PathBuf,
    cluster: ClusterId,
    policy: Policy,
    places: Arc<Semaphore>,
}

/// A review as far as it is looked at.
struct Review {
    kind: GroupKind,
    namespace: String,
    object: Value,
    before: Value,
}

/// What is said to the API server.
#[derive(Debug, Default, PartialEq, Eq)]
struct Answer {
    refusal: Option<String>,
    warnings: Vec<String>,
}

impl Admission {
    pub(crate) fn new(dir: PathBuf, cluster: ClusterId, policy: Policy) -> Self {
        let places = Arc::new(Semaphore::new(AT_ONCE));
        Self(Arc::new(Inner { dir, cluster, policy, places }))
    }

    /// Returns what the API server asks: `/admit`.
    pub(crate) fn routes(self) -> Router {
        Router::new()
            .route("/admit", post(admit))
            .layer(DefaultBodyLimit::max(LARGEST))
            .with_state(self)
    }

    async fn answer(&self, review: Review) -> Answer {
        let Some(rule) = self.0.policy.of(&review.namespace).cloned() else {
            return Answer::default();
        };
        let until = Instant::now() + DEADLINE;
        let inner = Arc::clone(&self.0);
        let judged = async {
            let place = Arc::clone(&inner.places).acquire_owned().await;
            spawn_blocking(move || {
                let answer = inner.judge(&review, &rule);
                drop(place);
                answer
            })
            .await
        };
        match timeout_at(until, judged).await {
            Ok(Ok(Ok(answer))) => answer,
            Ok(Ok(Err(error))) => Answer::unable(&error.to_string()),
            Ok(Err(_)) => Answer::unable("it broke off"),
            Err(_) => Answer::unable("it takes too long"),
        }
    }
}

async fn admit(State(admission): State<Admission>, body: Bytes) -> Response {
    let Ok(review) = serde_json::from_slice::<Value>(&body) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let uid = review.pointer("/request/uid").cloned().unwrap_or_default();
    let answer = match Review::read(&review) {
        Some(review) => admission.answer(review).await,
        None => Answer::default(),
    };
    let response = answer.response(&uid).to_string();
    ([(header::CONTENT_TYPE, "application/json")], response).into_response()
}

impl Inner {
    fn judge(&self, review: &Review, rule: &ServingRule) -> Result<Answer, Error> {
        let models = self.models(&review.kind, &review.object);
        if models.is_empty() {
            return Ok(Answer::default());
        }
        let mut reader = Reader::open(&self.dir)?;
        reader.refresh()?;
        let mut reasons = Vec::new();
        for model in &models {
            let until = Some(std::time::Instant::now() + DEADLINE);
            let ask = Ask { until, ..Ask::new(Question::Of(model.to_string())) };
            match reader.ask(&ask) {
                Ok(graph) => reasons.extend(policy::judge(&graph, &rule.demand()).reasons),
                Err(Error::Nothing { .. }) => {
                    reasons.push(format!("no run is known that made {model}"))
                }
                Err(error) => return Err(error),
            }
        }
        if reasons.is_empty() {
            return Ok(Answer::default());
        }
        let why = terminal::clean(&reasons.join("; "));
        let message = format!(
            "its model does not meet what namespace {} demands of what serves (commit {}, tie {}): {why}",
            review.namespace, rule.commit, rule.tie,
        );
        // what serves already may be scaled and mended
        let is_as_before = self.models(&review.kind, &review.before) == models;
        Ok(match rule.enforce && !is_as_before {
            true => Answer { refusal: Some(message), warnings: Vec::new() },
            false => Answer { refusal: None, warnings: vec![message] },
        })
    }

    /// Returns the models that an object serves.
    fn models(&self, kind: &GroupKind, object: &Value) -> Vec<EntityId> {
        let owners = controllers(object);
        let seen = Seen { cluster: &self.cluster, body: object, kind, owners: &owners, salt: b"" };
        let said = lineage::serving(&seen).map(|(_, said)| said).unwrap_or_default();
        let served = said.into_iter().filter_map(|statement| match statement {
            Statement::Edge { relation: Relation::Serves, to, .. } => Some(to),
            Statement::Edge { .. } | Statement::Fact { .. } => None,
        });
        served.collect()
    }
}

/// Returns the controllers of an object: what somebody else made is judged where that is made.
fn controllers(object: &Value) -> Vec<Work> {
    let owners = object.pointer("/metadata/ownerReferences").and_then(Value::as_array);
    let text = |owner: &Value, name: &str| {
        owner.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let controls = |owner: &&Value| owner.get("controller").and_then(Value::as_bool) == Some(true);
    let work = |owner: &Value| {
        let version = text(owner, "apiVersion");
        let group = version.split_once('/').map_or("", |(group, _)| group);
        let kind = GroupKind::new(group, text(owner, "kind"));
        let id = ObjectId { kind, namespace: None, name: text(owner, "name") };
        Work { id, uid: text(owner, "uid") }
    };
    owners.into_iter().flatten().filter(controls).map(work).collect()
}

impl Review {
    fn read(review: &Value) -> Option<Self> {
        let text = |pointer: &str| review.pointer(pointer).and_then(Value::as_str);
        let kind = GroupKind::new(text("/request/kind/group")?, text("/request/kind/kind")?);
        let object = review.pointer("/request/object").cloned().unwrap_or_default();
        let before = review.pointer("/request/oldObject").cloned().unwrap_or_default();
        Some(Self { kind, namespace: text("/request/namespace")?.to_owned(), object, before })
    }
}

impl Answer {
    /// The record never gets in the way: who makes something hears that nobody could look.
    fn unable(why: &str) -> Self {
        let why = terminal::clean(why);
        tracing::warn!("lineage: a model could not be judged: {why}");
        let warning = format!("nobody could look whether its model meets what is demanded: {why}");
        Self { refusal: None, warnings: vec![warning] }
    }

    fn response(self, uid: &Value) -> Value {
        let is_allowed = self.refusal.is_none();
        let status = self
            .refusal
            .map(|message| json!({ "code": 403, "reason": "Forbidden", "message": message }));
        let response = json!({ "uid": uid, "allowed": is_allowed, "status": status,
            "warnings": self.warnings });
        json!({ "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission(rule: &str) -> Admission {
        let text = format!(
            "apiVersion: sitewright.dev/v1alpha1\nkind: LineageSettings\nspec: {{ policy: {{ serving: [{rule}] }} }}"
        );
        let settings = sitewright_model::format::lineage::parse("s", &text).unwrap().value;
        let dir = PathBuf::from("/nonexistent");
        Admission::new(dir, ClusterId::new("c"), settings.spec.policy)
    }

    fn review(namespace: &str, object: &Value) -> Review {
        Review::read(&json!({ "request": { "uid": "u", "namespace": namespace, "object": object,
            "kind": { "group": "serving.kserve.io", "version": "v1beta1", "kind": "InferenceService" } } }))
        .unwrap()
    }

    fn service() -> Value {
        json!({ "metadata": { "name": "live", "uid": "s" },
            "spec": { "predictor": { "model": { "storageUri": "s3://models/r" } } } })
    }

    #[tokio::test]
    async fn a_record_that_cannot_be_read_refuses_nothing() {
        let admission = admission("{ namespaces: ['prod-*'], enforce: true }");
        let answer = admission.answer(review("prod-a", &service())).await;
        assert_eq!(answer.refusal, None);
        assert!(answer.warnings[0].contains("nobody could look"), "{answer:?}");
    }

    #[tokio::test]
    async fn other_namespaces_and_what_serves_no_model_are_not_looked_at() {
        let admission = admission("{ namespaces: ['prod-*'], enforce: true }");
        assert_eq!(admission.answer(review("dev", &service())).await, Answer::default());
        let none = json!({ "metadata": { "name": "x" } });
        assert_eq!(admission.answer(review("prod-a", &none)).await, Answer::default());
        let mut owned = service();
        owned["metadata"]["ownerReferences"] = json!([{ "apiVersion": "x/v1", "kind": "X", "name": "x", "uid": "u", "controller": true }]);
        assert_eq!(admission.answer(review("prod-a", &owned)).await, Answer::default());
    }
}
