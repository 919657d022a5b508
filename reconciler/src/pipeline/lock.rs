//! Pinning: what a site's libraries and sources lead to now, for `site.lock`.

use std::collections::{BTreeMap, BTreeSet};

use semver::Version;
use sitewright_model::{
    diagnostic::Diagnostics,
    format::{
        blueprint::Blueprint,
        lock::{Lock, LockedLibrary, LockedSource},
        site::Library,
    },
    name::{BlueprintName, SourceName},
    render::BlueprintFolder,
};
use sitewright_source::{
    Cache, Location, Reference, Settings, Snapshot, artifact, location::Repository,
};

use super::{
    fetch,
    library::{at_place, lock_key},
    parsed,
    site::{SiteFolder, Texts},
};

/// Returns what `site.lock` should say: the commit of each library in git, and the digest of each source
/// that names none itself.
///
/// # Errors
/// Every library and source that cannot be resolved, and all that [`super::load`] finds.
pub(super) fn lock(
    snapshot: &Snapshot,
    settings: &Settings,
    cache: &Cache,
) -> Result<Lock, Diagnostics> {
    let mut folder = SiteFolder::parse(snapshot, Texts::read(snapshot)?)?;
    let libraries = libraries(&folder, settings)?;
    folder.lock = Lock { libraries, ..Lock::default() };
    let parsed = parsed::parse(snapshot, folder, settings)?;
    let mut lock = parsed.folder.lock;
    let mut mistakes = Diagnostics::default();
    let mut versions: BTreeMap<&BlueprintName, BTreeSet<&Version>> = BTreeMap::new();
    for component in &parsed.components {
        let metadata = &component.input.blueprint.blueprint.metadata;
        versions.entry(&metadata.name).or_default().insert(&metadata.version);
    }
    for component in &parsed.components {
        let blueprint = &component.input.blueprint;
        let name = &blueprint.blueprint.metadata.name;
        let is_only_version = versions.get(name).is_none_or(|versions| versions.len() == 1);
        let key = if is_only_version { fetch::lock_key } else { fetch::versioned_lock_key };
        match sources(blueprint, key, settings, cache) {
            Ok(sources) => lock.sources.extend(sources),
            Err(error) => mistakes.extend(fetch::named(error, &component.input)),
        }
    }
    if mistakes.has_errors() { Err(mistakes) } else { Ok(lock) }
}

fn libraries(
    folder: &SiteFolder,
    settings: &Settings,
) -> Result<BTreeMap<String, LockedLibrary>, Diagnostics> {
    let mut locked = BTreeMap::new();
    let mut mistakes = Diagnostics::default();
    for (index, library) in folder.site.value.spec.blueprints.iter().enumerate() {
        let place = || folder.site.document.place(&format!("/spec/blueprints/{index}"));
        match resolve(library, settings) {
            Ok(found) => locked.extend(found),
            Err(error) => mistakes.extend(at_place(error, place)),
        }
    }
    if mistakes.has_errors() { Err(mistakes) } else { Ok(locked) }
}

/// Returns the commit that a library is at now; none for a folder of the site's own repository.
fn resolve(
    library: &Library,
    settings: &Settings,
) -> Result<Option<(String, LockedLibrary)>, Diagnostics> {
    let Some(url) = &library.git else { return Ok(None) };
    let reference = match &library.reference {
        Some(reference) => Reference::parse(reference)?,
        None => Reference::Default,
    };
    let repository = Repository::parse(url)?;
    let location = Location::Git { repository, path: String::new(), reference };
    let commit = Snapshot::open(&location, settings)?.origin().commit;
    let key = lock_key(url, library.reference.as_deref());
    Ok(commit.map(|commit| (key, LockedLibrary { commit })))
}

fn sources(
    blueprint: &BlueprintFolder,
    key: impl Fn(&Blueprint, &SourceName) -> String,
    settings: &Settings,
    cache: &Cache,
) -> Result<Vec<(String, LockedSource)>, Diagnostics> {
    let mut locked = Vec::new();
    let mut mistakes = Diagnostics::default();
    for source in &blueprint.blueprint.spec.sources {
        match artifact::resolve(source, &blueprint.files, settings, cache) {
            Ok(None) => {}
            Ok(Some(found)) => {
                locked.push((key(&blueprint.blueprint, &source.name), found));
            }
            Err(error) => mistakes.extend(error),
        }
    }
    if mistakes.has_errors() { Err(mistakes) } else { Ok(locked) }
}
