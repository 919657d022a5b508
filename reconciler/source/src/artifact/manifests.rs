//! Plain manifests: from the blueprint's folder, from git, from a URL.

use std::collections::BTreeMap;

use sitewright_model::{
    diagnostic::Diagnostics,
    digest::Digest,
    files::Files,
    format::blueprint::{GitFolder, ManifestsSource},
};

use super::{Artifact, ArtifactError, Pin, download, part_of_blueprint, stored};
use crate::{
    cache::Cache,
    location::{Location, Reference, Repository},
    settings::Settings,
    snapshot::Snapshot,
    url::{Url, identity, public},
};

/// Where the manifests are.
enum Place<'a> {
    Path(&'a str),
    Git(&'a GitFolder),
    Url(&'a str),
}

fn place_of(source: &ManifestsSource) -> Result<Place<'_>, ArtifactError> {
    match (&source.path, &source.git, &source.url) {
        (Some(path), None, None) => Ok(Place::Path(path)),
        (None, Some(git), None) => Ok(Place::Git(git)),
        (None, None, Some(url)) => Ok(Place::Url(url)),
        _ => Err(ArtifactError::Place { kind: "manifests", places: "`path`, `git` and `url`" }),
    }
}

/// Returns where the manifests are, for people.
pub(super) fn place(source: &ManifestsSource) -> Result<String, ArtifactError> {
    Ok(match place_of(source)? {
        Place::Path(path) => path.to_owned(),
        Place::Git(git) => git_place(git),
        Place::Url(url) => identity(url),
    })
}

/// Returns the files, with the content that is pinned.
pub(super) fn get(
    source: &ManifestsSource,
    blueprint: &Files,
    pin: Pin<'_>,
    settings: &Settings,
    cache: &Cache,
) -> Result<Artifact, Diagnostics> {
    let from = place(source)?;
    pin.check_place(&from)?;
    if let Some((digest, files)) = kept(pin, cache, &from) {
        return Ok(Artifact { files, digest, version: None, from });
    }
    let (files, digest) = match place_of(source)? {
        Place::Path(path) => with_digest(part_of_blueprint(blueprint, path)?),
        Place::Git(git) => with_digest(from_git(git, settings)?),
        Place::Url(url) => from_url(url, &from, settings)?,
    };
    pin.check_digest(&from, digest)?;
    if !matches!(pin, Pin::Unneeded) {
        stored::put(cache, &digest, &files);
    }
    Ok(Artifact { files, digest, version: None, from })
}

fn with_digest(files: Files) -> (Files, Digest) {
    let digest = files.digest();
    (files, digest)
}

/// Returns the pinned files, if they were fetched before.
pub(super) fn kept(pin: Pin<'_>, cache: &Cache, from: &str) -> Option<(Digest, Files)> {
    let digest = pin.digest()?;
    Some((*digest, stored::get(cache, digest, from)?))
}

/// Returns where a git folder is, for people.
pub(super) fn git_place(git: &GitFolder) -> String {
    let path = git.path.trim_matches('/');
    format!("{}//{path}@{}", public(&git.url), git.reference)
}

/// Returns the files of a folder or of one file in git.
pub(super) fn from_git(git: &GitFolder, settings: &Settings) -> Result<Files, Diagnostics> {
    let location = Location::Git {
        repository: Repository::parse(&git.url)?,
        path: git.path.clone(),
        reference: Reference::parse(&git.reference)?,
    };
    let snapshot = Snapshot::open(&location, settings)?;
    let mut files = if snapshot.is_file(&git.path)? {
        let name = git.path.rsplit('/').next().unwrap_or(&git.path).to_owned();
        let entries = BTreeMap::from([(name, snapshot.file(&git.path)?)]);
        Files { label: String::new(), entries }
    } else {
        snapshot.folder(&git.path)?
    };
    files.label = git_place(git);
    Ok(files)
}

/// Returns one file, named by the last part of its address, and the digest of its bytes.
fn from_url(url: &str, from: &str, settings: &Settings) -> Result<(Files, Digest), Diagnostics> {
    let bytes = download::bytes(&download::address(url, settings)?, from, settings)?;
    let digest = Digest::of(&bytes);
    let path = Url::parse(url).map(|url| url.path().to_owned()).unwrap_or_default();
    let name = match path.rsplit('/').next().unwrap_or_default() {
        "" => "manifests.yaml".to_owned(),
        name if name.contains('.') => name.to_owned(),
        name => format!("{name}.yaml"),
    };
    let entries = BTreeMap::from([(name, bytes.into())]);
    Ok((Files { label: from.to_owned(), entries }, digest))
}
