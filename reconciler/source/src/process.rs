//! Programs that are run with a deadline and a bound on what they print.

use std::{
    env,
    io::{self, PipeReader, PipeWriter, Read, Write},
    os::{fd::AsRawFd as _, unix::process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

/// How often a program is asked whether it has ended.
const POLL: Duration = Duration::from_millis(2);

/// Bytes of what a program says on standard error; enough for its last words.
const STDERR_BYTES: u64 = 64 * 1024;

/// How long the last output of a program that has ended may take to arrive.
const LAST_WORDS: Duration = Duration::from_secs(2);

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

/// Waits beside the program until the pipe in `$1` is closed, which the kernel does when we end by
/// whatever signal, and kills the group. A death signal (`PR_SET_PDEATHSIG`) would need unsafe code,
/// and fire when the *thread* ends that started the program.
const GUARD: &str = r#"(read -r _ <"$1"; kill -KILL 0) </dev/null >/dev/null 2>&1 &
shift
exec "$@""#;

/// The shell that runs the guard. An image without one has us as its first process, with which all others end.
const SHELL: &str = "/bin/sh";

/// A program that ends when we do.
pub(crate) struct Program {
    /// The command, to which arguments and environment are added.
    pub(crate) command: Command,
    path: PathBuf,
    lifeline: Option<(PipeReader, PipeWriter)>,
}

impl Program {
    /// Makes the command for a program by its path, or by its name on the PATH.
    pub(crate) fn new(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        let (mut command, lifeline) = match lifeline() {
            Some(lifeline) => (Command::new(SHELL), Some(lifeline)),
            None => (Command::new(&path), None),
        };
        if let Some((reader, _)) = &lifeline {
            let pipe = format!("/dev/fd/{}", reader.as_raw_fd());
            command.args(["-c", GUARD, "sitewright", &pipe]).arg(&path);
        }
        Self { command, path, lifeline }
    }

    fn is_there(&self) -> bool {
        self.path.is_file()
            || (self.path.components().count() == 1 && on_path(&self.path).is_some())
    }
}

/// Returns a pipe whose reading end programs inherit; none where no guard is needed or possible.
fn lifeline() -> Option<(PipeReader, PipeWriter)> {
    // As the first process of a container we would have to bury the guards too.
    if std::process::id() == 1 || !Path::new(SHELL).exists() {
        return None;
    }
    let (reader, writer) = io::pipe().ok()?;
    // That programs started at this moment inherit it too does no harm: they cannot keep it open for us.
    rustix::io::fcntl_setfd(&reader, rustix::io::FdFlags::empty()).ok()?;
    Some((reader, writer))
}

/// Returns where a program is on the PATH.
pub(crate) fn on_path(name: &Path) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?)
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
}

/// A child process in a group of its own, killed with all its children when this is dropped.
pub(crate) struct Group {
    pub(crate) child: Child,
    /// How it ended, once it was waited for: from then on its number may belong to another process.
    status: Option<ExitStatus>,
    _lifeline: Option<PipeWriter>,
}

impl Group {
    /// Starts a program; its standard streams are pipes.
    pub(crate) fn spawn(mut program: Program) -> Result<Self, Stopped> {
        if !program.is_there() {
            return Err(Stopped::Missing);
        }
        let command = &mut program.command;
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        match command.process_group(0).spawn() {
            Ok(child) => {
                let lifeline = program.lifeline.map(|(_, writer)| writer);
                Ok(Self { child, status: None, _lifeline: lifeline })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Stopped::Missing),
            Err(error) => Err(Stopped::System(error)),
        }
    }

    /// Returns whether the program has ended, and leaves it to be waited for.
    fn has_ended(&self) -> io::Result<bool> {
        let Some(pid) = pid(self.child.id()).filter(|_| self.status.is_none()) else {
            return Ok(true);
        };
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        Ok(waitid(WaitId::Pid(pid), options)?.is_some())
    }

