//! Who vouches for an image: provenance by SLSA, in in-toto statements, in DSSE envelopes.

use std::collections::BTreeMap;

use serde_json::Value;
use sitewright_model::{
    digest::Digest,
    lineage::{EntityId, Grade, Relation},
};

use super::{Descriptor, Image, MANIFEST_BYTES, Manifest, is_missing};
use crate::{
    resolve::{
        Unresolved,
        dsse::{Envelope, IN_TOTO},
    },
    url::public,
};

/// Attestations of one image that are read.
const MOST: usize = 32;

/// Kinds of artifacts that may hold a statement.
const KINDS: [&str; 4] = [
    "application/vnd.dsse.envelope.v1+json",
    "application/vnd.in-toto+json",
    "application/vnd.dev.sigstore.bundle.v0.3+json",
    "application/vnd.dev.cosign.artifact.att.v1+json",
];

impl Image<'_> {
    /// Records what attestations of any part of the image say. That there are none, or that they cannot be read,
    /// takes nothing away from what is known of the image.
    pub(super) fn attestations(&mut self) {
        for digest in self.manifests.clone() {
            let layers = match self.layers_about(&digest) {
                Ok(layers) => layers,
                Err(error) => {
                    let id = EntityId::image(digest);
                    self.said.of_other(&id, "attestations", error.to_string(), Grade::Unknown);
                    continue;
                }
            };
            for layer in layers.into_iter().take(MOST) {
                let Ok(digest_of_layer) = layer.digest.parse::<Digest>() else { continue };
                let Ok(bytes) = self.blob(&digest_of_layer, MANIFEST_BYTES) else { continue };
                self.statement(&digest, &digest_of_layer, &bytes);
            }
        }
    }

    /// Returns the layers that may hold statements about `digest`: of referrers, by their API or by the tag that stands
    /// for it, and of the tag of cosign.
    fn layers_about(&mut self, digest: &Digest) -> Result<Vec<Descriptor>, Unresolved> {
        let mut layers = Vec::new();
        for referrer in self.referrers(digest)?.into_iter().take(MOST) {
            let kind = referrer.artifact_type.as_deref().unwrap_or_default();
            if !KINDS.iter().any(|known| kind.starts_with(known))
                && !kind.contains("sigstore.bundle")
            {
                continue;
            }
            if let Ok((_, manifest)) = self.manifest(&referrer.digest) {
                layers.extend(manifest.layers);
            }
        }
        let tag = format!("sha256-{}.att", digest.hex());
        match self.manifest(&tag) {
            Ok((_, manifest)) => layers.extend(manifest.layers),
            Err(Unresolved::Gone(_)) => {}
            Err(other) => return Err(other),
        }
        let beside: Vec<Descriptor> = self
            .beside
            .iter()
            .filter(|(about, _)| about == digest)
            .take(MOST)
            .map(|(_, part)| part.clone())
            .collect();
        for part in beside {
            if let Ok((_, manifest)) = self.manifest(&part.digest) {
                layers.extend(manifest.layers);
            }
        }
        Ok(layers)
    }

    fn referrers(&mut self, digest: &Digest) -> Result<Vec<Descriptor>, Unresolved> {
        let url = self.registry.url(&format!("referrers/{digest}"));
        let answer = self.registry.get(&url, None).and_then(|answer| answer.bytes(MANIFEST_BYTES));
        let bytes = match answer {
            Ok(bytes) => bytes,
            Err(error) if is_missing(&error) => {
                let tag = format!("sha256-{}", digest.hex());
                return match self.manifest(&tag) {
                    Ok((_, index)) => Ok(index.manifests),
                    Err(Unresolved::Gone(_)) => Ok(Vec::new()),
                    Err(other) => Err(other),
                };
            }
            Err(error) => return Err(error.into()),
        };
        let index: Manifest = serde_json::from_slice(&bytes).unwrap_or_default();
        Ok(index.manifests)
    }

    /// Records what one statement says, at the grade that its signature deserves.
    fn statement(&mut self, digest: &Digest, layer: &Digest, bytes: &[u8]) {
        let envelope = Envelope::parse(bytes).filter(|envelope| envelope.kind == IN_TOTO);
        let key = envelope.as_ref().and_then(|envelope| envelope.signed_by(self.with.keys));
        let payload = envelope.as_ref().map_or(bytes, |envelope| envelope.payload.as_slice());
        let Ok(statement) = serde_json::from_slice::<Value>(payload) else { return };
        if !is_about(&statement, digest) {
            return;
        }
        let text = |pointer: &str| statement.pointer(pointer).and_then(Value::as_str);
        let kind = text("/predicateType").unwrap_or_default().to_owned();
        let (grade, signer) = match key {
            Some(key) => (Grade::Attested, key.name().to_owned()),
            None => (Grade::Claimed, "nobody known here".to_owned()),
        };
        let id = EntityId::image(*digest);
        let source = std::mem::take(&mut self.said.source);
        self.said.source = source.at(format!("attestation {layer}"));
        self.said.of_other(&id, "attestation", format!("{kind} signed by {signer}"), grade);
        let builder = text("/predicate/runDetails/builder/id").or(text("/predicate/builder/id"));
        if let Some(builder) = builder {
            self.said.of_other(&id, "builder", builder, grade);
        }
        let code = commits(&statement);
        // of several repositories, which one held the code and which the recipe is not told
        let relation = if code.len() == 1 { Relation::RanCode } else { Relation::DerivedFrom };
        for (commit, uri) in code {
            self.link(&id, relation, &commit, grade, &format!("attestation {layer}"));
            self.said.of_other(&commit, "uri", uri, grade);
        }
        self.said.source = source;
    }
}

