use std::{fs, io, path::Path};

use clap::Args;
use sitewright_model::{
    code::machine,
    diagnostic::Diagnostic,
    format::lock::{self, Lock as LockFile},
};
use sitewright_source::Location;

use super::{file, site::SiteArgument};
use crate::{
    cli::{Context, Exit, Failure, file_failure},
    output::{
        field::{self, DiffLine},
        look::{self, paint},
        words,
    },
    pipeline,
};

/// The name of the lock file, beside the site file.
const LOCK_FILE: &str = "site.lock";

/// Pin every blueprint library and source of a site: write site.lock
///
/// Resolves branches, tags and version ranges to commits, and artifacts to the digest of their content,
/// and writes what it found beside the site file; shows what changed. Everything else reads the lock,
/// so that the same commit gives the same objects anywhere. Review and commit it like code.
///
/// Exit codes: 0 written or up to date, 1 an error; with --check 2 where it would change.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Lock {
    #[command(flatten)]
    site: SiteArgument,
    /// Write nothing; exit with 2 where the lock would change
    #[arg(long)]
    check: bool,
}

const EXAMPLES: &str = "\
Examples:
  sitewright lock sites/lab-gpu
  sitewright lock sites/lab-gpu --check       in CI: has somebody forgotten to lock?";

impl Lock {
    pub(super) fn run(self, context: &Context) -> Result<Exit, Failure> {
        let location = self.site.location()?;
        let Location::WorkingTree(folder) = &location else {
            return Err(Diagnostic::error(
                machine::BAD_ARGUMENT,
                "a lock is written beside a site file on disk, not into a commit",
            )
            .help("check the repository out, and give the folder of the site")
            .into());
        };
        let settings = context.settings()?;
        context.doing("pinning libraries and sources");
        let lock = pipeline::lock(&location, &settings)?;
        let path = folder.join(LOCK_FILE);
        let old = read(&path)?;
        let new = lock::print(&lock);
        if old.as_deref().unwrap_or_default() == new {
            context.print(&format!("{} is up to date: {}\n", path.display(), pins(&lock)))?;
            return Ok(Exit::Success);
        }
        context.print(&difference(old.as_deref().unwrap_or_default(), &new, context))?;
        if self.check {
            context.print(&format!("{} would change\n", path.display()))?;
            return Ok(Exit::Changes);
        }
        file::replace(&path, &new)?;
        context.print(&format!("Wrote {}: {}\n", path.display(), pins(&lock)))?;
        Ok(Exit::Success)
    }
}

fn read(path: &Path) -> Result<Option<String>, Diagnostic> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(file_failure(path, &error)),
    }
}

fn pins(lock: &LockFile) -> String {
    let sources = words::count(lock.sources.len(), "source");
    let libraries = words::count(lock.libraries.len(), "library");
    format!("{sources} and {libraries} pinned")
}

fn difference(old: &str, new: &str, context: &Context) -> String {
    field::text_diff(old, new, &context.look())
        .into_iter()
        .map(|line| match line {
            DiffLine::Kept(text) => format!("  {text}\n"),
            DiffLine::Gone(text) => format!("{}\n", paint(look::DELETE, format!("- {text}"))),
            DiffLine::New(text) => format!("{}\n", paint(look::CREATE, format!("+ {text}"))),
            DiffLine::Folded(text) => format!("{}\n", paint(look::DIM, format!("  {text}"))),
        })
        .collect()
}
