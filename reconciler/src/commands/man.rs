use std::{
    fs, io,
    path::{Path, PathBuf},
};

use clap::{Args, Command, CommandFactory};

use crate::cli::{Cli, Context, Exit, Failure, file_failure};

/// Print the manual page, or write those of all commands into a folder
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Man {
    /// Write `sitewright.1`, `sitewright-plan.1` and so on into this folder, which is made
    #[arg(value_name = "DIR")]
    folder: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  sitewright man | man -l -
  sitewright man ~/.local/share/man/man1";

impl Man {
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let mut command = Cli::command();
        command.build();
        match &self.folder {
            None => {
                let mut page = Vec::new();
                clap_mangen::Man::new(command).render(&mut page).map_err(Failure::Output)?;
                context.print(&String::from_utf8_lossy(&page))?;
            }
            Some(folder) => {
                fs::create_dir_all(folder).map_err(|error| file_failure(folder, &error))?;
                write_pages(&command, "sitewright", folder)
                    .map_err(|error| file_failure(folder, &error))?;
            }
        }
        Ok(Exit::Success)
    }
}

fn write_pages(command: &Command, name: &str, folder: &Path) -> io::Result<()> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone()).title(name).render(&mut page)?;
    fs::write(folder.join(format!("{name}.1")), page)?;
    for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set()) {
        write_pages(inner, &format!("{name}-{}", inner.get_name()), folder)?;
    }
    Ok(())
}
