//! Programs that are run with a deadline and a bound on what they print.

use std::{
    io::{self, Read, Write},
    os::unix::process::CommandExt as _,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

/// How often a program that has closed its output is asked whether it has ended.
const POLL: Duration = Duration::from_millis(2);

/// Bytes of what a program says on standard error; enough for its last words.
const STDERR_BYTES: u64 = 64 * 1024;

/// What a program that ended by itself left.
pub(crate) struct Finished {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

/// Why a program did not end by itself.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Stopped {
    /// There is no such program.
    #[error("there is no such program")]
    Missing,
    /// The system could not start or watch it.
    #[error("it could not be run")]
    System(#[source] io::Error),
    /// It was stopped at its deadline.
    #[error("it did not end within {} s", .0.as_secs())]
    TooSlow(Duration),
    /// It was stopped because it printed too much.
    #[error("it printed more than {0} bytes")]
    TooMuch(u64),
}

/// A child process in a group of its own, killed with all its children when this is dropped.
pub(crate) struct Group(pub(crate) Child);

impl Group {
    /// Starts `command`; its standard streams are pipes.
    pub(crate) fn spawn(command: &mut Command) -> Result<Self, Stopped> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        match command.process_group(0).spawn() {
            Ok(child) => Ok(Self(child)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Stopped::Missing),
            Err(error) => Err(Stopped::System(error)),
        }
    }

    /// Kills the process and everything that it started.
    pub(crate) fn kill(&mut self) {
        // Once it was waited for, its number may belong to another process.
        if matches!(self.0.try_wait(), Ok(None)) {
            kill_group(self.0.id());
        }
        let _ = self.0.wait();
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Kills the process group that `leader` leads; it must not have been waited for yet.
pub(crate) fn kill_group(leader: u32) {
    if let Some(pid) = i32::try_from(leader).ok().and_then(rustix::process::Pid::from_raw) {
        let _ = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL);
    }
}

/// Runs `command` on `input` until it ends, or `deadline` has passed, or it has printed more than `limit` bytes.
pub(crate) fn run(
    command: &mut Command,
    input: Vec<u8>,
    deadline: Duration,
    limit: u64,
) -> Result<Finished, Stopped> {
    let end = Instant::now() + deadline;
    let mut group = Group::spawn(command)?;
    if let Some(mut stdin) = group.0.stdin.take() {
        // A program that does not read its input is no fault of ours: the pipe breaks.
        thread::spawn(move || drop(stdin.write_all(&input)));
    }
    let stdout = collect(group.0.stdout.take(), limit);
    let stderr = collect(group.0.stderr.take(), STDERR_BYTES);
    let stdout = until(&stdout, end).ok_or(Stopped::TooSlow(deadline))?;
    let stdout = stdout.map_err(Stopped::System)?;
    if stdout.len() as u64 > limit {
        return Err(Stopped::TooMuch(limit));
    }
    let stderr = until(&stderr, end).ok_or(Stopped::TooSlow(deadline))?.unwrap_or_default();
    let status = loop {
        match group.0.try_wait().map_err(Stopped::System)? {
            Some(status) => break status,
            None if Instant::now() >= end => return Err(Stopped::TooSlow(deadline)),
            None => thread::sleep(POLL),
        }
    };
    Ok(Finished { status, stdout, stderr: String::from_utf8_lossy(&stderr).into_owned() })
}

/// Reads a pipe on a thread of its own: a program that is not read from stands still.
fn collect(
    pipe: Option<impl Read + Send + 'static>,
    limit: u64,
) -> mpsc::Receiver<io::Result<Vec<u8>>> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let result = match pipe {
            Some(pipe) => pipe.take(limit.saturating_add(1)).read_to_end(&mut bytes),
            None => Ok(0),
        };
        let _ = sender.send(result.map(|_| bytes));
    });
    receiver
}

fn until<T>(receiver: &mpsc::Receiver<T>, end: Instant) -> Option<T> {
    receiver.recv_timeout(end.saturating_duration_since(Instant::now())).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn input_goes_in_and_both_outputs_come_out() {
        let finished =
            run(&mut sh("cat; echo oops >&2; exit 3"), b"hi".into(), Duration::from_secs(10), 99)
                .unwrap();
        assert_eq!((&finished.stdout[..], &*finished.stderr), (&b"hi"[..], "oops\n"));
        assert_eq!(finished.status.code(), Some(3));
    }

    #[test]
    fn a_program_that_hangs_or_floods_is_stopped() {
        let start = Instant::now();
        let slow = run(&mut sh("sleep 60 & sleep 60"), vec![], Duration::from_millis(200), 99);
        assert!(matches!(slow, Err(Stopped::TooSlow(_))));
        let flood = run(&mut sh("yes"), vec![], Duration::from_secs(10), 9999);
        assert!(matches!(flood, Err(Stopped::TooMuch(9999))));
        assert!(start.elapsed() < Duration::from_secs(8));
        let missing = run(&mut Command::new("/no/such"), vec![], Duration::from_secs(1), 9);
        assert!(matches!(missing, Err(Stopped::Missing)));
    }
}
