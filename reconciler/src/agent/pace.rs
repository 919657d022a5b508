//! When to look again.

use std::time::Duration;

/// How often to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pace {
    /// Between two looks at git.
    pub(crate) poll: Duration,
    /// Between two looks at the whole cluster, where nothing else asks for one: bounds how long a lost event
    /// can stay unseen.
    pub(crate) resync: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self { poll: Duration::from_secs(60), resync: Duration::from_secs(30 * 60) }
    }
}

/// How soon after a failure the whole is tried again; it doubles from there.
const FIRST_RETRY: Duration = Duration::from_secs(5);

/// The longest pause after failures.
const LONGEST_RETRY: Duration = Duration::from_secs(10 * 60);

/// How often what is held is looked at again: a finalizer that is served or a conflict that is resolved by hand
/// is no event of ours.
const HELD: Duration = Duration::from_secs(5 * 60);

/// How often running jobs are looked at while they are waited for: a tenth of the time that has been waited, within
/// these. A job of three days is not asked after every ten seconds.
const DRAINING: [Duration; 2] = [Duration::from_secs(10), Duration::from_secs(120)];

impl Pace {
    /// Returns when to look again at what is drained, and has stood where it does for so long.
    pub(crate) fn next_while_draining(&self, waited: Duration) -> Duration {
        let [least, most] = DRAINING;
        jittered((waited / 10).clamp(least, most).min(self.resync))
    }

    /// Returns when to look at git again: some time around [`Pace::poll`], so that many agents do not come in step.
    pub(crate) fn next_poll(&self) -> Duration {
        jittered(self.poll)
    }

    /// Returns when to look at the whole cluster again after a success.
    pub(crate) fn next_resync(&self) -> Duration {
        jittered(self.resync)
    }

    /// Returns when to look again at what is held.
    pub(crate) fn next_while_held(&self) -> Duration {
        jittered(self.resync.min(HELD))
    }

    /// Returns when to try again after `failures` failures in a row.
    pub(crate) fn next_retry(&self, failures: u32) -> Duration {
        let doubled =
            FIRST_RETRY.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1).min(16)));
        jittered(doubled.min(LONGEST_RETRY).min(self.resync))
    }
}

/// Returns some time within a tenth of `time`, either way.
pub(super) fn jittered(time: Duration) -> Duration {
    time.mul_f64(rand::random_range(0.9..1.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_drain_is_looked_at_less_often() {
        let pace = Pace::default();
        assert!(pace.next_while_draining(Duration::ZERO) <= Duration::from_secs(11));
        assert!(pace.next_while_draining(Duration::from_secs(600)) >= Duration::from_secs(54));
        assert!(pace.next_while_draining(Duration::from_secs(86_400)) <= Duration::from_secs(132));
    }

    #[test]
    fn retries_grow_to_a_bound_and_never_beyond_a_resync() {
        let pace = Pace::default();
        assert!(pace.next_retry(1) <= FIRST_RETRY.mul_f64(1.1));
        assert!(pace.next_retry(5) > pace.next_retry(1));
        assert!(pace.next_retry(u32::MAX) <= LONGEST_RETRY.mul_f64(1.1));
        let quick = Pace { resync: Duration::from_secs(1), ..pace };
        assert!(quick.next_retry(9) <= Duration::from_secs(2));
    }
}
