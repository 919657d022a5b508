//! `cargo xtask bench`

mod apply;
mod figure;
mod program;
mod render;
mod site;

use std::path::PathBuf;

use anyhow::Result;

use self::{figure::Figure, program::Program};

/// Measures what the design sets figures for, on a real control plane, and prints measured beside reach.
///
/// Ratios are taken within one run; requests are counted from the API server's audit log; memory is
/// the kernel's high-water mark of the program's resident set.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Write the figures to this file, too.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Measure with fewer objects, to see that everything runs.
    #[arg(long)]
    quick: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let program = Program::build()?;
    let objects: &[usize] = if arguments.quick { &[100, 500] } else { &[1_000, 10_000] };
    let mut figures = render::measure(&program, *objects.last().unwrap_or(&1_000))?;
    for &count in objects {
        figures.extend(apply::measure(&program, count)?);
    }
    figure::print(&figures);
    if let Some(file) = &arguments.json {
        std::fs::write(file, serde_json::to_string_pretty(&figures)?)?;
    }
    Ok(())
}

/// Says what is measured now; the table comes at the end.
#[expect(clippy::print_stderr, reason = "a benchmark says what it does")]
fn say(text: &str) {
    eprintln!("{text}");
}

type Figures = Vec<Figure>;
