//! S3: versions of objects, with sizes and the checksums that are ones of the content.
//!
//! An ETag is recorded nowhere: of an object in parts, or encrypted on the server, it is no digest of the content, and
//! nobody can tell from outside. A checksum counts if it is one of the full object; one that is composed of those of
//! the parts is recorded as that.

mod prefix;
mod sign;
mod tree;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use sitewright_model::lineage::{EntityId, Grade, Relation, Source, Statement};

pub use self::{
    prefix::{Listed, PrefixManifest, prefix_manifest},
    tree::hash_prefix,
};
use super::{Resolving, Said, Unresolved, is_plain_path, shown, store::S3};
use crate::{
    http::{self, Answer, Request, Verb},
    url::Url,
};

/// Where there are no versions, S3 calls all of them so.
const NULL_VERSION: &str = "null";

/// Checksums that a server may have, by the header of each.
const CHECKSUMS: [&str; 5] = ["sha256", "crc64nvme", "crc32c", "crc32", "sha1"];

/// An object in one version.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Object {
    version: Option<String>,
    size: Option<u64>,
    /// What it is a checksum of, the name of the checksum, and its value as the server writes it.
    checksums: Vec<(Whole, &'static str, String)>,
}

/// What a checksum is one of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whole {
    /// The whole content.
    Object,
    /// The checksums of its parts, one after the other.
    Parts,
}

/// Returns what there is to say of `data:s3:BUCKET/KEY@VERSION`.
pub(super) fn version(id: &EntityId, with: &Resolving<'_>) -> Result<Vec<Statement>, Unresolved> {
    let unknown =
        || Unresolved::Unknown(format!("`{}` is no version of an object", shown(id.as_str())));
    let (place, version) =
        id.rest().strip_prefix("s3:").and_then(|rest| rest.rsplit_once('@')).ok_or_else(unknown)?;
    let (bucket, key) = place.split_once('/').ok_or_else(unknown)?;
    let store = store(bucket, with)?;
    let object = head(store, bucket, key, Some(version), with)?;
    if object.version.as_deref().is_some_and(|found| found != version) {
        return Err(Unresolved::Broken("the store answers with another version".to_owned()));
    }
    Ok(object.statements(id, store, bucket))
}

/// Returns what `s3://BUCKET/KEY` leads to now.
///
/// Of a folder that is the list of what is below it, where the site wants that. In a bucket without versions it is its content, where the server has a digest of that; else there is nothing to
/// lead to, and only size and checksums of the time are recorded, of the name.
pub(super) fn name(
    id: &EntityId,
    uri: &str,
    with: &Resolving<'_>,
) -> Result<Vec<Statement>, Unresolved> {
    let unknown = || Unresolved::Unknown(format!("`{}` names no object", shown(uri)));
    let (bucket, key) =
        uri.strip_prefix("s3://").and_then(|rest| rest.split_once('/')).ok_or_else(unknown)?;
    if key.ends_with('/') && store(bucket, with)?.list {
        return Ok(prefix_manifest(uri, false, with)?.statements(id, with));
    }
    if key.is_empty() || key.ends_with('/') {
        return Err(unknown());
    }
    let store = store(bucket, with)?;
    let object = head(store, bucket, key, None, with)?;
    let source = Source::rule(format!("s3://{bucket} at {} at {}", store.endpoint, with.now));
    let versioned = object.version.as_deref().filter(|version| *version != NULL_VERSION);
    let target = match (versioned, object.sha256()) {
        (Some(version), _) => EntityId::data("s3", &format!("{bucket}/{key}@{version}")),
        (None, Some(hex)) => EntityId::data("sha256", &hex),
        (None, None) => None,
    };
    let Some(target) = target else {
        let mut said = Said::of(id, source);
        said.graded("versions", "none", Grade::Inferred);
        object.say(&mut said, Grade::Inferred);
        return Ok(said.finish());
    };
    let mut said = vec![Statement::edge(id, Relation::LedTo, &target, Grade::Inferred, &source)];
    said.extend(object.statements(&target, store, bucket));
    Ok(said)
}

fn store<'w>(bucket: &str, with: &'w Resolving<'_>) -> Result<&'w S3, Unresolved> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if bucket.is_empty() || !bucket.chars().all(is_name) || !is_plain_path(bucket) {
        return Err(Unresolved::Unknown(format!("`{}` is no bucket", shown(bucket))));
    }
    let why = || format!("the site names no S3 server for bucket `{}`", shown(bucket));
    with.stores.s3(bucket).ok_or_else(|| Unresolved::Refused(why()))
}

