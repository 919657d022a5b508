//! One round of looking at what is waited for.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use futures::{StreamExt, TryStreamExt, stream};
use serde_json::Value;
use sitewright_model::{object::ObjectId, plan::graph::Requirement};

use super::{
    scene::Scene,
    waits::{Due, Seen},
};
use crate::{Error, client::path::Resource, health::reasons, observe::listing};

/// So many objects of a kind are read one by one; more are listed.
const ONE_BY_ONE: usize = 4;

/// What takes longer than this is asked for its reasons.
const LONG: Duration = Duration::from_secs(4);

/// At most so many objects are asked for their reasons in one round.
const REASONED: usize = 5;

/// What was seen of one object.
#[derive(Debug)]
pub(super) struct Sight {
    pub(super) due: Due,
    pub(super) seen: Seen,
    /// What its pods and events tell, where it takes long.
    pub(super) reasons: Vec<String>,
}

impl Sight {
    fn new(due: Due, seen: Seen) -> Self {
        Self { due, seen, reasons: Vec::new() }
    }
}

/// Looks at all that is due.
pub(super) async fn look(scene: &Scene<'_>, due: Vec<Due>) -> Result<Vec<Sight>, Error> {
    let (services, objects): (Vec<Due>, Vec<Due>) =
        due.into_iter().partition(|due| due.requirement == Requirement::EndpointReady);
    let mut by_resource: BTreeMap<Resource, Vec<Due>> = BTreeMap::new();
    let mut sights = Vec::new();
    for due in objects {
        match scene.part(&due.id).and_then(|part| scene.resource(part.change)) {
            Some(resource) => by_resource.entry(resource).or_default().push(due),
            None => sights.push(Sight::new(due, Seen::Gone)),
        }
    }
    for (resource, due) in by_resource {
        sights.extend(objects_of(scene, &resource, due).await?);
    }
    let endpoints = stream::iter(services)
        .map(async |due: Due| {
            let seen = Seen::Endpoint(endpoint(scene, &due.id).await?);
            Ok::<_, Error>(Sight::new(due, seen))
        })
        .buffer_unordered(scene.http.concurrency());
    sights.extend(endpoints.try_collect::<Vec<_>>().await?);
    explain(scene, &mut sights).await?;
    Ok(sights)
}

async fn objects_of(
    scene: &Scene<'_>,
    resource: &Resource,
    due: Vec<Due>,
) -> Result<Vec<Sight>, Error> {
    let mut listed = BTreeMap::new();
    if due.len() > ONE_BY_ONE {
        listed = list(scene, resource, &due).await?;
    }
    let listed = &listed;
    let reads = stream::iter(due)
        .map(async |due: Due| {
            let body = match listed.get(&listing::key(&due.id, resource)) {
                Some(body) => Some(body.clone()),
                // not in the list is no proof: labels can be taken off
                None => read(scene, resource, &due.id).await?,
            };
            let seen = body.map_or(Seen::Gone, |body| Seen::Body(Box::new(body)));
            Ok::<_, Error>(Sight::new(due, seen))
        })
        .buffer_unordered(scene.http.concurrency());
    reads.try_collect().await
}

async fn list(
    scene: &Scene<'_>,
    resource: &Resource,
    due: &[Due],
) -> Result<BTreeMap<listing::Key, Value>, Error> {
    let wanted: BTreeSet<listing::Key> =
        due.iter().map(|due| listing::key(&due.id, resource)).collect();
    let keep = |key: &listing::Key, live: sitewright_model::live::LiveObject| {
        wanted.contains(key).then(|| live.object.into_exposed())
    };
    let site = &scene.desired.site;
    let listed = listing::owned(scene.http, resource, site, &BTreeMap::new(), keep).await;
    match listed {
        Err(Error::Forbidden { .. }) => Ok(BTreeMap::new()),
        other => other,
    }
}

async fn read(
    scene: &Scene<'_>,
    resource: &Resource,
    id: &ObjectId,
) -> Result<Option<Value>, Error> {
    let live = crate::observe::get(scene.http, resource, id, &BTreeSet::new()).await?;
    Ok(live.map(|live| live.object.into_exposed()))
}

async fn endpoint(scene: &Scene<'_>, service: &ObjectId) -> Result<Result<(), String>, Error> {
    let body = scene.part(service).and_then(|part| part.desired);
    let body = body.map(|(_, desired)| desired.object.expose());
    let is_external = body.is_some_and(|body| {
        body.pointer("/spec/type").and_then(Value::as_str) == Some("ExternalName")
    });
    if is_external {
        return Ok(Ok(()));
    }
    crate::health::endpoint(scene.http, scene.kinds, service).await
}

/// Asks the pods of what takes long.
async fn explain(scene: &Scene<'_>, sights: &mut [Sight]) -> Result<(), Error> {
    let is_slow = |sight: &&mut Sight| {
        sight.due.requirement == Requirement::Healthy && sight.due.waited >= LONG
    };
    for sight in sights.iter_mut().filter(is_slow).take(REASONED) {
        let (Seen::Body(body), Some(part)) = (&sight.seen, scene.part(&sight.due.id)) else {
            continue;
        };
        if !scene.assess(part.component, body).is_current() {
            sight.reasons = reasons(scene.http, scene.kinds, body).await?;
        }
    }
    Ok(())
}