/// Returns whether a statement is about `digest`.
fn is_about(statement: &Value, digest: &Digest) -> bool {
    let kind = statement.get("_type").and_then(Value::as_str).unwrap_or_default();
    let subjects = statement.get("subject").and_then(Value::as_array);
    kind.starts_with("https://in-toto.io/Statement/")
        && subjects.into_iter().flatten().any(|subject| {
            let found = subject.pointer("/digest/sha256").and_then(Value::as_str);
            found.is_some_and(|found| found.eq_ignore_ascii_case(&digest.hex()))
        })
}

/// Returns the commits that a provenance (SLSA 0.2 or 1) says the build started from, and their repositories.
fn commits(statement: &Value) -> BTreeMap<EntityId, String> {
    let kind = statement.get("predicateType").and_then(Value::as_str).unwrap_or_default();
    let list = match kind {
        "https://slsa.dev/provenance/v1" => "/predicate/buildDefinition/resolvedDependencies",
        "https://slsa.dev/provenance/v0.2" => "/predicate/materials",
        _ => return BTreeMap::new(),
    };
    let inputs = statement.pointer(list).and_then(Value::as_array);
    // BuildKit has the repository as `https://host/repo.git#reference`
    let is_git =
        |uri: &str| uri.starts_with("git+") || uri.contains(".git#") || uri.ends_with(".git");
    let commit = |input: &Value| {
        let uri = input.get("uri").and_then(Value::as_str).unwrap_or_default();
        let digest = input.get("digest")?;
        let id = match digest.get("gitCommit") {
            Some(id) => id,
            // before `gitCommit` there was only this
            None if is_git(uri) => digest.get("sha1")?,
            None => return None,
        };
        let uri = public(uri.split('#').next().unwrap_or_default());
        let bare = uri.strip_prefix("git+").unwrap_or(&uri);
        let path_from = bare.find("://").map_or(0, |at| at + 3);
        // a reference behind the repository: `git+https://host/repo@refs/heads/main`
        let slash = bare.get(path_from..).and_then(|rest| rest.find('/')).map(|at| at + path_from);
        let bare = match (bare.find('@'), slash) {
            (Some(at), Some(slash)) if at > slash => bare.get(..at).unwrap_or(bare),
            _ => bare,
        };
        Some((EntityId::commit(id.as_str()?)?, format!("git+{bare}")))
    };
    inputs.into_iter().flatten().filter_map(commit).collect()
}
