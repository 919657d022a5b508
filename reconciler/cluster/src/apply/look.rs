//! One look at what is waited for.

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
use crate::{
    Error,
    client::{http::Http, path::Resource},
    health::reasons,
    observe::listing,
};

/// So many objects of a kind are read one by one; more are listed.
const ONE_BY_ONE: usize = 4;

/// What takes longer than this is asked for its reasons.
const LONG: Duration = Duration::from_secs(4);

/// At most so many objects are asked for their reasons in one round.
const REASONED: usize = 5;

/// One look, its retries included: what does not answer by then is looked at again in the next round.
const LOOK: Duration = Duration::from_secs(5);

/// What was seen of one object.
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

/// Where to look.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    /// Its kind is not served: there is nothing to look at.
    Nowhere,
    /// The endpoints of Services.
    Endpoints,
    /// The objects themselves.
    Objects(Resource),
}

/// Sorts what is due by where to look.
pub(super) fn by_place(scene: &Scene<'_>, due: Vec<Due>) -> BTreeMap<Place, Vec<Due>> {
    let mut places: BTreeMap<Place, Vec<Due>> = BTreeMap::new();
    for due in due {
        let place = match due.requirement {
            Requirement::EndpointReady => Place::Endpoints,
            _ => scene
                .part(&due.id)
                .and_then(|part| scene.resource(part.change))
                .map_or(Place::Nowhere, Place::Objects),
        };
        places.entry(place).or_default().push(due);
    }
    places
}

/// Looks at all that is due at one place.
///
/// # Errors
/// Only where the ground is lost; what cannot be looked at is told as such.
pub(super) async fn look(
    scene: &Scene<'_>,
    place: Place,
    due: Vec<Due>,
) -> Result<Vec<Sight>, Error> {
    let http = &scene.http.at_most(LOOK).counted(None);
    let mut sights = match place {
        Place::Nowhere => due.into_iter().map(|due| Sight::new(due, Seen::Gone)).collect(),
        Place::Endpoints => endpoints(scene, http, due).await?,
        Place::Objects(resource) => objects_of(scene, http, &resource, due).await?,
    };
    explain(scene, http, &mut sights).await?;
    Ok(sights)
}

/// What one object shows; that it shows nothing is no reason to stop the others.
fn sight(due: Due, seen: Result<Seen, Error>) -> Result<Sight, Error> {
    match seen {
        Ok(seen) => Ok(Sight::new(due, seen)),
        Err(error) if error.loses_ground() => Err(error),
        Err(error) => Ok(Sight::new(due, Seen::Unseen(error.to_string()))),
    }
}

async fn endpoints(scene: &Scene<'_>, http: &Http, due: Vec<Due>) -> Result<Vec<Sight>, Error> {
    let looks = stream::iter(due).map(async |due: Due| {
        let seen = endpoint(scene, http, &due.id).await.map(Seen::Endpoint);
        sight(due, seen)
    });
    looks.buffer_unordered(http.concurrency()).try_collect().await
}

async fn objects_of(
    scene: &Scene<'_>,
    http: &Http,
    resource: &Resource,
    due: Vec<Due>,
) -> Result<Vec<Sight>, Error> {
    let mut listed = BTreeMap::new();
    if due.len() > ONE_BY_ONE {
        listed = match list(scene, http, resource, &due).await {
            Ok(listed) => listed,
            // it may be that single ones may be read
            Err(Error::Forbidden { .. }) => BTreeMap::new(),
            Err(error) => {
                return due.into_iter().map(|due| sight(due, Err(error.clone()))).collect();
            }
        };
    }
    let listed = &listed;
    let reads = stream::iter(due).map(async |due: Due| {
        let body = match listed.get(&listing::key(&due.id, resource)) {
            Some(body) => Ok(Some(body.clone())),
            // not in the list is no proof: labels can be taken off
            None => read(http, resource, &due.id).await,
        };
        sight(due, body.map(|body| body.map_or(Seen::Gone, |body| Seen::Body(Box::new(body)))))
    });
    reads.buffer_unordered(http.concurrency()).try_collect().await
}

async fn list(
    scene: &Scene<'_>,
    http: &Http,
    resource: &Resource,
    due: &[Due],
) -> Result<BTreeMap<listing::Key, Value>, Error> {
    let wanted: BTreeSet<listing::Key> =
        due.iter().map(|due| listing::key(&due.id, resource)).collect();
    let keep = |key: &listing::Key, live: sitewright_model::live::LiveObject| {
        wanted.contains(key).then(|| live.object.into_exposed())
    };
    let site = &scene.desired.site;
    listing::owned(http, resource, site, &BTreeMap::new(), keep).await
}

async fn read(http: &Http, resource: &Resource, id: &ObjectId) -> Result<Option<Value>, Error> {
    let live = crate::observe::get(http, resource, id, &BTreeSet::new()).await?;
    Ok(live.map(|live| live.object.into_exposed()))
}

async fn endpoint(
    scene: &Scene<'_>,
    http: &Http,
    service: &ObjectId,
) -> Result<Result<(), String>, Error> {
    let body = scene.part(service).and_then(|part| part.desired);
    let body = body.map(|(_, desired)| desired.object.expose());
    let is_external = body.is_some_and(|body| {
        body.pointer("/spec/type").and_then(Value::as_str) == Some("ExternalName")
    });
    if is_external {
        return Ok(Ok(()));
    }
    crate::health::endpoint(http, scene.kinds, service).await
}

/// Asks the pods of what takes long.
async fn explain(scene: &Scene<'_>, http: &Http, sights: &mut [Sight]) -> Result<(), Error> {
    let is_slow = |sight: &&mut Sight| {
        sight.due.requirement == Requirement::Healthy && sight.due.waited >= LONG
    };
    for sight in sights.iter_mut().filter(is_slow).take(REASONED) {
        let (Seen::Body(body), Some(part)) = (&sight.seen, scene.part(&sight.due.id)) else {
            continue;
        };
        if !scene.assess(part.component, body).is_current() {
            sight.reasons = reasons(http, scene.kinds, body).await?;
        }
    }
    Ok(())
}
