//! What a job of a forge says of itself in its environment.

use super::Kind;

/// What is known of the pull request that a job is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Job {
    /// Which forge.
    pub(crate) kind: Option<Kind>,
    /// Where its API begins.
    pub(crate) api: Option<String>,
    /// The repository.
    pub(crate) repository: Option<String>,
    /// The number of the pull request.
    pub(crate) number: Option<u64>,
}

/// The variables that hold a token, the first that is set counts; ours first.
pub(crate) fn token_variables(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::GitHub => &["SITEWRIGHT_FORGE_TOKEN", "GITHUB_TOKEN", "GH_TOKEN"],
        // the token of a job (CI_JOB_TOKEN) may not write notes
        Kind::GitLab => &["SITEWRIGHT_FORGE_TOKEN", "GITLAB_TOKEN"],
        Kind::Gitea => &["SITEWRIGHT_FORGE_TOKEN", "GITEA_TOKEN", "FORGEJO_TOKEN", "GITHUB_TOKEN"],
    }
}

impl Job {
    /// Reads the environment; `read` reads a file that it names.
    pub(crate) fn of(
        variable: impl Fn(&str) -> Option<String>,
        read: impl Fn(&str) -> Option<String>,
    ) -> Self {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        if set("GITLAB_CI").is_some() {
            return Self {
                kind: Some(Kind::GitLab),
                api: set("CI_API_V4_URL"),
                // a merge request of a fork is one of the project that it is for
                repository: set("CI_MERGE_REQUEST_PROJECT_ID").or_else(|| set("CI_PROJECT_ID")),
                number: set("CI_MERGE_REQUEST_IID").and_then(|text| text.parse().ok()),
            };
        }
        if set("GITHUB_ACTIONS").is_none() && set("GITHUB_REPOSITORY").is_none() {
            return Self::default();
        }
        let api = set("GITHUB_API_URL");
        // Gitea and Forgejo speak as GitHub's runner does, with their own API
        let names = ["GITEA_ACTIONS", "FORGEJO_ACTIONS"];
        let is_gitea = names.iter().any(|name| set(name).is_some())
            || api.as_deref().is_some_and(|api| api.trim_end_matches('/').ends_with("/api/v1"));
        let kind = if is_gitea { Kind::Gitea } else { Kind::GitHub };
        let of_reference = set("GITHUB_REF").as_deref().and_then(number_of_reference);
        let of_event = || set("GITHUB_EVENT_PATH").and_then(|path| number_of_event(&read(&path)?));
        let number = of_reference.or_else(of_event);
        Self { kind: Some(kind), api, repository: set("GITHUB_REPOSITORY"), number }
    }
}

/// Reads `refs/pull/7/merge`.
fn number_of_reference(reference: &str) -> Option<u64> {
    reference.strip_prefix("refs/pull/")?.split('/').next()?.parse().ok()
}

/// Reads the number out of the event that started the job; one about an issue is about a pull request where it says so.
fn number_of_event(event: &str) -> Option<u64> {
    let event: serde_json::Value = serde_json::from_str(event).ok()?;
    let number = |pointer: &str| event.pointer(pointer).and_then(serde_json::Value::as_u64);
    let is_request = event.pointer("/issue/pull_request").is_some_and(|found| found.is_object());
    number("/pull_request/number").or_else(|| number("/issue/number").filter(|_| is_request))
}
