//! What lies below a prefix, at one moment: for buckets that have no snapshots.
//!
//! Opt-in: it costs one request for a thousand objects, and one more for each object whose checksum is wanted.

use std::{collections::BTreeMap, time::Instant};

use serde_json::json;
use sitewright_model::{
    digest::Digest,
    lineage::{EntityId, Grade, Relation, Source, Statement},
};

use super::{head, send, sign, store};
use crate::{
    http::Verb,
    resolve::{Resolving, Said, Unresolved, shown},
};

/// Bytes of one page of a list: a thousand objects with keys of the greatest length.
const PAGE: u64 = 8 * 1024 * 1024;

/// Objects below one prefix.
const MOST: usize = 1_000_000;

/// What lies below a prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrefixManifest {
    /// The bucket.
    pub bucket: String,
    /// The prefix.
    pub prefix: String,
    /// The objects, by key.
    pub objects: BTreeMap<String, Listed>,
}

/// An object of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its version; none in a bucket without versions.
    pub version: Option<String>,
    /// Its size in bytes.
    pub size: u64,
    /// The SHA-256 of its content, where it was asked for and the server has it.
    pub sha256: Option<String>,
    /// When it was written, and its ETag: for whether it was written again, and never recorded.
    pub mark: String,
}

/// Lists what lies below `s3://BUCKET/PREFIX` now.
///
/// # Errors
/// The bucket is gone, away or refused, or has more objects there than are listed.
pub fn prefix_manifest(
    uri: &str,
    with_checksums: bool,
    with: &Resolving<'_>,
) -> Result<PrefixManifest, Unresolved> {
    let unknown = || Unresolved::Unknown(format!("`{}` names no prefix", shown(uri)));
    let rest = uri.strip_prefix("s3://").ok_or_else(unknown)?;
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let store = store(bucket, with)?;
    let end = with.end();
    let in_time = || match Instant::now() < end {
        true => Ok(()),
        false => Err(Unresolved::Away("the time for it is over".to_owned())),
    };
    let mut objects = BTreeMap::new();
    let mut marker: Option<(String, String)> = None;
    loop {
        in_time()?;
        let mut query = vec![("encoding-type", "url".to_owned()), ("prefix", prefix.to_owned())];
        query.push(("versions", String::new()));
        if let Some((key, version)) = &marker {
            query.push(("key-marker", key.clone()));
            query.push(("version-id-marker", version.clone()));
        }
        query.sort();
        let pairs: Vec<String> = query
            .iter()
            .map(|(name, value)| format!("{name}={}", sign::escaped(value, false)))
            .collect();
        let path = format!("/{}", sign::escaped(bucket, false));
        let answer = send(store, Verb::Get, &path, &pairs.join("&"), &[], with)?;
        if answer.status != 200 {
            let why =
                format!("bucket `{}` cannot be listed (HTTP {})", shown(bucket), answer.status);
            return Err(Unresolved::Refused(why));
        }
        let bytes = answer.bytes(PAGE)?;
        let page = String::from_utf8_lossy(&bytes).into_owned();
        let is_escaped = element(&page, "EncodingType") == Some("url");
        let read = |text: &str| if is_escaped { unescaped(text) } else { without_entities(text) };
        for entry in elements(&page, "Version") {
            if element(entry, "IsLatest") != Some("true") {
                continue;
            }
            let Some(key) = element(entry, "Key").map(&read) else { continue };
            let version = element(entry, "VersionId").filter(|version| *version != "null");
            let size =
                element(entry, "Size").and_then(|size| size.parse().ok()).unwrap_or_default();
            let version = version.map(str::to_owned);
            let mark =
                ["LastModified", "ETag"].map(|name| element(entry, name).unwrap_or_default());
            objects.insert(key, Listed { version, size, sha256: None, mark: mark.join(" ") });
        }
        if objects.len() > MOST {
            return Err(Unresolved::TooLarge(format!("more than {MOST} objects")));
        }
        let next = element(&page, "NextKeyMarker").map(read);
        let version = element(&page, "NextVersionIdMarker").unwrap_or_default().to_owned();
        let is_cut = element(&page, "IsTruncated") == Some("true");
        let next = next.filter(|_| is_cut).map(|next| (next, version));
        if next.is_none() || next == marker {
            break;
        }
        marker = next;
    }
    if with_checksums {
        for (key, listed) in &mut objects {
            in_time()?;
            let object = head(store, bucket, key, listed.version.as_deref(), with)?;
            listed.sha256 = object.sha256();
        }
    }
    Ok(PrefixManifest { bucket: bucket.to_owned(), prefix: prefix.to_owned(), objects })
}

