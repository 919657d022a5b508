//! How long the loop of one site pauses before it looks at the whole again.
//!
//! Comes in: what came of a look. Goes out: a pause. Never: a clock; the loop adds the pause to its own.

use std::time::Duration;

use super::pace::Pace;

/// What came of the looks at the whole so far.
#[derive(Debug, Default)]
pub(super) struct Pauses {
    /// Looks that failed in a row.
    failures: u32,
    /// Looks in a row that found something to do, and did it.
    busy: u32,
}

/// Why there is nothing to do now.
#[derive(Clone, Copy, Debug)]
pub(super) enum Rest {
    /// Running work is waited for, and has been for so long.
    Draining(Duration),
    /// What is left to do is held.
    Held,
    /// All is as it should be.
    Quiet,
}

impl Pauses {
    /// Returns the pause after a look that failed.
    pub(super) fn failed(&mut self, pace: &Pace) -> Duration {
        self.failures = self.failures.saturating_add(1);
        pace.next_retry(self.failures)
    }

    /// Returns the pause after a look that found something to do, and did it.
    ///
    /// What the plan did not touch may be ill, so the whole is looked at once more, at once. Where that finds work again and
    /// again (a webhook that rewrites our field, a change that waits for one that is held), the pauses grow as after
    /// failures.
    pub(super) fn worked(&mut self, pace: &Pace) -> Duration {
        self.failures = 0;
        self.busy = self.busy.saturating_add(1);
        match self.busy {
            1 => Duration::ZERO,
            busy => pace.next_retry(busy),
        }
    }

    /// Returns the pause after a look that found nothing to do.
    pub(super) fn rested(&mut self, pace: &Pace, rest: Rest) -> Duration {
        *self = Self::default();
        match rest {
            Rest::Draining(waited) => pace.next_while_draining(waited),
            Rest::Held => pace.next_while_held(),
            Rest::Quiet => pace.next_resync(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    /// Lets the looks of `time` pass; returns how many there were, and the longest pause.
    fn looks(mut pause: impl FnMut() -> Duration, time: Duration) -> (usize, Duration) {
        let (mut now, mut count, mut longest) = (Duration::ZERO, 0, Duration::ZERO);
        while now < time {
            let next = pause();
            now += next;
            longest = longest.max(next);
            count += 1;
        }
        (count, longest)
    }

    #[test]
    fn what_was_applied_is_looked_at_once_more_at_once() {
        let (mut pauses, pace) = (Pauses::default(), Pace::default());
        assert_eq!(pauses.worked(&pace), Duration::ZERO);
        pauses.rested(&pace, Rest::Quiet);
        assert_eq!(pauses.worked(&pace), Duration::ZERO, "after a rest it is the first again");
    }

    #[test]
    fn work_that_never_ends_is_done_less_and_less_often() {
        let (mut pauses, pace) = (Pauses::default(), Pace::default());
        let (first, _) = looks(|| pauses.worked(&pace), HOUR);
        assert!((8..=16).contains(&first), "{first} looks in the first hour");
        let (later, longest) = looks(|| pauses.worked(&pace), 10 * HOUR);
        assert!((54..=68).contains(&later), "{later} looks in ten hours");
        assert!(longest <= Duration::from_secs(660), "{longest:?}");
    }

    #[test]
    fn failures_are_tried_again_less_and_less_often_until_something_goes_well() {
        let (mut pauses, pace) = (Pauses::default(), Pace::default());
        assert!(pauses.failed(&pace) <= Duration::from_millis(5500));
        let (count, _) = looks(|| pauses.failed(&pace), HOUR);
        assert!((8..=16).contains(&count), "{count} looks in the first hour");
        assert!(pauses.failed(&pace) >= Duration::from_secs(540));
        pauses.worked(&pace);
        assert!(pauses.failed(&pace) <= Duration::from_millis(5500), "that was another failure");
        pauses.failed(&pace);
        pauses.rested(&pace, Rest::Held);
        assert!(pauses.failed(&pace) <= Duration::from_millis(5500));
    }

    #[test]
    fn a_failure_among_work_does_not_make_the_work_quick_again() {
        let (mut pauses, pace) = (Pauses::default(), Pace::default());
        for _ in 0..8 {
            pauses.worked(&pace);
        }
        pauses.failed(&pace);
        assert!(pauses.worked(&pace) >= Duration::from_secs(540));
    }

    #[test]
    fn a_rest_is_as_long_as_what_it_waits_for_asks() {
        let (mut pauses, pace) = (Pauses::default(), Pace::default());
        let within = |pause: Duration, seconds: u64| {
            let wanted = Duration::from_secs(seconds);
            (wanted.mul_f64(0.9)..=wanted.mul_f64(1.1)).contains(&pause)
        };
        assert!(within(pauses.rested(&pace, Rest::Quiet), 1800));
        assert!(within(pauses.rested(&pace, Rest::Held), 300));
        assert!(within(pauses.rested(&pace, Rest::Draining(Duration::ZERO)), 10));
        assert!(within(pauses.rested(&pace, Rest::Draining(HOUR)), 120));
        let quick = Pace { resync: Duration::from_secs(2), ..pace };
        for rest in [Rest::Quiet, Rest::Held, Rest::Draining(HOUR)] {
            assert!(within(pauses.rested(&quick, rest), 2), "{rest:?}: never beyond a resync");
        }
    }
}