    /// Kills the program and everything that it started; returns how the program ended.
    pub(crate) fn end(&mut self) -> io::Result<ExitStatus> {
        if let Some(status) = self.status {
            return Ok(status);
        }
        // Before it is waited for: a program that has ended keeps the number of its group until then.
        kill_group(self.child.id());
        let status = self.child.wait()?;
        self.status = Some(status);
        Ok(status)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

fn pid(number: u32) -> Option<Pid> {
    i32::try_from(number).ok().and_then(Pid::from_raw)
}

/// Kills the process group that `leader` leads; it must not have been waited for yet.
pub(crate) fn kill_group(leader: u32) {
    if let Some(pid) = pid(leader) {
        let _ = kill_process_group(pid, Signal::KILL);
    }
}

/// Runs a program on `input` until it ends, or `deadline` has passed, or it has printed more than `limit` bytes.
pub(crate) fn run(
    program: Program,
    input: Vec<u8>,
    deadline: Duration,
    limit: u64,
) -> Result<Finished, Stopped> {
    let end = Instant::now() + deadline;
    let mut group = Group::spawn(program)?;
    if let Some(mut stdin) = group.child.stdin.take() {
        // A program that does not read its input is no fault of ours: the pipe breaks.
        thread::spawn(move || drop(stdin.write_all(&input)));
    }
    let stdout = collect(group.child.stdout.take(), limit.saturating_add(1));
    let stderr = collect(group.child.stderr.take(), STDERR_BYTES);
    let mut printed = None;
    while !group.has_ended().map_err(Stopped::System)? {
        if Instant::now() >= end {
            return Err(Stopped::TooSlow(deadline));
        }
        match &printed {
            None => printed = stdout.recv_timeout(POLL).ok(),
            Some(bytes) if bytes.len() as u64 > limit => return Err(Stopped::TooMuch(limit)),
            Some(_) => thread::sleep(POLL),
        }
    }
    // What it left running would hold its output open.
    let status = group.end().map_err(Stopped::System)?;
    let printed = printed.or_else(|| stdout.recv_timeout(LAST_WORDS).ok());
    let stdout = printed.ok_or(Stopped::TooSlow(deadline))?;
    if stdout.len() as u64 > limit {
        return Err(Stopped::TooMuch(limit));
    }
    let stderr = stderr.recv_timeout(LAST_WORDS).unwrap_or_default();
    Ok(Finished { status, stdout, stderr: String::from_utf8_lossy(&stderr).into_owned() })
}

/// Reads a pipe on a thread of its own, since a program that is not read from stands still: keeps the
/// first `limit` bytes, tells them as soon as they are there, and reads on to the end.
pub(crate) fn collect(
    pipe: Option<impl Read + Send + 'static>,
    limit: u64,
) -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let Some(mut pipe) = pipe else { return };
        let mut bytes = Vec::new();
        let _ = (&mut pipe).take(limit).read_to_end(&mut bytes);
        let _ = sender.send(bytes);
        let _ = io::copy(&mut pipe, &mut io::sink());
    });
    receiver
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Program {
        let mut program = Program::new("sh");
        program.command.args(["-c", script]);
        program
    }

    #[test]
    fn input_goes_in_and_both_outputs_come_out() {
        let finished =
            run(sh("cat; echo oops >&2; exit 3"), b"hi".into(), Duration::from_secs(10), 99)
                .unwrap();
        assert_eq!((&finished.stdout[..], &*finished.stderr), (&b"hi"[..], "oops\n"));
        assert_eq!(finished.status.code(), Some(3));
    }

    #[test]
    fn a_program_that_hangs_or_floods_is_stopped() {
        let slow = run(sh("sleep 60 & sleep 60"), vec![], Duration::from_millis(200), 99);
        assert!(matches!(slow, Err(Stopped::TooSlow(_))));
        let flood = run(sh("yes"), vec![], Duration::from_secs(10), 9999);
        assert!(matches!(flood, Err(Stopped::TooMuch(9999))));
        let missing = run(Program::new("/no/such"), vec![], Duration::from_secs(1), 9);
        assert!(matches!(missing, Err(Stopped::Missing)));
    }

    #[test]
    fn what_a_program_leaves_running_ends_with_it() {
        let finished = run(sh("sleep 60 & echo $!"), vec![], Duration::from_secs(30), 99).unwrap();
        let left = String::from_utf8(finished.stdout).unwrap();
        let state = || std::fs::read_to_string(format!("/proc/{}/stat", left.trim()));
        // A killed process stays in the table until its parent buries it.
        let is_gone = || state().map_or(true, |state| state.contains(") Z "));
        assert!(
            (0..100).any(|_| is_gone() || {
                thread::sleep(POLL * 10);
                false
            }),
            "{left}"
        );
    }

    #[test]
    fn a_program_with_much_to_say_on_standard_error_is_heard_out() {
        let script = "head -c 1000000 /dev/zero | tr '\\0' x >&2 && echo done";
        let finished = run(sh(script), vec![], Duration::from_secs(20), 99).unwrap();
        assert_eq!((&finished.stdout[..], finished.stderr.len()), (&b"done\n"[..], 64 * 1024));
    }
}
