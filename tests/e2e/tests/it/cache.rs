//! A cache that cannot be used costs time and a warning, and nothing else (SW0240).

use std::{fs, path::Path, process::Command};

use sitewright_e2e::{Lab, Run};

const SETTINGS: &str = "
apiVersion: v1
kind: ConfigMap
metadata: { name: settings, namespace: '{ns}' }
data: { color: blue }
";

fn assert_warned(run: &Run) {
    assert!(run.stderr.contains("warning[SW0240]"), "{run}");
    assert!(run.stderr.contains("--cache-dir"), "no way out:\n{run}");
}

fn files_below(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut files = Vec::new();
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            files.extend(files_below(&path));
        } else {
            files.push(path.display().to_string());
        }
    }
    files
}

#[test]
fn without_a_folder_for_the_cache_everything_works() {
    let mut lab = Lab::new("no-cache");
    lab.component("app", SETTINGS);
    // Below a file there can be no folder, not even for root.
    lab.file("occupied", "");
    let cache = lab.folder().join("occupied/cache");
    let run = |arguments: &[&str]| {
        lab.run_with(arguments, |command| {
            command.env("SITEWRIGHT_CACHE_DIR", &cache);
        })
    };
    let applied = run(&["apply", "--yes"]);
    assert_eq!(applied.code, 0, "{applied}");
    assert_warned(&applied);
    assert!(lab.live("configmap", "settings").is_some());
    let planned = run(&["plan"]);
    assert_eq!(planned.code, 0, "{planned}");
    assert_warned(&planned);
}

/// A limit of no bytes for any file is what a full disk is to the program: folders and files can be made,
/// and every write fails.
#[test]
fn on_a_full_disk_everything_works_and_nothing_half_written_is_left() {
    let mut lab = Lab::new("full-disk");
    lab.component("app", SETTINGS);
    let full = |arguments: &[&str]| {
        let whole = lab.command(arguments);
        lab.run_with(&[], |command| {
            let mut shell = Command::new("/bin/sh");
            shell.args(["-c", "trap '' XFSZ; ulimit -f 0; exec \"$@\"", "full-disk"]);
            shell.arg(whole.get_program()).args(whole.get_args());
            let environment = whole.get_envs().filter_map(|(name, value)| Some((name, value?)));
            shell.envs(environment).current_dir(lab.folder());
            *command = shell;
        })
    };
    let applied = full(&["apply", "--yes"]);
    assert_eq!(applied.code, 0, "{applied}");
    assert_warned(&applied);
    assert_eq!(lab.live("configmap", "settings").unwrap()["data"]["color"], "blue");
    let planned = full(&["plan"]);
    assert_eq!(planned.code, 0, "{planned}");
    assert_eq!(files_below(&lab.folder().join(".cache")), Vec::<String>::new());
    // Once there is room, the same cache is used again.
    let run = lab.run(&["plan"]);
    assert_eq!(run.code, 0, "{run}");
    assert!(!run.says("SW0240"), "{run}");
    assert!(!files_below(&lab.folder().join(".cache")).is_empty());
}
