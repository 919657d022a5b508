//! The inventory on the cluster: which objects the site owns, written before they are (law 2).
//!
//! Form: ConfigMaps in the namespace `sitewright-system`, found by the label
//! `sitewright.dev/inventory: SITE`. The head `sitewright-SITE` names the generation and the number of
//! shards; the shards `sitewright-SITE.GENERATION.N` hold the entries, spread by a hash of their
//! identity, so that one change rewrites one shard. (A dot, since a site may be called `a-1-2`.)
//!
//! A new generation is written in full before the head points to it, and the old one is deleted
//! after: a kill in between leaves shards that nothing points to, and the next write removes them.
//! Every write is bound to the resource version that was read. What cannot be read is an error,
//! never an empty inventory.

mod codec;
mod head;
mod memory;
mod part;
mod shard;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use futures::{StreamExt, stream};
use serde_json::{Value, json};
use sitewright_model::{
    inventory::{Entry, Inventory},
    name::SiteName,
    object::ObjectId,
};

pub(crate) use self::memory::Memory;
use self::{head::Head, shard::Shard};
use crate::{
    Error,
    client::{
        http::{Failure, Http, Request, Verb},
        path::query,
    },
    home::{self, NAMESPACE},
};

/// Finds all parts of an inventory; its value is the site.
const LABEL: &str = "sitewright.dev/inventory";

/// Entries of a shard when shards are laid out: about 300 kB, and etcd refuses objects above 1.5 MB.
const ENTRIES_LAID_OUT: usize = 2_000;

/// Entries of a shard on average before the inventory is laid out anew.
const ENTRIES_AT_MOST: usize = 4_000;

/// The inventory of one site, as read, with what it takes to write it.
pub(crate) struct Store {
    http: Http,
    site: SiteName,
    memory: Memory,
    head: Option<Head>,
    shards: Vec<Shard>,
    /// Some shards are as remembered, and were not asked for: nothing is read of them or written to them.
    is_part: bool,
    /// Shards of other generations: names and resource versions.
    left_over: Vec<(String, String)>,
    newest_generation: u64,
}

/// Shards on their way to the cluster.
pub(crate) struct Batch {
    http: Http,
    site: SiteName,
    shards: Vec<Shard>,
}

/// How the writing of a batch went: by place, the shard as it is on the cluster now.
pub(crate) struct Written(Vec<(shard::Place, Result<Shard, Error>)>);

impl Batch {
    pub(crate) async fn write(self) -> Written {
        let (http, site) = (&self.http, &self.site);
        let write = async |shard: Shard| (shard.place, shard.write(http, site).await);
        let writes = stream::iter(self.shards).map(write);
        Written(writes.buffer_unordered(http.concurrency()).collect().await)
    }
}

impl Store {
    /// Reads the inventory; one request, unless it is very large.
    ///
    /// # Errors
    /// [`Error::InventoryUnreadable`] where parts are missing, damaged, or of an unknown format.
    pub(crate) async fn load(http: &Http, site: &SiteName, memory: &Memory) -> Result<Self, Error> {
        let mut store = Self::empty(http, site, memory);
        let maps = list(http, site).await?;
        store.read(&maps)?;
        Ok(store)
    }

    fn empty(http: &Http, site: &SiteName, memory: &Memory) -> Self {
        Self {
            http: http.clone(),
            site: site.clone(),
            memory: memory.clone(),
            head: None,
            shards: Vec::new(),
            is_part: false,
            left_over: Vec::new(),
            newest_generation: 0,
        }
    }

    fn read(&mut self, maps: &[Value]) -> Result<(), Error> {
        let head_name = head::name(&self.site);
        let is_head = |map: &&Value| name_of(map) == head_name;
        self.head = maps.iter().find(is_head).map(Head::read).transpose()?;
        let mut found = BTreeMap::new();
        for map in maps.iter().filter(|map| name_of(map) != head_name) {
            let place = shard::Place::of_name(&self.site, name_of(map))
                .ok_or_else(|| unreadable(map, "its name is not that of a shard"))?;
            self.newest_generation = self.newest_generation.max(place.generation);
            found.insert(place, map);
        }
        let Some(head) = &self.head else {
            return match found.values().next() {
                None => Ok(()),
                // the head is written before any shard, so it was there and someone deleted it
                Some(map) => Err(unreadable(map, &format!("the ConfigMap {head_name} is missing"))),
            };
        };
        self.newest_generation = self.newest_generation.max(head.generation);
        let missing = Error::InventoryUnreadable {
            object: format!("ConfigMap {NAMESPACE}/{head_name}"),
            why: format!("it names {} shards, and some are missing", head.shards),
        };
        let remembered = self.memory.of(&self.site);
        for index in 0..head.shards {
            let place = shard::Place { generation: head.generation, index };
            let map = found.remove(&place).ok_or_else(|| missing.clone())?;
            let shard = Shard::read(place, map, remembered.get(&place))?;
            self.memory.keep(&self.site, &shard);
            self.shards.push(shard);
        }
        let rest = found.values().map(|map| (name_of(map).to_owned(), version_of(map)));
        self.left_over = rest.collect();
        self.check_unique()
    }

