use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::cli::{Cli, Context, Exit, Failure};

/// Print a completion script for a shell
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Completions {
    /// The shell
    shell: Shell,
}

const EXAMPLES: &str = "\
Examples:
  sitewright completions bash > ~/.local/share/bash-completion/completions/sitewright
  sitewright completions zsh > \"${fpath[1]}/_sitewright\"
  sitewright completions fish > ~/.config/fish/completions/sitewright.fish";

impl Completions {
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "sitewright", &mut script);
        context.print(&String::from_utf8_lossy(&script))?;
        Ok(Exit::Success)
    }
}
