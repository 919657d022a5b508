//! Forges: what is told to GitHub, GitLab, Gitea and Forgejo about commits and pull requests.
//!
//! Comes in: which forge, its repository, a token, what to tell. Goes out: requests in the forge's own words, and
//! what came of them. Never: when or whether to tell; those who call it decide that.

pub(crate) mod ci;
mod comment;
mod status;
#[cfg(test)]
pub(crate) mod tests;

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use sitewright_source::{
    Secret, Url,
    outbound::{Method, Outgoing, Reach, Reply, SendError, send},
};

pub(crate) use self::{
    comment::{Commented, PullRequest, comment},
    status::{CommitState, CommitStatus},
};

/// How long a forge may take for one answer; theirs take less than a second.
pub(crate) const DEADLINE: Duration = Duration::from_secs(15);

/// Which forge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// github.com, or GitHub Enterprise.
    GitHub,
    /// gitlab.com, or a GitLab of one's own.
    GitLab,
    /// Gitea, or Forgejo, whose API is the same.
    Gitea,
}

/// A repository of a forge, and the right to tell it something.
#[derive(Clone)]
pub(crate) struct Forge {
    /// Which one.
    pub(crate) kind: Kind,
    /// Where its API begins, without a slash at the end.
    pub(crate) api: Api,
    /// `owner/name`; with GitLab also deeper, or a number.
    pub(crate) repository: String,
    /// What proves who we are.
    pub(crate) token: Secret,
    /// Who may be spoken to.
    pub(crate) reach: Reach,
}

/// Where an API begins: an address of HTTP without credentials, query and slash at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Api(String);

/// Why a forge was not told.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Untold {
    /// There is no answer.
    #[error(transparent)]
    NoAnswer(#[from] SendError),
    /// It refuses.
    #[error("`{host}` answers with HTTP {status}")]
    Refused {
        /// Who.
        host: String,
        /// The code.
        status: u16,
        /// When to try again, where it says so.
        retry_after: Option<Duration>,
    },
    /// It answers in a way that is not understood.
    #[error("`{host}` answers in a way that is not understood: {why}")]
    Nonsense {
        /// Who.
        host: String,
        /// What is odd.
        why: &'static str,
    },
}

// === impl Kind ===

impl Kind {
    /// Returns where the API of a forge is whose pages are at `host`.
    pub(crate) fn api_at(self, scheme: &str, host: &str) -> Api {
        Api(match self {
            Self::GitHub if host == "github.com" => "https://api.github.com".to_owned(),
            Self::GitHub => format!("{scheme}://{host}/api/v3"),
            Self::GitLab => format!("{scheme}://{host}/api/v4"),
            Self::Gitea => format!("{scheme}://{host}/api/v1"),
        })
    }

    /// Returns the name as people know it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::GitHub => "GitHub",
            Self::GitLab => "GitLab",
            Self::Gitea => "Gitea",
        }
    }
}

// === impl Api ===

impl Api {
    /// Reads an address.
    ///
    /// # Errors
    /// Why it is none; the address is not in the words.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let url = Url::parse(text).map_err(|problem| problem.to_string())?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err("it is neither https nor http".to_owned());
        }
        // what is public has neither credentials nor a query
        if url.public() != text || text.contains('@') {
            return Err("it has credentials or a query, or is written in an odd way".to_owned());
        }
        Ok(Self(text.trim_end_matches('/').to_owned()))
    }
}

// === impl Forge ===

impl Forge {
    /// Returns a request to the API; `path` begins with a slash, its parts are escaped.
    fn request(&self, method: Method, path: &str) -> Result<Outgoing, Untold> {
        let Api(api) = &self.api;
        let url = Url::parse(&format!("{api}{path}"))
            .map_err(|_| Untold::Nonsense { host: api.clone(), why: "its address is none" })?;
        let outgoing = Outgoing::new(method, url, DEADLINE);
        Ok(match self.kind {
            Kind::GitHub => outgoing
                .header("Accept", "application/vnd.github+json")
                .header("X-GitHub-Api-Version", "2022-11-28")
                .secret("Authorization", "Bearer ", &self.token),
            Kind::GitLab => outgoing.secret("PRIVATE-TOKEN", "", &self.token),
            Kind::Gitea => outgoing.header("Accept", "application/json").secret(
                "Authorization",
                "token ",
                &self.token,
            ),
        })
    }

    fn post(&self, method: Method, path: &str, body: &Value) -> Result<Outgoing, Untold> {
        Ok(self.request(method, path)?.body("application/json", body.to_string()))
    }

    fn send(&self, outgoing: &Outgoing) -> Result<Reply, Untold> {
        Ok(send(outgoing, &self.reach)?)
    }

    /// Sends, and takes nothing but success for an answer.
    fn ask(&self, outgoing: &Outgoing) -> Result<Value, Untold> {
        let reply = self.send(outgoing)?;
        let host = || outgoing.host().to_owned();
        if !reply.is_success() {
            return Err(Untold::refused(host(), &reply));
        }
        serde_json::from_slice(&reply.body)
            .map_err(|_| Untold::Nonsense { host: host(), why: "it is no JSON" })
    }

    /// Returns the path of the repository in the API.
    fn path(&self) -> String {
        match self.kind {
            Kind::GitLab => format!("/projects/{}", escaped(&self.repository)),
            Kind::GitHub | Kind::Gitea => {
                let parts: Vec<String> = self.repository.split('/').map(escaped).collect();
                format!("/repos/{}", parts.join("/"))
            }
        }
    }
}

// === impl Untold ===

impl Untold {
    /// Makes an error of what was answered.
    pub(crate) fn refused(host: String, reply: &Reply) -> Self {
        let retry_after = retry_after(reply, Timestamp::now());
        Self::Refused { host, status: reply.status, retry_after }
    }

    /// Returns whether the same message may be taken later, and when at the earliest, where that is known.
    pub(crate) fn passes(&self) -> Option<Duration> {
        match self {
            Self::NoAnswer(SendError::Unreachable { .. }) => Some(Duration::ZERO),
            Self::NoAnswer(_) | Self::Nonsense { .. } => None,
            // 403 with a time is GitHub's secondary rate limit
            Self::Refused { retry_after: Some(after), .. } => Some(*after),
            Self::Refused { status, .. } => {
                matches!(status, 408 | 425 | 429 | 500..=599).then_some(Duration::ZERO)
            }
        }
    }
}

/// Returns when to try again, as the answer says: `Retry-After` (RFC 9110, 10.2.3), or the end of GitHub's limit.
/// A time is by the clock of who answers, and so is how long it is until then: ours, which stands at `now`, may be wrong.
fn retry_after(reply: &Reply, now: Timestamp) -> Option<Duration> {
    let now = reply.header("date").and_then(date).unwrap_or(now);
    if let Some(text) = reply.header("retry-after") {
        if let Ok(seconds) = text.trim().parse() {
            return Some(Duration::from_secs(seconds));
        }
        return Some(until(now, date(text)?));
    }
    let is_used_up = reply.header("x-ratelimit-remaining") == Some("0");
    let reset = reply.header("x-ratelimit-reset").filter(|_| is_used_up && reply.status >= 400)?;
    Some(until(now, Timestamp::from_second(reset.parse().ok()?).ok()?))
}

fn date(text: &str) -> Option<Timestamp> {
    jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text.trim()).ok()
}

fn until(now: Timestamp, later: Timestamp) -> Duration {
    Duration::try_from(later.duration_since(now)).unwrap_or_default()
}

/// Returns `text` as one part of a path (RFC 3986, 2.3).
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}
