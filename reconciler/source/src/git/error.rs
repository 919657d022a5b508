//! What can go wrong between us and a git server.

use sitewright_model::code::{self, Code};

use crate::{credentials, error::Numbered, http::HttpError, url::Url};

/// What can go wrong between us and a git server. Addresses are shown without credentials.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// The network is needed and may not be used.
    #[error(
        "`{reference}` of `{repository}` is not on this machine, and the network may not be used"
    )]
    Offline {
        /// The repository.
        repository: Url,
        /// What was asked for.
        reference: String,
    },
    /// No connection, or it broke.
    #[error("git server of `{repository}` does not answer")]
    Unreachable {
        /// The repository.
        repository: Url,
        /// What was seen, one sentence each.
        facts: Vec<String>,
    },
    /// The server wants another or any login.
    #[error("git server refuses access to `{repository}`")]
    Refused {
        /// The repository.
        repository: Url,
        /// What was seen, one sentence each.
        facts: Vec<String>,
    },
    /// The server knows no such repository, or does not say.
    #[error("there is no git repository at `{repository}`")]
    NotFound {
        /// The repository.
        repository: Url,
        /// What was seen, one sentence each.
        facts: Vec<String>,
    },
    /// The answer is not git's protocol.
    #[error("git server of `{repository}` answers in a way that is not understood: {problem}")]
    Protocol {
        /// The repository.
        repository: Url,
        /// What is wrong.
        problem: String,
    },
    /// The server reports an error.
    #[error("git server of `{repository}` reports: {message}")]
    Server {
        /// The repository.
        repository: Url,
        /// What it says, control characters escaped.
        message: String,
    },
    /// More than the bound.
    #[error("`{repository}` sends more than {limit} bytes")]
    TooLarge {
        /// The repository.
        repository: Url,
        /// The bound.
        limit: u64,
    },
    /// An object, or all of them together, beyond the bound.
    #[error("`{repository}` sends {what}")]
    TooLargeInside {
        /// The repository.
        repository: Url,
        /// What is too large, with the bound.
        what: String,
    },
    /// The program ssh is not there.
    #[error("`{repository}` is read over ssh, and the program `{program}` is not installed")]
    NoSsh {
        /// The repository.
        repository: Url,
        /// The program.
        program: String,
    },
    /// The objects that came do not make up the commit.
    #[error("the objects of `{repository}` cannot be stored")]
    Store {
        /// The repository.
        repository: Url,
        /// What git says.
        source: git2::Error,
    },
    /// Another process has been using the mirror for long.
    #[error("the mirror of `{repository}` is in use by another process")]
    Busy {
        /// The repository.
        repository: Url,
    },
}

impl GitError {
    /// Returns what a failed HTTP request means for a repository.
    pub(super) fn of_http(repository: &Url, error: &HttpError) -> Self {
        let repository = repository.clone();
        let facts = vec![error.to_string()];
        match error {
            HttpError::Refused { .. }
            | HttpError::Plaintext { .. }
            | HttpError::Forbidden { .. } => Self::Refused { repository, facts },
            HttpError::NotFound { .. } => Self::NotFound { repository, facts },
            HttpError::TooLarge { limit, .. } => Self::TooLarge { repository, limit: *limit },
            HttpError::Redirect { .. } => Self::Protocol { repository, problem: error.to_string() },
            HttpError::Unreachable { .. } | HttpError::Status { .. } => {
                Self::Unreachable { repository, facts }
            }
        }
    }
}

impl Numbered for GitError {
    fn code(&self) -> Code {
        use code::source as codes;
        match self {
            Self::Offline { .. } => codes::OFFLINE,
            Self::Unreachable { .. } | Self::NoSsh { .. } | Self::Busy { .. } => {
                codes::REPOSITORY_UNREACHABLE
            }
            Self::Refused { .. } => codes::REPOSITORY_REFUSED,
            Self::NotFound { .. } => codes::NOT_A_REPOSITORY,
            Self::Protocol { .. } | Self::Server { .. } => codes::GIT_PROTOCOL,
            Self::TooLarge { .. } | Self::TooLargeInside { .. } => codes::TOO_LARGE,
            Self::Store { .. } => codes::BROKEN_REPOSITORY,
        }
    }

    fn notes(&self) -> Vec<String> {
        match self {
            Self::Unreachable { facts, .. }
            | Self::Refused { facts, .. }
            | Self::NotFound { facts, .. } => facts.clone(),
            _ => Vec::new(),
        }
    }

    fn help(&self) -> Option<String> {
        Some(match self {
            Self::Offline { .. } => {
                "run once with the network, or name a mirror that is reachable".to_owned()
            }
            Self::Unreachable { repository, .. } => {
                format!("check the address and the network: `git ls-remote {repository}`")
            }
            Self::Refused { repository, .. } if repository.scheme() == "ssh" => format!(
                "let `git ls-remote {repository}` work without a question: a key in ssh-agent or ~/.ssh, the host in ~/.ssh/known_hosts"
            ),
            Self::Refused { repository, .. }
                if credentials::token_is_for_another_host(repository) =>
            {
                format!("SITEWRIGHT_GIT_TOKEN is sent to the host in SITEWRIGHT_GIT_HOST alone; set that to `{}`", repository.host())
            }
            Self::Refused { repository, .. } => format!(
                "set SITEWRIGHT_GIT_TOKEN and SITEWRIGHT_GIT_HOST={}, or write a login into ~/.netrc or a git credential helper; passwords go over https alone",
                repository.host()
            ),
            Self::NotFound { .. } => {
                "check the address; servers also answer so where a login is missing".to_owned()
            }
            Self::Protocol { repository, .. } | Self::Server { repository, .. } => {
                format!("see whether `git ls-remote {repository}` works from here; a proxy may stand between")
            }
            Self::TooLarge { .. } | Self::TooLargeInside { .. } => {
                "keep data out of repositories of sites; whoever embeds Sitewright can raise the bound".to_owned()
            }
            Self::NoSsh { .. } => {
                "install the OpenSSH client, or use an https:// address".to_owned()
            }
            Self::Store { .. } => {
                "check free space and rights of the cache folder; it may be deleted at any time".to_owned()
            }
            Self::Busy { .. } => "wait for the other process, or end it".to_owned(),
        })
    }
}
