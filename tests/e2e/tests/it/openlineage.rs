//! A server of OpenLineage is told of a real run as it goes, also through its own failures and an agent that is killed.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpListener,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use sitewright_e2e::project;

use super::lineage::Recorded;

/// A server that takes events, after it has failed so often.
struct Server {
    url: String,
    taken: Arc<Mutex<Vec<Value>>>,
    fails: Arc<AtomicUsize>,
}

impl Server {
    fn start(fails: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/api/v1/lineage", listener.local_addr().unwrap());
        let (taken, fails): (Arc<Mutex<Vec<Value>>>, _) =
            (Arc::default(), Arc::new(AtomicUsize::new(fails)));
        let (its_taken, left) = (Arc::clone(&taken), Arc::clone(&fails));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let (mut bytes, mut buffer) = (Vec::new(), [0; 65536]);
                let body = loop {
                    let count = stream.read(&mut buffer).unwrap();
                    bytes.extend_from_slice(&buffer[..count]);
                    let text = String::from_utf8_lossy(&bytes).into_owned();
                    let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
                    let head = head.to_ascii_lowercase();
                    let length =
                        head.lines().find_map(|line| line.strip_prefix("content-length: "));
                    if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
                        break body.to_owned();
                    }
                };
                let fails = left
                    .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
                let status = if fails.is_ok() { "503 busy" } else { "200 OK" };
                if fails.is_err() {
                    let body: Value = serde_json::from_str(&body).unwrap();
                    its_taken
                        .lock()
                        .unwrap()
                        .extend(body.as_array().cloned().unwrap_or_else(|| vec![body]));
                }
                let _ = write!(
                    stream,
                    "HTTP/1.1 {status}\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{{}}"
                );
            }
        });
        Self { url, taken, fails }
    }

    /// Returns the kinds of events about the run `name`, in order.
    fn of(&self, name: &str) -> Vec<String> {
        let is_of =
            |event: &&Value| event["job"]["name"].as_str().is_some_and(|job| job.ends_with(name));
        let kind = |event: &Value| event["eventType"].as_str().unwrap().to_owned();
        self.taken.lock().unwrap().iter().filter(is_of).map(kind).collect()
    }

    fn until(&self, name: &str, expected: &[&str]) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while self.of(name) != expected {
            let taken = self.taken.lock().unwrap().len();
            assert!(Instant::now() < deadline, "{:?} of {taken}, not {expected:?}", self.of(name));
            thread::sleep(Duration::from_millis(100));
        }
    }
}

#[test]
fn a_run_is_told_once_and_in_order_through_failures_and_a_killed_agent() {
    let mut site = Recorded::new("openlineage");
    let server = Server::start(2);
    let settings = site.lab.folder().join("lineage.settings.yaml");
    let text = format!(
        "apiVersion: sitewright.dev/v1alpha1\nkind: LineageSettings\nspec:\n  openlineage: {{ url: '{}', hold: 3s, names: withContent }}\n",
        server.url
    );
    fs::write(&settings, text).unwrap();
    site.settings = Some(settings);
    let running = site.agent();
    site.submit("told", "", "");
    server.until("/told", &["START", "RUNNING"]);
    running.handle().signal("KILL");
    running.end();
    let running = site.agent();
    // a server that is away stops neither the record nor the run
    server.fails.store(1_000, Ordering::SeqCst);
    site.finish("told");
    site.until_answered(&["of", &site.thing("told")], "succeeded");
    server.fails.store(0, Ordering::SeqCst);
    // nothing here reads models, so the end comes once it was held for its time
    server.until("/told", &["START", "RUNNING", "COMPLETE"]);
    running.handle().signal("TERM");
    running.end();
    site.verify();

    // what was sent is what others take for events, and the whole record is sent again on demand
    let other = Server::start(1);
    let ledger = site.ledger.display().to_string();
    let run = site.lab.run(&["lineage", "send", "--to", &other.url, "--ledger", &ledger]);
    assert!(run.code == 0 && run.says("events taken"), "{run}");
    // what has ended is told from its start to its end
    assert_eq!(other.of("/told"), ["START", "COMPLETE"]);
    let folder = tempfile::tempdir().unwrap();
    let all = [("agent", &server), ("send", &other)];
    let files: Vec<PathBuf> = all
        .into_iter()
        .map(|(name, server)| {
            let path = folder.path().join(name);
            let events = Value::from(server.taken.lock().unwrap().clone());
            fs::write(&path, events.to_string()).unwrap();
            path
        })
        .collect();
    let schema = project().join("schema").display().to_string();
    let said = sitewright_judges::complaints("openlineage", &[&schema], &files).unwrap();
    assert!(said.iter().all(Vec::is_empty), "{said:?}");
}
