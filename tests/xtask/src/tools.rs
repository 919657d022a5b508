//! `cargo xtask tools`

use std::{fs, time::Instant};

use anyhow::Result;
use sitewright_testbed::tools::Tool;

/// Builds every program that the test control plane needs, once, into the user cache.
///
/// Prints where each one is. A first build of all of them takes about half an hour on two cores;
/// later calls take no time, also from another clone.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Only these programs, such as `kubectl helm`.
    names: Vec<String>,
}

#[expect(clippy::print_stdout, reason = "the paths are what the command is for")]
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let started = Instant::now();
    let wanted = |tool: &Tool| {
        arguments.names.is_empty() || arguments.names.iter().any(|name| name == tool.name())
    };
    for tool in Tool::ALL.into_iter().filter(wanted) {
        let path = tool.find()?;
        let mebibytes = fs::metadata(&path)?.len() >> 20;
        println!("{tool:<24} {:<8} {mebibytes:>4} MiB  {}", tool.version()?, path.display());
    }
    println!("done in {} s", started.elapsed().as_secs());
    Ok(())
}
