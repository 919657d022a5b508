//! History that was rewritten: held, and told, until somebody says that it is meant.

use sitewright_model::{
    code,
    diagnostic::{Diagnostic, Diagnostics},
};
use sitewright_source::{
    Location, Settings,
    history::{Moved, moved},
};

/// What is known of the history that is followed.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    /// The commit that was followed last.
    pub(crate) before: Option<String>,
    /// The commit that is followed although it does not continue it, or the beginning of its id.
    pub(crate) accepted: Option<String>,
}

impl History {
    /// Takes the commit that is followed from now on.
    pub(super) fn goes_on(&mut self, commit: Option<&str>) {
        if let Some(commit) = commit {
            self.before = Some(commit.to_owned());
        }
    }

    /// Checks that `after` continues what was followed; may reach for the server, and blocks.
    ///
    /// # Errors
    /// The history was rewritten, or cannot be told to be the same.
    pub(super) fn check(
        &self,
        location: &Location,
        settings: &Settings,
        after: Option<&str>,
    ) -> Result<(), Diagnostics> {
        let (Some(before), Some(after)) = (&self.before, after) else { return Ok(()) };
        let is_accepted =
            self.accepted.as_ref().is_some_and(|accepted| after.starts_with(accepted.as_str()));
        if is_accepted || before == after {
            return Ok(());
        }
        match moved(location, before, after, settings)? {
            Moved::Forward => Ok(()),
            how => Err(rewritten(how, before, after).into()),
        }
    }
}

fn rewritten(how: Moved, before: &str, after: &str) -> Diagnostic {
    let short = |commit: &str| commit.chars().take(12).collect::<String>();
    let (before, after) = (short(before), short(after));
    let message = match how {
        Moved::Tag => format!("the tag was moved from {before} to {after}"),
        Moved::Unknown => format!("it cannot be told whether {after} continues {before}"),
        Moved::Rewritten | Moved::Forward => {
            format!("{after} does not continue {before}: the branch was forced")
        }
    };
    Diagnostic::error(code::agent::HISTORY_REWRITTEN, message)
        .note(format!("{before} stays in force"))
        .help(format!(
            "put the history back, or say that it is meant: `spec.source.acceptRewritten: {after}` of the SiteSync; an agent of one site is started again"
        ))
}
