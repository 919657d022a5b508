//! How the error enums of this crate become diagnostics.

use sitewright_model::{
    code::Code,
    diagnostic::{Diagnostic, Diagnostics},
};

/// An error that knows its number and its way out; its Display is the message.
pub(crate) trait Numbered: std::error::Error {
    /// Returns the number.
    fn code(&self) -> Code;

    /// Returns the way out.
    fn help(&self) -> Option<String>;

    /// Returns further facts, one sentence each.
    fn notes(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Returns `error` as a diagnostic, with the chain of its causes as notes.
pub(crate) fn diagnose(error: &impl Numbered) -> Diagnostic {
    let mut diagnostic = Diagnostic::error(error.code(), error.to_string());
    diagnostic.notes = error.notes();
    let mut cause = error.source();
    while let Some(error) = cause {
        diagnostic.notes.push(error.to_string());
        cause = error.source();
    }
    diagnostic.help = error.help();
    diagnostic
}

/// Lets `?` turn each named error into [`Diagnostics`].
macro_rules! into_diagnostics {
    ($($error:ty),* $(,)?) => {$(
        impl From<$error> for Diagnostics {
            fn from(error: $error) -> Self {
                diagnose(&error).into()
            }
        }
    )*};
}

into_diagnostics!(
    crate::artifact::ArtifactError,
    crate::helm::HelmError,
    crate::git::GitError,
    crate::location::LocationError,
    crate::settings::MirrorError,
    crate::snapshot::SnapshotError,
    crate::worktree::WorkTreeError,
);
