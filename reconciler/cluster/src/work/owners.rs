//! Who owns the owners of pods: a Job belongs to a JobSet, and that to a TrainJob.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, TryStreamExt, stream};
use serde_json::Value;
use sitewright_model::object::ObjectId;

use super::read::{self, Owner, RawPod, Said};
use crate::{
    Error,
    client::http::{Failure, Http, Request, Verb},
    discovery::Kinds,
};

/// How many owners are above each other, at most.
const DEPTH: usize = 6;

/// Owners that are asked for in one look; of further ones the nearest is named.
const MOST: usize = 2_000;

const METADATA_ONLY: &str =
    "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json";

/// Kinds of Kubernetes itself that nothing of interest owns, or whose owner their pods' labels tell as well.
const TOP: [(&str, &str); 4] =
    [("apps", "Deployment"), ("apps", "DaemonSet"), ("", "Node"), ("", "ReplicationController")];

/// Completes the owners of `pods`.
///
/// # Errors
/// The server does not answer. An owner that is gone, or that may not be looked at, ends the chain: then the nearer one is
/// named.
pub(super) async fn resolve(http: &Http, kinds: &Kinds, pods: &mut [RawPod]) -> Result<(), Error> {
    let mut known: BTreeMap<ObjectId, Answer> = BTreeMap::new();
    for _ in 0..DEPTH {
        let wanted: BTreeSet<Owner> = pods
            .iter()
            .filter_map(|pod| pod.owners.last())
            .filter(|owner| !is_top(&owner.id) && !known.contains_key(&owner.id))
            .cloned()
            .collect();
        let room = MOST.saturating_sub(known.len());
        let asked = stream::iter(wanted.into_iter().take(room))
            .map(|owner| ask(http, kinds, owner))
            .buffer_unordered(http.concurrency());
        let answers: Vec<(ObjectId, Answer)> = asked.try_collect().await?;
        known.extend(answers);
        if !climb(pods, &known) {
            break;
        }
    }
    Ok(())
}

/// What the server says of an owner.
#[derive(Default)]
struct Answer {
    owner: Option<Owner>,
    said: Said,
}

/// Takes one step up for every pod; returns whether any could.
fn climb(pods: &mut [RawPod], known: &BTreeMap<ObjectId, Answer>) -> bool {
    let mut moved = false;
    for pod in pods {
        let Some(answer) = pod.owners.last().and_then(|last| known.get(&last.id)) else { continue };
        pod.hear(&answer.said);
        // a circle of owners is somebody's mistake, and not ours to walk
        if let Some(owner) = answer.owner.clone().filter(|owner| !pod.owners.contains(owner)) {
            pod.owners.push(owner);
            moved = true;
        }
    }
    moved
}

fn is_top(id: &ObjectId) -> bool {
    TOP.iter().any(|(group, kind)| id.kind.group == *group && id.kind.kind == *kind)
}

async fn ask(http: &Http, kinds: &Kinds, owner: Owner) -> Result<(ObjectId, Answer), Error> {
    let Some(resource) = kinds.any(&owner.id.kind, &owner.version) else {
        return Ok((owner.id, Answer::default()));
    };
    let url = resource.object(owner.id.namespace.as_deref(), &owner.id.name);
    let what = owner.id.to_string();
    let request = Request::get(url, what.clone()).accept(METADATA_ONLY);
    let body: Value = match http.send(request).await {
        Ok(answer) => answer.json()?,
        Err(Failure::Refused(refused)) if refused.is_not_found() || refused.code == 403 => {
            return Ok((owner.id, Answer::default()));
        }
        Err(failure) => return Err(http.error(failure, Verb::Get, &what)),
    };
    let above = read::controller(body.get("metadata"), owner.id.namespace.as_deref());
    Ok((owner.id, Answer { owner: above, said: read::said(&body) }))
}
