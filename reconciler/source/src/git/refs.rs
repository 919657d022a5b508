//! From what was asked for to a commit.

use git2::{ErrorCode, ObjectType, Oid, Repository};

use crate::{location::Reference, nearest::nearest, snapshot::SnapshotError};

/// What a repository is at now: its default branch, where nothing is checked out.
pub(crate) const HEAD: &str = "HEAD";

/// Returns the commit that `reference` names in a repository on disk; `label` is what to call that.
pub(crate) fn resolve_local(
    repository: &Repository,
    label: &str,
    reference: &Reference,
) -> Result<Oid, SnapshotError> {
    let names = local_names(repository);
    match reference {
        Reference::Default => head(repository, label),
        Reference::Named(name) if name == HEAD => head(repository, label),
        Reference::Commit(id) => {
            commit_by_id(repository, id).ok_or_else(|| unknown(reference, label, &names))
        }
        Reference::Range { text, range } => {
            let tag = highest(range, &names).map_err(|highest| SnapshotError::NoVersion {
                range: text.clone(),
                repository: label.to_owned(),
                highest,
            })?;
            peeled(repository, &format!("refs/tags/{tag}"))
                .ok_or_else(|| unknown(reference, label, &names))
        }
        // What was fetched from elsewhere (`origin/main`) is known here alone: no server tells of it.
        Reference::Named(name) => candidates(name)
            .iter()
            .chain([&format!("refs/remotes/{name}")])
            .find_map(|full| peeled(repository, full))
            .map_or_else(|| commit_by_prefix(repository, name, reference, label, &names), Ok),
    }
}

fn head(repository: &Repository, label: &str) -> Result<Oid, SnapshotError> {
    match repository.head().and_then(|head| head.peel_to_commit()) {
        Ok(commit) => Ok(commit.id()),
        Err(_) => Err(SnapshotError::Empty(label.to_owned())),
    }
}

/// Returns the full names that a short one may stand for, in git's order: a tag wins over a branch.
pub(crate) fn candidates(name: &str) -> Vec<String> {
    if name.starts_with("refs/") {
        vec![name.to_owned()]
    } else {
        vec![format!("refs/tags/{name}"), format!("refs/heads/{name}")]
    }
}

/// Returns whether a full name is that of a tag.
pub(crate) fn is_tag(full: &str) -> bool {
    full.starts_with("refs/tags/")
}

/// Returns the tag with the highest version in `range`; else the highest version that there is.
pub(crate) fn highest<'a>(
    range: &semver::VersionReq,
    full_names: &'a [String],
) -> Result<&'a str, Option<String>> {
    let mut versions: Vec<(semver::Version, &str)> = full_names
        .iter()
        .filter_map(|full| full.strip_prefix("refs/tags/"))
        .filter_map(|tag| Some((semver::Version::parse(tag.trim_start_matches('v')).ok()?, tag)))
        .collect();
    versions.sort();
    let fitting = versions.iter().rev().find(|(version, _)| range.matches(version));
    match fitting {
        Some((_, tag)) => Ok(tag),
        None => Err(versions.last().map(|(_, tag)| (*tag).to_owned())),
    }
}

/// Returns the error that says what there is instead.
pub(crate) fn unknown(reference: &Reference, label: &str, full_names: &[String]) -> SnapshotError {
    let asked = reference.text().unwrap_or("HEAD").to_owned();
    let short = full_names.iter().map(|full| short_name(full));
    let nearest = nearest(&asked, short).into_iter().map(str::to_owned).collect();
    SnapshotError::UnknownReference { reference: asked, repository: label.to_owned(), nearest }
}

fn short_name(full: &str) -> &str {
    let kinds = ["refs/heads/", "refs/tags/", "refs/remotes/"];
    kinds.iter().find_map(|kind| full.strip_prefix(kind)).unwrap_or(full)
}

fn local_names(repository: &Repository) -> Vec<String> {
    let Ok(references) = repository.references() else { return Vec::new() };
    let names = references.flatten().filter_map(|found| found.name().map(str::to_owned).ok());
    names.collect()
}

fn peeled(repository: &Repository, full: &str) -> Option<Oid> {
    let found = repository.find_reference(full).ok()?;
    found.peel_to_commit().ok().map(|commit| commit.id())
}

/// Returns the commit with this whole id.
pub(crate) fn commit_by_id(repository: &Repository, id: &str) -> Option<Oid> {
    let id = id.parse().ok()?;
    let object = repository.find_object(id, None).ok()?;
    object.peel_to_commit().ok().map(|commit| commit.id())
}

/// Returns whether `name` can be the beginning of a commit id.
pub(crate) fn is_commit_prefix(name: &str) -> bool {
    /// Git's own minimum: shorter beginnings are names.
    const SHORTEST: usize = 4;
    (SHORTEST..40).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Returns the commit whose id begins with `name`.
pub(crate) fn commit_by_prefix(
    repository: &Repository,
    name: &str,
    reference: &Reference,
    label: &str,
    names: &[String],
) -> Result<Oid, SnapshotError> {
    if !is_commit_prefix(name) {
        return Err(unknown(reference, label, names));
    }
    match repository.find_object_by_prefix(name, Some(ObjectType::Commit)) {
        Ok(object) => Ok(object.id()),
        Err(error) if error.code() == ErrorCode::Ambiguous => Err(SnapshotError::Ambiguous {
            reference: name.to_owned(),
            repository: label.to_owned(),
        }),
        Err(_) => Err(unknown(reference, label, names)),
    }
}
