//! What can go wrong with helm.

use std::{io, path::PathBuf};

use sitewright_model::code::{self, Code};

use crate::error::Numbered;

/// What can go wrong with helm.
#[derive(Debug, thiserror::Error)]
pub enum HelmError {
    /// There is no such program.
    #[error("the program `{}` is not there, and charts are rendered by it", program.display())]
    Missing {
        /// Where it was looked for.
        program: PathBuf,
    },
    /// The system cannot run it.
    #[error("the program `{}` cannot be run", program.display())]
    NotRun {
        /// The program.
        program: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It is another program, or of a version that is not supported.
    #[error("the program `{}` says that it is `{version}`, which is not helm 3.8 to 4", program.display())]
    Version {
        /// The program.
        program: PathBuf,
        /// What it says.
        version: String,
    },
    /// The folder for helm cannot be made.
    #[error("the folder for helm's input cannot be made")]
    Folder(#[source] io::Error),
    /// A name that helm would take for something else.
    #[error("`{name}` cannot be the {what} that `{chart}` is rendered with")]
    Name {
        /// The chart.
        chart: String,
        /// What the name is for.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// helm refused the chart or its values.
    #[error("helm could not render `{chart}`: {problem}")]
    Failed {
        /// The chart.
        chart: String,
        /// What helm says, with the line of the template.
        problem: String,
        /// What else it said.
        facts: Vec<String>,
    },
    /// helm refused the chart or its values, and what it says may hold a secret.
    #[error("helm could not render `{chart}`{}", failed_at(place.as_deref()))]
    Withheld {
        /// The chart.
        chart: String,
        /// File, line and column of the template, if helm names them.
        place: Option<String>,
    },
    /// What it printed is not text.
    #[error("helm printed something for `{chart}` that is not UTF-8")]
    NotText {
        /// The chart.
        chart: String,
    },
    /// It was stopped at its deadline.
    #[error("helm did not render `{chart}` within {seconds} s")]
    TooSlow {
        /// The chart.
        chart: String,
        /// The deadline.
        seconds: u64,
    },
    /// It was stopped because it printed too much.
    #[error("helm printed more than {limit} bytes for `{chart}`")]
    TooMuch {
        /// The chart.
        chart: String,
        /// The bound.
        limit: u64,
    },
    /// Two renderings differ.
    #[error("`{chart}` renders differently each time: {}", objects.join(", "))]
    NotDeterministic {
        /// The chart.
        chart: String,
        /// The objects that differ.
        objects: Vec<String>,
    },
    /// It reads the clock or makes things up, which may show later.
    #[error("`{chart}` renders differently each time{}: it calls one of {}", at(place.as_deref()), functions.join(", "))]
    Impure {
        /// The chart.
        chart: String,
        /// The functions that it may have called.
        functions: Vec<&'static str>,
        /// File, line and column of the template, if helm names them.
        place: Option<String>,
    },
}

fn failed_at(place: Option<&str>) -> String {
    place.map_or_else(String::new, |place| format!(": it failed at {place}"))
}

fn at(place: Option<&str>) -> String {
    place.map_or_else(String::new, |place| format!(" at {place}"))
}

impl Numbered for HelmError {
    fn code(&self) -> Code {
        use code::source as codes;
        match self {
            Self::Missing { .. } | Self::NotRun { .. } => codes::HELM_MISSING,
            Self::Version { .. } => codes::HELM_VERSION,
            Self::Withheld { .. }
            | Self::Folder(_)
            | Self::Name { .. }
            | Self::Failed { .. }
            | Self::NotText { .. } => codes::HELM_FAILED,
            Self::TooSlow { .. } | Self::TooMuch { .. } => codes::HELM_STOPPED,
            Self::NotDeterministic { .. } | Self::Impure { .. } => codes::NOT_DETERMINISTIC,
        }
    }

    fn notes(&self) -> Vec<String> {
        match self {
            Self::Failed { facts, .. } => facts.clone(),
            Self::Withheld { .. } => vec![
                "what helm says is not shown: it may quote the secrets among the values".to_owned(),
            ],
            _ => Vec::new(),
        }
    }

    fn help(&self) -> Option<String> {
        let fixed = match self {
            Self::Missing { .. } | Self::NotRun { .. } | Self::Version { .. } => {
                "install helm 3.8 or newer (https://helm.sh/docs/intro/install), or name it with SITEWRIGHT_HELM=/path/to/helm"
            }
            Self::Folder(_) => {
                "check the rights and the free space of the folder for temporary files (TMPDIR)"
            }
            Self::Name { .. } => {
                "write a DNS name (RFC 1123) as `release`, of at most 53 characters, and one without dots as `namespace`; without `release` it is the name of the component"
            }
            Self::Failed { .. } => {
                "the chart says what it needs: mend the values of the component, or the template of the blueprint that makes them"
            }
            Self::Withheld { .. } => {
                "look at this line of the chart, and at the values that it uses; rendered with other secrets, `helm template` says more"
            }
            Self::NotText { .. } => "the chart is at fault: tell its maintainers",
            Self::TooSlow { .. } | Self::TooMuch { .. } => {
                "the chart does too much for these values: look for a loop over a large value"
            }
            Self::NotDeterministic { .. } | Self::Impure { .. } => {
                "give the chart what it makes up (a password, a certificate, a date: see its values), or switch off the part that does"
            }
        };
        Some(fixed.to_owned())
    }
}
