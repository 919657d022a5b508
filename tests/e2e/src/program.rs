//! The program under test, and what a run of it printed.

use std::{
    fmt,
    io::Read,
    os::unix::process::ExitStatusExt,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, OnceLock, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use serde_json::Value;

/// Returns the path of the program: `SITEWRIGHT_BIN`, else a build of the workspace's own.
pub fn program() -> PathBuf {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM
        .get_or_init(|| std::env::var_os("SITEWRIGHT_BIN").map_or_else(build, PathBuf::from))
        .clone()
}

/// Builds the program with cargo: a test of this crate alone would else run a stale one.
fn build() -> PathBuf {
    let output = Command::new(env!("CARGO"))
        .args(["build", "--package", "sitewright", "--bin", "sitewright", "--message-format=json"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stderr(Stdio::inherit())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "sitewright does not build");
    let lines = String::from_utf8(output.stdout).expect("cargo prints UTF-8");
    let messages = lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut executables =
        messages.filter_map(|message| message["executable"].as_str().map(PathBuf::from));
    executables.next_back().expect("cargo names the executable")
}

/// What a run of the program gave.
pub struct Run {
    /// The exit code; 128 and the signal where one ended it.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Run {
    /// Returns standard output as JSON; panics where it is not.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("not JSON ({error}):\n{self}"))
    }

    /// Returns whether either output holds `text`.
    pub fn says(&self, text: &str) -> bool {
        self.stdout.contains(text) || self.stderr.contains(text)
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "exit code {}\n--- stdout\n{}\n--- stderr\n{}",
            self.code, self.stdout, self.stderr
        )
    }
}

/// Runs `command` to its end.
pub(crate) fn run(command: &mut Command) -> Run {
    let output = command.stdin(Stdio::null()).output().expect("the program starts");
    Run {
        code: code(output.status),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

fn code(status: ExitStatus) -> i32 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.expect("an ended process has a code or a signal")
}

/// What a test waits for comes long before this, also on a busy machine.
const PATIENCE: Duration = Duration::from_secs(180);

/// The program while it runs; killed when dropped, as where a test fails.
pub struct Running {
    child: Ending,
    handle: Handle,
    stdout: Arc<Mutex<String>>,
    readers: [JoinHandle<()>; 2],
}

/// A process that does not outlive this value.
struct Ending(Child);

impl Drop for Ending {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A way to a running program that can be given away.
#[derive(Clone)]
pub struct Handle {
    process: u32,
    stderr: Arc<Mutex<String>>,
}

impl Running {
    /// Starts the program.
    pub fn start(command: &mut Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let (stdout, stderr) = (Arc::default(), Arc::default());
        let readers = [
            collect(child.stdout.take().expect("it is piped"), &stdout),
            collect(child.stderr.take().expect("it is piped"), &stderr),
        ];
        let handle = Handle { process: child.id(), stderr };
        Self { child: Ending(child), handle, stdout, readers }
    }

    /// Returns a way to the program for another thread.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Waits for the end of the program; kills it and panics where it does not end.
    pub fn end(mut self) -> Run {
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.0.try_wait().expect("it can be waited for") {
                break status;
            }
            if Instant::now() >= deadline {
                let _ = self.child.0.kill();
                panic!("the program does not end:\n{}", locked(&self.handle.stderr));
            }
            thread::sleep(Duration::from_millis(20));
        };
        for reader in self.readers {
            reader.join().expect("a reader ends with the program");
        }
        let stderr = locked(&self.handle.stderr);
        Run { code: code(status), stdout: locked(&self.stdout), stderr }
    }
}

impl Handle {
    /// Sends a signal, such as `INT`.
    pub fn signal(&self, name: &str) {
        let arguments = [format!("-{name}"), self.process.to_string()];
        let status = Command::new("kill").args(arguments).status().expect("kill runs");
        assert!(status.success(), "the program has ended before its signal");
    }

    /// The process id.
    pub fn process(&self) -> u32 {
        self.process
    }

    /// Returns what is on standard error so far.
    pub fn said(&self) -> String {
        locked(&self.stderr)
    }

    /// Waits until standard error holds `text`.
    pub fn wait_to_say(&self, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !locked(&self.stderr).contains(text) {
            let stderr = locked(&self.stderr);
            assert!(Instant::now() < deadline, "it does not say {text:?}:\n{stderr}");
            thread::sleep(Duration::from_millis(5));
        }
    }
}

fn collect(mut from: impl Read + Send + 'static, to: &Arc<Mutex<String>>) -> JoinHandle<()> {
    let to = Arc::clone(to);
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(length) = from.read(&mut buffer)
            && length > 0
        {
            let text = String::from_utf8_lossy(&buffer[..length]);
            to.lock().unwrap_or_else(PoisonError::into_inner).push_str(&text);
        }
    })
}

fn locked(text: &Mutex<String>) -> String {
    text.lock().unwrap_or_else(PoisonError::into_inner).clone()
}
