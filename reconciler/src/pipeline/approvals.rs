//! The approvals beside a site: read from the same state as the site, and no part of its rendering.
//!
//! An approval must not change the digest that it approves, nor make what is stored stale: so these files are in no
//! digest, and are read each time. A file with mistakes approves nothing, and holds nothing up.

use sitewright_model::{
    code,
    diagnostic::{Diagnostic, Diagnostics, Severity},
    format::approval,
    plan::ApprovalFile,
    yaml,
};
use sitewright_source::{
    Snapshot,
    snapshot::{Committed, Kind},
};

use super::site::join;

/// The folder beside the site file.
const FOLDER: &str = "approvals";
/// Approvals that are read: a person opens a plan now and then, and whoever has more has not cleared up for years.
const MOST: usize = 256;

/// The approvals beside a site.
#[derive(Clone, Debug, Default)]
pub struct Approvals {
    /// Those that can be read, in order of their names.
    pub files: Vec<ApprovalFile>,
    /// What is wrong with the others.
    pub mistakes: Diagnostics,
}

impl Approvals {
    /// Reads the approvals beside the site that the snapshot was opened for.
    pub(super) fn read(snapshot: &mut Snapshot) -> Self {
        let mut approvals = Self::default();
        let folder = join(snapshot.path(), FOLDER);
        let (names, _) = snapshot.aside(|snapshot| names(snapshot, &folder));
        let names = names.unwrap_or_else(|mistakes| {
            approvals.mistakes.extend(mistakes);
            Vec::new()
        });
        if names.len() > MOST {
            approvals.mistakes.push(too_many(&folder, names.len()));
        }
        for name in names.iter().take(MOST) {
            match file(snapshot, join(&folder, name)) {
                Ok(file) => approvals.files.push(file),
                Err(mistakes) => approvals.mistakes.extend(mistakes),
            }
        }
        approvals
    }

    /// Returns the mistakes as warnings: what a broken file would have opened stays closed, and the rest goes on.
    pub(super) fn warnings(&self) -> impl Iterator<Item = Diagnostic> {
        self.mistakes.0.iter().cloned().map(|mut mistake| {
            mistake.severity = Severity::Warning;
            mistake
        })
    }
}

/// Returns whether there may be approvals beside the site that the snapshot was opened for.
pub(super) fn are_in(snapshot: &Snapshot) -> Result<bool, Diagnostics> {
    snapshot.exists(&join(snapshot.path(), FOLDER))
}

/// Returns the names of the approval files, sorted.
fn names(snapshot: &Snapshot, folder: &str) -> Result<Vec<String>, Diagnostics> {
    if !snapshot.exists(folder)? {
        return Ok(Vec::new());
    }
    let entries = snapshot.list(folder)?;
    let is_approval = |name: &str| name.ends_with(".yaml") || name.ends_with(".yml");
    let files = entries.into_iter().filter(|entry| entry.kind != Kind::Folder);
    Ok(files.map(|entry| entry.name).filter(|name| is_approval(name)).collect())
}

fn file(snapshot: &mut Snapshot, path: String) -> Result<ApprovalFile, Diagnostics> {
    let (bytes, committed) = snapshot.aside(|snapshot| snapshot.file(&path));
    let spec = approval::parse(&path, yaml::text_of(&path, &bytes?)?)?.value.spec;
    Ok(ApprovalFile { file: path, is_committed: committed == Committed::Yes, spec })
}

fn too_many(folder: &str, count: usize) -> Diagnostic {
    Diagnostic::error(
        code::source::TOO_LARGE,
        format!("{folder} holds {count} approvals; the first {MOST} are read"),
    )
    .help("remove those of plans that are done")
}
