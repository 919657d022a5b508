//! Files that commands write for people to commit.

use std::{fs, path::Path};

use sitewright_model::diagnostic::Diagnostic;

use crate::cli::file_failure;

/// Writes beside the file and renames: a reader meets the old file or the new one.
pub(super) fn replace(path: &Path, text: &str) -> Result<(), Diagnostic> {
    let extension = path.extension().unwrap_or_default().to_string_lossy();
    let fresh = path.with_extension(format!("{extension}.{}", std::process::id()));
    let written = fs::write(&fresh, text).and_then(|()| fs::rename(&fresh, path));
    written.map_err(|error| {
        let _ = fs::remove_file(&fresh);
        file_failure(path, &error)
    })
}
