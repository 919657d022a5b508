//! A wall clock of its own for one process: `clock.c`, loaded into it.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::Command,
};

/// What the shim is made of.
const SHIM: &str = include_str!("clock.c");

/// The wall clock of a process that was started under it, and of those that are started under it later.
pub(super) struct Clock {
    shim: PathBuf,
    path: PathBuf,
    file: File,
    ahead: i64,
}

impl Clock {
    /// Makes a clock that is right, with its files in `folder`.
    pub(super) fn new(folder: &Path, name: &str) -> Self {
        let (shim, source) = (folder.join("clock.so"), folder.join("clock.c"));
        if !shim.exists() {
            fs::write(&source, SHIM).expect("it can be written");
            let mut cc = Command::new("cc");
            cc.args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"]).args([&shim, &source]);
            let output = cc.output().expect("cc runs, as it does to link Rust");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
        let path = folder.join(name);
        let file = File::create(&path).expect("it can be written");
        let clock = Self { shim, path, file, ahead: 0 };
        clock.set();
        clock
    }

    /// Puts what `command` starts under this clock.
    pub(super) fn rule(&self, command: &mut Command) {
        command.env("LD_PRELOAD", &self.shim).env("SOAK_CLOCK", &self.path);
    }

    /// Lets it jump.
    pub(super) fn jump(&mut self, seconds: i64) {
        self.ahead += seconds;
        self.set();
    }

    fn set(&self) {
        self.file.write_all_at(&self.ahead.to_ne_bytes(), 0).expect("it can be written");
    }

    /// Returns its time, to the minute, as it stands at the beginning of a line of JSON.
    pub(super) fn minute(&self) -> String {
        let mut date = Command::new("date");
        date.args(["-u", "+%Y-%m-%dT%H:%M"]);
        self.rule(&mut date);
        let output = date.output().expect("date runs");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_sees_its_own_wall_clock_and_the_monotonic_one_of_everybody() {
        let folder = tempfile::tempdir().unwrap();
        let mut clock = Clock::new(folder.path(), "clock");
        let times = |clock: &Clock| -> (i64, i64) {
            let mut date = Command::new("date");
            date.arg("+%s");
            clock.rule(&mut date);
            let wall = String::from_utf8(date.output().unwrap().stdout).unwrap();
            let up = fs::read_to_string("/proc/uptime").unwrap();
            let up: f64 = up.split(' ').next().unwrap().parse().unwrap();
            (wall.trim().parse().unwrap(), up as i64)
        };
        let (before, started) = times(&clock);
        for (jump, ahead) in [(7_200, 7_200), (-14_400, -7_200)] {
            clock.jump(jump);
            let (now, at) = times(&clock);
            assert!((now - before - (at - started) - ahead).abs() <= 2, "{now} {before}");
        }
    }
}
