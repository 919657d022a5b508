//! `cargo xtask bench`

mod agent;
mod apply;
mod figure;
mod lineage;
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
    /// What to measure; everything where nothing is named.
    #[arg(value_enum)]
    parts: Vec<Part>,
    /// Write the figures to this file, too.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Measure with fewer objects, to see that everything runs.
    #[arg(long)]
    quick: bool,
}

/// A part of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// Rendering, cold and unchanged.
    Render,
    /// First apply, and plan and apply without a change.
    Apply,
    /// The agent at rest, how soon it mends, and how soon a push arrives.
    Agent,
    /// The agent with 1,000 sites of one repository.
    Sites,
    /// The lineage log: appends, questions, proofs.
    Lineage,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let program = Program::build()?;
    let objects: &[usize] = if arguments.quick { &[100, 500] } else { &[1_000, 10_000] };
    let most = *objects.last().unwrap_or(&1_000);
    let is_asked = |part| arguments.parts.is_empty() || arguments.parts.contains(&part);
    let mut figures = Figures::new();
    if is_asked(Part::Render) {
        figures.extend(render::measure(&program, most)?);
    }
    for &count in objects.iter().filter(|_| is_asked(Part::Apply)) {
        figures.extend(apply::measure(&program, count)?);
    }
    if is_asked(Part::Agent) {
        figures.extend(agent::measure(&program, most)?);
    }
    if is_asked(Part::Sites) {
        figures.extend(agent::measure_sites(&program, most)?);
    }
    if is_asked(Part::Lineage) {
        figures.extend(lineage::measure(arguments.quick)?);
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
