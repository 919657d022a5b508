//! File events of a site on disk: the live loop while editing.

use std::path::{Path, PathBuf};

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use sitewright_model::{code::machine, diagnostic::Diagnostic};

use super::Trigger;

/// Pulls a trigger whenever a file below a folder changes. Dropped, it ends.
pub(crate) struct FileEvents {
    _watcher: RecommendedWatcher,
}

impl FileEvents {
    /// Watches everything below `folder`, but for git's own files.
    ///
    /// # Errors
    /// The system does not let it: too many watches, mostly.
    pub(crate) fn watch(folder: &Path, trigger: Trigger) -> Result<Self, Box<Diagnostic>> {
        let failed = |error: notify::Error| {
            let message = format!("{} cannot be watched: {error}", folder.display());
            Diagnostic::error(machine::UNREADABLE_FILE, message).help(
                "raise fs.inotify.max_user_watches, or give a smaller folder; git is polled all the same",
            )
        };
        let told = move |event: notify::Result<notify::Event>| {
            // an overflow of events comes as an error: something changed
            if event.map_or(true, |event| changes(&event)) {
                trigger.pull();
            }
        };
        let mut watcher = notify::recommended_watcher(told).map_err(failed)?;
        watcher.watch(folder, RecursiveMode::Recursive).map_err(failed)?;
        Ok(Self { _watcher: watcher })
    }
}

fn changes(event: &notify::Event) -> bool {
    let is_gits = |path: &PathBuf| {
        // what git writes while it works is noise; a commit or a checkout moves HEAD or a reference
        let mut parts = path.components().skip_while(|part| part.as_os_str() != ".git").skip(1);
        parts.next().is_some_and(|part| part.as_os_str() != "HEAD" && part.as_os_str() != "refs")
    };
    !matches!(event.kind, EventKind::Access(_)) && !event.paths.iter().all(is_gits)
}

#[cfg(test)]
mod tests {
    use std::{fs, time::Duration};

    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn a_file_that_changes_pulls_the_trigger_and_what_git_writes_does_not() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join(".git/objects")).unwrap();
        fs::write(folder.path().join("site.yaml"), "a").unwrap();
        let trigger = Trigger::default();
        let _events = FileEvents::watch(folder.path(), trigger.clone()).unwrap();
        fs::write(folder.path().join("site.yaml"), "b").unwrap();
        timeout(Duration::from_secs(60), trigger.pulled()).await.expect("an event");

        let event = |path: &str| notify::Event {
            kind: EventKind::Any,
            paths: vec![folder.path().join(path)],
            attrs: Default::default(),
        };
        assert!(changes(&event("values/gpu.yaml")));
        assert!(changes(&event(".git/HEAD")));
        assert!(!changes(&event(".git/objects/ab/cd")));
    }
}
