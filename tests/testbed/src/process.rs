//! Child processes that never outlive this one, however it dies.
//!
//! A death signal from the kernel (`PR_SET_PDEATHSIG`) is tied to the *thread* that spawned the
//! child, so it fires too early when a test thread ends, and setting it needs unsafe code. Instead
//! each child leads a process group of its own, with a shell beside it that waits on a pipe which only
//! this process holds open. When this process ends, by any signal, the kernel closes the pipe and the
//! shell kills the group.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io::{Read, Seek, SeekFrom, Write},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

/// The guard: a reader of the pipe in the background, then the program in place of the shell, so
/// that the program keeps the shell's process id.
const GUARD: &str = r#"exec 3<&0
(read -r _ <&3; kill -KILL 0) >/dev/null 2>&1 &
exec "$@" </dev/null 3<&-"#;

/// How long a program may take to end by itself once it is asked to.
const GRACE: Duration = Duration::from_secs(15);

/// A running program; killed with all its children when dropped.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `program` in the folder of the file `log`, with everything that it prints appended to
    /// that file.
    ///
    /// # Errors
    /// The log cannot be opened or the program not started.
    pub fn start<A: AsRef<OsStr>>(
        program: &Path,
        arguments: impl IntoIterator<Item = A>,
        environment: &[(&str, &OsStr)],
        log: &Path,
    ) -> Result<Self> {
        let name = program
            .file_name()
            .map_or_else(|| program.display().to_string(), |n| n.to_string_lossy().into_owned());
        let output = File::options().create(true).append(true).open(log)?;
        let folder = log.parent().context("a log is in a folder")?;
        let child = Command::new("/bin/sh")
            .args(["-c", GUARD, &name])
            .arg(program)
            .args(arguments)
            .current_dir(folder)
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(output.try_clone()?)
            .stderr(output)
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        Ok(Self { name, child, log: log.to_owned() })
    }

    /// Waits for `ready`, and stops waiting when the program ends.
    pub(crate) fn until_ready(
        &mut self,
        limit: Duration,
        ready: impl Fn() -> Result<()>,
    ) -> Result<()> {
        let result = until(limit, || match self.expect_running() {
            Ok(()) => ready().map(Ok),
            Err(ended) => Ok(Err(ended)),
        });
        match result {
            Ok(outcome) => outcome,
            Err(error) => bail!("{} is not ready: {error:#}\n{}", self.name, self.last_lines()),
        }
    }

    /// The process id of the program itself.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Fails, with the end of the log, if the program has ended.
    pub(crate) fn expect_running(&mut self) -> Result<()> {
        let Some(status) = self.child.try_wait()? else { return Ok(()) };
        bail!("{} ended with {status}:\n{}", self.name, self.last_lines())
    }

    /// The end of what the program has printed.
    #[must_use]
    pub fn last_lines(&self) -> String {
        tail(&self.log).unwrap_or_else(|error| format!("(no log: {error})"))
    }

    /// Asks the program to end, and kills it if it does not.
    pub fn stop(&mut self) {
        self.signal(Signal::TERM);
        if self.wait_at_most(GRACE).is_none() {
            self.kill();
        }
    }

    /// Kills the program at once, as a power cut would.
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        let _ = self.child.wait();
    }

    /// Waits for the program to end.
    pub fn wait_at_most(&mut self, limit: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + limit;
        loop {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Some(status);
            }
            if Instant::now() >= deadline {
                return None;
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn signal(&mut self, signal: Signal) {
        // A program that has been waited for has given its id back.
        if let Ok(None) = self.child.try_wait()
            && let Some(pid) = pid(&self.child)
        {
            let _ = kill_process(pid, signal);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The guard is still in the group, so the group's id cannot have been taken by another.
        if let Some(group) = pid(&self.child) {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.child.wait();
    }
}

fn pid(child: &Child) -> Option<Pid> {
    i32::try_from(child.id()).ok().and_then(Pid::from_raw)
}

/// The last 4 KiB of a file.
fn tail(path: &Path) -> Result<String> {
    let mut file = File::open(path)?;
    let length = fs::metadata(path)?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(4096)))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Runs `command` to its end with `input` as standard input, and gives its standard output.
///
/// # Errors
/// It cannot be started or fails; with its standard error.
pub(crate) fn output(command: &mut Command, input: &[u8]) -> Result<String> {
    Ok(String::from_utf8_lossy(&output_bytes(command, input)?).into_owned())
}

/// As [`output`], for what is no text.
pub(crate) fn output_bytes(command: &mut Command, input: &[u8]) -> Result<Vec<u8>> {
    let result = finished(command, input)?;
    if !result.status.success() {
        let name = command.get_program().to_string_lossy().into_owned();
        let arguments: Vec<_> = command.get_args().map(OsStr::to_string_lossy).collect();
        let said = String::from_utf8_lossy(&result.stderr);
        bail!("{name} {} failed with {}:\n{said}", arguments.join(" "), result.status);
    }
    Ok(result.stdout)
}

/// Runs a program to its end, however that is.
pub(crate) fn finished(command: &mut Command, input: &[u8]) -> Result<Output> {
    let name = command.get_program().to_string_lossy().into_owned();
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {name}"))?;
    let mut stdin = child.stdin.take().context("the input is piped")?;
    let result = thread::scope(|scope| {
        // A program may end without reading its input; that is its own business.
        scope.spawn(move || stdin.write_all(input));
        child.wait_with_output()
    })?;
    Ok(result)
}

/// Removes a folder when this process ends, by whatever signal; see [`crate::process`].
#[derive(Debug)]
pub(crate) struct Janitor(Child);

impl Janitor {
    /// Watches over `folder`.
    pub(crate) fn of(folder: &Path) -> Result<Self> {
        // The second removal catches files that dying children wrote during the first.
        let script = r#"read -r _; rm -rf -- "$1"; [ -e "$1" ] && sleep 2 && rm -rf -- "$1""#;
        let child = Command::new("/bin/sh")
            .args(["-c", script, "sitewright-janitor"])
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()?;
        Ok(Self(child))
    }
}

impl Drop for Janitor {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

/// Calls `ready` until it answers, at most for `limit`.
///
/// # Errors
/// The last error of `ready`, once the limit has passed.
pub(crate) fn until<T>(limit: Duration, mut ready: impl FnMut() -> Result<T>) -> Result<T> {
    let deadline = Instant::now() + limit;
    let mut pause = Duration::from_millis(10);
    loop {
        match ready() {
            Ok(value) => return Ok(value),
            Err(error) if Instant::now() >= deadline => return Err(error),
            Err(_) => thread::sleep(pause),
        }
        pause = (pause * 2).min(Duration::from_millis(100));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_alive(id: u32) -> bool {
        Path::new(&format!("/proc/{id}")).exists()
    }

    #[test]
    fn a_process_keeps_its_own_id_and_dies_when_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let mut process = Process::start(Path::new("/bin/sleep"), ["60"], &[], &log).unwrap();
        process.expect_running().unwrap();
        let id = process.id();
        let comm = || fs::read_to_string(format!("/proc/{id}/comm")).unwrap_or_default();
        until(Duration::from_secs(5), || match comm().trim() {
            "sleep" => Ok(()),
            other => bail!("{other}"),
        })
        .unwrap();
        drop(process);
        assert!(!is_alive(id));
    }

    #[test]
    fn a_program_that_ends_is_reported_with_its_last_words() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let script = ["-c", "echo no such luck; exit 3"];
        let mut process = Process::start(Path::new("/bin/sh"), script, &[], &log).unwrap();
        process.wait_at_most(Duration::from_secs(5)).unwrap();
        let error = process.expect_running().unwrap_err().to_string();
        assert!(error.contains("no such luck") && error.contains('3'), "{error}");
    }

    #[test]
    fn the_folder_goes_when_its_janitor_goes() {
        let folder = tempfile::tempdir().unwrap().keep();
        let janitor = Janitor::of(&folder).unwrap();
        assert!(folder.exists());
        drop(janitor);
        assert!(!folder.exists());
    }
}
