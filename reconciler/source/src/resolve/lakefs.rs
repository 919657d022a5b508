//! lakeFS: whether a commit exists, and what a branch or tag leads to.

use serde::Deserialize;
use sitewright_model::lineage::{EntityId, Grade, Relation, Source, Statement};

use super::{Resolving, Said, Unresolved, is_plain_path, place, shown, store::LakeFs};
use crate::{
    credentials::Login,
    http::{self, Request},
    registry::escaped,
};

/// Bytes of one answer.
const ANSWER: u64 = 1024 * 1024;

#[derive(Deserialize)]
struct Commit {
    id: String,
    #[serde(default)]
    parents: Vec<String>,
    #[serde(default)]
    meta_range_id: String,
    #[serde(default)]
    creation_date: i64,
}

#[derive(Deserialize)]
struct Reference {
    commit_id: String,
}

/// Returns what there is to say of `data:lakefs:REPOSITORY/COMMIT`.
pub(super) fn commit(id: &EntityId, with: &Resolving<'_>) -> Result<Vec<Statement>, Unresolved> {
    let named = id.rest().strip_prefix("lakefs:").and_then(|rest| rest.split_once('/'));
    let (repository, commit) = named.ok_or_else(|| Unresolved::Unknown(id.to_string()))?;
    let rest = format!("repositories/{}/commits/{}", segment(repository), segment(commit));
    let (store, found): (&LakeFs, Commit) = ask(&rest, with)?;
    if found.id != commit {
        return Err(Unresolved::Broken(format!(
            "{} has it as `{}`",
            store.endpoint,
            shown(&found.id)
        )));
    }
    let mut said = Said::found(id, place(&format!("{}/{repository}", store.endpoint)));
    if !found.meta_range_id.is_empty() {
        said.fact("metaRange", &found.meta_range_id);
    }
    if let Ok(at) = jiff::Timestamp::from_second(found.creation_date) {
        said.fact("committedAt", at.to_string());
    }
    if !found.parents.is_empty() {
        said.fact("parents", found.parents.join(", "));
    }
    Ok(said.finish())
}

/// Returns what the branch or tag in `lakefs://REPOSITORY/NAME[/path]` leads to now, and what there is to say of that.
pub(super) fn name(
    id: &EntityId,
    uri: &str,
    with: &Resolving<'_>,
) -> Result<Vec<Statement>, Unresolved> {
    let mut parts = uri.strip_prefix("lakefs://").unwrap_or_default().split('/');
    let (repository, name) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    if repository.is_empty() || name.is_empty() {
        return Err(Unresolved::Unknown(format!("`{}` names no branch", shown(uri))));
    }
    let mut last = None;
    for (kind, what) in [("branches", "branch"), ("tags", "tag")] {
        let rest = format!("repositories/{}/{kind}/{}", segment(repository), segment(name));
        let (store, found): (&LakeFs, Reference) = match ask(&rest, with) {
            Ok(found) => found,
            Err(gone @ Unresolved::Gone(_)) => {
                last = Some(gone);
                continue;
            }
            Err(other) => return Err(other),
        };
        let target = EntityId::data("lakefs", &format!("{repository}/{}", found.commit_id))
            .ok_or_else(|| Unresolved::Broken("it leads to no commit".to_owned()))?;
        let rule =
            format!("{what} {} of {}/{repository} at {}", shown(name), store.endpoint, with.now);
        let source = Source::rule(rule);
        let mut said =
            vec![Statement::edge(id, Relation::LedTo, &target, Grade::Inferred, &source)];
        said.extend(commit(&target, with)?);
        return Ok(said);
    }
    Err(last.unwrap_or_else(|| Unresolved::Gone(shown(uri))))
}

/// Asks every server that the site names, in order, until one has it.
fn ask<'w, T: serde::de::DeserializeOwned>(
    rest: &str,
    with: &'w Resolving<'_>,
) -> Result<(&'w LakeFs, T), Unresolved> {
    let mut last = Unresolved::Refused("the site names no server of lakeFS".to_owned());
    for store in &with.stores.lakefs {
        match ask_one(store, rest, with) {
            Ok(found) => return Ok((store, found)),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn ask_one<T: serde::de::DeserializeOwned>(
    store: &LakeFs,
    rest: &str,
    with: &Resolving<'_>,
) -> Result<T, Unresolved> {
    if with.settings.offline {
        return Err(Unresolved::Away("the network may not be used".to_owned()));
    }
    if !is_plain_path(rest) {
        return Err(Unresolved::Unknown(format!("`{}` names nothing of lakeFS", shown(rest))));
    }
    let path = store.endpoint.path().trim_end_matches('/');
    let url = store.endpoint.with_rest(format!("{path}/api/v1/{rest}"));
    if !url.is_private() {
        return Err(Unresolved::Refused(format!("a key would be sent to `{url}` unencrypted")));
    }
    let mut request = Request::get(&url, with.deadline);
    let login = Login::new(&store.access_key, store.secret_key.expose());
    request.authorization = Some(login.header());
    let bytes = http::send(&request)?.bytes(ANSWER)?;
    let broken = |error| Unresolved::Away(format!("`{url}` answers in another way: {error}"));
    serde_json::from_slice(&bytes).map_err(broken)
}

/// Escapes what becomes one part of a path.
fn segment(text: &str) -> String {
    escaped(text).replace('/', "%2F").replace(':', "%3A")
}
