//! Charts in OCI registries. Every manifest and layer is checked against its digest.

use std::time::Duration;

use serde::Deserialize;
use sitewright_model::{diagnostic::Diagnostics, digest::Digest};

use super::{ArtifactError, download};
use crate::{http::HttpError, outbound::Reach, registry::Registry, settings::Settings, url::Url};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CHART_LAYERS: [&str; 2] = [
    "application/vnd.cncf.helm.chart.content.v1.tar+gzip",
    // What helm 3 wrote while its support for registries was an experiment.
    "application/tar+gzip",
];

/// Bytes of a manifest; the specification asks registries to take at least 4 MiB.
const MANIFEST_BYTES: u64 = 4 * 1024 * 1024;

/// Returns the archive of the chart at `chart`, which starts with `oci://`.
pub(super) fn archive(
    chart: &str,
    version: &str,
    from: &str,
    settings: &Settings,
) -> Result<Vec<u8>, Diagnostics> {
    archive_at(&download::address(chart, settings)?, version, from, settings)
}

/// Returns the archive of the chart at `url`, a mirror of which may be a folder on disk.
pub(super) fn archive_at(
    url: &Url,
    version: &str,
    from: &str,
    settings: &Settings,
) -> Result<Vec<u8>, Diagnostics> {
    if url.scheme() == "file" {
        // A mirror on disk holds the archives as `helm pull` names them.
        let archive = format!("{}-{version}.tgz", url.path().trim_end_matches('/'));
        return Ok(download::bytes(&url.with_rest(archive), from, settings)?);
    }
    if settings.offline {
        return Err(ArtifactError::Offline { from: from.to_owned() }.into());
    }
    Ok(Charts::new(url, from, settings).pull(version)?)
}

/// One repository of a registry.
struct Charts<'a> {
    registry: Registry,
    from: &'a str,
    settings: &'a Settings,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    #[serde(default)]
    layers: Vec<Layer>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Layer {
    #[serde(default)]
    media_type: String,
    digest: String,
    #[serde(default)]
    size: u64,
}

impl<'a> Charts<'a> {
    fn new(url: &Url, from: &'a str, settings: &'a Settings) -> Self {
        let deadline = Duration::from_secs(settings.limits.download_seconds);
        Self { registry: Registry::new(url, Reach::Anybody, deadline), from, settings }
    }

    fn pull(mut self, version: &str) -> Result<Vec<u8>, ArtifactError> {
        // A tag may hold no `+`; helm writes `_` for it.
        let tag = version.replace('+', "_");
        let bytes = self.manifest(&tag, version)?;
        let manifest: Manifest = serde_json::from_slice(&bytes)
            .map_err(|error| self.problem(format!("its manifest cannot be read: {error}")))?;
        let mut layers = manifest.layers.iter();
        let layer = layers
            .find(|layer| CHART_LAYERS.contains(&layer.media_type.as_str()))
            .ok_or_else(|| self.problem("what it has there is not a Helm chart".to_owned()))?;
        self.layer(layer)
    }

    fn manifest(&mut self, tag: &str, version: &str) -> Result<Vec<u8>, ArtifactError> {
        let url = self.registry.url(&format!("manifests/{tag}"));
        let answer = match self.registry.get(&url, Some(MANIFEST)) {
            Err(HttpError::NotFound { .. }) => {
                return Err(ArtifactError::NoChart {
                    place: self.registry.place(),
                    what: format!("version `{version}`"),
                    nearest: Vec::new(),
                });
            }
            other => other.map_err(|error| ArtifactError::http(self.from, &error))?,
        };
        let announced = answer.header("docker-content-digest").map(str::to_owned);
        let bytes =
            answer.bytes(MANIFEST_BYTES).map_err(|error| ArtifactError::http(self.from, &error))?;
        match announced {
            Some(announced) => self.check(&bytes, &announced)?,
            None => tracing::debug!(
                from = self.from,
                "the registry announces no digest of the manifest"
            ),
        }
        Ok(bytes)
    }

    fn layer(&mut self, layer: &Layer) -> Result<Vec<u8>, ArtifactError> {
        let limit = self.settings.limits.download_bytes;
        if layer.size > limit {
            return Err(ArtifactError::TooLarge { from: self.from.to_owned(), limit });
        }
        // The digest becomes a part of an address, so it must be one.
        let digest: Digest = layer.digest.parse().map_err(|_| {
            self.problem("the digest of its layer is not one of SHA-256".to_owned())
        })?;
        let url = self.registry.url(&format!("blobs/{digest}"));
        let bytes = self
            .registry
            .get(&url, None)
            .and_then(|answer| answer.bytes(limit))
            .map_err(|error| ArtifactError::http(self.from, &error))?;
        self.check(&bytes, &digest.to_string())?;
        Ok(bytes)
    }

    fn check(&self, bytes: &[u8], announced: &str) -> Result<(), ArtifactError> {
        let found = Digest::of(bytes).to_string();
        if found == announced {
            return Ok(());
        }
        let (from, announced) = (self.from.to_owned(), announced.escape_debug().to_string());
        Err(ArtifactError::Transfer { from, announced, found })
    }

    fn problem(&self, problem: String) -> ArtifactError {
        ArtifactError::Registry { place: self.registry.place(), problem }
    }
}