impl PrefixManifest {
    /// Returns the bytes that are kept: canonical JSON, of equal states the same.
    pub fn bytes(&self) -> Vec<u8> {
        let objects: Vec<_> = self
            .objects
            .iter()
            .map(|(key, object)| {
                json!({ "key": key, "versionId": object.version, "size": object.size.to_string(),
                    "sha256": object.sha256 })
            })
            .collect();
        sitewright_model::digest::canonical_json(&json!({
            "format": "sitewright.dev/s3-prefix/v1",
            "bucket": self.bucket, "prefix": self.prefix, "objects": objects,
        }))
    }

    /// Returns what this state is called: by the digest of its bytes.
    pub fn id(&self) -> Option<EntityId> {
        let digest = Digest::of(self.bytes());
        EntityId::data(
            "s3-prefix",
            &format!("{}/{}@{digest}", self.bucket, sign::escaped(&self.prefix, true)),
        )
    }

    /// Returns the keys that differ: what a run may have changed, or somebody else while it ran.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let mut keys: Vec<&String> = self.objects.keys().chain(other.objects.keys()).collect();
        keys.sort();
        keys.dedup();
        keys.into_iter()
            .filter(|key| self.objects.get(*key) != other.objects.get(*key))
            .cloned()
            .collect()
    }

    /// Returns what there is to say of it.
    pub fn statements(&self, name: &EntityId, with: &Resolving<'_>) -> Vec<Statement> {
        let Some(id) = self.id() else { return Vec::new() };
        let source = Source::rule(format!(
            "listed s3://{}/{} at {}",
            self.bucket,
            shown(&self.prefix),
            with.now
        ));
        let mut said = Said::of(&id, source.clone());
        let bytes: u64 = self.objects.values().map(|one| one.size).fold(0, u64::saturating_add);
        said.graded("files", self.objects.len().to_string(), Grade::Inferred);
        said.graded("bytes", bytes.to_string(), Grade::Inferred);
        let unversioned = self.objects.values().filter(|one| one.version.is_none()).count();
        if unversioned > 0 {
            said.graded("withoutVersion", unversioned.to_string(), Grade::Inferred);
        }
        said.statements.push(Statement::edge(name, Relation::LedTo, &id, Grade::Inferred, &source));
        said.finish()
    }
}

/// Returns the content of every element `name`; the lists of S3 hold no element within one of its name.
fn elements<'x>(xml: &'x str, name: &str) -> Vec<&'x str> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let parts = xml.split(open.as_str()).skip(1);
    parts.filter_map(|part| part.split_once(close.as_str()).map(|(content, _)| content)).collect()
}

/// Returns the content of the first element `name`.
fn element<'x>(xml: &'x str, name: &str) -> Option<&'x str> {
    elements(xml, name).into_iter().next()
}

/// Undoes what XML does to keys of servers that do not know `encoding-type`.
fn without_entities(text: &str) -> String {
    let entities = [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&#34;", "\""),
        ("&apos;", "'"),
        ("&#39;", "'"),
    ];
    let text = entities.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to));
    text.replace("&amp;", "&")
}

/// Undoes `encoding-type=url`.
fn unescaped(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let digit = |digit: Option<u8>| char::from(digit?).to_digit(16);
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => match (digit(rest.next()), digit(rest.next())) {
                (Some(high), Some(low)) => {
                    bytes.push(u8::try_from(high * 16 + low).unwrap_or(b'?'))
                }
                _ => bytes.push(b'?'),
            },
            other => bytes.push(other),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_and_keys_unescaped() {
        let xml = "<R><IsTruncated>false</IsTruncated><Version><Key>a%2Fb+c</Key><IsLatest>true</IsLatest></Version><Version><Key>d</Key></Version></R>";
        let found = elements(xml, "Version");
        assert_eq!(found.len(), 2);
        assert_eq!(unescaped(element(found[0], "Key").unwrap()), "a/b c");
        assert_eq!(element(found[1], "IsLatest"), None);
        assert_eq!(unescaped("%zz%"), "??");
        assert_eq!(without_entities("a+&amp;lt;&lt;"), "a+&lt;<");
    }

    #[test]
    fn equal_states_have_one_name_and_differences_are_told() {
        let one = |version: &str| PrefixManifest {
            bucket: "b".into(),
            prefix: "p/".into(),
            objects: BTreeMap::from([(
                "p/a".to_owned(),
                Listed {
                    version: Some(version.into()),
                    size: 1,
                    sha256: None,
                    mark: String::new(),
                },
            )]),
        };
        assert_eq!(one("1").id(), one("1").id());
        assert_ne!(one("1").id(), one("2").id());
        assert_eq!(one("1").differences(&one("2")), ["p/a"]);
    }
}
