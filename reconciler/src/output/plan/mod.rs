//! A plan as text, Markdown and JSON: three readers of one [`Plan`].

mod markdown;
#[cfg(test)]
pub(crate) mod sample;
#[cfg(test)]
mod tests;
mod text;
mod view;
mod waits;
mod work;

pub(crate) use markdown::code;
pub use markdown::markdown;
pub(crate) use markdown::{LIMIT as COMMENT, markdown_within};
pub use text::text;
pub use view::Tally;
pub(crate) use view::hazard_name;
pub(crate) use waits::{gate_title, gates_phrase, why_it_waits};
pub(in crate::output) use work::{Wave, wave};

use sitewright_model::plan::{Plan, PlanDigest};

/// Returns `plan` as versioned JSON; `schema/plan.json` describes it.
pub fn json(plan: &Plan) -> String {
    super::json(plan)
}

/// How the reader calls this program for the plan's site, so that a hint can be copied as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invocation {
    /// The site as it was given on the command line, without credentials.
    pub site: String,
}

impl Invocation {
    /// Makes the invocation of a site as it was given on the command line; credentials in it are left out.
    pub fn new(site: impl AsRef<str>) -> Self {
        Self { site: sitewright_source::public(site.as_ref()) }
    }

    /// Returns a command line, for example `sitewright apply sites/lab-gpu --plan sha256:…`.
    pub fn command(&self, verb: &str, rest: &str) -> String {
        let mut command = format!("sitewright {verb}");
        for part in [if self.site == "." { "" } else { &self.site }, rest] {
            if !part.is_empty() {
                command.push(' ');
                command.push_str(part);
            }
        }
        command
    }

    /// Returns the command line that approves the plan with this digest by a file; none where the site is not on
    /// disk, but in a repository.
    pub(crate) fn approve(&self, plan: &PlanDigest) -> Option<String> {
        if self.site.contains("//") {
            return None;
        }
        let site = if self.site == "." { String::new() } else { format!(" {}", self.site) };
        Some(format!("sitewright approve {}{site} --reason \"...\"", plan.0))
    }
}
