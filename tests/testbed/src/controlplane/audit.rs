//! What the API server was asked, from its audit log.

use std::{
    fs::File,
    io::{BufRead, BufReader, Seek, SeekFrom},
    path::PathBuf,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use jiff::Timestamp;
use serde::Deserialize;

use crate::{
    api::{Client, USER},
    process::until,
};

/// Metadata of every request but the testbed's own, whose only logged requests are the barriers of
/// [`Audit::mark`].
pub(super) const POLICY: &str = "apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
  users: [sitewright-testbed]
  nonResourceURLs: [/version]
- level: None
  users: [sitewright-testbed]
- level: Metadata
";

/// A reader of the audit log.
#[derive(Debug)]
pub struct Audit<'a> {
    pub(super) path: PathBuf,
    pub(super) client: &'a Client,
}

/// A place in the audit log: everything that the API server has answered so far lies before it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mark(u64);

/// One answered request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEvent {
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`.
    pub verb: String,
    /// The plural resource, such as `deployments`; empty for other URLs.
    pub resource: String,
    /// The API group; empty for the core group.
    pub group: String,
    /// The subresource, such as `status`, or empty.
    pub subresource: String,
    /// The namespace, or empty.
    pub namespace: String,
    /// The object's name, or empty.
    pub name: String,
    /// The HTTP status.
    pub code: u16,
    /// Who asked.
    pub user: String,
    /// As whom, where it was another; else empty.
    pub acted_as: String,
    /// The program that asked.
    pub user_agent: String,
    /// Whether the request was a dry run.
    pub mode: Mode,
    /// Path and query.
    pub uri: String,
    /// When the server received it.
    pub received: Timestamp,
    /// When the server had answered it.
    pub answered: Timestamp,
}

/// Whether a request could change anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The request was meant.
    Real,
    /// The request had `dryRun=All`.
    DryRun,
}

static BARRIERS: AtomicU64 = AtomicU64::new(0);

impl Audit<'_> {
    /// The end of the log, once every request that was answered before this call is in it.
    ///
    /// # Errors
    /// The API server does not answer.
    pub fn mark(&self) -> Result<Mark> {
        let barrier = format!("testbed-barrier={}", BARRIERS.fetch_add(1, Ordering::Relaxed));
        self.client.text(&format!("/version?{barrier}"))?;
        let mut from = 0;
        let end = until(Duration::from_secs(5), || {
            // a log of some 100,000 lines is looked through for one text, and not parsed
            let (found, end) =
                self.scan(from, &barrier, |event| event.request_uri.ends_with(&barrier))?;
            from = end;
            ensure!(!found.is_empty(), "the audit log does not show the request {barrier}");
            Ok(end)
        })?;
        Ok(Mark(end))
    }

    /// Everything that was asked since `mark`, in the order of the answers. A watch counts once,
    /// when it starts.
    ///
    /// # Errors
    /// The API server does not answer, or its log has a line that is no audit event.
    pub fn since(&self, mark: Mark) -> Result<Vec<AuditEvent>> {
        let end = self.mark()?;
        let (events, _) = self.scan(mark.0, "", |event| event.user.username != USER)?;
        let before_end = events.into_iter().filter(|(at, _)| *at < end.0);
        Ok(before_end.filter(|(_, event)| event.counts()).map(|(_, e)| e.into()).collect())
    }

    /// The wanted events from byte `from` on in lines with `text`, each with its place, and where the last whole line
    /// ends.
    fn scan(
        &self,
        from: u64,
        text: &str,
        wanted: impl Fn(&Entry) -> bool,
    ) -> Result<(Vec<(u64, Entry)>, u64)> {
        let mut file = File::open(&self.path).context("there is no audit log yet")?;
        file.seek(SeekFrom::Start(from))?;
        let mut reader = BufReader::new(file);
        let (mut events, mut at, mut line) = (Vec::new(), from, String::new());
        loop {
            line.clear();
            reader.read_line(&mut line)?;
            if !line.ends_with('\n') {
                return Ok((events, at));
            }
            if line.contains(text) {
                let event: Entry =
                    serde_json::from_str(&line).context("a line is no audit event")?;
                if wanted(&event) {
                    events.push((at, event));
                }
            }
            at += u64::try_from(line.len())?;
        }
    }
}

/// The fields of an `audit.k8s.io/v1` Event that are read here.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    stage: String,
    verb: String,
    #[serde(rename = "requestURI")]
    request_uri: String,
    user: User,
    #[serde(default)]
    impersonated_user: Option<User>,
    #[serde(default)]
    user_agent: String,
    object_ref: Option<ObjectRef>,
    response_status: Option<Status>,
    request_received_timestamp: Timestamp,
    stage_timestamp: Timestamp,
}

#[derive(Debug, Deserialize)]
struct User {
    #[serde(default)]
    username: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ObjectRef {
    resource: String,
    api_group: String,
    subresource: String,
    namespace: String,
    name: String,
}

#[derive(Debug, Deserialize)]
struct Status {
    #[serde(default)]
    code: u16,
}

impl Entry {
    /// A watch is logged when it starts and when it ends; the end is no new request.
    fn counts(&self) -> bool {
        self.verb != "watch" || self.stage == "ResponseStarted"
    }
}

impl From<Entry> for AuditEvent {
    fn from(entry: Entry) -> Self {
        let object = entry.object_ref.unwrap_or_default();
        let dry = entry.request_uri.split_once('?').is_some_and(|(_, q)| q.contains("dryRun="));
        Self {
            verb: entry.verb,
            resource: object.resource,
            group: object.api_group,
            subresource: object.subresource,
            namespace: object.namespace,
            name: object.name,
            code: entry.response_status.map_or(0, |status| status.code),
            user: entry.user.username,
            acted_as: entry.impersonated_user.map(|user| user.username).unwrap_or_default(),
            user_agent: entry.user_agent,
            mode: if dry { Mode::DryRun } else { Mode::Real },
            uri: entry.request_uri,
            received: entry.request_received_timestamp,
            answered: entry.stage_timestamp,
        }
    }
}
