//! The verbs, one file each; the doc comment of each command is its help.
//!
//! Comes in: parsed arguments and a [`Context`]. Goes out: a result on standard output, an [`Exit`].
//! Never: a decision about a cluster, or a printer; those are the model's and [`output`](crate::output)'s.

mod agent;
mod apply;
mod approve;
mod comment;
mod completions;
mod doctor;
mod drift;
mod explain;
mod file;
mod init;
mod install;
mod lineage;
mod lock;
mod man;
mod named;
mod notifications;
mod plan;
mod render;
mod site;
mod stages;
mod status;
mod validate;

use clap::{Subcommand, ValueEnum};

use crate::cli::{Context, Exit, Failure};

/// What can be asked; the help of each is the doc comment of its own struct.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Init(init::Init),
    Validate(validate::Validate),
    Lock(lock::Lock),
    Render(render::Render),
    Plan(plan::Plan),
    Apply(apply::Apply),
    Approve(approve::Approve),
    Agent(Box<agent::Agent>),
    Install(install::Install),
    Status(status::Status),
    Drift(drift::Drift),
    Lineage(lineage::Lineage),
    Doctor(doctor::Doctor),
    Explain(explain::Explain),
    Completions(completions::Completions),
    Man(man::Man),
}

impl Command {
    /// Does what was asked.
    pub(crate) fn run(self, context: &Context) -> Result<Exit, Failure> {
        match self {
            Self::Init(command) => command.run(context),
            Self::Validate(command) => command.run(context),
            Self::Lock(command) => command.run(context),
            Self::Render(command) => command.run(context),
            Self::Plan(command) => command.run(context),
            Self::Apply(command) => command.run(context),
            Self::Approve(command) => command.run(context),
            Self::Agent(command) => command.run(context),
            Self::Install(command) => command.run(context),
            Self::Status(command) => command.run(context),
            Self::Drift(command) => command.run(context),
            Self::Lineage(command) => command.run(context),
            Self::Doctor(command) => command.run(context),
            Self::Explain(command) => command.run(context),
            Self::Completions(command) => command.run(context),
            Self::Man(command) => command.run(context),
        }
    }
}

/// The form of a result that people, programs and pull requests read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Form {
    /// For people.
    #[default]
    Text,
    /// For programs; versioned, described in schema/.
    Json,
    /// For a pull request.
    Markdown,
}

/// The form of a result that people and programs read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum TextOrJson {
    /// For people.
    #[default]
    Text,
    /// For programs; versioned, described in schema/.
    Json,
}
