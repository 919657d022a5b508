//! What can be wrong with an upstream artifact.

use sitewright_model::{
    code::{self, Code},
    digest::Digest,
};

use super::archive::ArchiveProblem;
use crate::{error::Numbered, http::HttpError, nearest::did_you_mean};

/// What can be wrong with an upstream artifact. Places are shown without credentials.
#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    /// Neither `helm` nor `manifests`, or both.
    #[error("source `{0}` must have exactly one of `helm` and `manifests`")]
    Kind(String),
    /// Not exactly one place.
    #[error("a {kind} source must have exactly one of {places}")]
    Place {
        /// `helm` or `manifests`.
        kind: &'static str,
        /// The keys that name a place.
        places: &'static str,
    },
    /// A key that goes with another is missing.
    #[error("chart `{chart}` needs `{missing}`")]
    Incomplete {
        /// The chart.
        chart: String,
        /// The key.
        missing: &'static str,
    },
    /// An address that cannot be read.
    #[error("`{text}` is not an address that a source can be read from")]
    Address {
        /// What was given, without credentials.
        text: String,
    },
    /// The index of a chart repository leads to where it may not.
    #[error("the index of `{from}` leads to `{to}`")]
    Leads {
        /// The repository.
        from: String,
        /// Where it leads.
        to: String,
    },
    /// A path with `..`, or from the top of the disk.
    #[error("the path `{0}` leaves the folder of the blueprint")]
    PathLeaves(String),
    /// No such path within the blueprint.
    #[error("there is no `{path}` in the blueprint")]
    NoSuchPath {
        /// The path, with that of the blueprint.
        path: String,
        /// Paths that are alike.
        nearest: Vec<String>,
    },
    /// Nothing pins it.
    #[error("`{from}` is not pinned: neither the blueprint nor `site.lock` names its digest")]
    NotPinned {
        /// Where it comes from.
        from: String,
    },
    /// The lock is for another place.
    #[error("`site.lock` pins `{locked}`, but the blueprint asks for `{from}`")]
    LockedElsewhere {
        /// What the blueprint asks for.
        from: String,
        /// What the lock is for.
        locked: String,
    },
    /// Other content than was pinned.
    #[error("`{from}` is not what was pinned")]
    DigestMismatch {
        /// Where it came from.
        from: String,
        /// What was pinned.
        pinned: Digest,
        /// What came.
        found: Digest,
        /// Whether the lock pins it, rather than the blueprint.
        in_lock: bool,
    },
    /// A digest that the server announced does not fit.
    #[error("`{from}` sends bytes whose digest is not the one that it announced")]
    Transfer {
        /// Where it came from.
        from: String,
        /// What was announced.
        announced: String,
        /// What came.
        found: String,
    },
    /// The network is needed and may not be used.
    #[error("`{from}` is not on this machine, and the network may not be used")]
    Offline {
        /// Where it comes from.
        from: String,
    },
    /// A download failed.
    #[error("`{from}` cannot be downloaded")]
    Download {
        /// Where it comes from.
        from: String,
        /// What was seen.
        fact: String,
    },
    /// A download is beyond the bound.
    #[error("`{from}` has more than {limit} bytes")]
    TooLarge {
        /// Where it comes from.
        from: String,
        /// The bound.
        limit: u64,
    },
    /// The repository or registry has no such chart or version.
    #[error("`{place}` has no {what}")]
    NoChart {
        /// The repository or registry.
        place: String,
        /// What it lacks.
        what: String,
        /// Charts or versions that are alike.
        nearest: Vec<String>,
    },
    /// The index of a chart repository, or the answer of a registry, cannot be read.
    #[error("`{place}` answers in a way that is not understood: {problem}")]
    Registry {
        /// The repository or registry.
        place: String,
        /// What is wrong.
        problem: String,
    },
    /// An archive cannot be unpacked.
    #[error("the archive `{from}` cannot be unpacked: {problem}")]
    Archive {
        /// Where it came from.
        from: String,
        /// What is wrong with it.
        problem: String,
    },
    /// No `Chart.yaml`, or one without name or version.
    #[error("`{from}` is not a Helm chart: {problem}")]
    NotAChart {
        /// Where it came from.
        from: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The chart has another version than was asked for.
    #[error("`{from}` is version `{found}`, but the blueprint asks for `{wanted}`")]
    Version {
        /// Where it came from.
        from: String,
        /// What was asked for.
        wanted: String,
        /// What Chart.yaml says.
        found: String,
    },
    /// Charts that the chart depends on are not in it.
    #[error("chart `{from}` needs {}, which its folder `charts` does not hold", quoted(missing))]
    Dependencies {
        /// Where it came from.
        from: String,
        /// The names of what is missing.
        missing: Vec<String>,
    },
}

