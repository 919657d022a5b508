//! The agent as a process, watched from outside.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use sitewright_testbed::{ControlPlane, Mark};

use super::{super::apply, PATIENCE};
use crate::bench::program::Program;

/// The agent, watched from outside.
pub(super) struct Agent {
    child: Child,
    /// What it logs, each line with the time at which it was read.
    lines: Receiver<(Instant, String)>,
}

impl Agent {
    /// Starts the agent in `folder`, with its log as JSON.
    pub(super) fn start(
        program: &Program,
        folder: &Path,
        plane: &ControlPlane,
        arguments: &[&str],
    ) -> Result<Self> {
        let mut child = program
            .command(folder, Some(plane.kubeconfig()))
            .args(["agent", "--log-format", "json"])
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("the program does not start")?;
        let stderr = child.stderr.take().context("standard error is piped")?;
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if sender.send((Instant::now(), line)).is_err() {
                    break;
                }
            }
        });
        Ok(Self { child, lines })
    }

    /// Waits for a line of the log that holds all of `texts`; returns it, and when it came. Lines before it are gone.
    pub(super) fn says(&self, texts: &[&str]) -> Result<(Instant, String)> {
        let end = Instant::now() + PATIENCE;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let line = self.lines.recv_timeout(left);
            let (at, line) = line.with_context(|| format!("the agent does not say {texts:?}"))?;
            if texts.iter().all(|text| line.contains(text)) {
                return Ok((at, line));
            }
        }
    }

    /// Waits until it has sent something since `begin`, and then nothing for `quiet`.
    pub(super) fn wait_for_rest(
        &self,
        plane: &ControlPlane,
        begin: Mark,
        quiet: Duration,
    ) -> Result<()> {
        let start = Instant::now();
        while apply::ours(plane.audit().since(begin)?).is_empty() {
            ensure!(start.elapsed() < PATIENCE, "the agent does not begin");
            thread::sleep(Duration::from_millis(200));
        }
        self.wait_for_quiet(plane, quiet)
    }

    /// Waits until it sends nothing for `quiet`.
    pub(super) fn wait_for_quiet(&self, plane: &ControlPlane, quiet: Duration) -> Result<()> {
        let start = Instant::now();
        loop {
            let mark = plane.audit().mark()?;
            thread::sleep(quiet);
            if apply::ours(plane.audit().since(mark)?).is_empty() {
                return Ok(());
            }
            ensure!(start.elapsed() < PATIENCE, "the agent does not come to rest");
        }
    }

    /// Processor time so far, user and system: fields 14 and 15 of `/proc/PID/stat`, in hundredths of a second.
    pub(super) fn cpu(&self) -> Result<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let (_, rest) = stat.rsplit_once(')').context("a process has a name")?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let ticks = |index: usize| -> Result<u64> {
            Ok(fields.get(index).context("a process has times")?.parse()?)
        };
        Ok(Duration::from_millis((ticks(11)? + ticks(12)?) * 10))
    }

    /// The resident set, as the kernel tells it.
    pub(super) fn resident_mib(&self) -> Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().strip_suffix("kB")).context("it is resident")?;
        Ok(kib.trim().parse::<f64>()? / 1024.0)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
