//! Upstream artifacts by content: charts and manifests from a blueprint's folder, git, HTTP and OCI.
//!
//! Comes in: a source of a blueprint, the blueprint's files, what the lock says. Goes out: the files,
//! whose digest is the one that was pinned. What is pinned and was fetched before needs no network.

mod archive;
mod chart;
mod download;
mod error;
mod manifests;
mod oci;
mod repository;
mod stored;

use sitewright_model::{
    diagnostic::Diagnostics,
    digest::Digest,
    files::Files,
    format::{
        blueprint::{HelmSource, ManifestsSource, Source},
        lock::LockedSource,
    },
};

pub(crate) use self::archive::unpack;
pub use self::error::ArtifactError;
use crate::{cache::Cache, settings::Settings, url::identity};

/// An upstream artifact.
#[derive(Clone, Debug)]
pub struct Artifact {
    /// Its files; of a chart, without the folder that chart archives have at the top.
    pub files: Files,
    /// The digest of its content: [`Files::digest`], or that of the bytes where a URL leads to one file.
    pub digest: Digest,
    /// The version of a chart.
    pub version: Option<String>,
    /// Where it came from, for people; also what a lock entry is for.
    pub from: String,
}

/// What must be true of an artifact besides its place.
#[derive(Clone, Copy)]
enum Pin<'a> {
    /// The source itself names the digest.
    Own(&'a Digest),
    /// The lock names it, for a place that was resolved before.
    Locked(&'a LockedSource),
    /// It lies in the blueprint's folder, and the commit pins that.
    Unneeded,
    /// Nothing names it yet: `sitewright lock` is about to.
    Resolving,
}

/// Returns the chart or manifests of `source`, with the content that is pinned.
///
/// `blueprint` holds the files of the blueprint's folder, `locked` the entry of `site.lock`, if any.
pub fn fetch(
    source: &Source,
    blueprint: &Files,
    locked: Option<&LockedSource>,
    settings: &Settings,
    cache: &Cache,
) -> Result<Artifact, Diagnostics> {
    match (&source.helm, &source.manifests) {
        (Some(helm), None) => fetch_chart(helm, blueprint, locked, settings, cache),
        (None, Some(manifests)) => fetch_manifests(manifests, blueprint, locked, settings, cache),
        _ => Err(ArtifactError::Kind(source.name.to_string()).into()),
    }
}

/// Returns the chart of a `helm` source, with the content that is pinned.
pub fn fetch_chart(
    source: &HelmSource,
    blueprint: &Files,
    locked: Option<&LockedSource>,
    settings: &Settings,
    cache: &Cache,
) -> Result<Artifact, Diagnostics> {
    let pin = Pin::of(source.path.is_some(), source.digest.as_ref(), locked)
        .ok_or_else(|| not_pinned(chart::place(source)))?;
    chart::get(source, blueprint, pin, settings, cache)
}

/// Returns the files of a `manifests` source, with the content that is pinned.
pub fn fetch_manifests(
    source: &ManifestsSource,
    blueprint: &Files,
    locked: Option<&LockedSource>,
    settings: &Settings,
    cache: &Cache,
) -> Result<Artifact, Diagnostics> {
    let pin = Pin::of(source.path.is_some(), source.digest.as_ref(), locked)
        .ok_or_else(|| not_pinned(manifests::place(source)))?;
    manifests::get(source, blueprint, pin, settings, cache)
}

/// Returns what `site.lock` should say of `source`: what is found at its place now.
///
/// None where the lock has nothing to say: the source lies in the blueprint's folder, or names its
/// digest itself; a digest that no longer fits is an error here too.
pub fn resolve(
    source: &Source,
    blueprint: &Files,
    settings: &Settings,
    cache: &Cache,
) -> Result<Option<LockedSource>, Diagnostics> {
    let is_pinned =
        |path: &Option<String>, digest: &Option<Digest>| path.is_some() || digest.is_some();
    let artifact = match (&source.helm, &source.manifests) {
        (Some(helm), None) if is_pinned(&helm.path, &helm.digest) => {
            fetch_chart(helm, blueprint, None, settings, cache)?;
            return Ok(None);
        }
        (None, Some(manifests)) if is_pinned(&manifests.path, &manifests.digest) => {
            fetch_manifests(manifests, blueprint, None, settings, cache)?;
            return Ok(None);
        }
        (Some(helm), None) => chart::get(helm, blueprint, Pin::Resolving, settings, cache)?,
        (None, Some(manifests)) => {
            manifests::get(manifests, blueprint, Pin::Resolving, settings, cache)?
        }
        _ => return Err(ArtifactError::Kind(source.name.to_string()).into()),
    };
    let Artifact { digest, version, from, .. } = artifact;
    Ok(Some(LockedSource { from, version, digest }))
}

fn not_pinned(place: Result<String, ArtifactError>) -> Diagnostics {
    match place {
        Ok(from) => ArtifactError::NotPinned { from }.into(),
        Err(error) => error.into(),
    }
}

impl<'a> Pin<'a> {
    /// Returns what pins a source; none if nothing does.
    fn of(
        is_local: bool,
        own: Option<&'a Digest>,
        locked: Option<&'a LockedSource>,
    ) -> Option<Self> {
        match (own, is_local, locked) {
            (Some(digest), _, _) => Some(Self::Own(digest)),
            (None, true, _) => Some(Self::Unneeded),
            (None, false, Some(locked)) => Some(Self::Locked(locked)),
            (None, false, None) => None,
        }
    }

    fn digest(&self) -> Option<&'a Digest> {
        match self {
            Self::Own(digest) => Some(digest),
            Self::Locked(locked) => Some(&locked.digest),
            Self::Unneeded | Self::Resolving => None,
        }
    }

    /// Refuses a lock entry that was made for another place: its content may be anything.
    fn check_place(&self, from: &str) -> Result<(), ArtifactError> {
        match self {
            // Locks of before held the query as it was written.
            Self::Locked(locked) if locked.from != from && identity(&locked.from) != from => {
                Err(ArtifactError::LockedElsewhere {
                    from: from.to_owned(),
                    locked: identity(&locked.from),
                })
            }
            _ => Ok(()),
        }
    }

    /// Refuses content that is not what was pinned.
    fn check_digest(&self, from: &str, found: Digest) -> Result<(), ArtifactError> {
        match self.digest() {
            Some(pinned) if *pinned != found => Err(ArtifactError::DigestMismatch {
                from: from.to_owned(),
                pinned: *pinned,
                found,
                in_lock: matches!(self, Self::Locked(_)),
            }),
            _ => Ok(()),
        }
    }
}

