//! Whether the agent lives, and whether it is ready.
//!
//! Comes in: a beat from the loop that follows the SiteSyncs. Goes out: two answers. Never: a judgement about a
//! site: one that cannot be reconciled is no reason to restart what reconciles the others.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// How often the loop beats, at least.
pub(crate) const BEAT: Duration = Duration::from_secs(10);

/// A loop that did not beat for so long hangs. Many beats, so that a machine under load is not taken for one
/// that hangs.
const STALE: Duration = Duration::from_secs(120);

/// What the agent is at, as Kubernetes sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    /// It has not begun.
    #[default]
    Starting,
    /// Another agent works.
    StandingBy,
    /// It works; the loop gave a sign of life at `beat`.
    Working { beat: Instant, is_listed: bool },
}

/// Signs of life. Clones are the same.
#[derive(Clone, Default)]
pub(crate) struct Vitals(Arc<Mutex<Phase>>);

impl Vitals {
    /// Takes that another agent works.
    pub(crate) fn stand_by(&self) {
        *self.lock() = Phase::StandingBy;
    }

    /// Takes that the loop begins.
    pub(crate) fn begin(&self, now: Instant) {
        *self.lock() = Phase::Working { beat: now, is_listed: false };
    }

    /// Takes a sign of life of the loop.
    pub(crate) fn beat(&self, now: Instant) {
        if let Phase::Working { beat, .. } = &mut *self.lock() {
            *beat = now;
        }
    }

    /// Takes that every SiteSync is known.
    pub(crate) fn listed(&self) {
        if let Phase::Working { is_listed, .. } = &mut *self.lock() {
            *is_listed = true;
        }
    }

    /// Returns whether it lives.
    pub(crate) fn is_alive(&self, now: Instant) -> bool {
        match *self.lock() {
            Phase::Starting | Phase::StandingBy => true,
            Phase::Working { beat, .. } => now.saturating_duration_since(beat) < STALE,
        }
    }

    /// Returns whether it is ready. Who stands by is: else a rollout, which waits for the new one to be ready
    /// before it ends the old one, would wait for ever.
    pub(crate) fn is_ready(&self) -> bool {
        match *self.lock() {
            Phase::Starting => false,
            Phase::StandingBy => true,
            Phase::Working { is_listed, .. } => is_listed,
        }
    }

    /// Returns whether it works, and knows every SiteSync.
    pub(crate) fn is_at_work(&self) -> bool {
        matches!(*self.lock(), Phase::Working { is_listed: true, .. })
    }

    fn lock(&self) -> MutexGuard<'_, Phase> {
        // a phase is whole after every call, so a panic elsewhere left nothing half done
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_that_stops_beating_is_dead_and_one_that_beats_is_not() {
        let (vitals, begin) = (Vitals::default(), Instant::now());
        vitals.begin(begin);
        assert!(vitals.is_alive(begin + STALE - Duration::from_secs(1)));
        assert!(!vitals.is_alive(begin + STALE));
        vitals.beat(begin + STALE);
        assert!(vitals.is_alive(begin + STALE + BEAT));
    }

    #[test]
    fn who_stands_by_lives_and_is_ready_and_does_not_work() {
        let (vitals, begin) = (Vitals::default(), Instant::now());
        assert!(!vitals.is_ready());
        vitals.stand_by();
        assert!(vitals.is_ready() && vitals.is_alive(begin + STALE * 2) && !vitals.is_at_work());
    }

    #[test]
    fn it_is_ready_once_the_site_syncs_were_listed() {
        let vitals = Vitals::default();
        vitals.begin(Instant::now());
        assert!(!vitals.is_ready());
        vitals.listed();
        assert!(vitals.is_ready() && vitals.is_at_work());
    }
}
