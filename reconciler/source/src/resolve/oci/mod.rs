//! OCI: what an image or artifact consists of, what it says of itself, and who vouches for it.

mod attestation;
mod claims;
mod push;
mod reference;

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use sitewright_model::{
    digest::Digest,
    lineage::{EntityId, Grade, Relation, Source, Statement},
};

pub use self::push::push_envelope;
use self::reference::Reference;
use super::{Resolving, Said, Unresolved, place, shown};
use crate::{http::HttpError, registry::Registry};

/// What a manifest may be.
const ACCEPTED: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json";

/// Bytes of a manifest or config; the specification asks registries to take manifests of at least 4 MiB.
const MANIFEST_BYTES: u64 = 4 * 1024 * 1024;

/// Manifests of one index that are read: one for each platform.
const MOST_MANIFESTS: usize = 32;

/// How long one request may take.
const REQUEST: Duration = Duration::from_secs(30);

/// A manifest or an index, as far as it is looked at.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Manifest {
    media_type: Option<String>,
    artifact_type: Option<String>,
    manifests: Vec<Descriptor>,
    config: Option<Descriptor>,
    layers: Vec<Descriptor>,
    annotations: Value,
}

/// What names another part.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Descriptor {
    media_type: String,
    artifact_type: Option<String>,
    digest: String,
    size: u64,
    platform: Value,
    annotations: Value,
}

/// One conversation about one image.
struct Image<'a> {
    registry: Registry,
    with: &'a Resolving<'a>,
    said: Said,
    /// What the caller knows the image by; what it says of itself is said of this too.
    asked: EntityId,
    /// Every digest that belongs to the image.
    parts: Vec<Digest>,
    /// Indices and manifests of it: what others refer to.
    manifests: Vec<Digest>,
    /// What BuildKit puts beside the manifests of an index, by the manifest that it is about.
    beside: Vec<(Digest, Descriptor)>,
}

/// Returns what there is to say of the image `id`, whose repository, and perhaps tag, is in `uri`.
///
/// What a runtime reports may be the digest of an index, a manifest or a config (kubernetes#115199): a config is found
/// through the tag.
pub(super) fn image(
    id: &EntityId,
    uri: &str,
    with: &Resolving<'_>,
) -> Result<Vec<Statement>, Unresolved> {
    let reference = Reference::parse(uri)?;
    let digest: Digest = id.rest().parse().map_err(|_| unknown(uri))?;
    let mut image = Image::open(id, &reference, with)?;
    match image.manifest(&digest.to_string()) {
        Ok((bytes, manifest)) => image.walk(Digest::of(bytes), &manifest)?,
        Err(Unresolved::Gone(why)) => match &reference.tag {
            Some(tag) => image.through_tag(digest, tag, why)?,
            None => return Err(Unresolved::Gone(why)),
        },
        Err(other) => return Err(other),
    }
    image.attestations();
    Ok(image.said.finish())
}

/// Returns what a tag leads to now, and what there is to say of that.
pub(super) fn tag(
    id: &EntityId,
    uri: &str,
    with: &Resolving<'_>,
) -> Result<Vec<Statement>, Unresolved> {
    let reference = Reference::parse(uri)?;
    let tag = reference.tag.clone().unwrap_or_else(|| "latest".to_owned());
    let mut probe = Image::open(id, &reference, with)?;
    let (bytes, _) = probe.manifest(&tag)?;
    let target = EntityId::image(Digest::of(bytes));
    let source =
        Source::rule(format!("tag {} of {} at {}", shown(&tag), probe.registry.place(), with.now));
    let mut said = vec![Statement::edge(id, Relation::LedTo, &target, Grade::Inferred, &source)];
    said.extend(image(&target, uri, with)?);
    Ok(said)
}

fn unknown(uri: &str) -> Unresolved {
    Unresolved::Unknown(format!("`{}` names no image", shown(uri)))
}

impl<'a> Image<'a> {
    fn open(
        id: &EntityId,
        reference: &Reference,
        with: &'a Resolving<'a>,
    ) -> Result<Self, Unresolved> {
        let (url, reach) = with.place_of_registry(&reference.url)?;
        let registry = Registry::new(&url, reach, REQUEST).until(with.end());
        let said = Said::of(id, place(&registry.place()));
        Ok(Self {
            registry,
            with,
            said,
            asked: id.clone(),
            parts: Vec::new(),
            manifests: Vec::new(),
            beside: Vec::new(),
        })
    }

    /// Returns a manifest or index by digest, whose bytes have it, or by tag.
    fn manifest(&mut self, reference: &str) -> Result<(Vec<u8>, Manifest), Unresolved> {
        let url = self.registry.url(&format!("manifests/{reference}"));
        let bytes = self.registry.get(&url, Some(ACCEPTED))?.bytes(MANIFEST_BYTES)?;
        if reference.contains(':') && Digest::of(&bytes).to_string() != reference {
            return Err(Unresolved::Broken(format!("{url} has another digest")));
        }
        let manifest = serde_json::from_slice(&bytes)
            .map_err(|error| Unresolved::Broken(format!("{url} is no manifest: {error}")))?;
        Ok((bytes, manifest))
    }