/// Returns the files below `path` of a blueprint's folder, or the one file there, by its name.
fn part_of_blueprint(blueprint: &Files, path: &str) -> Result<Files, ArtifactError> {
    let clean = inner_path(path)?;
    let label = blueprint.display(&clean);
    let mut entries = std::collections::BTreeMap::new();
    for (file, content) in &blueprint.entries {
        let rest = if clean.is_empty() {
            Some(file.as_str())
        } else {
            file.strip_prefix(&clean).and_then(|rest| rest.strip_prefix('/'))
        };
        if let Some(rest) = rest {
            entries.insert(rest.to_owned(), content.clone());
        }
    }
    if let Some(content) = blueprint.get(&clean) {
        let name = clean.rsplit('/').next().unwrap_or(&clean);
        entries.insert(name.to_owned(), content.clone());
    }
    if entries.is_empty() {
        let names = blueprint.entries.keys().flat_map(|file| folders_of(file));
        let nearest = crate::nearest::nearest(&clean, names);
        let nearest = nearest.into_iter().map(str::to_owned).collect();
        return Err(ArtifactError::NoSuchPath { path: label, nearest });
    }
    Ok(Files { label, entries })
}

/// Returns a file's path and every folder on the way to it.
fn folders_of(file: &str) -> impl Iterator<Item = &str> {
    let folders =
        file.char_indices().filter(|(_, c)| *c == '/').filter_map(|(at, _)| file.get(..at));
    folders.chain([file])
}

/// Returns `path` without `.` parts and slashes at the end; refuses one that leads out.
fn inner_path(path: &str) -> Result<String, ArtifactError> {
    let parts: Vec<&str> =
        path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    if path.starts_with('/') || parts.contains(&"..") {
        return Err(ArtifactError::PathLeaves(path.to_owned()));
    }
    Ok(parts.join("/"))
}

/// Unpacks `data` as the archive of a chart, for the fuzz targets.
pub(crate) fn fuzz_unpack(
    data: &[u8],
    limits: &crate::settings::Limits,
) -> Option<crate::fuzz::Unpacked> {
    archive::unpack(data, limits).and_then(archive::strip_top).ok()
}
