//! Iceberg: the table behind a name, and its snapshot, which is what a run read.

use serde::Deserialize;
use serde_json::Value;
use sitewright_model::lineage::{EntityId, EntityKind, Grade, Relation, Source, Statement};

use super::{Resolving, Said, Unresolved, is_plain_path, shown, store::Catalog};
use crate::{
    http::{self, Request},
    registry::escaped,
    url::{Secret, Url},
};

/// Bytes of the metadata of one table: it names every snapshot that was not expired.
const METADATA: u64 = 64 * 1024 * 1024;

/// The metadata of a table (Iceberg specification, "Table Metadata Fields"), as far as it is looked at.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Table {
    table_uuid: String,
    #[serde(default)]
    location: String,
    #[serde(default)]
    current_snapshot_id: Option<i64>,
    #[serde(default)]
    snapshots: Vec<Snapshot>,
    #[serde(default)]
    refs: std::collections::BTreeMap<String, Named>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Snapshot {
    snapshot_id: i64,
    #[serde(default)]
    parent_snapshot_id: Option<i64>,
    #[serde(default)]
    timestamp_ms: i64,
    #[serde(default)]
    manifest_list: String,
    #[serde(default)]
    summary: Value,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Named {
    snapshot_id: i64,
}

/// Returns what there is to say of `iceberg://CATALOG/NAMESPACE.TABLE[@SNAPSHOT]`, or of a metadata file behind
/// `https://`, and of the snapshot: `data:iceberg:UUID@SNAPSHOT`.
///
/// A number behind the `@` is a snapshot, a word a branch or tag; without one the current snapshot is meant.
pub(super) fn table(
    id: &EntityId,
    uri: &str,
    with: &Resolving<'_>,
) -> Result<Vec<Statement>, Unresolved> {
    let named = if id.kind() == EntityKind::Ref {
        uri
    } else {
        id.rest().strip_prefix("uri:").unwrap_or(uri)
    };
    let (bare, wanted) = match named.rsplit_once('@') {
        Some((bare, wanted)) if !wanted.contains('/') => (bare, Some(wanted)),
        _ => (named, None),
    };
    let (from, table) = match bare.strip_prefix("iceberg://") {
        Some(rest) => load(rest, with)?,
        None => load_file(bare, with)?,
    };
    let number: Option<i64> = wanted.and_then(|wanted| wanted.parse().ok());
    let snapshot = match (wanted, number) {
        (None, _) => table.current_snapshot_id.filter(|id| *id >= 0),
        (Some(_), Some(number)) => Some(number),
        (Some(name), None) => table.refs.get(name).map(|named| named.snapshot_id),
    };
    let found = snapshot.and_then(|id| table.snapshots.iter().find(|one| one.snapshot_id == id));
    let snapshot = found.ok_or_else(|| {
        let wanted = wanted.unwrap_or("current");
        Unresolved::Gone(format!("{from} has no snapshot `{}`", shown(wanted)))
    })?;
    let target =
        EntityId::data("iceberg", &format!("{}@{}", table.table_uuid, snapshot.snapshot_id))
            .ok_or_else(|| Unresolved::Broken(format!("{from} has no UUID")))?;
    // a name may lead to another table tomorrow, and also a pinned one where a table is made anew
    let grade = if number.is_some() { Grade::Resolved } else { Grade::Inferred };
    let source = Source::rule(format!("{from} at {}", with.now));
    let mut said = Said::found(&target, Source::rule(format!("resolved at {from}")));
    let edge = Statement::edge(id, Relation::LedTo, &target, grade, &source);
    said.statements.push(edge);
    said.fact("table", &table.table_uuid);
    said.fact("snapshot", snapshot.snapshot_id.to_string());
    if !table.location.is_empty() {
        said.fact("location", crate::url::public(&table.location));
    }
    if let Ok(at) = jiff::Timestamp::from_millisecond(snapshot.timestamp_ms) {
        said.fact("committedAt", at.to_string());
    }
    if !snapshot.manifest_list.is_empty() {
        said.fact("manifestList", crate::url::public(&snapshot.manifest_list));
    }
    if let Some(parent) = snapshot.parent_snapshot_id {
        said.fact("parentSnapshot", parent.to_string());
    }
    for (field, key) in
        [("records", "total-records"), ("files", "total-data-files"), ("bytes", "total-files-size")]
    {
        if let Some(value) = snapshot.summary.get(key).and_then(Value::as_str) {
            said.fact(field, value);
        }
    }
    Ok(said.finish())
}

/// Asks the catalog for `CATALOG/NAMESPACE.TABLE`.
fn load(rest: &str, with: &Resolving<'_>) -> Result<(String, Table), Unresolved> {
    let unknown = || Unresolved::Unknown(format!("`{}` names no table", shown(rest)));
    let (name, path) = rest.split_once('/').ok_or_else(unknown)?;
    let (namespace, table) = path.rsplit_once('.').ok_or_else(unknown)?;
    if table.is_empty() || !is_plain_path(path) || namespace.split('.').any(str::is_empty) {
        return Err(unknown());
    }
    let catalog = with.stores.iceberg.iter().find(|catalog| catalog.name == name);
    let why = || format!("the site names no catalog `{}`", shown(name));
    let catalog = catalog.ok_or_else(|| Unresolved::Refused(why()))?;
    let Catalog { endpoint, prefix, token, .. } = catalog;
    let prefix = prefix.as_ref().map(|prefix| format!("{}/", escaped(prefix))).unwrap_or_default();
    // the parts of a namespace are set apart by the unit separator
    let namespace = namespace.split('.').map(segment).collect::<Vec<_>>().join("%1F");
    let path = endpoint.path().trim_end_matches('/');
    let rest = format!("{path}/v1/{prefix}namespaces/{namespace}/tables/{}", segment(table));
    let url = endpoint.with_rest(rest);
    if token.is_some() && !url.is_private() {
        return Err(Unresolved::Refused(format!("a token would be sent to `{url}` unencrypted")));
    }
    if with.settings.offline {
        return Err(Unresolved::Away("the network may not be used".to_owned()));
    }
    let mut request = Request::get(&url, with.deadline);
    request.authorization =
        token.as_ref().map(|token| Secret::new(format!("Bearer {}", token.expose())));
    let bytes = http::send(&request)?.bytes(METADATA)?;
    let value: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    let table = Table::deserialize(value.get("metadata").unwrap_or(&value));
    Ok((url.to_string(), table.map_err(|error| broken(&url, &error))?))
}

fn load_file(uri: &str, with: &Resolving<'_>) -> Result<(String, Table), Unresolved> {
    let url = Url::parse(uri).map_err(|problem| {
        Unresolved::Unknown(format!("`{}` is no address: {problem}", shown(uri)))
    })?;
    let (address, reach) = with.place(&url)?;
    if address.scheme() == "ssh" {
        return Err(Unresolved::Unknown(format!("`{url}` is no file")));
    }
    let mut request = Request::get(&address, with.deadline);
    request.reach = reach;
    let bytes = http::send(&request)?.bytes(METADATA)?;
    let table = serde_json::from_slice(&bytes).map_err(|error| broken(&url, &error))?;
    Ok((url.to_string(), table))
}

fn broken(url: &Url, error: &serde_json::Error) -> Unresolved {
    Unresolved::Broken(format!("`{url}` is no metadata of a table: {error}"))
}

fn segment(text: &str) -> String {
    escaped(text).replace('/', "%2F").replace(':', "%3A")
}
