//! The command line: what can be asked, and how an answer leaves the program.
//!
//! Comes in: arguments, environment, signals. Goes out: one of the commands,
//! and its end as an exit code. Never: decides anything about a site.

mod context;
mod exit;
mod global;
mod interrupt;
mod logging;
mod pages;
pub mod reference;
mod screen;
mod traces;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser};

pub use self::global::Global;
pub(crate) use self::global::LogFormat;
pub(crate) use self::{
    context::Context,
    exit::{Exit, Failure, file_failure},
    interrupt::Stage,
    pages::page,
    traces::TRACER,
};
use crate::commands::Command;

/// Keeps a research cluster true to git: reads a site, shows what would change, applies what is safe
///
/// A site describes one cluster in a few short files: `site.yaml` names components, blueprints turn
/// them into Kubernetes objects. Sitewright renders them, compares them with the cluster, holds
/// back what would hurt running work or destroy data, and applies the rest.
#[derive(Debug, Parser)]
#[command(
    name = "sitewright",
    version,
    max_term_width = 100,
    subcommand_required = true,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    after_help = "Start with `sitewright init DIR`. `sitewright COMMAND --help` has examples.",
    after_long_help = AFTER_HELP
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) global: Global,
}

const AFTER_HELP: &str = "\
SITE is a folder that holds site.yaml, or REPOSITORY//path@ref for a site in git:

  sitewright plan                                             the site in this folder
  sitewright plan sites/lab-gpu                               a folder
  sitewright plan https://git.example.edu/lab.git//sites/lab-gpu@main

Exit codes: 0 done, nothing to report; 1 an error; 2 changes, drift, something held or unhealthy;
130 and 143 after SIGINT and SIGTERM.

Start with `sitewright init DIR`. `sitewright COMMAND --help` has examples;
`sitewright explain SW0101` has the page of an error.";

/// Runs the program with the arguments of this process, and returns its exit code.
pub fn main() -> ExitCode {
    exit::guarded(|| {
        let matches = match Cli::command().try_get_matches() {
            Ok(matches) => matches,
            Err(error) => return exit::usage(&error),
        };
        let cli = match Cli::from_arg_matches(&matches) {
            Ok(cli) => cli,
            Err(error) => return exit::usage(&error),
        };
        run(cli)
    })
}

fn run(cli: Cli) -> Exit {
    // a command is over before anybody would look at its trace
    let traced = matches!(cli.command, Command::Agent(_));
    let context = match Context::new(cli.global, traced) {
        Ok(context) => context,
        Err(error) => return error.exit_without_context(),
    };
    match cli.command.run(&context) {
        Ok(exit) => exit,
        Err(failure) => context.fail(&failure),
    }
}
