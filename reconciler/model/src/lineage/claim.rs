//! What researchers say of their runs: annotations, and a file that a container leaves.
//!
//! Comes in: text that anybody may have written. Goes out: what it names, by identity. Never: a grade above `claimed`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{DOMAIN, EntityId, Grade, Relation, Source, Statement, id::is_commit};
use crate::digest::Digest;

/// Things that one annotation may list; further ones are left out, and that is said.
pub(super) const MOST: usize = 64;

/// The annotations that are read, on workloads and on pods.
pub const ANNOTATIONS: [&str; 6] = ["code", "data", "names", "model", "base-model", "experiment"];

/// What a container may leave as its termination message.
///
/// At most 4 KiB, by the limit of the kubelet. Every member may be left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Termination {
    /// The code: `git+https://host/repo@COMMIT`.
    pub code: Option<String>,
    /// What was really read: `URI@ID` each.
    pub inputs: Vec<String>,
    /// What was made: `URI` or `URI@ID` each.
    pub outputs: Vec<String>,
    /// What it was derived from.
    pub base_model: Option<String>,
    /// Figures, as text: `accuracy: "0.93"`.
    pub metrics: BTreeMap<String, serde_json::Value>,
    /// Parameters, as text.
    pub parameters: BTreeMap<String, serde_json::Value>,
}

/// What a piece of text names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// The thing.
    pub id: EntityId,
    /// Where it is, without what pins it.
    pub uri: String,
}

/// Returns what `text` names: `URI@ID`, or a URI alone, which may lead elsewhere tomorrow.
///
/// | text | what it names |
/// |---|---|
/// | `git+https://host/repo@COMMIT[#path]` | the commit |
/// | `oci://registry/repo@sha256:HEX` | the image, or artifact |
/// | `lakefs://repository/COMMIT[/path]` | the lakeFS commit |
/// | `s3://bucket/key@VERSION` | the version of the object |
/// | `dvc:md5:HEX[.dir]`, `annex:KEY` | the file or directory by the key of DVC or git-annex |
/// | `URI@sha256:HEX` | the content |
/// | `URI@ID` | the id, as the URI's own system gives it |
pub fn named(text: &str) -> Option<Named> {
    let text = text.trim();
    for (scheme, prefix) in [("dvc", "dvc:"), ("annex", "annex:")] {
        if let Some(key) = text.strip_prefix(prefix) {
            return Some(Named { id: EntityId::data(scheme, key)?, uri: text.to_owned() });
        }
    }
    if let Some(id) = lakefs(text) {
        return Some(Named { id, uri: text.to_owned() });
    }
    let (place, fragment) = match text.split_once('#') {
        Some((place, fragment)) => (place, Some(fragment)),
        None => (text, None),
    };
    // an @ before the path is a login, and that is not an id
    let path_from = place.find("://").map_or(0, |at| at + 3);
    let pinned = place.rsplit_once('@').filter(|(before, id)| {
        before.len() > path_from && !id.is_empty() && !is_login(place, before, path_from)
    });
    let Some((uri, id)) = pinned else {
        return Some(Named { id: EntityId::reference(&clean(text))?, uri: clean(text) });
    };
    let uri = clean(uri);
    let uri_with = match fragment {
        Some(fragment) => format!("{uri}#{fragment}"),
        None => uri.clone(),
    };
    let (scheme, rest) = uri.split_once("://").unwrap_or(("", &uri));
    let digest: Option<Digest> = id.parse().ok();
    let entity = match (scheme, digest) {
        (scheme, _) if scheme.starts_with("git+") => EntityId::commit(id),
        ("oci" | "docker", Some(digest)) => Some(EntityId::image(digest)),
        ("s3", None) => EntityId::data("s3", &format!("{rest}@{id}")),
        (_, Some(digest)) => EntityId::data("sha256", &digest.hex()),
        _ => EntityId::data("uri", &format!("{uri}@{id}")),
    };
    // what claims to be pinned, and is not, is a name
    match entity {
        Some(id) => Some(Named { id, uri: uri_with }),
        None => Some(Named { id: EntityId::reference(&clean(text))?, uri: uri_with }),
    }
}

