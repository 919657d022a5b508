//! The forges, as loopback servers that answer in the shape of their API and remember what they were asked.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

use serde_json::json;

use super::{status::Posted, *};

/// A request that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) line: String,
    pub(crate) headers: String,
    pub(crate) body: String,
}

impl Asked {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.headers.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

/// What a server answers: a status, further headers, a body. None: nothing, ever.
pub(crate) type Answer = Option<(u16, &'static str, String)>;

/// A server.
pub(crate) struct Fake {
    pub(crate) address: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Fake {
    pub(crate) fn serve(mut answer: impl FnMut(&Asked) -> Answer + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let record = Arc::clone(&asked);
        thread::spawn(move || {
            let mut silent = Vec::new();
            for socket in listener.incoming() {
                let mut socket = socket.unwrap();
                let Some(request) = read(&socket) else { continue };
                let answer = answer(&request);
                record.lock().unwrap().push(request);
                match answer {
                    None => silent.push(socket),
                    Some((status, headers, body)) => {
                        let length = body.len();
                        let _ = write!(
                            socket,
                            "HTTP/1.1 {status} X\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
                        );
                    }
                }
            }
        });
        Self { address, asked }
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    pub(crate) fn forge(&self, kind: Kind) -> Forge {
        Forge {
            kind,
            api: Api(format!("{}/api", self.address)),
            repository: "lab/site".into(),
            token: Secret::new("canary-token"),
            reach: Reach::Anybody,
        }
    }
}

fn read(socket: &TcpStream) -> Option<Asked> {
    let mut reader = BufReader::new(socket.try_clone().unwrap());
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
        if let Some((name, value)) = header.split_once(": ")
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().unwrap();
        }
        headers.push_str(&header);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let line = line.trim_end().trim_end_matches(" HTTP/1.1").to_owned();
    Some(Asked { line, headers, body: String::from_utf8(body).unwrap() })
}

fn ok(body: &Value) -> Answer {
    Some((200, "", body.to_string()))
}

fn status() -> CommitStatus {
    CommitStatus {
        state: CommitState::Failure,
        context: "sitewright/lab".into(),
        description: "SW0102: ".to_owned() + &"long ".repeat(60),
        target: Some("https://grafana.example.edu/d/1".into()),
    }
}

#[test]
fn a_commit_status_is_told_to_each_forge_in_its_own_words() {
    let mut told = String::new();
    for kind in [Kind::GitHub, Kind::GitLab, Kind::Gitea] {
        let fake = Fake::serve(|_| Some((201, "", "{}".into())));
        let posted = fake.forge(kind).set_status("1f3c9e2a", &status()).unwrap();
        assert_eq!(posted, Posted::New);
        let [asked] = fake.asked().try_into().unwrap();
        let who = ["authorization", "private-token"].iter().find_map(|name| asked.header(name));
        told.push_str(&format!(
            "{}\n{}\n{:#}\n\n",
            asked.line,
            who.unwrap().replace("canary-token", "(the token)"),
            asked.json()
        ));
        assert!(!asked.body.contains("canary"), "{asked:?}");
    }
    insta::assert_snapshot!(told);
}

#[test]
fn gitlab_takes_each_state_once_and_its_refusal_of_the_second_is_none() {
    let fake = Fake::serve(|_| {
        let why = json!({ "message": "Cannot transition status via :enqueue from :pending" });
        Some((400, "", why.to_string()))
    });
    assert_eq!(fake.forge(Kind::GitLab).set_status("1f", &status()).unwrap(), Posted::Known);
    assert!(fake.forge(Kind::GitHub).set_status("1f", &status()).is_err());
}

#[test]
fn what_may_pass_is_told_from_what_does_not_and_when_to_come_back_is_heard() {
    let refusal = |status: u16, headers: &'static str| {
        let fake = Fake::serve(move |_| Some((status, headers, "canary".into())));
        let error = fake.forge(Kind::GitHub).set_status("1f", &self::status()).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("canary"), "{error:?}");
        error.passes()
    };
    assert_eq!(refusal(429, "Retry-After: 17\r\n"), Some(Duration::from_secs(17)));
    assert_eq!(refusal(503, ""), Some(Duration::ZERO));
    assert_eq!(refusal(401, ""), None);
    assert_eq!(refusal(422, ""), None);
    assert_eq!(refusal(307, "Location: http://evil.example/\r\n"), None);
    let limited = "X-RateLimit-Remaining: 0\r\nX-RateLimit-Reset: 4000000000\r\n";
    assert!(refusal(403, limited).unwrap() > Duration::from_secs(1000));
    let dated = "Retry-After: Wed, 01 Jan 2070 00:00:00 GMT\r\n";
    assert!(refusal(503, dated).unwrap() > Duration::from_secs(1000));
    // by the forge's own clock: ours may be hours off
    let dated =
        "Date: Wed, 01 Jan 2070 00:00:00 GMT\r\nRetry-After: Wed, 01 Jan 2070 00:00:20 GMT\r\n";
    assert_eq!(refusal(503, dated), Some(Duration::from_secs(20)));
    let limited = "Date: Tue, 02 Oct 2096 07:06:30 GMT\r\nX-RateLimit-Remaining: 0\r\n\
                   X-RateLimit-Reset: 4000000000\r\n";
    assert_eq!(refusal(403, limited), Some(Duration::from_secs(10)));
}

const TEXT: &str = "<!-- sitewright plan: lab -->\n### Sitewright plan for `lab`\n";

/// A forge with some comments; what is written is remembered as its answer.
fn forge_with(comments: Value, login: &'static str) -> Fake {
    Fake::serve(move |asked| {
        let (method, path) = asked.line.split_once(' ').unwrap();
        match method {
            "GET" if path.ends_with("/user") && login.is_empty() => Some((403, "", "{}".into())),
            "GET" if path.ends_with("/user") => ok(&json!({ "login": login, "username": login })),
            "GET" if path.contains("page=1") => ok(&comments),
            "GET" => ok(&json!([])),
            _ => ok(&json!({ "html_url": "https://git.example.edu/lab/site/pull/7#c1" })),
        }
    })
}

fn by(login: &str, kind: &str, body: &str) -> Value {
    json!({ "id": 41, "body": body, "user": { "login": login, "type": kind },
        "author": { "username": login } })
}

fn written(fake: &Fake) -> Vec<(String, Value)> {
    let asked = fake.asked().into_iter().filter(|asked| !asked.line.starts_with("GET"));
    asked.map(|asked| (asked.line.clone(), asked.json())).collect()
}

#[test]
fn the_first_comment_is_new_and_the_next_takes_its_place_on_each_forge() {
    let cases = [
        (
            Kind::GitHub,
            "POST /api/repos/lab/site/issues/7/comments",
            "PATCH /api/repos/lab/site/issues/comments/41",
        ),
        (
            Kind::Gitea,
            "POST /api/repos/lab/site/issues/7/comments",
            "PATCH /api/repos/lab/site/issues/comments/41",
        ),
        (
            Kind::GitLab,
            "POST /api/projects/lab%2Fsite/merge_requests/7/notes",
            "PUT /api/projects/lab%2Fsite/merge_requests/7/notes/41",
        ),
    ];
    for (kind, post, patch) in cases {
        let other = by("bot", "User", "<!-- sitewright plan: other -->\n");
        let fake = forge_with(json!([other]), "bot");
        let done = comment(&fake.forge(kind), PullRequest(7), TEXT).unwrap();
        assert!(matches!(done, Commented::Created(Some(_))), "{done:?}");
        assert_eq!(written(&fake), [(post.to_owned(), json!({ "body": TEXT }))]);

        let earlier = by("bot", "User", "<!-- sitewright plan: lab -->\r\nold");
        let fake = forge_with(json!([other, earlier]), "bot");
        let done = comment(&fake.forge(kind), PullRequest(7), TEXT).unwrap();
        assert!(matches!(done, Commented::Updated(_)), "{done:?}");
        assert_eq!(written(&fake), [(patch.to_owned(), json!({ "body": TEXT }))]);

        let fake = forge_with(json!([by("bot", "User", TEXT)]), "bot");
        let done = comment(&fake.forge(kind), PullRequest(7), TEXT).unwrap();
        assert_eq!((done, written(&fake)), (Commented::Unchanged, vec![]));
    }
}

#[test]
fn a_comment_of_somebody_else_with_our_marker_is_left_alone() {
    let fake = forge_with(json!([by("mallory", "User", TEXT)]), "bot");
    let done = comment(&fake.forge(Kind::GitHub), PullRequest(7), TEXT).unwrap();
    assert!(matches!(done, Commented::Created(_)), "{done:?}");
    // a job of GitHub is not told who it is: a bot's comment is ours, a person's is not
    let fake = forge_with(json!([by("mallory", "User", TEXT)]), "");
    let done = comment(&fake.forge(Kind::GitHub), PullRequest(7), TEXT).unwrap();
    assert!(matches!(done, Commented::Created(_)), "{done:?}");
    let earlier = by("github-actions[bot]", "Bot", "<!-- sitewright plan: lab -->\nold");
    let fake = forge_with(json!([earlier]), "");
    let done = comment(&fake.forge(Kind::GitHub), PullRequest(7), TEXT).unwrap();
    assert!(matches!(done, Commented::Updated(_)), "{done:?}");
}

#[test]
fn an_address_of_an_api_has_no_credentials_and_a_path_is_escaped() {
    for bad in ["https://u:p@h/api", "https://h/api?x=1", "ssh://h/api", "nothing"] {
        assert!(Api::parse(bad).is_err(), "{bad}");
    }
    assert_eq!(Api::parse("https://h/api/v4/").unwrap(), Api("https://h/api/v4".into()));
    assert_eq!(escaped("lab/a b"), "lab%2Fa%20b");
    assert_eq!(Kind::GitHub.api_at("https", "github.com"), Api("https://api.github.com".into()));
    assert_eq!(Kind::Gitea.api_at("http", "h:3000"), Api("http://h:3000/api/v1".into()));
}