    /// Returns a blob, whose bytes have the digest.
    fn blob(&mut self, digest: &Digest, limit: u64) -> Result<Vec<u8>, Unresolved> {
        let url = self.registry.url(&format!("blobs/{digest}"));
        let bytes = self.registry.get(&url, None).and_then(|answer| answer.bytes(limit))?;
        if Digest::of(&bytes) != *digest {
            return Err(Unresolved::Broken(format!("{url} has another digest")));
        }
        Ok(bytes)
    }

    /// Looks for a digest that is no manifest's among all that the tag leads to.
    fn through_tag(&mut self, digest: Digest, tag: &str, why: String) -> Result<(), Unresolved> {
        let (bytes, manifest) = self.manifest(tag)?;
        let statements = std::mem::take(&mut self.said.statements);
        self.walk(Digest::of(bytes), &manifest)?;
        if self.parts.contains(&digest) {
            return Ok(());
        }
        // the tag leads to another image by now
        self.said.statements = statements;
        Err(Unresolved::Gone(why))
    }

    /// Says what an index or manifest consists of.
    fn walk(&mut self, digest: Digest, manifest: &Manifest) -> Result<(), Unresolved> {
        let id = EntityId::image(digest);
        self.parts.push(digest);
        self.manifests.push(digest);
        for part in manifest.manifests.iter().filter(|part| part.is_attestation()) {
            let about = part.annotation("vnd.docker.reference.digest");
            if let Some(about) = about.and_then(|about| about.parse().ok()) {
                self.beside.push((about, part.clone()));
            }
        }
        self.about(&id, "resolution", "found");
        if let Some(kind) = &manifest.media_type {
            self.about(&id, "mediaType", kind);
        }
        if let Some(kind) = &manifest.artifact_type {
            self.about(&id, "artifactType", kind);
        }
        self.claims_of_annotations(&id, &manifest.annotations);
        for part in
            manifest.manifests.iter().filter(|part| !part.is_attestation()).take(MOST_MANIFESTS)
        {
            let Ok(digest) = part.digest.parse::<Digest>() else { continue };
            let child = EntityId::image(digest);
            self.part(&child, &id);
            if let Some(platform) = part.platform() {
                self.about(&child, "platform", platform);
            }
            match self.manifest(&digest.to_string()) {
                // an index within an index is not gone into
                Ok((_, manifest)) if manifest.manifests.is_empty() => {
                    self.walk_manifest(digest, &manifest)?;
                }
                Ok(_) => {}
                // mirrors often hold one platform alone
                Err(Unresolved::Gone(_)) => self.about(&child, "resolution", "gone"),
                Err(other) => return Err(other),
            }
        }
        if manifest.manifests.is_empty() {
            self.walk_manifest(digest, manifest)?;
        }
        Ok(())
    }

    /// Says what the config of a manifest says.
    fn walk_manifest(&mut self, digest: Digest, manifest: &Manifest) -> Result<(), Unresolved> {
        let id = EntityId::image(digest);
        if !self.parts.contains(&digest) {
            self.parts.push(digest);
            self.manifests.push(digest);
            self.about(&id, "resolution", "found");
            self.claims_of_annotations(&id, &manifest.annotations);
        }
        let bytes: u64 =
            manifest.layers.iter().map(|layer| layer.size).fold(0, u64::saturating_add);
        self.about(&id, "layers", manifest.layers.len().to_string());
        self.about(&id, "bytes", bytes.to_string());
        let Some(config) = &manifest.config else { return Ok(()) };
        let Ok(digest) = config.digest.parse::<Digest>() else { return Ok(()) };
        // the empty config of the specification belongs to no artifact in particular
        if config.media_type == push::EMPTY_KIND {
            return Ok(());
        }
        let child = EntityId::image(digest);
        self.parts.push(digest);
        self.part(&child, &id);
        let bytes = match self.blob(&digest, MANIFEST_BYTES) {
            Ok(bytes) => bytes,
            Err(Unresolved::Gone(_)) => {
                self.about(&child, "resolution", "gone");
                return Ok(());
            }
            Err(other) => return Err(other),
        };
        self.about(&child, "resolution", "found");
        if let Ok(config) = serde_json::from_slice::<Value>(&bytes) {
            self.claims_of_config(&child, &config);
        }
        Ok(())
    }

    fn part(&mut self, part: &EntityId, whole: &EntityId) {
        let source = self.said.source.clone();
        let edge = Statement::edge(part, Relation::PartOf, whole, Grade::Resolved, &source);
        self.said.statements.push(edge);
    }

    fn about(&mut self, id: &EntityId, field: &str, value: impl AsRef<str>) {
        self.said.of_other(id, field, value, Grade::Resolved);
    }
}

impl Descriptor {
    /// Returns whether this is what BuildKit adds to an index: statements about its neighbours.
    fn is_attestation(&self) -> bool {
        self.annotation("vnd.docker.reference.type") == Some("attestation-manifest")
    }

    fn annotation(&self, name: &str) -> Option<&str> {
        self.annotations.get(name).and_then(Value::as_str)
    }

    fn platform(&self) -> Option<String> {
        let get = |name: &str| self.platform.get(name).and_then(Value::as_str);
        let variant = get("variant").map(|variant| format!("/{variant}")).unwrap_or_default();
        Some(format!("{}/{}{variant}", get("os")?, get("architecture")?))
    }
}

/// Returns whether an error means that there is nothing.
fn is_missing(error: &HttpError) -> bool {
    matches!(error, HttpError::NotFound { .. })
}
