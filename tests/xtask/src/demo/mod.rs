//! `cargo xtask demo`

mod stage;
#[expect(clippy::indexing_slicing, reason = "a JSON value answers null where there is nothing")]
mod steps;

use std::io::IsTerminal;

use anyhow::Result;

/// Shows the main job on a real control plane: plan, apply, change, drift, mend, guarded prune; and the agent, which
/// does it by itself.
///
/// Sets up all it needs (the first run builds Kubernetes from source, about half an hour on two cores), makes a git
/// repository from `examples/sites`, and runs the program on it as a person would. Ends with exit
/// code 0 and a summary of what was seen, or at the first thing that is not as it should be.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Stop before each step until Enter is pressed.
    #[arg(long)]
    step: bool,
    /// Leave the cluster and the repository up at the end, until Ctrl-C.
    #[arg(long)]
    keep: bool,
    /// Print the summary as JSON on standard output; the story goes to standard error.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let step = arguments.step && std::io::stdin().is_terminal();
    let mut stage = stage::Stage::set_up(step)?;
    let told = steps::play(&mut stage);
    stage.summary(arguments.json)?;
    told?;
    if arguments.keep {
        stage.keep();
    }
    Ok(())
}
