//! Entries as bytes: one JSON object a line, gzipped, since 50,000 of them must fit in few ConfigMaps.
//!
//! To look inside: `kubectl get configmap NAME -o jsonpath='{.binaryData.entries\.gz}' | base64 -d | zcat`.

use std::{
    collections::BTreeMap,
    io::{Read, Write},
};

use flate2::{Compression, GzBuilder, read::GzDecoder};
use k8s_openapi::ByteString;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sitewright_model::{digest::Digest, inventory::Entry, object::ObjectId};

/// The key of the ConfigMap that holds the entries.
pub(super) const KEY: &str = "entries.gz";

/// The largest shard after unpacking; etcd's limit bounds it before.
const LARGEST: u64 = 256 * 1024 * 1024;

/// Entries, packed.
pub(super) struct Packed {
    /// What goes into `binaryData`: base64 when serialised.
    pub(super) bytes: ByteString,
    /// The digest of the lines.
    pub(super) digest: Digest,
}

#[derive(Serialize)]
struct LineOut<'a> {
    #[serde(flatten)]
    id: &'a ObjectId,
    #[serde(flatten)]
    entry: &'a Entry,
}

#[derive(Deserialize)]
struct LineIn {
    #[serde(flatten)]
    id: ObjectId,
    #[serde(flatten)]
    entry: Entry,
}

pub(super) fn write(entries: &BTreeMap<ObjectId, Entry>) -> Packed {
    let mut lines = Vec::new();
    for (id, entry) in entries {
        serde_json::to_writer(&mut lines, &LineOut { id, entry })
            .expect("identities and entries have string keys, and a Vec takes every byte");
        lines.push(b'\n');
    }
    let digest = Digest::of(&lines);
    // no name and no time in the header: equal entries give equal bytes
    let mut encoder = GzBuilder::new().write(Vec::new(), Compression::fast());
    let packed = encoder.write_all(&lines).and_then(|()| encoder.finish());
    Packed { bytes: ByteString(packed.expect("a Vec takes every byte")), digest }
}

/// Reads the entries of a shard's ConfigMap; the error says what is wrong with it.
pub(super) fn read(map: &Value) -> Result<BTreeMap<ObjectId, Entry>, String> {
    let packed = map.get("binaryData").and_then(|data| data.get(KEY)).cloned();
    let packed = packed.ok_or_else(|| format!("`binaryData.{KEY}` is missing"))?;
    let packed: ByteString =
        serde_json::from_value(packed).map_err(|_| format!("`binaryData.{KEY}` is not base64"))?;
    let mut lines = Vec::new();
    GzDecoder::new(packed.0.as_slice())
        .take(LARGEST)
        .read_to_end(&mut lines)
        .map_err(|error| format!("`binaryData.{KEY}` cannot be unpacked: {error}"))?;
    let digest = map.pointer("/data/digest").and_then(Value::as_str).unwrap_or_default();
    if Digest::of(&lines).to_string() != digest {
        return Err("its entries do not have the digest in `data.digest`".into());
    }
    let mut entries = BTreeMap::new();
    for (number, line) in lines.split(|&byte| byte == b'\n').enumerate() {
        if line.is_empty() {
            continue;
        }
        let line: LineIn = serde_json::from_slice(line)
            .map_err(|error| format!("entry {} cannot be read: {error}", number + 1))?;
        entries.insert(line.id, line.entry);
    }
    Ok(entries)
}
