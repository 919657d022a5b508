//! A part of an inventory: what names some objects, for whoever mends these alone.

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, TryStreamExt, future::try_join, stream};
use serde_json::Value;
use sitewright_model::{name::SiteName, object::ObjectId};

use super::{
    Memory, Store,
    head::{self, Head},
    shard::{self, Place, Shard},
    url, what,
};
use crate::{
    Error,
    client::http::{Failure, Http, Request, Verb},
};

/// Where so many shards are concerned, one list of them all is cheaper.
const SHARDS: usize = 4;

impl Store {
    /// Reads what the inventory says of the objects in `ids`; the rest is as remembered, and may be of yesterday.
    ///
    /// Asks for the head, and for the shards that hold the objects or would: entries never move from one shard to
    /// another within a generation, and the head tells a new one. Reads by name, since a list waits for the cache
    /// of the API server, up to a tenth of a second. Where the memory does not fit, everything is read.
    ///
    /// # Errors
    /// As with [`Store::load`].
    pub(crate) async fn load_part(
        http: &Http,
        site: &SiteName,
        memory: &Memory,
        ids: &BTreeSet<ObjectId>,
    ) -> Result<Self, Error> {
        let remembered = memory.of(site);
        let places = places_of(&remembered, ids);
        if !places.is_empty()
            && places.len() <= SHARDS
            && let Some(found) = fetch(http, site, &places).await?
            && let Some(store) = part(Self::empty(http, site, memory), remembered, found)?
        {
            return Ok(store);
        }
        Self::load(http, site, memory).await
    }
}

/// Returns where the objects are, and where they would be if they were new.
fn places_of(remembered: &BTreeMap<Place, Shard>, ids: &BTreeSet<ObjectId>) -> BTreeSet<Place> {
    let generation = remembered.keys().next().map(|place| place.generation);
    let by_hash = ids.iter().filter_map(|id| {
        Some(Place { generation: generation?, index: shard::index_of(id, remembered.len())? })
    });
    let holding =
        remembered.values().filter(|shard| ids.iter().any(|id| shard.entries.contains_key(id)));
    by_hash.chain(holding.map(|shard| shard.place)).collect()
}

/// What was asked for: the head, and some shards.
struct Found {
    head: Value,
    shards: Vec<(Place, Value)>,
}

/// Reads the head and shards by name; none where one of them is not there.
async fn fetch(
    http: &Http,
    site: &SiteName,
    places: &BTreeSet<Place>,
) -> Result<Option<Found>, Error> {
    let shards = stream::iter(places)
        .map(|&place| async move {
            let shard = get(http, &place.name(site)).await?;
            Ok::<_, Error>(shard.map(|shard| (place, shard)))
        })
        .buffer_unordered(SHARDS)
        .try_collect::<Vec<_>>();
    let (head, shards) = try_join(get(http, &head::name(site)), shards).await?;
    let shards: Option<Vec<_>> = shards.into_iter().collect();
    Ok(head.zip(shards).map(|(head, shards)| Found { head, shards }))
}

async fn get(http: &Http, name: &str) -> Result<Option<Value>, Error> {
    match http.send(Request::get(url(Some(name)), what(name))).await {
        Ok(answer) => answer.json().map(Some),
        Err(Failure::Refused(refused)) if refused.is_not_found() => Ok(None),
        Err(failure) => Err(http.error(failure, Verb::Get, &what(name))),
    }
}

/// Puts the part together; none where what is remembered is of another generation than the head.
fn part(
    mut store: Store,
    mut remembered: BTreeMap<Place, Shard>,
    found: Found,
) -> Result<Option<Store>, Error> {
    let head = Head::read(&found.head)?;
    let expected = (0..head.shards).map(|index| Place { generation: head.generation, index });
    if !remembered.keys().copied().eq(expected) {
        return Ok(None);
    }
    for (place, map) in found.shards {
        let shard = Shard::read(place, &map, remembered.get(&place))?;
        store.memory.keep(&store.site, &shard);
        remembered.insert(place, shard);
    }
    store.newest_generation = head.generation;
    store.shards = remembered.into_values().collect();
    store.head = Some(head);
    store.is_part = true;
    Ok(Some(store))
}
