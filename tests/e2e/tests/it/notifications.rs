//! Forges, programs and chats are told of a site; here they are servers that remember what they were told.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use sitewright_e2e::Lab;

use crate::syncs::{Followed, is_ready};

/// What a test waits for comes long before this.
const PATIENCE: Duration = Duration::from_secs(180);

const SETTINGS: &str = "
apiVersion: v1
kind: ConfigMap
metadata: { name: settings, namespace: '{ns}' }
data: { color: blue }
";

/// A message that came.
#[derive(Clone)]
pub(crate) struct Message {
    /// The method and the path.
    pub(crate) line: String,
    pub(crate) headers: String,
    pub(crate) body: Vec<u8>,
}

impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}\n{:#}", self.line, self.json())
    }
}

impl Message {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// A server that takes everything.
pub(crate) struct Listener {
    pub(crate) address: String,
    messages: Arc<Mutex<Vec<Message>>>,
}

impl Listener {
    /// Serves; `answer` makes the body of an answer.
    pub(crate) fn serve(mut answer: impl FnMut(&Message) -> String + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = format!("http://{}", listener.local_addr().expect("an address"));
        let messages = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&messages);
        thread::spawn(move || {
            for socket in listener.incoming() {
                let Ok(mut socket) = socket else { continue };
                let Some(message) = read(&socket) else { continue };
                let body = answer(&message);
                kept.lock().expect("no panic").push(message);
                let length = body.len();
                let _ = write!(
                    socket,
                    "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
                );
            }
        });
        Self { address, messages }
    }

    pub(crate) fn messages(&self) -> Vec<Message> {
        self.messages.lock().expect("no panic").clone()
    }

    /// Waits for a message, and returns it.
    pub(crate) fn wait(&self, what: &str, is_it: impl Fn(&Message) -> bool) -> Message {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(message) = self.messages().into_iter().find(&is_it) {
                return message;
            }
            let messages = self.messages();
            assert!(Instant::now() < deadline, "nobody tells of {what}:\n{messages:#?}");
            thread::sleep(Duration::from_millis(100));
        }
    }
}

fn read(socket: &TcpStream) -> Option<Message> {
    let mut reader = BufReader::new(socket.try_clone().ok()?);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let (mut headers, mut length) = (String::new(), 0);
    loop {
        let mut header = String::new();
        if reader.read_line(&mut header).ok()? == 0 {
            return None;
        }
        if header == "\r\n" {
            break;
        }
        let lower = header.to_ascii_lowercase();
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        headers.push_str(&lower);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Message { line: line.trim_end_matches(" HTTP/1.1\r\n").to_owned(), headers, body })
}

#[test]
fn a_commit_is_told_to_its_forge_a_program_and_a_chat_and_nothing_twice() {
    let listener = Listener::serve(|_| "{}".to_owned());
    let hosts = |command: &mut std::process::Command| {
        command.args(["--notify-hosts", "127.0.0.1"]);
    };
    let followed = Followed::start_with("told", hosts);
    let secret = |name: &str, value: &str| {
        let value = format!("--from-literal={value}");
        followed.lab.kubectl(&["create", "secret", "generic", name, "-n", "told", &value]);
    };
    secret("forge", "token=canary-token");
    secret("signing", "token=canary-signing-key");
    secret("chat", &format!("url={}/services/canary-path", listener.address));
    let events = format!("{}/events", listener.address);
    let api = format!("{}/api/v1", listener.address);
    followed.sync("site", |spec| {
        spec["notifications"] = json!([
            { "name": "commits", "commitStatus": { "forge": "forgejo", "url": api,
                "repository": "lab/site", "secretRef": { "name": "forge" } } },
            { "name": "events", "cloudEvents": { "url": events, "secretRef": { "name": "signing" } } },
            { "name": "chat", "slack": { "urlSecretRef": { "name": "chat" } } },
        ]);
    });
    let path = |commit: &str| format!("POST /api/v1/repos/lab/site/statuses/{commit}");
    let first = path(&followed.commit());
    let is = |state: &'static str, line: &str| {
        let line = line.to_owned();
        move |message: &Message| message.line == line && message.json()["state"] == state
    };
    let told = listener.wait("success", is("success", &first));
    assert_eq!(told.json()["context"], "sitewright/told");
    assert!(told.headers.contains("authorization: token canary-token"), "{}", told.headers);
    let told = listener
        .wait("the event", |message| message.json()["type"] == "dev.sitewright.site.applied");
    assert!(told.headers.contains("webhook-signature: v1,"), "{}", told.headers);
    assert_eq!(told.json()["data"]["outcome"]["end"], "Converged", "{:#}", told.json());
    listener.wait("the chat", |message| {
        message.line == "POST /services/canary-path"
            && message.json()["text"].to_string().contains("*told* at `main@")
    });

    followed.lab.file("site.yaml", "kind: Nonsense\n");
    followed.push("a mistake");
    let second = path(&followed.commit());
    let told = listener.wait("failure", is("failure", &second));
    assert!(told.json()["description"].to_string().contains("SW01"), "{:#}", told.json());
    listener.wait("the event of the failure", |message| {
        message.json()["type"] == "dev.sitewright.site.failed"
    });

    // another agent has nothing new to tell
    let (mut followed, log) = followed.start_again(hosts);
    assert!(!log.contains("canary"), "{log}");
    followed.wait("site", "failing", |status| status["state"] == "Failing");
    followed.lab.component("app", &SETTINGS.replace("blue", "green"));
    followed.push("mended");
    let third = path(&followed.commit());
    listener.wait("success again", is("success", &third));
    listener
        .wait("the recovery", |message| message.json()["type"] == "dev.sitewright.site.recovered");
    let status = followed.wait("site", "ready", is_ready);
    assert!(!status.to_string().contains("canary"), "{status:#}");
    let count =
        |is_it: &dyn Fn(&Message) -> bool| listener.messages().iter().filter(|m| is_it(m)).count();
    assert_eq!(count(&is("success", &first)), 1);
    assert_eq!(count(&is("failure", &second)), 1, "{:#?}", listener.messages());
    let failed = |message: &Message| message.json()["type"] == "dev.sitewright.site.failed";
    assert_eq!(count(&failed), 1, "{:#?}", listener.messages());

    let metrics = followed.ask("probes and metrics", "GET /metrics", "");
    let told =
        r#"sitewright_notifications_total{site="told/site",kind="forgejo",result="delivered"}"#;
    assert!(metrics.contains(told), "{metrics}");
    let log = followed.stop();
    assert!(!log.contains("canary"), "{log}");
    for message in listener.messages() {
        let body = String::from_utf8_lossy(&message.body);
        assert!(!body.contains("canary"), "{body}");
    }
}

