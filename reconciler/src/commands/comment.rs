//! `plan --comment`: the plan on the pull request of a CI job.

use std::{env, fs};

use clap::{Args, ValueEnum};
use sitewright_model::{code::machine, diagnostic::Diagnostic, plan::Plan};
use sitewright_source::{Secret, outbound::Reach};

use crate::{
    cli::Failure,
    forge::{
        Api, Commented, Forge, Kind, PullRequest, Untold,
        ci::{Job, token_variables},
        comment,
    },
    output::plan::{self as output, Invocation},
};

/// Bytes of an event of a forge that are read: GitHub's are at most 25 MB.
const EVENT: u64 = 32 * 1024 * 1024;

/// Where the plan is written to.
#[derive(Args, Clone, Debug)]
pub(super) struct Comment {
    /// Write the plan to the pull request of this CI job, over the earlier comment on the same site
    #[arg(long)]
    comment: bool,
    /// Which forge [default: what the environment of the job says]
    #[arg(long, value_name = "FORGE", requires = "comment")]
    forge: Option<ForgeArgument>,
    /// Where its API begins, for example https://git.example.edu/api/v4 [default: what the job says]
    #[arg(long, value_name = "URL", requires = "comment")]
    forge_api: Option<String>,
    /// The repository there, OWNER/NAME [default: that of the job]
    #[arg(long, value_name = "NAME", requires = "comment")]
    forge_repository: Option<String>,
    /// The number of the pull request [default: that of the job]
    #[arg(long, value_name = "N", requires = "comment")]
    pull_request: Option<u64>,
}

/// Which forge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ForgeArgument {
    /// GitHub.
    Github,
    /// GitLab.
    Gitlab,
    /// Gitea.
    Gitea,
    /// Forgejo.
    Forgejo,
}

/// Where a comment goes.
pub(super) struct Target {
    forge: Forge,
    request: PullRequest,
}

impl Comment {
    /// Returns where the plan goes; none where nobody asked for it. Asked before the plan is made, so that what is
    /// missing is told at once.
    ///
    /// # Errors
    /// The environment does not say which pull request, and no option does; or there is no token.
    pub(super) fn target(&self) -> Result<Option<Target>, Failure> {
        if !self.comment {
            return Ok(None);
        }
        let job = Job::of(|name| env::var(name).ok(), read);
        Ok(Some(self.target_of(&job, |name| env::var(name).ok())?))
    }

    fn target_of(
        &self,
        job: &Job,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Target, Diagnostic> {
        let kind = self.forge.map(ForgeArgument::kind).or(job.kind);
        let kind = kind.ok_or_else(|| missing("which forge it is", "--forge"))?;
        // what the job of another forge says is not for this one
        let job = if job.kind == Some(kind) { job.clone() } else { Job::default() };
        let api = match self.forge_api.clone().or(job.api) {
            Some(text) => Api::parse(&text).map_err(|why| {
                Diagnostic::error(machine::BAD_ARGUMENT, format!("the API of the forge: {why}"))
                    .help("give --forge-api URL, for example https://git.example.edu/api/v4")
            })?,
            None if kind == Kind::GitHub => kind.api_at("https", "github.com"),
            None => return Err(missing("where its API is", "--forge-api")),
        };
        let repository = self.forge_repository.clone().or(job.repository);
        let repository =
            repository.ok_or_else(|| missing("the repository", "--forge-repository"))?;
        let number = self.pull_request.or(job.number);
        let number = number.ok_or_else(|| missing("the pull request", "--pull-request"))?;
        let token = token(kind, variable)?;
        // who runs the program chose the address
        let forge = Forge { kind, api, repository, token, reach: Reach::Anybody };
        Ok(Target { forge, request: PullRequest(number) })
    }
}

impl Target {
    /// Writes the plan, and returns what was done in one phrase. Blocks.
    ///
    /// # Errors
    /// The forge does not answer, or refuses.
    pub(super) fn write(&self, plan: &Plan, invocation: &Invocation) -> Result<String, Failure> {
        let text = output::markdown_within(plan, invocation, limit(self.forge.kind));
        let done = comment(&self.forge, self.request, &text).map_err(|why| self.failed(&why))?;
        let PullRequest(number) = self.request;
        let (verb, page) = match done {
            Commented::Created(page) => ("written to", page),
            Commented::Updated(page) => ("updated on", page),
            Commented::Unchanged => ("on", None),
        };
        let page = page.map(|page| format!(": {page}")).unwrap_or_default();
        Ok(format!("the plan is {verb} pull request {number}{page}"))
    }

