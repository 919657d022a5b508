//! The argument SITE: a folder with a site file, or a folder of a git repository.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::Args;
use sitewright_model::{
    code::machine,
    diagnostic::{Diagnostic, Diagnostics},
};
use sitewright_source::Location;

use crate::{cli::Failure, output::plan::Invocation};

/// The name of the file that makes a folder a site.
pub(super) const SITE_FILE: &str = "site.yaml";
/// How deep to look for sites near a folder that is none.
const NEAR_DEPTH: usize = 3;
/// How many folders to look at: enough for a repository of sites, little enough to answer at once.
const NEAR_FOLDERS: usize = 2_000;
/// How many sites to name.
const NEAR_NAMED: usize = 8;

/// Which site.
#[derive(Args, Clone, Debug)]
pub(crate) struct SiteArgument {
    /// The site: a folder with a site.yaml, or REPOSITORY//path@ref
    #[arg(default_value = ".", value_name = "SITE")]
    pub(super) site: String,
}

impl SiteArgument {
    /// Returns where the site is.
    pub(super) fn location(&self) -> Result<Location, Failure> {
        let location = Location::parse(&self.site).map_err(Diagnostics::from)?;
        if let Location::WorkingTree(folder) = &location {
            check_folder(folder)?;
        }
        Ok(location)
    }

    /// Returns how hints name the site.
    pub(super) fn invocation(&self) -> Invocation {
        Invocation::new(&self.site)
    }
}

fn check_folder(folder: &Path) -> Result<(), Diagnostic> {
    if folder.join(SITE_FILE).is_file() {
        return Ok(());
    }
    let message = if folder.is_file() {
        format!("{} is a file; SITE is the folder that holds {SITE_FILE}", folder.display())
    } else if folder.is_dir() {
        format!("{} holds no {SITE_FILE}", folder.display())
    } else {
        format!("there is no folder {}", folder.display())
    };
    let near = near(folder);
    let help = match near.as_slice() {
        [] => "give the folder of a site, or make one with `sitewright init DIR`".to_owned(),
        [one] => format!("did you mean {one}?"),
        many => format!("there are sites in {}", crate::output::words::list(many)),
    };
    Err(Diagnostic::error(machine::NO_SITE, message).help(help))
}

/// Returns the folders of sites below `folder` and above it, nearest first.
fn near(folder: &Path) -> Vec<String> {
    let mut found: Vec<PathBuf> = Vec::new();
    let mut budget = NEAR_FOLDERS;
    let start = folder.ancestors().find(|ancestor| {
        let ancestor = if ancestor.as_os_str().is_empty() { Path::new(".") } else { *ancestor };
        ancestor.is_dir()
    });
    if let Some(start) = start {
        let start = if start.as_os_str().is_empty() { Path::new(".") } else { start };
        below(start, NEAR_DEPTH, &mut budget, &mut found);
    }
    let absolute = fs::canonicalize(folder).ok();
    let above = absolute.iter().flat_map(|folder| folder.ancestors().skip(1));
    found.extend(above.filter(|folder| folder.join(SITE_FILE).is_file()).map(Path::to_owned));
    found.truncate(NEAR_NAMED);
    found.iter().map(|folder| folder.display().to_string()).collect()
}

fn below(folder: &Path, depth: usize, budget: &mut usize, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    let mut folders: Vec<PathBuf> = entries
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .filter(|entry| !entry.file_name().to_string_lossy().starts_with('.'))
        .map(|entry| entry.path())
        .collect();
    folders.sort_unstable();
    for folder in folders {
        if *budget == 0 || found.len() >= NEAR_NAMED {
            return;
        }
        *budget -= 1;
        if folder.join(SITE_FILE).is_file() {
            found.push(folder.strip_prefix(".").unwrap_or(&folder).to_owned());
        } else if depth > 1 {
            below(&folder, depth - 1, budget, found);
        }
    }
}