fn quoted(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

impl ArtifactError {
    pub(super) fn archive(from: &str, problem: &ArchiveProblem) -> Self {
        Self::Archive { from: from.to_owned(), problem: problem.to_string() }
    }

    pub(super) fn http(from: &str, error: &HttpError) -> Self {
        let from = from.to_owned();
        match error {
            HttpError::TooLarge { limit, .. } => Self::TooLarge { from, limit: *limit },
            other => Self::Download { from, fact: other.to_string() },
        }
    }
}

impl Numbered for ArtifactError {
    fn code(&self) -> Code {
        use code::source as codes;
        match self {
            Self::Kind(_) | Self::Place { .. } | Self::Incomplete { .. } | Self::Address { .. } => {
                codes::BAD_SOURCE
            }
            Self::PathLeaves(_) => codes::PATH_ESCAPES,
            Self::NoSuchPath { .. } => codes::MISSING_PATH,
            Self::NotPinned { .. } | Self::LockedElsewhere { .. } => codes::NOT_PINNED,
            Self::DigestMismatch { .. } | Self::Transfer { .. } => codes::DIGEST_MISMATCH,
            Self::Offline { .. } => codes::OFFLINE,
            Self::Download { .. } => codes::DOWNLOAD_FAILED,
            Self::TooLarge { .. } => codes::TOO_LARGE,
            Self::NoChart { .. } => codes::CHART_NOT_FOUND,
            Self::Registry { .. } | Self::Leads { .. } => codes::REGISTRY_FAILED,
            Self::Archive { .. } => codes::BAD_ARCHIVE,
            Self::NotAChart { .. } => codes::NOT_A_CHART,
            Self::Version { .. } => codes::VERSION_MISMATCH,
            Self::Dependencies { .. } => codes::CHART_DEPENDENCY,
        }
    }

    fn notes(&self) -> Vec<String> {
        match self {
            Self::DigestMismatch { pinned, found, .. } => {
                vec![format!("pinned: {pinned}"), format!("found:  {found}")]
            }
            Self::Transfer { announced, found, .. } => {
                vec![format!("announced: {announced}"), format!("found:     {found}")]
            }
            Self::Download { fact, .. } => vec![fact.clone()],
            _ => Vec::new(),
        }
    }

    fn help(&self) -> Option<String> {
        let fixed = match self {
            Self::NoSuchPath { nearest, .. } | Self::NoChart { nearest, .. }
                if !nearest.is_empty() =>
            {
                return did_you_mean(nearest);
            }
            Self::Version { found, .. } => {
                return Some(format!(
                    "write `version: {found}`, or fetch the version that you want"
                ));
            }
            Self::Kind(_) | Self::Place { .. } => "keep one of them",
            Self::Incomplete { missing: "version", .. } => {
                "write the exact version of the chart, such as `version: 0.19.2`"
            }
            Self::Incomplete { .. } => {
                "write `repo: https://…` for a chart repository, or `chart: oci://…` for a registry"
            }
            Self::Address { .. } => "use https://, http://, oci:// or file://",
            Self::Leads { .. } => {
                "an index may not lead to files of this machine, nor from https:// to http://: tell whoever runs the repository, or name a mirror"
            }
            Self::PathLeaves(_) => "copy the files into the folder of the blueprint",
            Self::NoSuchPath { .. } => "name a file or folder of the blueprint",
            Self::NotPinned { .. } | Self::LockedElsewhere { .. } => {
                "run `sitewright lock`, look at what changed, and commit `site.lock`"
            }
            Self::DigestMismatch { in_lock: true, .. } => {
                "if upstream was meant to change: `sitewright lock` pins what is there now; if not, find out why it did"
            }
            Self::DigestMismatch { .. } => {
                "if upstream was meant to change: write the digest that was found into the blueprint; if not, find out why it did"
            }
            Self::Transfer { .. } => "try again; if it stays, ask whoever runs the server",
            Self::Offline { .. } => "run once with the network, or name a mirror that is reachable",
            Self::Download { .. } => {
                "check the address and the network; where a login is needed, write it into ~/.netrc"
            }
            Self::TooLarge { .. } => "look whether this is the right address",
            Self::NoChart { .. } => "look at what is there: `helm search repo`, `helm show chart`",
            Self::Registry { .. } => {
                "look whether this is the right address; a proxy may stand between"
            }
            Self::Archive { .. } => {
                "look whether this is a chart archive (.tgz) as `helm package` makes it"
            }
            Self::NotAChart { .. } => "name the folder that holds `Chart.yaml`",
            Self::Dependencies { .. } => {
                "take the chart as it is released (from its chart repository or registry), or name what its values switch off under `omitDependencies`"
            }
        };
        Some(fixed.to_owned())
    }
}
