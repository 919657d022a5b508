//! Who owns whom, remembered for as long as it may matter: an owner is often gone before what it owned.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use serde_json::Value;
use sitewright_model::{
    lineage::Work,
    object::{GroupKind, ObjectId},
};

use crate::{
    Cluster,
    client::http::{Failure, Request},
};

/// How many owners are above each other, at most.
const DEPTH: usize = 6;

/// Owners that are remembered; when there are more, all are forgotten and asked for again.
const MOST: usize = 50_000;

const METADATA_ONLY: &str =
    "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json";

/// An owner, in the version that its dependent names.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Owner {
    work: Work,
    version: String,
}

/// What is known of owners, by UID: theirs in turn, if they have one.
pub(super) struct Owners {
    cluster: Cluster,
    known: Mutex<HashMap<String, Option<Owner>>>,
}

impl Owners {
    pub(super) fn new(cluster: Cluster) -> Self {
        Self { cluster, known: Mutex::default() }
    }

    /// Takes what an object says of its own owner.
    pub(super) fn learn(&self, body: &Value) {
        let Some(uid) = body.pointer("/metadata/uid").and_then(Value::as_str) else { return };
        self.keep(uid.to_owned(), owner(body));
    }

    fn keep(&self, uid: String, owner: Option<Owner>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(uid, owner);
    }

    fn of(&self, uid: &str) -> Option<Option<Owner>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).get(uid).cloned()
    }

    /// Returns the owners of an object, from the nearest outwards. One that is gone ends the chain.
    pub(super) async fn above(&self, body: &Value) -> Vec<Work> {
        let mut chain: Vec<Work> = Vec::new();
        let mut next = owner(body);
        while let Some(owner) = next.take().filter(|_| chain.len() < DEPTH) {
            if chain.iter().any(|known| known.uid == owner.work.uid) {
                break; // a circle of owners is somebody's mistake
            }
            next = match self.of(&owner.work.uid) {
                Some(above) => above,
                None => self.ask(&owner).await,
            };
            chain.push(owner.work);
        }
        chain
    }

    async fn ask(&self, asked: &Owner) -> Option<Owner> {
        let id = &asked.work.id;
        let served = self.cluster.kinds([&id.kind].into_iter()).await.ok()?;
        let url = served.any(&id.kind, &asked.version)?.object(id.namespace.as_deref(), &id.name);
        let request = Request::get(url, id.to_string()).accept(METADATA_ONLY);
        let body: Value = match self.cluster.http.send(request).await {
            Ok(answer) => answer.json().ok()?,
            Err(Failure::Refused(refused)) if refused.is_not_found() => {
                self.keep(asked.work.uid.clone(), None);
                return None;
            }
            // a server that does not answer now may answer for the next one
            Err(_) => return None,
        };
        let is_it = body.pointer("/metadata/uid").and_then(Value::as_str) == Some(&asked.work.uid);
        let above = owner(&body).filter(|_| is_it);
        self.keep(asked.work.uid.clone(), above.clone());
        above
    }
}

/// Returns the controller of an object.
fn owner(body: &Value) -> Option<Owner> {
    let namespace = body.pointer("/metadata/namespace").and_then(Value::as_str);
    let list = body.pointer("/metadata/ownerReferences")?.as_array()?;
    let is_controller = |one: &&Value| one.get("controller").and_then(Value::as_bool) == Some(true);
    let one = list.iter().find(is_controller)?;
    let text = |name: &str| one.get(name).and_then(Value::as_str);
    let (group, version) =
        text("apiVersion")?.rsplit_once('/').unwrap_or(("", text("apiVersion")?));
    let id = ObjectId {
        kind: GroupKind::new(group, text("kind")?),
        namespace: namespace.map(str::to_owned),
        name: text("name")?.to_owned(),
    };
    Some(Owner { work: Work { id, uid: text("uid")?.to_owned() }, version: version.to_owned() })
}
