//! What the program asked of the API server, by the server's own audit log.

use std::fmt;

use sitewright_testbed::{AuditEvent, ControlPlane, Mode};

/// The requests of one lab during some work, in the order of their answers.
pub struct Requests(pub Vec<AuditEvent>);

impl Requests {
    /// Returns the requests that could change something.
    pub fn writes(&self) -> Vec<&AuditEvent> {
        let reads = ["get", "list", "watch"];
        let is_write =
            |event: &&AuditEvent| event.mode == Mode::Real && !reads.contains(&event.verb.as_str());
        // Reviews are created to ask a question; nothing is stored.
        let is_review = |event: &&AuditEvent| event.resource.ends_with("reviews");
        self.0.iter().filter(is_write).filter(|event| !is_review(event)).collect()
    }

    /// Returns the number of requests with `verb` about `resource` (plural).
    pub fn count(&self, verb: &str, resource: &str) -> usize {
        self.0.iter().filter(|event| event.verb == verb && event.resource == resource).count()
    }
}

impl fmt::Display for Requests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for event in &self.0 {
            writeln!(f, "{} {} {:?} {}", event.code, event.verb, event.mode, event.uri)?;
        }
        Ok(())
    }
}

/// The user name of the lab of `site`.
pub(crate) fn user(site: &str) -> String {
    format!("lab-{site}")
}

/// Runs `work` and returns what the lab of `site` asked meanwhile.
pub(crate) fn during(control_plane: &ControlPlane, site: &str, work: impl FnOnce()) -> Requests {
    let audit = control_plane.audit();
    let mark = audit.mark().expect("the audit log can be read");
    work();
    let events = audit.since(mark).expect("the audit log can be read");
    Requests(events.into_iter().filter(|event| event.user == user(site)).collect())
}