#[test]
fn who_may_not_be_spoken_to_is_not_and_the_site_is_applied_all_the_same() {
    let listener = Listener::serve(|_| "{}".to_owned());
    let followed = Followed::start_with("untold", |_| {});
    let events = format!("{}/events", listener.address);
    followed.sync("site", |spec| {
        spec["notifications"] = json!([{ "name": "events", "cloudEvents": { "url": events } }]);
    });
    followed.wait("site", "ready", is_ready);
    let status = followed.wait("site", "failing to tell", |status| {
        status["notifications"][0]["failing"].to_string().contains("may not be spoken to")
    });
    assert_eq!(status["state"], "Ready", "{status:#}");
    let log = followed.stop();
    assert!(log.contains("SW0820"), "{log}");
    assert!(listener.messages().is_empty());
}

#[test]
fn one_site_at_a_desk_tells_by_a_file_with_secrets_of_the_environment() {
    let listener = Listener::serve(|_| "{}".to_owned());
    let mut lab = Lab::new("told-desk");
    lab.component("app", SETTINGS);
    lab.file(
        "tell.yaml",
        "notifications: [{ name: chat, slack: { urlSecretRef: { name: CHAT } } }]\n",
    );
    let arguments = ["agent", "--site", ".", "--notifications", "tell.yaml"];
    let run = lab.run(&arguments);
    assert!(run.code == 1 && run.says("SW0908") && run.says("CHAT"), "{run}");
    let mut command = lab.command(&arguments);
    // nor does it tell a secret when it tells everything
    command.arg("-vvv").env("CHAT", format!("{}/services/canary-path", listener.address));
    let agent = sitewright_e2e::Running::start(&mut command);
    listener.wait("the chat", |message| {
        message.json()["text"].to_string().contains("*told-desk* at `working tree` was applied")
    });
    agent.handle().signal("TERM");
    let run = agent.end();
    assert!(run.code == 143 && !run.says("canary"), "{run}");
}

#[test]
fn a_plan_is_a_comment_on_the_pull_request_that_its_next_one_replaces() {
    let mut lab = Lab::new("commented");
    lab.component("app", SETTINGS);
    let comments: Arc<Mutex<Vec<Value>>> = Arc::default();
    let kept = Arc::clone(&comments);
    let listener = Listener::serve(move |message| {
        let mut comments = kept.lock().expect("no panic");
        match message.line.split_once(' ') {
            Some(("GET", "/user")) => json!({ "login": "sitewright" }).to_string(),
            Some(("GET", _)) => Value::from(comments.clone()).to_string(),
            Some(("POST", _)) => {
                let comment = json!({ "id": 7, "body": message.json()["body"],
                    "user": { "login": "sitewright" } });
                comments.push(comment.clone());
                comment.to_string()
            }
            _ => {
                comments[0]["body"] = message.json()["body"].clone();
                comments[0].to_string()
            }
        }
    });
    let job = |command: &mut std::process::Command| {
        let variables = ["GITHUB_EVENT_PATH", "GITLAB_CI", "GH_TOKEN", "SITEWRIGHT_FORGE_TOKEN"];
        for name in variables {
            command.env_remove(name);
        }
        command
            .env("GITHUB_ACTIONS", "true")
            .env("GITHUB_API_URL", &listener.address)
            .env("GITHUB_REPOSITORY", "lab/site")
            .env("GITHUB_REF", "refs/pull/7/merge")
            .env("GITHUB_TOKEN", "canary-token");
    };
    let plan = |lab: &Lab| lab.run_with(&["plan", "--comment"], job);
    let run = plan(&lab);
    assert!(run.code == 2 && run.says("written to pull request 7"), "{run}");
    assert!(!run.says("canary"), "{run}");
    lab.apply();
    let run = plan(&lab);
    assert!(run.code == 0 && run.says("updated on pull request 7"), "{run}");
    let comments = comments.lock().expect("no panic").clone();
    assert_eq!(comments.len(), 1);
    assert!(comments[0]["body"].to_string().contains("No changes"), "{comments:#?}");
    let lines: Vec<String> = listener.messages().iter().map(|m| m.line.clone()).collect();
    assert!(lines.contains(&"PATCH /repos/lab/site/issues/comments/7".to_owned()), "{lines:?}");

    let run = lab.run_with(&["plan", "--comment"], |command| {
        job(command);
        command.env("GITHUB_REF", "refs/heads/main");
    });
    assert!(run.code == 1 && run.says("SW0920") && run.says("--pull-request"), "{run}");
}
