//! Git: whether a commit is on the server, what leads to it, and what it holds.

use std::collections::{BTreeMap, HashMap, HashSet};

use sitewright_model::lineage::{EntityId, Grade, Relation, Source, Statement};

use super::{
    Resolving, Said, Unresolved,
    commit::{Commit, Listing},
    place, shown,
};
use crate::{
    git::{GitError, Name, ObjectKind, Objects, Remote, Room, Tip, Want, refs},
    url::Url,
};

/// Bytes of one answer of a server; a commit without its large files is a few megabytes.
const BYTES: u64 = 128 * 1024 * 1024;

/// What may come out of the packs of one repository; it is all in memory.
const ROOM: Room = Room { object: 32 << 20, total: 192 << 20, objects: 1_000_000 };

/// What is left out of a commit: files of 1 KiB and more. Pointers and most files of DVC are smaller.
const SMALL: &str = "blob:limit=1k";

/// References that are asked about; a repository with more has them for its machines.
const MOST_TIPS: usize = 2_000;

/// What keeps a commit on its server: branches and tags, and what `lineage submit` pushes.
const KEPT: [&str; 4] = ["HEAD", "refs/heads/", "refs/tags/", "refs/sitewright/"];

/// References that are named as leading to a commit.
const SHOWN_TIPS: usize = 5;

/// Returns what there is to say of the commit `id` of the repository at `uri`, `git+https://host/repo[#path]`.
pub(super) fn commit(
    id: &EntityId,
    uri: &str,
    with: &Resolving<'_>,
) -> Result<Vec<Statement>, Unresolved> {
    let (url, path) = repository(uri)?;
    let (address, reach) = with.place(&url)?;
    let remote = Remote::new(&address, &reach, ROOM, BYTES, with.end());
    found(id, &url, path, &remote)
}

/// Returns what a branch or tag leads to now, `git+https://host/repo@name`, and what there is to say of that commit.
pub(super) fn name(
    id: &EntityId,
    uri: &str,
    with: &Resolving<'_>,
) -> Result<Vec<Statement>, Unresolved> {
    let (place, path) = uri.split_once('#').unwrap_or((uri, ""));
    let path_from = place.find("://").map_or(0, |at| at + 3);
    let slash =
        place.get(path_from..).and_then(|rest| rest.find('/')).map_or(0, |at| at + path_from);
    let (bare, reference) = match place.rsplit_once('@') {
        Some((bare, reference)) if bare.len() > slash => (bare, reference),
        _ => (place, refs::HEAD),
    };
    let (url, _) = repository(bare)?;
    let (address, reach) = with.place(&url)?;
    let remote = Remote::new(&address, &reach, ROOM, BYTES, with.end());
    let candidates = match reference {
        refs::HEAD => vec![refs::HEAD.to_owned()],
        name => refs::candidates(name),
    };
    let prefixes: Vec<&str> = candidates.iter().map(String::as_str).collect();
    let tips = remote.tips(&prefixes)?;
    let tip = candidates.iter().find_map(|full| tips.iter().find(|tip| tip.name == *full));
    let gone =
        || Unresolved::Gone(format!("`{}` is no branch or tag of `{url}`", shown(reference)));
    let tip = tip.ok_or_else(gone)?;
    let target = EntityId::commit(tip.commit.as_str()).ok_or_else(gone)?;
    let source = Source::rule(format!("{} of {url} at {}", shown(&tip.name), with.now));
    let mut said = vec![Statement::edge(id, Relation::LedTo, &target, Grade::Inferred, &source)];
    said.extend(found(&target, &url, Some(path).filter(|path| !path.is_empty()), &remote)?);
    Ok(said)
}

/// Returns the references that lead to the commit `id` of the repository at `url`.
pub(super) fn leads_to(
    url: &Url,
    id: &str,
    with: &Resolving<'_>,
) -> Result<Option<String>, Unresolved> {
    let name = Name::parse(id).ok_or_else(|| Unresolved::Unknown(shown(id)))?;
    let (address, reach) = with.place(url)?;
    let remote = Remote::new(&address, &reach, ROOM, BYTES, with.end());
    let format = remote.objects()?;
    match reached(&name, &remote.tips(&KEPT)?, &remote, format.format()) {
        Reached::From(names) => Ok(Some(names)),
        Reached::Nowhere => Ok(None),
        Reached::Unknown(why) => Err(Unresolved::Away(why)),
    }
}

/// Takes `git+https://host/repo[#path]` apart.
fn repository(uri: &str) -> Result<(Url, Option<&str>), Unresolved> {
    let (place, path) = match uri.split_once('#') {
        Some((place, path)) => (place, Some(path.trim_matches('/'))),
        None => (uri, None),
    };
    let text = place.strip_prefix("git+").unwrap_or(place);
    let url = Url::parse(text).map_err(|problem| {
        Unresolved::Unknown(format!("`{}` is no address: {problem}", shown(place)))
    })?;
    Ok((url, path.filter(|path| !path.is_empty())))
}