fn head(
    store: &S3,
    bucket: &str,
    key: &str,
    version: Option<&str>,
    with: &Resolving<'_>,
) -> Result<Object, Unresolved> {
    if !is_plain_path(key) {
        return Err(Unresolved::Unknown(format!("`{}` may be taken for another key", shown(key))));
    }
    let query = version.map(|version| format!("versionId={}", sign::escaped(version, false)));
    let path = format!("/{}/{}", sign::escaped(bucket, false), sign::escaped(key, true));
    let query = query.unwrap_or_default();
    let answer =
        send(store, Verb::Head, &path, &query, &[("x-amz-checksum-mode", "ENABLED")], with)?;
    match answer.status {
        // what stands for an object that was deleted has no content
        405 => Err(Unresolved::Gone("what is there marks a deleted object".to_owned())),
        400 => Err(Unresolved::Gone("the store takes it for no version of its own".to_owned())),
        _ => Ok(Object::of(&answer)),
    }
}

/// Sends a signed request to a store.
fn send(
    store: &S3,
    verb: Verb,
    path: &str,
    query: &str,
    headers: &[(&'static str, &str)],
    with: &Resolving<'_>,
) -> Result<Answer, Unresolved> {
    if with.settings.offline {
        return Err(Unresolved::Away("the network may not be used".to_owned()));
    }
    let base = store.endpoint.path().trim_end_matches('/');
    let path = format!("{base}{path}");
    let rest = if query.is_empty() { path.clone() } else { format!("{path}?{query}") };
    let url: Url = store.endpoint.with_rest(rest);
    let mut request = Request::send(verb, &url, Vec::new(), with.deadline);
    request.accepted = &[400, 405];
    let headers: Vec<(&'static str, String)> =
        headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    match &store.login {
        None => request.headers = headers,
        Some(login) if login.session.is_some() && !url.is_private() => {
            let why = format!("a token would be sent to `{}` unencrypted", store.endpoint);
            return Err(Unresolved::Refused(why));
        }
        Some(login) => {
            let to_sign = sign::ToSign {
                verb: if verb == Verb::Head { "HEAD" } else { "GET" },
                host: url.authority(),
                path: &path,
                query,
                headers: &headers,
                region: &store.region,
                at: with.now,
            };
            let (headers, authorization) = sign::headers(&to_sign, login);
            (request.headers, request.authorization) = (headers, Some(authorization));
        }
    }
    Ok(http::send(&request)?)
}

// === impl Object ===

impl Object {
    fn of(answer: &Answer) -> Self {
        let get = |name: &str| answer.header(name).map(str::to_owned);
        let is_composite = get("x-amz-checksum-type").is_some_and(|kind| kind == "COMPOSITE");
        let checksums = CHECKSUMS.into_iter().filter_map(|name| {
            let value = get(&format!("x-amz-checksum-{name}"))?;
            // before there was a type, one of parts was told by the number of them behind it
            let is_of_parts = is_composite || value.contains('-');
            Some((if is_of_parts { Whole::Parts } else { Whole::Object }, name, value))
        });
        Self {
            version: get("x-amz-version-id"),
            size: get("content-length").and_then(|size| size.parse().ok()),
            checksums: checksums.collect(),
        }
    }

    /// Returns the digest of the content, where the server has one.
    fn sha256(&self) -> Option<String> {
        let found =
            self.checksums.iter().find(|(of, name, _)| *of == Whole::Object && *name == "sha256");
        let bytes = found.and_then(|(_, _, value)| STANDARD.decode(value).ok())?;
        (bytes.len() == 32).then(|| bytes.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    fn statements(&self, id: &EntityId, store: &S3, bucket: &str) -> Vec<Statement> {
        let source = Source::rule(format!("resolved at s3://{bucket} at {}", store.endpoint));
        let mut said = Said::found(id, source);
        self.say(&mut said, Grade::Resolved);
        said.finish()
    }

    fn say(&self, said: &mut Said, grade: Grade) {
        if let Some(size) = self.size {
            said.graded("size", size.to_string(), grade);
        }
        if let Some(hex) = self.sha256() {
            said.graded("sha256", hex, grade);
        }
        for (of, name, value) in &self.checksums {
            match of {
                Whole::Object if *name == "sha256" => {}
                Whole::Object => said.graded(&format!("checksum.{name}"), value, grade),
                Whole::Parts => said.graded(&format!("checksumOfParts.{name}"), value, grade),
            }
        }
    }
}
