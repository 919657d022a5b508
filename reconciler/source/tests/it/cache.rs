//! The cache on a disk that does not take what is written.

use std::{env, fs, path::Path, process::Command};

use sitewright_model::{code, digest::Digest};
use sitewright_source::cache::{Cache, DEFAULT_BYTES, Kind};

#[test]
fn a_write_that_breaks_off_leaves_nothing_behind() {
    const FOLDER: &str = "SITEWRIGHT_TEST_FOLDER";
    let old = Digest::of("old");
    if let Ok(folder) = env::var(FOLDER) {
        let cache = Cache::new(&folder, DEFAULT_BYTES);
        cache.put(Kind::Artifact, &Digest::of("new"), &vec![7; 1_000_000]);
        assert_eq!(cache.take_warning().unwrap().code, code::source::CACHE_UNUSABLE);
        assert_eq!(cache.get(Kind::Artifact, &Digest::of("new")), None);
        assert_eq!(cache.get(Kind::Artifact, &old).unwrap(), b"content");
        assert_eq!(fs::read_dir(Path::new(&folder).join("artifact")).unwrap().count(), 1);
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    Cache::new(folder.path(), DEFAULT_BYTES).put(Kind::Artifact, &old, b"content");
    // No file may grow beyond 100 blocks of 512 bytes: the write fails in its middle, as on a full disk.
    let output = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 100; exec \"$@\"", "sh"])
        .arg(env::current_exe().unwrap())
        .args(["cache::a_write_that_breaks_off_leaves_nothing_behind", "--exact", "--nocapture"])
        .env(FOLDER, folder.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"));
}
