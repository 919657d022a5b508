//! The reference of the command line, as the book shows it: made from the same definitions as the help.

use std::fmt::Write as _;

use clap::{Command, CommandFactory};

use super::Cli;

/// Returns the page `book/src/cli.md`.
pub fn page() -> String {
    let mut command = Cli::command().term_width(100);
    command.build();
    let mut page = String::from(
        "# Command line\n\nThis page is made from the program's own help; \
         `sitewright COMMAND --help` says the same. Every command takes the global options \
         of `sitewright`.\n\n",
    );
    section(&mut page, &command, "sitewright");
    for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set()) {
        let name = format!("sitewright {}", inner.get_name());
        section(&mut page, &without_globals(inner), &name);
    }
    page
}

/// The global options stand once, in the first section.
fn without_globals(command: &Command) -> Command {
    command
        .clone()
        .mut_args(|argument| if argument.is_global_set() { argument.hide(true) } else { argument })
}

fn section(page: &mut String, command: &Command, name: &str) {
    let help = command.clone().bin_name(name.to_owned()).render_long_help().to_string();
    let help: Vec<&str> = help.lines().map(str::trim_end).collect();
    let _ = write!(page, "## {name}\n\n```text\n{}\n```\n\n", help.join("\n").trim_end());
}
