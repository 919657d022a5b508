//! How events of OpenLineage reach a server: many at once where it takes that, else one by one.
//!
//! Comes in: events, in order. Goes out: of each, whether it was taken. Never: a second try, which is the caller's to
//! decide; a token over a way that others can read.

use std::time::Duration;

use serde_json::Value;
use sitewright_model::lineage::export::openlineage::Event;
use sitewright_source::{
    Secret, Url,
    outbound::{Method, Outgoing, Reach, Reply, send},
};

/// Events of one message, and bytes.
const EVENTS: usize = 100;
const BYTES: usize = 4 * 1024 * 1024;

/// How long a server may take for one message.
const DEADLINE: Duration = Duration::from_secs(30);

/// A server that takes OpenLineage.
#[derive(Clone)]
pub(crate) struct Wire {
    url: Url,
    token: Option<Secret>,
    /// Whether it takes many events at once, as far as is known.
    takes_many: bool,
}

/// What became of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The server has it.
    Taken,
    /// The server will never take it.
    Refused(String),
    /// It is to be sent again.
    Later(String),
}

/// What became of a message with many events.
enum Many {
    /// Each has its answer.
    Each(Vec<Answer>),
    /// They have to be sent one by one.
    OneByOne,
}

impl std::fmt::Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Wire({})", self.url)
    }
}

impl Wire {
    /// Makes one to the address that takes single events, such as `https://marquez.example.edu/api/v1/lineage`.
    pub(crate) fn new(url: Url, token: Option<Secret>) -> Self {
        Self { url, token, takes_many: true }
    }

    /// Returns the address, without a login.
    pub(super) fn address(&self) -> String {
        self.url.public()
    }

    /// Sends events; nothing after one that is to be sent again.
    pub(super) fn send(&mut self, events: &[&Event]) -> Vec<Answer> {
        let mut answers = Vec::with_capacity(events.len());
        let bodies: Vec<String> =
            events.iter().map(|event| serde_json::to_string(event).unwrap_or_default()).collect();
        let mut rest = bodies.as_slice();
        while !rest.is_empty() {
            let (now, after) = rest.split_at(chunk(rest));
            answers.extend(self.send_some(now));
            if answers.iter().any(|answer| matches!(answer, Answer::Later(_))) {
                break;
            }
            rest = after;
        }
        answers
    }

    fn send_some(&mut self, bodies: &[String]) -> Vec<Answer> {
        if self.takes_many && bodies.len() > 1 {
            match self.send_many(bodies) {
                Many::Each(answers) => return answers,
                Many::OneByOne => {}
            }
        }
        let mut answers = Vec::new();
        for body in bodies {
            let answer = match self.post("", body) {
                Err(why) => Answer::Later(why),
                Ok(reply) if reply.is_success() => Answer::Taken,
                Ok(reply) if is_final(reply.status) => Answer::Refused(said(&reply)),
                Ok(reply) => Answer::Later(said(&reply)),
            };
            let is_last = matches!(answer, Answer::Later(_));
            answers.push(answer);
            if is_last {
                break;
            }
        }
        answers
    }

    fn send_many(&mut self, bodies: &[String]) -> Many {
        let reply = match self.post("/batch", &format!("[{}]", bodies.join(","))) {
            Ok(reply) => reply,
            Err(why) => return Many::Each(vec![Answer::Later(why)]),
        };
        match reply.status {
            200..300 => Many::Each(of_batch(&reply, bodies.len())),
            404 | 405 | 501 => {
                self.takes_many = false;
                Many::OneByOne
            }
            // one of them is bad, and only that one is to be left out
            status if is_final(status) => Many::OneByOne,
            _ => Many::Each(vec![Answer::Later(said(&reply))]),
        }
    }

    fn post(&self, path: &str, body: &str) -> Result<Reply, String> {
        let url = if path.is_empty() { self.url.clone() } else { self.url.below(path) };
        let outgoing = Outgoing::new(Method::Post, url, DEADLINE).body("application/json", body);
        let outgoing = match &self.token {
            Some(token) => outgoing.secret("Authorization", "Bearer ", token),
            None => outgoing,
        };
        // who runs the agent chose the address
        send(&outgoing, &Reach::Anybody).map_err(|error| error.to_string())
    }
}

/// Returns how many of `bodies` go into one message.
fn chunk(bodies: &[String]) -> usize {
    let mut bytes = 0;
    let fits = |body: &&String| {
        bytes += body.len() + 1;
        bytes <= BYTES
    };
    bodies.iter().take(EVENTS).take_while(fits).count().max(1)
}

/// Returns whether a server says that an event is bad, and not that it cannot take any now.
fn is_final(status: u16) -> bool {
    matches!(status, 400 | 409 | 413 | 415 | 422)
}

fn said(reply: &Reply) -> String {
    let text = String::from_utf8_lossy(&reply.body);
    let text: String = text.trim().chars().take(200).collect();
    format!("HTTP {} {}", reply.status, sitewright_model::terminal::clean(&text))
}

/// Reads which events of a message were not taken (`failed_events` of the answer to `/lineage/batch`).
fn of_batch(reply: &Reply, count: usize) -> Vec<Answer> {
    let mut answers = vec![Answer::Taken; count];
    let said: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
    let failed = ["failed_events", "failedEvents"].iter().find_map(|key| said.get(key)?.as_array());
    for one in failed.into_iter().flatten() {
        let index =
            one.get("index").and_then(Value::as_u64).and_then(|at| usize::try_from(at).ok());
        let Some(answer) = index.and_then(|index| answers.get_mut(index)) else { continue };
        let reason = one.get("reason").or_else(|| one.get("error")).and_then(Value::as_str);
        let reason: String = reason.unwrap_or("no reason is given").chars().take(200).collect();
        let reason = sitewright_model::terminal::clean(&reason);
        *answer = match one.get("retriable").and_then(Value::as_bool) {
            Some(true) => Answer::Later(reason),
            _ => Answer::Refused(reason),
        };
    }
    answers
}
