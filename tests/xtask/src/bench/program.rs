//! The program, built for release, run and watched from outside.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};

/// The program.
pub(super) struct Program(PathBuf);

/// What one run of the program took.
pub(super) struct Usage {
    /// Wall-clock time.
    pub(super) wall: Duration,
    /// The high-water mark of its resident set, in MiB; its children's (helm) not counted.
    pub(super) peak_mib: f64,
}

impl Program {
    /// Builds the program for release.
    pub(super) fn build() -> Result<Self> {
        super::say("building sitewright for release");
        let status = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--release", "--package", "sitewright"])
            .current_dir(crate::top())
            .status()?;
        ensure!(status.success(), "sitewright does not build");
        let target = std::env::var_os("CARGO_TARGET_DIR")
            .map_or_else(|| crate::top().join("target"), PathBuf::from);
        Ok(Self(target.join("release/sitewright")))
    }

    /// Returns the program, to be run in `folder`, which has its cache too.
    pub(super) fn command(&self, folder: &Path, kubeconfig: Option<&Path>) -> Command {
        let mut command = Command::new(&self.0);
        command
            .current_dir(folder)
            .env("SITEWRIGHT_CACHE_DIR", folder.join(".cache"))
            .env("KUBECONFIG", kubeconfig.unwrap_or(Path::new("/dev/null")))
            .stdin(Stdio::null());
        command
    }

    /// Returns how long a run without a cluster takes; nobody watches it meanwhile, which would cost milliseconds.
    pub(super) fn time(&self, folder: &Path, arguments: &[&str]) -> Result<Duration> {
        let mut command = self.command(folder, None);
        command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null());
        let started = Instant::now();
        let status = command.status().context("the program does not start")?;
        ensure!(status.success(), "{arguments:?} ended with {status}");
        Ok(started.elapsed())
    }

    /// Runs the program on the site in `folder`; its exit code must be one of `codes`.
    pub(super) fn run(
        &self,
        folder: &Path,
        arguments: &[&str],
        kubeconfig: Option<&Path>,
        codes: &[i32],
    ) -> Result<Usage> {
        let started = Instant::now();
        let mut child = self
            .command(folder, kubeconfig)
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("the program does not start")?;
        let mut stderr = child.stderr.take().context("standard error is piped")?;
        let reader = std::thread::spawn(move || {
            let mut text = Vec::new();
            let _ = std::io::Read::read_to_end(&mut stderr, &mut text);
            String::from_utf8_lossy(&text).into_owned()
        });
        let status_file = format!("/proc/{}/status", child.id());
        let mut peak_mib: f64 = 0.0;
        let status = loop {
            peak_mib = peak_mib.max(high_water_mark(&status_file).unwrap_or(0.0));
            if let Some(status) = child.try_wait()? {
                break status;
            }
            // The mark only grows, so the last look before the end tells nearly all.
            std::thread::sleep(Duration::from_millis(1));
        };
        let wall = started.elapsed();
        let said = reader.join().unwrap_or_default();
        ensure!(
            status.code().is_some_and(|code| codes.contains(&code)),
            "{arguments:?} ended with {status}:\n{said}"
        );
        Ok(Usage { wall, peak_mib })
    }
}

fn high_water_mark(status_file: &str) -> Option<f64> {
    let text = std::fs::read_to_string(status_file).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib / 1024.0)
}
