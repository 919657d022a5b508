//! What several tests need.

use std::{env, process::Command};

use sitewright_model::{code::Code, diagnostic::Diagnostics};
use sitewright_source::{Location, Settings, Snapshot};

/// Opens `location` with a cache of its own.
pub(crate) fn open(location: &str) -> Result<Snapshot, Diagnostics> {
    let cache = tempfile::tempdir().unwrap();
    open_with(location, &Settings::new(cache.path()))
}

pub(crate) fn open_with(location: &str, settings: &Settings) -> Result<Snapshot, Diagnostics> {
    Snapshot::open(&Location::parse(location).unwrap(), settings)
}

/// Checks that there is one error of this number, with a way out, and returns all its text.
#[track_caller]
pub(crate) fn wrong<T>(result: Result<T, Diagnostics>, code: Code) -> String {
    let Err(diagnostics) = result else { panic!("expected {code}, got a value") };
    let [diagnostic] = &diagnostics.0[..] else { panic!("expected one: {diagnostics}") };
    assert_eq!(diagnostic.code, code, "{diagnostic:?}");
    let help = diagnostic.help.clone().expect("a way out");
    format!("{} / {} / {help}", diagnostic.message, diagnostic.notes.join(" / "))
}

/// Runs the test `name` again in a process of its own with these variables, and returns false;
/// in that process, returns true. A process cannot change its own environment safely.
pub(crate) fn in_environment(name: &str, variables: &[(&str, &str)]) -> bool {
    const MARK: &str = "SITEWRIGHT_TEST_CHILD";
    if env::var(MARK).is_ok_and(|running| running == name) {
        return true;
    }
    let output = Command::new(env::current_exe().unwrap())
        .args([name, "--exact", "--nocapture"])
        .env(MARK, name)
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(stdout.contains("1 passed"), "no test is called {name}: {stdout}");
    false
}
