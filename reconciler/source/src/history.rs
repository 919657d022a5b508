//! Whether a reference moved forward, or its history was rewritten.
//!
//! Comes in: a [`Location`] and two commits that it meant, one after the other. Goes out: [`Moved`]. Never: decides what
//! becomes of a rewritten one.

use std::collections::HashSet;

use git2::{Oid, Repository as Git};
use sitewright_model::diagnostic::Diagnostics;

use crate::{
    git::{self, refs},
    location::{Location, Reference, Repository},
    settings::Settings,
};

/// Commits that are walked at most; beyond them nothing is proven.
const MOST: usize = 200_000;

/// How a reference came from one commit to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moved {
    /// The earlier commit led to the later one; or what was asked for names another commit each time by its nature: a
    /// version range, a working tree.
    Forward,
    /// The earlier commit is not among those that led to the later one: the branch was forced.
    Rewritten,
    /// It is a tag, and tags do not move.
    Tag,
    /// The histories are too long to tell.
    Unknown,
}

/// Returns how the reference of `location` came from `before` to `after`.
///
/// Costs nothing where `before` is a parent of `after`, which is here already; else the commits in between are fetched,
/// without their files where the server can leave them out.
///
/// # Errors
/// The repository cannot be reached, or one of the two is no commit id.
pub fn moved(
    location: &Location,
    before: &str,
    after: &str,
    settings: &Settings,
) -> Result<Moved, Diagnostics> {
    let Location::Git { repository, reference, .. } = location else { return Ok(Moved::Forward) };
    let name = match reference {
        Reference::Commit(_) | Reference::Range { .. } => return Ok(Moved::Forward),
        Reference::Default => None,
        Reference::Named(name) => Some(name.as_str()).filter(|name| *name != refs::HEAD),
    };
    let (Ok(before), Ok(after)) = (before.parse::<Oid>(), after.parse::<Oid>()) else {
        return Ok(Moved::Unknown);
    };
    if before == after {
        return Ok(Moved::Forward);
    }
    let url = match repository {
        Repository::Local(folder) => return Ok(locally(folder, name, before, after)),
        Repository::Remote(url) => settings.mirrored(url)?,
    };
    match Repository::of_url(url)? {
        Repository::Local(folder) => Ok(locally(&folder, name, before, after)),
        Repository::Remote(mirror) => git::moved(&mirror, name, before, after, settings),
    }
}

fn locally(folder: &std::path::Path, name: Option<&str>, before: Oid, after: Oid) -> Moved {
    let Ok(repository) = Git::open(folder) else { return Moved::Unknown };
    let is_tag = name.is_some_and(|name| {
        let full =
            refs::candidates(name).into_iter().find(|full| repository.find_reference(full).is_ok());
        full.is_some_and(|full| refs::is_tag(&full))
    });
    if is_tag {
        return Moved::Tag;
    }
    match led(&repository, before, after) {
        Led::Yes => Moved::Forward,
        // here is all that there is, but for what was never fetched
        Led::No | Led::Cut => Moved::Rewritten,
        Led::TooLong => Moved::Unknown,
    }
}

/// Whether one commit led to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Led {
    Yes,
    No,
    /// Some commits between them are not here.
    Cut,
    TooLong,
}

/// Walks back from `after` as far as the commits are here.
pub(crate) fn led(repository: &Git, before: Oid, after: Oid) -> Led {
    let mut seen = HashSet::from([after]);
    let mut next = vec![after];
    let mut is_cut = false;
    while let Some(id) = next.pop() {
        let Ok(commit) = repository.find_commit(id) else {
            is_cut = true;
            continue;
        };
        for parent in commit.parent_ids() {
            if parent == before {
                return Led::Yes;
            }
            if seen.insert(parent) {
                next.push(parent);
            }
        }
        if seen.len() > MOST {
            return Led::TooLong;
        }
    }
    if is_cut { Led::Cut } else { Led::No }
}
