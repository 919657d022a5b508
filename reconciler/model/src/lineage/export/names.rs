//! What things are called outside. The book's page `lineage/names.md` says the same; neither ever changes.

use std::fmt::Write as _;

use uuid::Uuid;

use super::{EntityId, EntityKind, Node};
use crate::lineage::DOMAIN;

/// A dataset as OpenLineage names it, and its content.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Dataset {
    /// The store: `s3://models`.
    pub namespace: String,
    /// What the store calls it: `vision/resnet50/7`.
    pub name: String,
    /// The identity of its content; none for what is only a name.
    pub version: Option<String>,
}

/// Returns the address of a thing: `https://lineage.sitewright.dev/id/` and its identity.
pub fn iri(id: &EntityId) -> String {
    format!("https://{DOMAIN}/id/{}", escaped(id.as_str(), is_of_path))
}

/// Returns the run of OpenLineage that a run or attempt is: the UUID of version 5 of the object's UID, in the space that
/// is the cluster's UID.
pub fn run_id(id: &EntityId) -> Uuid {
    let (cluster, object) = id.rest().split_once('/').unwrap_or(("", id.rest()));
    // the UID of a namespace is a UUID; anything else still gives one id, and always the same
    let space = Uuid::parse_str(cluster).unwrap_or_else(|_| {
        Uuid::new_v5(&Uuid::NAMESPACE_URL, format!("https://{DOMAIN}/cluster/{cluster}").as_bytes())
    });
    Uuid::new_v5(&space, object.as_bytes())
}

/// Returns the job of OpenLineage that a run belongs to: `kubernetes://CLUSTER`, and `NAMESPACE/KIND.GROUP/NAME`.
pub fn job(run: &Node) -> (String, String) {
    let cluster = run.id.rest().split_once('/').map_or("", |(cluster, _)| cluster);
    let uid = run.id.rest().rsplit('/').next().unwrap_or_default();
    let namespace = run.namespace.as_deref().unwrap_or("-");
    let kind = run.value("kind").unwrap_or("-");
    let name = run.value("name").unwrap_or(uid);
    (format!("kubernetes://{cluster}"), format!("{namespace}/{kind}/{name}"))
}

/// Returns the dataset that an artifact, a volume or a name is.
pub fn dataset(node: &Node) -> Dataset {
    let uri = match node.kind {
        EntityKind::Ref => Some(node.id.rest()),
        _ => node.value("uri"),
    };
    let (namespace, name) = uri.and_then(of_store).unwrap_or_else(|| of_identity(&node.id));
    let has_content = !matches!(node.kind, EntityKind::Ref | EntityKind::Volume);
    Dataset { namespace, name, version: has_content.then(|| node.id.to_string()) }
}

/// Splits `s3://bucket/key` into the store and what is in it.
fn of_store(uri: &str) -> Option<(String, String)> {
    let (scheme, rest) = uri.split_once("://")?;
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let path = path.trim_end_matches('/');
    let path = if path.is_empty() { "/" } else { path };
    Some((format!("{scheme}://{authority}"), path.to_owned()))
}

/// Splits an identity: the namespace, what stands between, and the name are the identity again.
fn of_identity(id: &EntityId) -> (String, String) {
    let split = match id.kind() {
        EntityKind::Data => id.rest().split_once(':'),
        EntityKind::Volume => id.rest().split_once('/'),
        _ => None,
    };
    match split {
        Some((of, name)) => (format!("{}:{of}", id.kind()), name.to_owned()),
        None => (id.kind().to_string(), id.rest().to_owned()),
    }
}

/// Returns `text` as a URI: what no URI may have is escaped, the rest stays.
pub fn uri(text: &str) -> String {
    escaped(text, |byte| is_of_path(byte) || b"?#[]%".contains(&byte))
}

fn is_of_path(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~:/@!$&'()*+,;=".contains(&byte)
}

fn escaped(text: &str, may_stay: impl Fn(u8) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    let bytes = text.as_bytes();
    for (at, byte) in bytes.iter().enumerate() {
        let is_escape = || {
            let digits = bytes.get(at + 1..at + 3);
            digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
        };
        if may_stay(*byte) && (*byte != b'%' || is_escape()) {
            out.push(char::from(*byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lineage::ClusterId;

    fn named(id: &str, uri: Option<&str>) -> Dataset {
        let mut log = crate::lineage::sample::Log::default();
        let id: EntityId = id.parse().unwrap();
        let said = uri.map(|uri| {
            let source = crate::lineage::Source::default();
            crate::lineage::Statement::fact(
                &id,
                "uri",
                uri,
                crate::lineage::Grade::Claimed,
                &source,
            )
        });
        let said = said.unwrap_or_else(|| {
            let source = crate::lineage::Source::default();
            crate::lineage::Statement::fact(&id, "x", "y", crate::lineage::Grade::Claimed, &source)
        });
        log.add("08:00:00", None, vec![said]);
        dataset(&log.graph(vec![]).nodes[0])
    }

    #[test]
    fn a_dataset_is_named_by_its_store_and_else_by_its_content() {
        for (id, uri, namespace, name) in [
            ("ref:s3://models/vision/resnet50/7", None, "s3://models", "vision/resnet50/7"),
            ("ref:hf://datasets", None, "hf://datasets", "/"),
            ("data:dvc:md5:22e2.dir", Some("dvc:md5:22e2.dir"), "data:dvc", "md5:22e2.dir"),
            ("data:s3:b/k@1", Some("s3://b/k"), "s3://b", "k"),
            ("volume:c1/u1", None, "volume:c1", "u1"),
        ] {
            let dataset = named(id, uri);
            assert_eq!((dataset.namespace.as_str(), dataset.name.as_str()), (namespace, name));
        }
        assert_eq!(named("ref:s3://a/b", None).version, None);
        assert_eq!(
            named("data:s3:b/k@1", Some("s3://b/k")).version.as_deref(),
            Some("data:s3:b/k@1")
        );
    }

    #[test]
    fn the_id_of_a_run_never_changes() {
        let cluster = ClusterId::new("5f0c1c0e-6a55-4c1b-9d0e-0d9a8a4d8f11");
        let id = EntityId::run(&cluster, "8d6f2a34-93c7-4f0e-8a5b-6f1c2b7e9d02");
        assert_eq!(run_id(&id).to_string(), "b95e288c-ab6c-5660-a327-490c9d0b88d3");
        let odd = EntityId::run(&ClusterId::new("kind"), "u");
        assert_eq!(run_id(&odd).to_string(), "ae3c30d7-4dba-5d8c-935c-3b633ded16bd");
    }

    #[test]
    fn what_people_wrote_becomes_a_uri() {
        assert_eq!(uri("s3://b/a b<\"ü%2F%zz"), "s3://b/a%20b%3C%22%C3%BC%2F%25zz");
        let id: EntityId = "ref:https://h/a?b#c\"".parse().unwrap();
        assert_eq!(iri(&id), "https://lineage.sitewright.dev/id/ref:https://h/a%3Fb%23c%22");
    }
}