    fn check_unique(&self) -> Result<(), Error> {
        let mut seen = BTreeSet::new();
        for shard in &self.shards {
            if let Some(id) = shard.entries.keys().find(|id| !seen.insert(*id)) {
                return Err(Error::InventoryUnreadable {
                    object: format!("ConfigMap {NAMESPACE}/{}", shard.name(&self.site)),
                    why: format!("{id} is in another shard too"),
                });
            }
        }
        Ok(())
    }

    /// Returns the inventory as the model knows it.
    pub(crate) fn inventory(&self) -> Inventory {
        let entries = self.shards.iter().flat_map(|shard| shard.entries.iter());
        let entries = entries.map(|(id, entry)| (id.clone(), entry.clone())).collect();
        Inventory { site: self.site.clone(), entries }
    }

    /// Returns the inventory of some objects alone, as [`Inventory::only`] does.
    pub(crate) fn only(&self, ids: &BTreeSet<ObjectId>) -> Inventory {
        let entry = |id: &ObjectId| Some((id.clone(), self.get(id)?.clone()));
        Inventory { site: self.site.clone(), entries: ids.iter().filter_map(entry).collect() }
    }

    /// Returns the entry of an object.
    pub(crate) fn get(&self, id: &ObjectId) -> Option<&Entry> {
        self.shards.iter().find_map(|shard| shard.entries.get(id))
    }

    /// Notes an entry; [`Store::flush`] writes it.
    pub(crate) fn set(&mut self, id: ObjectId, entry: Entry) {
        let holder = self.shards.iter().position(|shard| shard.entries.contains_key(&id));
        let index = holder.or_else(|| shard::index_of(&id, self.shards.len()));
        if let Some(shard) = index.and_then(|index| self.shards.get_mut(index)) {
            shard.set(id, entry);
        }
    }

    /// Takes an entry out; [`Store::flush`] writes it.
    pub(crate) fn forget(&mut self, id: &ObjectId) {
        self.shards.iter_mut().for_each(|shard| shard.forget(id));
    }

    /// Makes room for `more` further entries: makes the head and the first shards where they are missing,
    /// and lays the inventory out anew where its shards would become too large.
    pub(crate) async fn make_room(&mut self, more: usize) -> Result<(), Error> {
        if self.is_part && !self.has_room(more) {
            *self = Self::load(&self.http, &self.site, &self.memory).await?;
        }
        if self.head.is_none() {
            self.head = Some(Head::create(&self.http, &self.site).await?);
        }
        if !self.has_room(more) {
            let total = self.count() + more;
            self.lay_out(total.div_ceil(ENTRIES_LAID_OUT).next_power_of_two()).await?;
        }
        self.remove_left_over().await
    }

    fn count(&self) -> usize {
        self.shards.iter().map(|shard| shard.entries.len()).sum()
    }

    fn has_room(&self, more: usize) -> bool {
        !self.shards.is_empty() && self.count() + more <= self.shards.len() * ENTRIES_AT_MOST
    }

    async fn lay_out(&mut self, count: usize) -> Result<(), Error> {
        let generation = self.newest_generation + 1;
        let entries = std::mem::take(&mut self.shards);
        let old = entries.iter().map(|shard| (shard.name(&self.site), shard.version.clone()));
        self.left_over.extend(old);
        let mut shards: Vec<Shard> =
            (0..count).map(|index| Shard::new(generation, index)).collect();
        let entries = entries.into_iter().map(|shard| Arc::unwrap_or_clone(shard.entries));
        for (id, entry) in entries.flatten() {
            let index = shard::index_of(&id, count);
            if let Some(shard) = index.and_then(|index| shards.get_mut(index)) {
                shard.set(id, entry);
            }
        }
        self.shards = shards;
        self.flush().await?;
        self.newest_generation = generation;
        let head = self.head.take().expect("make_room made the head before it lays out");
        self.head = Some(head.point_to(&self.http, &self.site, generation, count).await?);
        Ok(())
    }

    async fn remove_left_over(&mut self) -> Result<(), Error> {
        for (name, version) in std::mem::take(&mut self.left_over) {
            let options = json!({ "preconditions": { "resourceVersion": version } });
            let request = Request::delete(url(Some(&name)), what(&name), bytes(&options));
            match self.http.send(request).await {
                Ok(_) => {}
                Err(Failure::Refused(refused)) if refused.is_not_found() => {}
                Err(failure) => return Err(self.http.error(failure, Verb::Delete, &what(&name))),
            }
        }
        Ok(())
    }

