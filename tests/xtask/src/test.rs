//! `cargo xtask test`

use std::{env, process::Command};

use anyhow::{Context, Result, ensure};
use sitewright_testbed::tools::Tool;

/// Runs every test; builds the programs that tests need first.
///
/// The programs (a Kubernetes control plane, helm and others) are built once per version into the
/// user cache; a first build of all of them takes about half an hour on two cores. With packages
/// given, each test builds what it needs.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Arguments for `cargo test`, such as `-p sitewright-model` or a test's name.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    cargo: Vec<String>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let everything = !arguments.cargo.iter().any(|argument| chooses_packages(argument));
    // Tests find the programs by themselves; but here a build that takes minutes can be watched.
    for tool in Tool::ALL.into_iter().filter(|_| everything) {
        tool.find()?;
    }
    let status = Command::new(cargo)
        .args(["test", "--locked"])
        .args(everything.then_some("--workspace"))
        .args(&arguments.cargo)
        .current_dir(super::top())
        .status()
        .context("cannot run cargo")?;
    ensure!(status.success(), "tests failed");
    Ok(())
}

fn chooses_packages(argument: &str) -> bool {
    argument.starts_with("-p") || argument.starts_with("--package") || argument == "--workspace"
}
