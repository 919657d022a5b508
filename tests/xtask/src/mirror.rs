//! `cargo xtask mirror`

use std::path::PathBuf;

use anyhow::Result;
use sitewright_testbed::mirror::Mirrors;

/// Makes local git repositories of the upstream charts, with rules to use them instead.
///
/// The charts come from pinned Go modules. `DIR/mirrors.yaml` holds the rewrite rules.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The folder to fill; what was mirrored there before is replaced.
    dir: PathBuf,
}

#[expect(clippy::print_stdout, reason = "the list is what the command is for")]
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let mirrors = Mirrors::make(&arguments.dir)?;
    for repository in &mirrors.repositories {
        println!("{:<10} {}", repository.tag, repository.path.display());
    }
    println!("rules      {}", mirrors.file.display());
    Ok(())
}
