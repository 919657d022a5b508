//! An API server that knows just enough for a doctor to be asked about it.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    thread,
};

use jiff::{SignedDuration, Timestamp, fmt::rfc2822::DateTimePrinter};
use serde_json::{Value, json};

/// How the server is.
pub(crate) struct Server {
    /// Its version.
    pub(crate) version: &'static str,
    /// How far its clock is ahead of ours.
    pub(crate) ahead: SignedDuration,
    /// The HTTP code of every answer, where it answers nothing else.
    pub(crate) refusal: Option<u16>,
}

impl Default for Server {
    fn default() -> Self {
        Self { version: "v1.37.2", ahead: SignedDuration::ZERO, refusal: None }
    }
}

impl Server {
    /// Starts it; returns its URL. It ends with this process.
    pub(crate) fn start(self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        thread::spawn(move || {
            for stream in listener.incoming() {
                // A client that goes away in the middle is no failure of the test.
                let _ = self.answer(stream.unwrap());
            }
        });
        url
    }

    fn answer(&self, stream: TcpStream) -> std::io::Result<()> {
        let mut reader = BufReader::new(&stream);
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
        let mut length = 0;
        loop {
            line.clear();
            reader.read_line(&mut line)?;
            let Some((name, value)) = line.split_once(':') else { break };
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().unwrap();
            }
        }
        reader.take(length).read_to_end(&mut Vec::new())?;
        let (code, body) = self.body(&path);
        let body = body.to_string();
        let date = DateTimePrinter::new()
            .timestamp_to_rfc9110_string(&(Timestamp::now() + self.ahead))
            .unwrap();
        write!(
            &stream,
            "HTTP/1.1 {code} -\r\nDate: {date}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )
    }

    fn body(&self, path: &str) -> (u16, Value) {
        if let Some(code) = self.refusal {
            let status = json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure",
                "code": code, "reason": "Unauthorized", "message": "Unauthorized" });
            return (code, status);
        }
        let list = |items: Value| {
            json!({ "kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2",
                "items": items })
        };
        let body = match path {
            "/version" => json!({ "major": "1", "minor": "37", "gitVersion": self.version }),
            "/api/v1/namespaces/kube-system" => json!({ "metadata": { "uid": "6c1f0d3e" } }),
            "/api" => list(json!([])),
            "/apis" => list(json!([{ "metadata": { "name": "flowcontrol.apiserver.k8s.io" },
                "versions": [{ "version": "v1", "resources": [{ "resource": "flowschemas",
                    "scope": "Cluster", "verbs": ["get", "list"], "responseKind": {
                        "group": "flowcontrol.apiserver.k8s.io", "version": "v1", "kind": "FlowSchema" } }] }] }])),
            "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews" => {
                json!({ "status": { "allowed": true } })
            }
            _ => return (404, json!({ "kind": "Status", "code": 404, "reason": "NotFound" })),
        };
        (200, body)
    }
}

/// Returns a kubeconfig with the contexts `lab-admin`, the current one, and `kind`.
pub(crate) fn kubeconfig(server: &str) -> String {
    json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "lab-admin",
        "clusters": [{ "name": "lab", "cluster": { "server": server } }],
        "users": [{ "name": "ada", "user": {} }],
        "contexts": [
            { "name": "lab-admin", "context": { "cluster": "lab", "user": "ada" } },
            { "name": "kind", "context": { "cluster": "lab", "user": "ada" } },
        ],
    })
    .to_string()
}
