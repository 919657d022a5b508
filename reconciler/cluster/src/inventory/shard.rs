//! A shard: some of the entries, in one ConfigMap.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Value, json};
use sitewright_model::{inventory::Entry, name::SiteName, object::ObjectId};

use super::{codec, head, memory::Entries, metadata, unreadable, version_of, write};
use crate::{Error, client::http::Http};

/// Which shard of which generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) generation: u64,
    pub(super) index: usize,
}

/// A shard, as last read or written, with what was noted since.
#[derive(Clone, Debug)]
pub(super) struct Shard {
    pub(super) place: Place,
    pub(super) entries: Entries,
    /// The resource version; empty where it is not on the cluster yet.
    pub(super) version: String,
    /// The digest of the entries at that version, as `data.digest` has it; empty where it is not known.
    pub(super) digest: String,
    pub(super) changed: bool,
}

impl Place {
    pub(super) fn name(self, site: &SiteName) -> String {
        format!("{}.{}.{}", head::name(site), self.generation, self.index)
    }

    pub(super) fn of_name(site: &SiteName, name: &str) -> Option<Self> {
        let rest = name.strip_prefix(&head::name(site))?.strip_prefix('.')?;
        let (generation, index) = rest.split_once('.')?;
        Some(Self { generation: generation.parse().ok()?, index: index.parse().ok()? })
    }
}

impl Shard {
    pub(super) fn new(generation: u64, index: usize) -> Self {
        let place = Place { generation, index };
        let (version, digest) = (String::new(), String::new());
        Self { place, entries: Arc::new(BTreeMap::new()), version, digest, changed: true }
    }

    /// Reads a shard; one that is `remembered` as it is now is not unpacked again.
    pub(super) fn read(
        place: Place,
        map: &Value,
        remembered: Option<&Self>,
    ) -> Result<Self, Error> {
        head::expect_format(map)?;
        let (version, digest) = (version_of(map), digest_of(map));
        let is_same = |known: &&Self| {
            known.version == version && known.digest == digest && !digest.is_empty()
        };
        let entries = match remembered.filter(is_same) {
            Some(known) => Arc::clone(&known.entries),
            None => Arc::new(codec::read(map).map_err(|why| unreadable(map, &why))?),
        };
        Ok(Self { place, entries, version, digest, changed: false })
    }

    pub(super) fn name(&self, site: &SiteName) -> String {
        self.place.name(site)
    }

    pub(super) fn set(&mut self, id: ObjectId, entry: Entry) {
        if self.entries.get(&id) != Some(&entry) {
            Arc::make_mut(&mut self.entries).insert(id, entry);
            self.changed = true;
        }
    }

    pub(super) fn forget(&mut self, id: &ObjectId) {
        if self.entries.contains_key(id) {
            Arc::make_mut(&mut self.entries).remove(id);
            self.changed = true;
        }
    }

    /// Writes it; returns it as it is on the cluster then.
    pub(super) async fn write(self, http: &Http, site: &SiteName) -> Result<Self, Error> {
        let body = self.body(site);
        let version = write(http, &body).await?;
        Ok(Self { version, digest: digest_of(&body), changed: false, ..self })
    }

    pub(super) fn body(&self, site: &SiteName) -> Value {
        let packed = codec::write(&self.entries);
        json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": metadata(site, &self.name(site), &self.version),
            "data": {
                "format": head::FORMAT,
                "entries": self.entries.len().to_string(),
                "digest": packed.digest,
            },
            "binaryData": { codec::KEY: packed.bytes },
        })
    }
}

fn digest_of(map: &Value) -> String {
    map.pointer("/data/digest").and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// Returns which of `count` shards holds `id` (FNV-1a); none where there are no shards.
///
/// Readers do not rely on it: an entry is where it is found.
pub(super) fn index_of(id: &ObjectId, count: usize) -> Option<usize> {
    let namespace = id.namespace.as_deref().unwrap_or_default();
    let parts = [id.kind.group.as_str(), &id.kind.kind, namespace, &id.name];
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in parts.iter().flat_map(|part| part.bytes().chain([0])) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    let count = u64::try_from(count).ok().filter(|&count| count > 0)?;
    usize::try_from((hash ^ (hash >> 32)) % count).ok()
}
