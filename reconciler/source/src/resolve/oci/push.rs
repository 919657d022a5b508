//! Puts a signed envelope beside the artifact that it is about.

use serde_json::{Value, json};
use sitewright_model::digest::Digest;

use super::{ACCEPTED, MANIFEST_BYTES, REQUEST, is_missing, reference::Reference, unknown};
use crate::{
    http::Verb,
    registry::{Registry, escaped},
    resolve::{Resolving, Unresolved},
};

/// What an envelope is.
const ENVELOPE: &str = "application/vnd.dsse.envelope.v1+json";

/// The config of an artifact that has none, as the specification has it.
pub(super) const EMPTY_KIND: &str = "application/vnd.oci.empty.v1+json";
const EMPTY: &[u8] = b"{}";

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// Pushes `envelope` as a referrer of the artifact `oci://HOST/NAME@sha256:HEX` (OCI 1.1), and returns the digest of its
/// manifest. Doing it twice changes nothing.
///
/// `annotations` are written onto the manifest; `predicate` is what the statement in the envelope says.
///
/// # Errors
/// The artifact is gone, or the registry does not let us.
pub fn push_envelope(
    artifact: &str,
    envelope: &[u8],
    predicate: &str,
    with: &Resolving<'_>,
) -> Result<Digest, Unresolved> {
    let reference = Reference::parse(artifact)?;
    let digest: Digest = reference
        .digest
        .as_deref()
        .and_then(|digest| digest.parse().ok())
        .ok_or_else(|| unknown(artifact))?;
    let (url, reach) = with.place_of_registry(&reference.url)?;
    let mut registry = Registry::new(&url, reach, REQUEST).until(with.end()).pushing();
    let subject = registry.get(&registry.url(&format!("manifests/{digest}")), Some(ACCEPTED))?;
    let kind = subject.header("content-type").unwrap_or(MANIFEST).to_owned();
    let size = subject.bytes(MANIFEST_BYTES)?.len();
    for bytes in [EMPTY, envelope] {
        push_blob(&mut registry, bytes)?;
    }
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": ENVELOPE,
        "config": { "mediaType": EMPTY_KIND, "digest": Digest::of(EMPTY).to_string(), "size": EMPTY.len() },
        "layers": [{
            "mediaType": ENVELOPE, "digest": Digest::of(envelope).to_string(), "size": envelope.len(),
            "annotations": { "in-toto.io/predicate-type": predicate },
        }],
        "subject": { "mediaType": kind, "digest": digest.to_string(), "size": size },
        "annotations": { "in-toto.io/predicate-type": predicate },
    });
    let bytes = sitewright_model::digest::canonical_json(&manifest);
    let pushed = Digest::of(&bytes);
    let length = bytes.len();
    let at = registry.url(&format!("manifests/{pushed}"));
    let answer = registry.send(Verb::Put, &at, MANIFEST, bytes)?;
    if answer.header("oci-subject").is_none() {
        let entry = json!({
            "mediaType": MANIFEST, "artifactType": ENVELOPE, "digest": pushed.to_string(), "size": length,
            "annotations": { "in-toto.io/predicate-type": predicate },
        });
        add_to_tag(&mut registry, &digest, entry)?;
    }
    Ok(pushed)
}

fn push_blob(registry: &mut Registry, bytes: &[u8]) -> Result<(), Unresolved> {
    let broken = || Unresolved::Broken("the registry does not say where to upload".to_owned());
    let start = registry.url("blobs/uploads/");
    let answer = registry.send(Verb::Post, &start, "application/octet-stream", Vec::new())?;
    let location = answer.header("location").ok_or_else(broken)?;
    let joint = if location.contains('?') { '&' } else { '?' };
    let to = format!("{location}{joint}digest={}", escaped(&Digest::of(bytes).to_string()));
    let to = registry.join(&to).ok_or_else(broken)?;
    registry.send(Verb::Put, &to, "application/octet-stream", bytes.to_vec())?;
    Ok(())
}

/// Adds an entry to the index behind the tag that stands for the API of referrers, where a registry has none
/// (distribution specification, "Unavailable Referrers API"). Who adds at the same time may be lost; the envelope stays.
fn add_to_tag(registry: &mut Registry, digest: &Digest, entry: Value) -> Result<(), Unresolved> {
    let at = registry.url(&format!("manifests/sha256-{}", digest.hex()));
    let found = registry.get(&at, Some(INDEX)).and_then(|answer| answer.bytes(MANIFEST_BYTES));
    let mut index: Value = match found {
        Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or_default(),
        Err(error) if is_missing(&error) => Value::Null,
        Err(error) => return Err(error.into()),
    };
    if !index.is_object() {
        index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [] });
    }
    let manifests = index.get_mut("manifests").and_then(Value::as_array_mut);
    let broken = || Unresolved::Broken("the tag for referrers is no index".to_owned());
    let manifests = manifests.ok_or_else(broken)?;
    if manifests.iter().any(|one| one.get("digest") == entry.get("digest")) {
        return Ok(());
    }
    manifests.push(entry);
    let bytes = sitewright_model::digest::canonical_json(&index);
    registry.send(Verb::Put, &at, INDEX, bytes)?;
    Ok(())
}
