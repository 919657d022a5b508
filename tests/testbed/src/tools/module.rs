//! A pinned Go module below `tests/tools`.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use crate::hex;

/// One folder of `tests/tools` with its own `go.mod`, so that the dependency versions of two
/// programs never meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ToolModule {
    folder: &'static str,
    path: &'static str,
}

impl ToolModule {
    pub(crate) const fn new(folder: &'static str, path: &'static str) -> Self {
        Self { folder, path }
    }

    /// The folder that holds the `go.mod`.
    #[must_use]
    pub fn dir(self) -> PathBuf {
        PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../tools")).join(self.folder)
    }

    /// The path of the upstream Go module, such as `k8s.io/kubernetes`.
    #[must_use]
    pub const fn upstream(self) -> &'static str {
        self.path
    }

    /// The text of the `go.mod`.
    pub(crate) fn go_mod(self) -> Result<String> {
        let path = self.dir().join("go.mod");
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
    }

    /// The version of the upstream module that `go.mod` requires.
    pub(crate) fn version(self) -> Result<String> {
        required_version(&self.go_mod()?, self.path)
            .with_context(|| format!("{}/go.mod does not require {}", self.folder, self.path))
    }

    /// A digest of everything that decides what a build gives: the module files and the flags.
    pub(crate) fn digest(self, flags: &[String]) -> Result<String> {
        let mut hasher = Sha256::new();
        hasher.update(self.go_mod()?);
        hasher.update(fs::read(self.dir().join("go.sum"))?);
        hasher.update([0]);
        hasher.update(flags.join("\0"));
        hasher.update(std::env::consts::OS);
        hasher.update(std::env::consts::ARCH);
        Ok(hex(&hasher.finalize()).chars().take(12).collect())
    }
}

/// The version of `module` in the `require` lines of a `go.mod`.
fn required_version(go_mod: &str, module: &str) -> Option<String> {
    go_mod
        .lines()
        .map(|line| line.trim().trim_start_matches("require "))
        .find_map(|line| line.strip_prefix(module)?.strip_prefix(' '))
        .filter(|rest| rest.starts_with('v'))
        .and_then(|rest| rest.split_whitespace().next())
        .map(ToOwned::to_owned)
}

#[cfg(test)]
mod tests {
    use super::required_version;

    #[test]
    fn a_required_version_is_read_from_a_block_or_a_line() {
        let block = "require (\n\ta.b/c v1.2.3 // indirect\n\ta.b/c/d v9.0.0\n)\n";
        assert_eq!(required_version(block, "a.b/c").as_deref(), Some("v1.2.3"));
        assert_eq!(required_version("require a.b/c v2.0.0\n", "a.b/c").as_deref(), Some("v2.0.0"));
    }

    #[test]
    fn a_tool_line_is_no_version() {
        assert_eq!(required_version("tool a.b/c\n", "a.b/c"), None);
    }
}
