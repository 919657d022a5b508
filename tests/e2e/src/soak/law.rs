//! No object is written by two agents at once, by the audit log.

use sitewright_testbed::{AuditEvent, Mark, Mode};

use super::world::{NAMESPACE, World};

/// What was written since.
pub(super) struct Writers(Mark);

impl Writers {
    pub(super) fn watch(world: &World) -> Self {
        Self(world.plane.audit().mark().expect("the audit log can be read"))
    }

    /// Expects that an agent that writes after another one took the lock of the site in between: after the last write
    /// of the other was begun, and before its own.
    pub(super) fn expect_one_at_a_time(self, world: &World) {
        let mut events = world.plane.audit().since(self.0).expect("the audit log can be read");
        events.sort_by_key(|event| event.received);
        let mut last: Option<&AuditEvent> = None;
        let mut taken: Option<&AuditEvent> = None;
        for event in events.iter().filter(|event| world.is_an_agents(event)) {
            if is_lock(event) {
                taken = Some(event);
            }
            if !is_write(event) {
                continue;
            }
            if let Some(before) = last.filter(|before| before.user != event.user) {
                let is_taken = taken.is_some_and(|taken| taken.user == event.user);
                world.expect(is_taken, || {
                    format!(
                        "{} wrote {} without the lock, after {} wrote {}",
                        event.user, event.uri, before.user, before.uri
                    )
                });
                world.expect(before.answered <= event.received, || {
                    format!(
                        "{} and {} wrote at once: {} and {}",
                        before.user, event.user, before.uri, event.uri
                    )
                });
            }
            last = Some(event);
        }
    }
}

fn is_lock(event: &AuditEvent) -> bool {
    event.resource == "leases" && event.name == format!("sitewright-{NAMESPACE}") && done(event)
}

/// A write to an object of the site, or to its inventory.
fn is_write(event: &AuditEvent) -> bool {
    event.resource == "configmaps" && done(event)
}

fn done(event: &AuditEvent) -> bool {
    let verbs = ["create", "update", "patch", "delete"];
    verbs.contains(&event.verb.as_str()) && event.mode == Mode::Real && event.code < 300
}