/// Returns the commit that a URI of lakeFS names; a branch is no commit.
fn lakefs(text: &str) -> Option<EntityId> {
    let mut parts = text.strip_prefix("lakefs://")?.split('/');
    let (repository, commit) = (parts.next()?, parts.next()?);
    is_commit(commit).then(|| EntityId::data("lakefs", &format!("{repository}/{commit}")))?
}

/// Returns whether the `@` after `before` ends a login, as in `https://user@host/repo`.
fn is_login(place: &str, before: &str, path_from: usize) -> bool {
    place.contains("://")
        && before.get(path_from..).is_some_and(|host| !host.contains('/'))
        && place.get(before.len() + 1..).is_some_and(|after| after.contains('/'))
}

/// Returns a URI without login: no password is ever recorded.
pub fn clean(uri: &str) -> String {
    let Some((scheme, rest)) = uri.split_once("://") else { return uri.to_owned() };
    let host_ends = rest.find('/').unwrap_or(rest.len());
    let (host, path) = rest.split_at(host_ends);
    let host = host.rsplit_once('@').map_or(host, |(login, after)| {
        // of `lakefs://repository@COMMIT` the first part is no login
        if scheme == "lakefs" || scheme == "s3" || login.is_empty() { host } else { after }
    });
    format!("{scheme}://{host}{path}")
}

/// Returns what the annotations of an object say of `run`.
pub fn annotations(
    run: &EntityId,
    annotations: &BTreeMap<String, String>,
    source: &Source,
) -> Vec<Statement> {
    let mut said = Vec::new();
    let get = |name: &str| annotations.get(&format!("{DOMAIN}/{name}")).map(String::as_str);
    let at = |name: &str| source.at(format!("metadata.annotations[{DOMAIN}/{name}]"));
    if let Some(text) = get("code") {
        said.extend(uses(run, Relation::RanCode, text, &at("code")));
    }
    for text in get("data").into_iter().flat_map(list) {
        said.extend(uses(run, Relation::Used, text, &at("data")));
    }
    for text in get("names").into_iter().flat_map(list) {
        said.extend(led(text, &at("names")));
    }
    if let Some(text) = get("base-model") {
        said.extend(uses(run, Relation::Used, text, &at("base-model")));
    }
    for text in get("model").into_iter().flat_map(list) {
        said.extend(makes(run, text, &at("model")));
        if let (Some(model), Some(base)) = (named(text), get("base-model").and_then(named)) {
            let source = at("base-model");
            said.push(Statement::edge(
                &model.id,
                Relation::DerivedFrom,
                &base.id,
                Grade::Claimed,
                &source,
            ));
        }
    }
    if let Some(text) = get("experiment") {
        said.push(Statement::fact(
            run,
            "experiment",
            bounded(text),
            Grade::Claimed,
            &at("experiment"),
        ));
    }
    said
}

/// Returns what a container of `attempt`, part of `run`, left as its termination message, where that is ours to read.
pub fn termination(run: &EntityId, message: &str, source: &Source) -> Vec<Statement> {
    let Ok(said) = serde_json::from_str::<Termination>(message) else { return Vec::new() };
    let mut statements = Vec::new();
    if let Some(text) = &said.code {
        statements.extend(uses(run, Relation::RanCode, text, &source.at("code")));
    }
    for text in said.inputs.iter().take(MOST) {
        statements.extend(uses(run, Relation::Used, text, source));
    }
    for text in said.outputs.iter().take(MOST) {
        statements.extend(makes(run, text, source));
        if let (Some(model), Some(base)) = (named(text), said.base_model.as_deref().and_then(named))
        {
            statements.push(Statement::edge(
                &model.id,
                Relation::DerivedFrom,
                &base.id,
                Grade::Claimed,
                source,
            ));
        }
    }
    for (prefix, values) in [("metric", &said.metrics), ("parameter", &said.parameters)] {
        for (name, value) in values.iter().take(MOST) {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let field = format!("{prefix}.{}", bounded(name));
            statements.push(Statement::fact(run, &field, bounded(&text), Grade::Claimed, source));
        }
    }
    statements
}

fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split([',', '\n']).map(str::trim).filter(|part| !part.is_empty()).take(MOST)
}

fn uses(run: &EntityId, relation: Relation, text: &str, source: &Source) -> Vec<Statement> {
    let Some(named) = named(text) else { return Vec::new() };
    vec![
        Statement::edge(run, relation, &named.id, Grade::Claimed, source),
        Statement::fact(&named.id, "uri", named.uri, Grade::Claimed, source),
    ]
}

/// Says where a name led to, `NAME -> URI@ID`: the run used what has the id, whatever the name leads to by now.
fn led(text: &str, source: &Source) -> Option<Statement> {
    let (name, id) = text.split_once(" -> ")?;
    let (name, id) = (EntityId::reference(&clean(name.trim()))?, named(id)?.id);
    Some(Statement::edge(&name, Relation::LedTo, &id, Grade::Claimed, source))
}

fn makes(run: &EntityId, text: &str, source: &Source) -> Vec<Statement> {
    let Some(named) = named(text) else { return Vec::new() };
    let mut said = vec![
        Statement::edge(&named.id, Relation::GeneratedBy, run, Grade::Claimed, source),
        Statement::fact(&named.id, "uri", named.uri.clone(), Grade::Claimed, source),
    ];
    // what was pinned is found by its name too: a service often names no more than that
    if let Some(name) = EntityId::reference(&named.uri).filter(|name| *name != named.id) {
        said.push(Statement::edge(&name, Relation::LedTo, &named.id, Grade::Claimed, source));
    }
    said
}

/// Returns at most 512 characters of what somebody wrote, without what would break a line.
pub(super) fn bounded(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(512).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

    fn id(text: &str) -> String {
        named(text).unwrap().id.to_string()
    }

    #[test]
    fn what_is_pinned_is_called_by_what_pins_it() {
        let hex = "a".repeat(64);
        for (text, expected) in [
            (
                format!("git+https://git.example.org/vision/train@{COMMIT}#src"),
                format!("commit:{COMMIT}"),
            ),
            (
                format!("git+https://me:secret@git.example.org/t.git@{COMMIT}"),
                format!("commit:{COMMIT}"),
            ),
            (
                format!("oci://registry.example.org/models/r@sha256:{hex}"),
                format!("image:sha256:{hex}"),
            ),
            (format!("https://example.org/d.tar@sha256:{hex}"), format!("data:sha256:{hex}")),
            ("s3://bucket/path/file@3L4kqt".into(), "data:s3:bucket/path/file@3L4kqt".into()),
            (format!("lakefs://images/{hex}/train/"), format!("data:lakefs:images/{hex}")),
            (
                "dvc:md5:d41d8cd98f00b204e9800998ecf8427e.dir".into(),
                "data:dvc:md5:d41d8cd98f00b204e9800998ecf8427e.dir".into(),
            ),
            ("hf://datasets/cifar@main".into(), "data:uri:hf://datasets/cifar@main".into()),
        ] {
            assert_eq!(id(&text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_not_pinned_is_a_name_and_no_password_is_kept() {
        assert_eq!(id("s3://models/resnet/1"), "ref:s3://models/resnet/1");
        assert_eq!(
            id("git+https://git.example.org/train@main"),
            "ref:git+https://git.example.org/train@main"
        );
        assert_eq!(id("https://me:secret@example.org/model"), "ref:https://example.org/model");
        let named = named(&format!("git+https://me:secret@git.example.org/t@{COMMIT}")).unwrap();
        assert_eq!(named.uri, "git+https://git.example.org/t");
    }

    #[test]
    fn nothing_that_somebody_wrote_breaks_a_line() {
        assert!(named("s3://a b/c").is_none());
        assert_eq!(bounded("a\nb\u{1b}[31m"), "ab[31m");
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in ".{0,200}") {
            if let Some(named) = named(&text) {
                proptest::prop_assert!(named.id.to_string().parse::<EntityId>().is_ok());
            }
            let run = EntityId::run(&crate::lineage::ClusterId::new("c"), "u");
            for said in termination(&run, &text, &Source::default()) {
                proptest::prop_assert_eq!(said.grade(), Grade::Claimed);
            }
        }
    }
}
