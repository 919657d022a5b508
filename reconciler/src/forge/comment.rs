//! A comment on a pull request that is updated in place.
//!
//! The comment is found again by its first line, a marker that Markdown hides, and by its author: a stranger could
//! write the same line, have us fill the comment, and then change what we seem to say.

use serde_json::{Value, json};
use sitewright_source::outbound::Method;

use super::{Forge, Kind, Untold};

/// Comments of one page of a list.
const PAGE: usize = 100;

/// Pages of comments that are read: a pull request with more gets a new comment.
const PAGES: usize = 50;

/// Bytes of a page: a hundred comments of the largest size.
const PAGE_BYTES: u64 = 16 * 1024 * 1024;

/// Who writes with the token of a job, where the forge does not say who we are.
const JOBS: [&str; 3] = ["github-actions[bot]", "gitea-actions", "forgejo-actions"];

/// A pull request, or a merge request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PullRequest(pub(crate) u64);

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Commented {
    /// There is a comment now; its address, where the forge tells it.
    Created(Option<String>),
    /// The earlier comment has the new text.
    Updated(Option<String>),
    /// The earlier comment had this text.
    Unchanged,
}

/// Writes `text`, whose first line is the marker, as a comment, over our earlier one with the same marker. Blocks.
///
/// # Errors
/// The forge does not answer, or refuses.
pub(crate) fn comment(
    forge: &Forge,
    request: PullRequest,
    text: &str,
) -> Result<Commented, Untold> {
    let marker = text.lines().next().unwrap_or_default();
    let list = list(forge, request);
    let us = us(forge)?;
    let body = json!({ "body": text });
    let Some(known) = find(forge, &list, marker, us.as_deref())? else {
        let outgoing = forge.post(Method::Post, &list, &body)?;
        return Ok(Commented::Created(page_of(&forge.ask(&outgoing)?)));
    };
    if known.body == text {
        return Ok(Commented::Unchanged);
    }
    let path = match forge.kind {
        Kind::GitLab => format!("{list}/{}", known.id),
        Kind::GitHub | Kind::Gitea => format!("{}/issues/comments/{}", forge.path(), known.id),
    };
    let method = if forge.kind == Kind::GitLab { Method::Put } else { Method::Patch };
    let outgoing = forge.post(method, &path, &body)?;
    Ok(Commented::Updated(page_of(&forge.ask(&outgoing)?)))
}

/// An earlier comment.
struct Earlier {
    id: u64,
    body: String,
}

fn list(forge: &Forge, PullRequest(number): PullRequest) -> String {
    match forge.kind {
        Kind::GitLab => format!("{}/merge_requests/{number}/notes", forge.path()),
        Kind::GitHub | Kind::Gitea => format!("{}/issues/{number}/comments", forge.path()),
    }
}

/// Returns who we are to the forge; none where it does not tell, as GitHub does not tell a job.
fn us(forge: &Forge) -> Result<Option<String>, Untold> {
    let outgoing = forge.request(Method::Get, "/user")?;
    let reply = forge.send(&outgoing)?;
    match reply.status {
        200..=299 => {
            let user: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
            Ok(login(&user, forge.kind).map(str::to_owned))
        }
        // what the token is good for is seen when it is used
        401 | 403 | 404 => Ok(None),
        _ => Err(Untold::refused(outgoing.host().to_owned(), &reply)),
    }
}

fn find(
    forge: &Forge,
    list: &str,
    marker: &str,
    us: Option<&str>,
) -> Result<Option<Earlier>, Untold> {
    for page in 1..=PAGES {
        let order = if forge.kind == Kind::GitLab { "&sort=asc" } else { "" };
        let path = format!("{list}?per_page={PAGE}&limit={PAGE}&page={page}{order}");
        let outgoing = forge.request(Method::Get, &path)?.answer_of(PAGE_BYTES);
        let answer = forge.ask(&outgoing)?;
        let host = || outgoing.host().to_owned();
        let comments = answer
            .as_array()
            .ok_or_else(|| Untold::Nonsense { host: host(), why: "it is no list of comments" })?;
        let ours = comments.iter().find(|comment| is_ours(comment, forge.kind, marker, us));
        if let Some(found) = ours {
            let id = found["id"].as_u64();
            let id =
                id.ok_or_else(|| Untold::Nonsense { host: host(), why: "a comment has no id" })?;
            let body = found["body"].as_str().unwrap_or_default().to_owned();
            return Ok(Some(Earlier { id, body }));
        }
        // Gitea gives all comments at once
        if comments.len() < PAGE || forge.kind == Kind::Gitea {
            break;
        }
    }
    Ok(None)
}

fn is_ours(comment: &Value, kind: Kind, marker: &str, us: Option<&str>) -> bool {
    let author = if kind == Kind::GitLab { &comment["author"] } else { &comment["user"] };
    let author_login = login(author, kind).unwrap_or_default();
    let is_by_us = match us {
        Some(us) => author_login.eq_ignore_ascii_case(us),
        None => JOBS.contains(&author_login) || author["type"] == "Bot",
    };
    let first = comment["body"].as_str().unwrap_or_default().lines().next();
    is_by_us && first.is_some_and(|line| line.trim_end() == marker)
}

fn login(user: &Value, kind: Kind) -> Option<&str> {
    let key = if kind == Kind::GitLab { "username" } else { "login" };
    user[key].as_str().filter(|login| !login.is_empty())
}

fn page_of(comment: &Value) -> Option<String> {
    comment["html_url"].as_str().map(crate::output::words::clean)
}