    /// Writes every shard that changed. What could not be written is written by the next call.
    ///
    /// # Errors
    /// [`Error::InventoryRace`] where someone else wrote a shard.
    pub(crate) async fn flush(&mut self) -> Result<(), Error> {
        let written = self.batch().write().await;
        self.written(written)
    }

    /// Returns a copy of every shard that changed, to be written while entries are read and noted on.
    /// [`Store::written`] must be told how it went before the next one is taken.
    pub(crate) fn batch(&mut self) -> Batch {
        let mut shards = Vec::new();
        for shard in self.shards.iter_mut().filter(|shard| shard.changed) {
            shards.push(shard.clone());
            shard.changed = false;
        }
        Batch { http: self.http.clone(), site: self.site.clone(), shards }
    }

    /// Takes note of how the writing of a batch went; returns the first error.
    pub(crate) fn written(&mut self, written: Written) -> Result<(), Error> {
        let mut first = Ok(());
        for (place, now) in written.0 {
            let shard = self.shards.iter_mut().find(|shard| shard.place == place);
            match (shard, now) {
                (Some(shard), Ok(now)) => {
                    self.memory.keep(&self.site, &now);
                    shard.version = now.version;
                    shard.digest = now.digest;
                }
                (Some(shard), Err(error)) => {
                    shard.changed = true;
                    first = first.and(Err(error));
                }
                (None, _) => {}
            }
        }
        first
    }

    /// Returns the same inventory, written through `http`.
    #[must_use]
    pub(crate) fn through(mut self, http: &Http) -> Self {
        self.http = http.clone();
        self
    }
}

async fn list(http: &Http, site: &SiteName) -> Result<Vec<Value>, Error> {
    let selector = format!("{LABEL}={site}");
    let mut maps = Vec::new();
    let mut token = String::new();
    loop {
        let mut pairs = vec![("labelSelector", selector.as_str()), ("limit", "500")];
        if !token.is_empty() {
            pairs.push(("continue", &token));
        }
        let request = Request::list(query(&url(None), pairs), "the inventory");
        let mut page: Value = http.ask(request).await?.json()?;
        if let Some(Value::Array(items)) = page.get_mut("items").map(Value::take) {
            maps.extend(items);
        }
        let next = page.pointer("/metadata/continue").and_then(Value::as_str).unwrap_or_default();
        if next.is_empty() {
            return Ok(maps);
        }
        token = next.to_owned();
    }
}

/// Writes one ConfigMap: creates it where `version` is empty, else replaces that version. Returns the
/// new resource version.
///
/// A write whose answer was lost is sent again and then meets itself: what is there is compared
/// before it is called a race.
async fn write(http: &Http, body: &Value) -> Result<String, Error> {
    let name = name_of(body).to_owned();
    let (verb, request) = if version_of(body).is_empty() {
        (Verb::Create, Request::post(Verb::Create, url(None), what(&name), bytes(body)))
    } else {
        (Verb::Update, Request::put(url(Some(&name)), what(&name), bytes(body)))
    };
    let written: Value = match http.send(request).await {
        Ok(answer) => answer.json()?,
        Err(Failure::Refused(refused)) if refused.code == 409 => {
            let there: Value =
                http.ask(Request::get(url(Some(&name)), what(&name))).await?.json()?;
            if there.get("data") != body.get("data") {
                return Err(Error::InventoryRace { object: what(&name) });
            }
            there
        }
        Err(Failure::Refused(refused)) if refused.is_not_found() => {
            return Err(Error::InventoryRace { object: what(&name) });
        }
        Err(failure) => return Err(http.error(failure, verb, &what(&name))),
    };
    Ok(version_of(&written))
}

fn url(name: Option<&str>) -> String {
    let collection = format!("/api/v1/namespaces/{NAMESPACE}/configmaps");
    name.map_or(collection.clone(), |name| format!("{collection}/{name}"))
}

fn what(name: &str) -> String {
    format!("ConfigMap {NAMESPACE}/{name}")
}

fn metadata(site: &SiteName, name: &str, version: &str) -> Value {
    let mut metadata = json!({ "name": name, "namespace": NAMESPACE, "labels": {
        LABEL: site, "app.kubernetes.io/managed-by": "sitewright" } });
    home::bind(&mut metadata, version);
    metadata
}

fn bytes(value: &Value) -> Vec<u8> {
    sitewright_model::digest::canonical_json(value)
}

fn name_of(map: &Value) -> &str {
    map.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default()
}

fn version_of(map: &Value) -> String {
    let version = map.pointer("/metadata/resourceVersion").and_then(Value::as_str);
    version.unwrap_or_default().to_owned()
}

fn unreadable(map: &Value, why: &str) -> Error {
    Error::InventoryUnreadable { object: what(name_of(map)), why: why.to_owned() }
}

#[cfg(test)]
mod tests;
