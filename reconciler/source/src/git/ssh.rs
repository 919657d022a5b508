//! Git over the system's ssh program: its keys, agent, `~/.ssh/config` and known hosts apply.

use std::{
    env,
    io::{self, Read, Write as _},
    process::{ChildStdin, ChildStdout},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use super::{
    GitError,
    http::{Bounded, OverBound},
    protocol::{Wire, shown},
};
use crate::{
    process::{Group, Program, Stopped, collect, kill_group},
    url::Url,
};

/// Bytes of what ssh says on standard error.
const STDERR_BYTES: u64 = 16 * 1024;

/// How long ssh may take to say why it ended.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// A repository behind ssh.
pub(super) struct SshWire {
    repository: Url,
    stdin: Option<ChildStdin>,
    stdout: Bounded<ChildStdout>,
    stderr: mpsc::Receiver<Vec<u8>>,
    limit: u64,
    end: Instant,
    /// Dropped before `group`: tells the watch that the process number is about to be free.
    watch: Option<Watch>,
    group: Group,
}

impl SshWire {
    pub(super) fn open(repository: &Url, seconds: u64, limit: u64) -> Result<Self, GitError> {
        let (command, program) = command(repository);
        let mut group = Group::spawn(command).map_err(|stopped| match stopped {
            Stopped::Missing => GitError::NoSsh { repository: repository.clone(), program },
            other => GitError::Unreachable {
                repository: repository.clone(),
                facts: vec![format!("`{program}`: {other}")],
            },
        })?;
        let (Some(stdin), Some(stdout), Some(stderr)) =
            (group.child.stdin.take(), group.child.stdout.take(), group.child.stderr.take())
        else {
            let facts = vec!["its pipes could not be opened".to_owned()];
            return Err(GitError::Unreachable { repository: repository.clone(), facts });
        };
        let deadline = Duration::from_secs(seconds);
        Ok(Self {
            repository: repository.clone(),
            stdin: Some(stdin),
            stdout: Bounded { inner: stdout, left: limit },
            stderr: collect(Some(stderr), STDERR_BYTES),
            limit,
            end: Instant::now() + deadline,
            watch: Some(Watch::start(group.child.id(), deadline)),
            group,
        })
    }

    /// Returns what ssh and the server said before the connection broke.
    fn facts(&mut self) -> Vec<String> {
        self.stdin = None;
        let said = self.stderr.recv_timeout(LAST_WORDS).unwrap_or_default();
        let lines = said.split(|&byte| byte == b'\n').map(shown).filter(|line| !line.is_empty());
        let mut facts: Vec<String> =
            lines.take(5).map(|line| format!("ssh says: {line}")).collect();
        if Instant::now() >= self.end {
            facts.push("it took too long and was stopped".to_owned());
        }
        facts
    }
}

impl Wire for SshWire {
    fn greeting(&mut self) -> Result<Box<dyn Read + '_>, GitError> {
        Ok(Box::new(&mut self.stdout))
    }

    fn ask(&mut self, message: Vec<u8>) -> Result<Box<dyn Read + '_>, GitError> {
        let sent = match &mut self.stdin {
            Some(stdin) => stdin.write_all(&message).and_then(|()| stdin.flush()),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        };
        match sent {
            Ok(()) => Ok(Box::new(&mut self.stdout)),
            Err(error) => Err(self.broken(&error)),
        }
    }

    fn close(&mut self) {
        // A flush tells the server that nothing more is wanted; without it, it complains.
        if let Some(stdin) = &mut self.stdin {
            let _ = stdin.write_all(b"0000");
        }
        self.stdin = None;
        self.watch = None;
        let _ = self.group.end();
    }

    fn broken(&mut self, error: &io::Error) -> GitError {
        let repository = self.repository.clone();
        if error.get_ref().is_some_and(|inner| inner.is::<OverBound>()) {
            return GitError::TooLarge { repository, limit: self.limit };
        }
        let facts = self.facts();
        let says = |words: &[&str]| {
            facts.iter().any(|fact| words.iter().any(|word| fact.to_lowercase().contains(word)))
        };
        if says(&["permission denied", "host key verification failed", "access denied"]) {
            GitError::Refused { repository, facts }
        } else if says(&["not found", "does not appear to be a git repository", "no such"])
            && !says(&["could not resolve"])
        {
            GitError::NotFound { repository, facts }
        } else {
            GitError::Unreachable { repository, facts }
        }
    }
}