fn found(
    id: &EntityId,
    url: &Url,
    path: Option<&str>,
    remote: &Remote<'_>,
) -> Result<Vec<Statement>, Unresolved> {
    let gone = |why: &str| Unresolved::Gone(format!("`{url}` {why}"));
    let name = Name::parse(id.rest()).ok_or_else(|| gone("has no such commit"))?;
    let mut objects = remote.objects()?;
    if objects.is_sha256() != (name.as_str().len() == 64) {
        return Err(gone("has ids of another kind"));
    }
    let tips = remote.tips(&KEPT)?;
    bring(&name, &tips, remote, &mut objects)?;
    let commit = match objects.get(&name) {
        Some((ObjectKind::Commit, bytes)) => Commit::parse(bytes),
        Some(_) => return Err(gone("has something with this id that is no commit")),
        None => return Err(gone("has no such commit")),
    };
    let commit = commit.ok_or_else(|| Unresolved::Broken("it is no commit of git".to_owned()))?;
    let mut said = Said::found(id, place(&format!("git+{url}")));
    said.fact("objectFormat", if objects.is_sha256() { "sha256" } else { "sha1" });
    said.fact("tree", commit.tree.as_str());
    said.fact("authoredAt", commit.authored_at.to_string());
    said.fact("committedAt", commit.committed_at.to_string());
    match reached(&name, &tips, remote, objects.format()) {
        Reached::From(names) => said.fact("reachableFrom", names),
        Reached::Nowhere => said.fact("reachableFrom", "none"),
        Reached::Unknown(why) => said.graded("reachableFrom", why, Grade::Unknown),
    }
    let listing = Listing::of(&commit.tree, &objects);
    if let Some(path) = path {
        said.fact("path", format!("{path}: {}", listing.kind_at(path)));
    }
    listing.say(&mut said, remote, &mut objects);
    Ok(said.finish())
}

/// Fetches the commit by its id; from a server that gives out tips alone, all that leads to these.
fn bring(
    name: &Name,
    tips: &[Tip],
    remote: &Remote<'_>,
    objects: &mut Objects,
) -> Result<(), Unresolved> {
    let filter = Some(SMALL);
    let want = Want { ids: vec![name.clone()], is_shallow: true, filter, ..Want::default() };
    match remote.fetch(want, objects) {
        Err(GitError::Server { .. }) if tips.is_empty() => Ok(()),
        Err(GitError::Server { .. }) => {
            let want = Want { ids: distinct(tips), filter, ..Want::default() };
            Ok(remote.fetch(want, objects)?)
        }
        other => Ok(other?),
    }
}

fn distinct(tips: &[Tip]) -> Vec<Name> {
    let mut seen = HashSet::new();
    let all = tips.iter().take(MOST_TIPS).map(|tip| tip.id.clone());
    all.filter(|id| seen.insert(id.clone())).collect()
}

/// What leads to a commit.
enum Reached {
    /// These references.
    From(String),
    /// None: it is on the server until that tidies up.
    Nowhere,
    /// There is too much to look through.
    Unknown(String),
}

/// Finds the references that lead to a commit: asks for what is between it and them, without trees and files.
fn reached(name: &Name, tips: &[Tip], remote: &Remote<'_>, format: &str) -> Reached {
    let at_tip: Vec<&Tip> = tips.iter().filter(|tip| tip.commit == *name).collect();
    if !at_tip.is_empty() {
        return Reached::From(in_words(&at_tip, tips));
    }
    if tips.is_empty() {
        return Reached::Nowhere;
    }
    let mut history = Objects::new(format, ROOM);
    let filter = Some("tree:0");
    let want = Want { ids: distinct(tips), except: vec![name.clone()], filter, ..Want::default() };
    if let Err(error) = remote.fetch(want, &mut history) {
        return Reached::Unknown(format!("not looked through: {}", Unresolved::from(error)));
    }
    let after = descendants(name, &history);
    let leading: Vec<&Tip> = tips.iter().filter(|tip| after.contains(&tip.commit)).collect();
    match leading.is_empty() {
        false => Reached::From(in_words(&leading, tips)),
        true if tips.len() > MOST_TIPS => Reached::Unknown("too many references".to_owned()),
        true => Reached::Nowhere,
    }
}

/// Returns the commits that `name` led to.
fn descendants(name: &Name, history: &Objects) -> HashSet<Name> {
    let mut children: HashMap<Name, Vec<&Name>> = HashMap::new();
    for (id, bytes) in history.commits() {
        for parent in Commit::parse(bytes).map(|commit| commit.parents).unwrap_or_default() {
            children.entry(parent).or_default().push(id);
        }
    }
    let mut found = HashSet::new();
    let mut next = vec![name];
    while let Some(one) = next.pop() {
        for child in children.get(one).into_iter().flatten() {
            if found.insert((*child).clone()) {
                next.push(child);
            }
        }
    }
    found
}

/// Names references, those of the default branch first.
fn in_words(leading: &[&Tip], all: &[Tip]) -> String {
    let head = all.iter().find(|tip| tip.name == refs::HEAD).map(|tip| &tip.commit);
    let named = leading.iter().filter(|tip| tip.name != refs::HEAD);
    let mut ordered: BTreeMap<(bool, &str), ()> = BTreeMap::new();
    for tip in named {
        ordered.insert((head != Some(&tip.commit), &tip.name), ());
    }
    let names: Vec<&str> = ordered.keys().map(|(_, name)| *name).collect();
    let shown: Vec<&str> = names.iter().copied().take(SHOWN_TIPS).collect();
    match names.len().saturating_sub(SHOWN_TIPS) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}
