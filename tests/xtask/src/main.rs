//! Project commands: `cargo xtask COMMAND`. One file per command; its doc comment is its help.

mod bench;
mod controlplane;
mod demo;
mod fuzz;
mod links;
mod mirror;
mod soak;
mod test;
mod tools;

use std::path::Path;

use clap::{Parser, Subcommand};

/// Commands for working on Sitewright.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Test(test::Arguments),
    Controlplane(controlplane::Arguments),
    Mirror(mirror::Arguments),
    Demo(demo::Arguments),
    Bench(bench::Arguments),
    Fuzz(fuzz::Arguments),
    Soak(soak::Arguments),
    Tools(tools::Arguments),
    Links(links::Arguments),
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Test(arguments) => test::run(&arguments),
        Command::Controlplane(arguments) => controlplane::run(arguments),
        Command::Mirror(arguments) => mirror::run(&arguments),
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Fuzz(arguments) => fuzz::run(&arguments),
        Command::Soak(arguments) => soak::run(&arguments),
        Command::Tools(arguments) => tools::run(&arguments),
        Command::Links(arguments) => links::run(&arguments),
    }
}

/// Returns the top folder of the project.
fn top() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}