/// Returns the command, and the name of its program.
fn command(repository: &Url) -> (Program, String) {
    let (mut ssh, program) = match env::var("GIT_SSH_COMMAND") {
        Ok(line) if !line.trim().is_empty() => {
            // As git does it: the shell takes the line apart and appends our arguments.
            let mut shell = Program::new("sh");
            shell.command.arg("-c").arg(format!("{line} \"$@\"")).arg(&line);
            (shell, line)
        }
        _ => {
            let program = env::var("GIT_SSH").unwrap_or_else(|_| "ssh".to_owned());
            (Program::new(&program), program)
        }
    };
    let command = &mut ssh.command;
    command.args(["-o", "BatchMode=yes", "-o", "ConnectTimeout=30", "-o", "SendEnv=GIT_PROTOCOL"]);
    if let Some(port) = repository.port() {
        command.args(["-p", &port.to_string()]);
    }
    let host = repository.host().trim_matches(['[', ']']);
    let target = match repository.user() {
        Some(user) => format!("{user}@{host}"),
        None => host.to_owned(),
    };
    command.arg(target).arg(format!("git-upload-pack {}", quoted(remote_path(repository.path()))));
    command.env("GIT_PROTOCOL", "version=2").env_remove("GIT_DIR");
    (ssh, program)
}

/// `/~/x` is relative to the home folder, where a session starts; `/~ann/x` to that of another user.
fn remote_path(path: &str) -> &str {
    match path.strip_prefix("/~") {
        Some(rest) => rest.strip_prefix('/').unwrap_or_else(|| path.trim_start_matches('/')),
        None => path,
    }
}

/// Quotes for the shell on the other side, as git does.
fn quoted(path: &str) -> String {
    format!("'{}'", path.replace('\'', "'\\''").replace('!', "'\\!'"))
}

/// Kills a process group at a deadline, unless it is dropped before.
struct Watch(Option<(mpsc::Sender<()>, thread::JoinHandle<()>)>);

impl Watch {
    fn start(leader: u32, deadline: Duration) -> Self {
        let (sender, receiver) = mpsc::channel::<()>();
        let thread = thread::spawn(move || {
            if receiver.recv_timeout(deadline) == Err(mpsc::RecvTimeoutError::Timeout) {
                kill_group(leader);
            }
        });
        Self(Some((sender, thread)))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some((sender, thread)) = self.0.take() {
            drop(sender);
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_quoted_and_home_is_where_a_session_starts() {
        let url = |text: &str| Url::parse(text).unwrap();
        assert_eq!(remote_path(url("git@h:lab/site.git").path()), "lab/site.git");
        assert_eq!(remote_path(url("ssh://h/~ann/site.git").path()), "~ann/site.git");
        assert_eq!(remote_path(url("ssh://h/srv/site.git").path()), "/srv/site.git");
        assert_eq!(quoted("a'b;rm"), r"'a'\''b;rm'");
    }

    #[test]
    fn a_port_and_a_user_become_arguments() {
        let (ssh, _) = command(&Url::parse("ssh://git@[::1]:2222/x").unwrap());
        let arguments: Vec<_> = ssh.command.get_args().map(|a| a.to_string_lossy()).collect();
        let end = ["-p", "2222", "git@::1", "git-upload-pack '/x'"];
        assert!(arguments.ends_with(&end.map(Into::into)), "{arguments:?}");
    }
}
