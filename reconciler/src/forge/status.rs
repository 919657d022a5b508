//! The status of a commit.

use serde_json::{Value, json};
use sitewright_source::outbound::{Method, Outgoing};

use super::{Forge, Kind, Untold, escaped};

/// Characters of a description: GitHub takes 140, and refuses a longer one. GitLab and Gitea take 255.
const DESCRIPTION: usize = 140;

/// How a commit fares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CommitState {
    /// It is under way, or waits.
    Pending,
    /// It is applied, and everything is healthy.
    Success,
    /// It does not work, and only another commit or a person helps.
    Failure,
    /// It could not be tried, and is tried again.
    Error,
}

/// What is said of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CommitStatus {
    /// How it fares.
    pub(crate) state: CommitState,
    /// Whose status it is, for example `sitewright/lab-gpu`.
    pub(crate) context: String,
    /// One sentence.
    pub(crate) description: String,
    /// A page to look at.
    pub(crate) target: Option<String>,
}

/// What came of a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Posted {
    /// The forge shows it.
    New,
    /// The forge showed this state already.
    Known,
}

impl CommitState {
    /// Returns the name of the state at a forge.
    pub(crate) fn name(self, kind: Kind) -> &'static str {
        match (self, kind) {
            (Self::Pending, _) => "pending",
            (Self::Success, _) => "success",
            (Self::Failure | Self::Error, Kind::GitLab) => "failed",
            (Self::Failure, _) => "failure",
            (Self::Error, _) => "error",
        }
    }
}

impl Forge {
    /// Returns the request that sets the status of `commit`.
    ///
    /// # Errors
    /// The address of the API makes no sense.
    pub(crate) fn status_request(
        &self,
        commit: &str,
        status: &CommitStatus,
    ) -> Result<Outgoing, Untold> {
        let path = format!("{}/statuses/{}", self.path(), escaped(commit));
        let mut body = json!({
            "state": status.state.name(self.kind),
            "description": crate::output::words::cut(&status.description, DESCRIPTION, "…"),
        });
        // GitLab calls it a name
        let context = if self.kind == Kind::GitLab { "name" } else { "context" };
        if let Value::Object(body) = &mut body {
            body.insert(context.to_owned(), status.context.clone().into());
            if let Some(target) = &status.target {
                body.insert("target_url".to_owned(), target.clone().into());
            }
        }
        self.post(Method::Post, &path, &body)
    }

    /// Sets the status of a commit. Blocks.
    ///
    /// # Errors
    /// The forge does not answer, or refuses.
    pub(crate) fn set_status(&self, commit: &str, status: &CommitStatus) -> Result<Posted, Untold> {
        let outgoing = self.status_request(commit, status)?;
        let reply = self.send(&outgoing)?;
        match reply.status {
            200..=299 => Ok(Posted::New),
            // GitLab takes each state once: "Cannot transition status via :enqueue from :pending"
            400 if self.kind == Kind::GitLab && says_transition(&reply.body) => Ok(Posted::Known),
            _ => Err(Untold::refused(outgoing.host().to_owned(), &reply)),
        }
    }
}

fn says_transition(body: &[u8]) -> bool {
    String::from_utf8_lossy(body).contains("Cannot transition status")
}
