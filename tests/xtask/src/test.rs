//! `cargo xtask test`

use std::{env, process::Command, thread::available_parallelism};

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
    let threads = env::var("RUST_TEST_THREADS").unwrap_or_else(|_| threads().to_string());
    let status = Command::new(cargo)
        .env("RUST_TEST_THREADS", threads)
        .args(["test", "--locked"])
        .args(everything.then_some("--workspace"))
        .args(&arguments.cargo)
        .current_dir(super::top())
        .status()
        .context("cannot run cargo")?;
    ensure!(status.success(), "tests failed");
    Ok(())
}

/// How many tests run at once: most of them wait for an API server, so more than there are cores.
fn threads() -> usize {
    2 * available_parallelism().map_or(1, usize::from)
}

fn chooses_packages(argument: &str) -> bool {
    argument.starts_with("-p") || argument.starts_with("--package") || argument == "--workspace"
}