    fn failed(&self, why: &Untold) -> Diagnostic {
        let PullRequest(number) = self.request;
        let name = self.forge.kind.name();
        let message = format!("pull request {number} of {}: {why}", self.forge.repository);
        let help = match why {
            Untold::Refused { status: 401 | 403, .. } => match self.forge.kind {
                Kind::GitHub => {
                    "the token must write pull requests: `permissions: { pull-requests: write }`; \
                     for a pull request of a fork GitHub gives a token that only reads"
                }
                Kind::GitLab => {
                    "the token must have the scope `api` and the role Reporter or above"
                }
                Kind::Gitea => "the token must have the scope `write:issue`",
            },
            Untold::Refused { status: 404, .. } => {
                "check the repository and the number, and that the token may see them"
            }
            _ => "run the job again; where it stays so, check --forge-api",
        };
        Diagnostic::error(machine::NOT_COMMENTED, message)
            .note(format!("the forge is {name}"))
            .help(help)
    }
}

impl ForgeArgument {
    fn kind(self) -> Kind {
        match self {
            Self::Github => Kind::GitHub,
            Self::Gitlab => Kind::GitLab,
            Self::Gitea | Self::Forgejo => Kind::Gitea,
        }
    }
}

/// Returns how many bytes a comment may have. Gitea has no limit of its own; one as long as GitHub's reads as well.
fn limit(kind: Kind) -> usize {
    match kind {
        Kind::GitHub | Kind::Gitea => output::COMMENT,
        Kind::GitLab => 1_000_000,
    }
}

fn token(kind: Kind, variable: impl Fn(&str) -> Option<String>) -> Result<Secret, Diagnostic> {
    let names = token_variables(kind);
    let set = names.iter().filter_map(|name| variable(name));
    let set = set.map(|token| token.trim().to_owned()).find(|token| !token.is_empty());
    set.map(Secret::new).ok_or_else(|| {
        let message = format!("there is no token for {}", kind.name());
        Diagnostic::error(machine::NO_PULL_REQUEST, message)
            .help(format!("set one of {}", names.join(", ")))
    })
}

fn missing(what: &str, option: &str) -> Diagnostic {
    let message = format!("nothing says {what} that the plan is for");
    Diagnostic::error(machine::NO_PULL_REQUEST, message)
        .note("the environment is that of no job for a pull request that is known here")
        .help(format!("give {option}; or leave --comment out, and use `-o markdown`"))
}

fn read(path: &str) -> Option<String> {
    let is_small = fs::metadata(path).is_ok_and(|metadata| metadata.len() <= EVENT);
    is_small.then(|| fs::read_to_string(path).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(variables: &[(&str, &str)], event: &str) -> Job {
        let variable = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        Job::of(variable, |_| Some(event.to_owned()))
    }

    fn comment() -> Comment {
        Comment {
            comment: true,
            forge: None,
            forge_api: None,
            forge_repository: None,
            pull_request: None,
        }
    }

    #[test]
    fn each_forge_says_where_its_pull_request_is() {
        let github = job(
            &[
                ("GITHUB_ACTIONS", "true"),
                ("GITHUB_API_URL", "https://api.github.com"),
                ("GITHUB_REPOSITORY", "lab/site"),
                ("GITHUB_REF", "refs/pull/7/merge"),
            ],
            "",
        );
        assert_eq!((github.kind, github.number), (Some(Kind::GitHub), Some(7)));
        let event = r#"{"pull_request":{"number":8}}"#;
        let target = [
            ("GITHUB_ACTIONS", "true"),
            ("GITHUB_REPOSITORY", "lab/site"),
            ("GITHUB_REF", "refs/heads/main"),
            ("GITHUB_EVENT_PATH", "/event.json"),
        ];
        assert_eq!(job(&target, event).number, Some(8));
        assert_eq!(job(&target, r#"{"issue":{"number":9}}"#).number, None, "it is an issue");
        let gitea = job(
            &[
                ("GITHUB_ACTIONS", "true"),
                ("GITHUB_API_URL", "https://git.example.edu/api/v1"),
                ("GITHUB_REPOSITORY", "lab/site"),
                ("GITHUB_REF", "refs/pull/3/head"),
            ],
            "",
        );
        assert_eq!((gitea.kind, gitea.number), (Some(Kind::Gitea), Some(3)));
        let gitlab = job(
            &[
                ("GITLAB_CI", "true"),
                ("CI_API_V4_URL", "https://gitlab.example.edu/api/v4"),
                ("CI_PROJECT_ID", "12"),
                ("CI_MERGE_REQUEST_IID", "5"),
            ],
            "",
        );
        assert_eq!((gitlab.kind, gitlab.number), (Some(Kind::GitLab), Some(5)));
        assert_eq!(gitlab.repository.as_deref(), Some("12"));
        assert_eq!(job(&[], ""), Job::default());
    }

    #[test]
    fn what_is_missing_is_told_with_the_option_that_says_it() {
        let none = |_: &str| None;
        let told = |comment: &Comment, job: &Job| {
            let error = comment.target_of(job, none).err().unwrap();
            (error.code, error.help.unwrap_or_default())
        };
        let (code, help) = told(&comment(), &Job::default());
        assert_eq!(code, machine::NO_PULL_REQUEST);
        assert!(help.contains("--forge"), "{help}");
        let mut asked = comment();
        asked.forge = Some(ForgeArgument::Github);
        asked.forge_repository = Some("lab/site".into());
        assert!(told(&asked, &Job::default()).1.contains("--pull-request"));
        asked.pull_request = Some(7);
        assert!(told(&asked, &Job::default()).1.contains("GITHUB_TOKEN"));
        let variable = |name: &str| (name == "GITHUB_TOKEN").then(|| "canary\n".to_owned());
        let target = asked.target_of(&Job::default(), variable).ok().unwrap();
        assert_eq!(target.forge.token.expose(), "canary");
        asked.forge_api = Some("https://user:canary@h/api".into());
        let error = asked.target_of(&Job::default(), variable).err().unwrap();
        assert!(!format!("{error:?}").contains("canary"), "{error:?}");
    }
}
