//! How the program ends: exit codes, failures, panics.

use std::{
    io::{self, Write},
    panic,
    process::ExitCode,
};

use sitewright_model::{
    code::machine,
    diagnostic::{Diagnostic, Diagnostics},
    report,
};

/// How a command ended, when it ended without a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done, and nothing to report.
    Success,
    /// An error, already shown.
    Failure,
    /// Done; there are changes, drift, something held or unhealthy.
    Changes,
    /// A signal ended it.
    Signal(i32),
}

impl Exit {
    /// Returns the exit code; signals are told as shells tell them.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Failure => 1,
            Self::Changes => 2,
            Self::Signal(signal) => u8::try_from(128 + signal).unwrap_or(1),
        }
    }
}

/// Why a command could not do what was asked.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Everything that is wrong.
    Diagnosed(Diagnostics),
    /// Standard output could not be written.
    Output(io::Error),
}

impl Failure {
    /// Shows the failure plainly: for the time before the context is there.
    pub(super) fn exit_without_context(self) -> Exit {
        let text = match self {
            Self::Diagnosed(diagnostics) => report::render(&diagnostics, report::Style::default()),
            Self::Output(error) => format!("{error}\n"),
        };
        let _ = io::stderr().write_all(text.as_bytes());
        Exit::Failure
    }
}

impl From<Diagnostics> for Failure {
    fn from(diagnostics: Diagnostics) -> Self {
        Self::Diagnosed(diagnostics)
    }
}

impl From<Diagnostic> for Failure {
    fn from(diagnostic: Diagnostic) -> Self {
        Self::Diagnosed(diagnostic.into())
    }
}

impl From<sitewright_cluster::Error> for Failure {
    fn from(error: sitewright_cluster::Error) -> Self {
        error.diagnostic().into()
    }
}

impl From<sitewright_source::worktree::WorkTreeError> for Failure {
    fn from(error: sitewright_source::worktree::WorkTreeError) -> Self {
        Self::Diagnosed(error.into())
    }
}

/// Returns the failure to read or write a file.
pub(crate) fn file_failure(path: &std::path::Path, error: &io::Error) -> Diagnostic {
    Diagnostic::error(machine::UNREADABLE_FILE, format!("{}: {error}", path.display()))
        .help("check that the path is right, and its permissions")
}

/// Shows a mistake in the arguments, or the help that was asked for.
///
/// clap's own code for a mistake is 2, which here means changes: a mistake is an error, 1.
pub(super) fn usage(error: &clap::Error) -> Exit {
    let _ = error.print();
    if error.use_stderr() { Exit::Failure } else { Exit::Success }
}

/// Runs `work`; a panic is told as the bug that it is, with how to report it.
pub(super) fn guarded(work: impl FnOnce() -> Exit + panic::UnwindSafe) -> ExitCode {
    panic::set_hook(Box::new(|info| {
        let _ = io::stderr().write_all(bug(info).as_bytes());
    }));
    let exit = panic::catch_unwind(work).unwrap_or(Exit::Failure);
    ExitCode::from(exit.code())
}

fn bug(info: &panic::PanicHookInfo<'_>) -> String {
    let place = info.location().map(ToString::to_string).unwrap_or_default();
    let said = info.payload_as_str().unwrap_or("no message");
    let mut diagnostic = Diagnostic::error(
        machine::BUG,
        format!("this is a bug in Sitewright {}", env!("CARGO_PKG_VERSION")),
    )
    .note(format!("{place}: {said}"))
    .help(
        "run `sitewright status` to see where the cluster stands; a further apply goes on from \
         there. Please report this text, and the command that led to it, to the project",
    );
    if std::env::var_os("RUST_BACKTRACE").is_some() {
        diagnostic = diagnostic.note(std::backtrace::Backtrace::force_capture().to_string());
    }
    report::render(&diagnostic.into(), report::Style::default())
}
