//! Who holds the lock: a process, named so that the same machine can tell whether it still lives.

use std::{fmt, fs, path::Path};

use sitewright_model::digest::Digest;

/// One apply of a process on a machine. Written `HOST_PID_START_MACHINE_NONCE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Holder {
    host: String,
    process: u32,
    /// When the process began, in clock ticks since boot: a process id is used again.
    start: u64,
    /// A digest of the boot and of the namespace of process ids, within which the id means something.
    machine: String,
    /// Tells two applies of one process apart.
    nonce: String,
}

impl Holder {
    pub(super) fn new() -> Self {
        let process = std::process::id();
        Self {
            host: host(),
            process,
            start: start_of(process).unwrap_or_default(),
            machine: machine(),
            nonce: format!("{:08x}", rand::random::<u32>()),
        }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.rsplitn(5, '_');
        let nonce = parts.next()?.to_owned();
        let machine = parts.next()?.to_owned();
        let start = parts.next()?.parse().ok()?;
        let process = parts.next()?.parse().ok()?;
        Some(Self { host: parts.next()?.to_owned(), process, start, machine, nonce })
    }

    /// Returns whether the process is known to be gone; of another machine nothing is known.
    pub(super) fn is_dead(&self) -> bool {
        !self.machine.is_empty()
            && self.machine == machine()
            && Path::new("/proc/self").exists()
            && start_of(self.process) != Some(self.start)
    }

    pub(super) fn for_people(&self) -> String {
        format!("process {} on {}", self.process, self.host)
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, process, start, machine, nonce } = self;
        write!(f, "{host}_{process}_{start}_{machine}_{nonce}")
    }
}

fn host() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "unknown-host".into() } else { name.to_owned() }
}

/// Empty where it cannot be told (not Linux): then nothing is known of any process.
fn machine() -> String {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id");
    let namespace = fs::read_link("/proc/self/ns/pid");
    match (boot, namespace) {
        (Ok(boot), Ok(namespace)) => {
            let namespace = namespace.to_string_lossy().into_owned();
            Digest::of_parts([boot.trim(), namespace.as_str()]).short()
        }
        _ => String::new(),
    }
}

/// Field 22 of `/proc/PID/stat`, counted after the command name, which may hold anything. A process
/// that has ended and whose parent has not asked for its status (`Z`) is gone.
fn start_of(process: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    let state = fields.next()?;
    (state != "Z").then_some(())?;
    fields.nth(18)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_living_process_is_not_dead_and_a_past_one_is() {
        let me = Holder::new();
        assert!(!me.is_dead());
        assert_eq!(Holder::parse(&me.to_string()), Some(me.clone()));
        assert!(Holder { start: me.start + 1, ..me.clone() }.is_dead());
        assert!(!Holder { machine: "elsewhere".into(), start: 0, ..me }.is_dead());
        assert_eq!(Holder::parse("some-controller"), None);
    }
}
