//! Deadlines that a jump of the wall clock neither brings near nor puts off.
//!
//! A ledger outlives processes, so its times are those of the wall clock; and that is set by people and by NTP. A clock
//! that jumps ahead by two hours would end the patience with jobs that were to be waited for (law 7), one that jumps
//! back would leave a node cordoned for two hours more. While a process lives, its steady clock tells how long a drain
//! has waited; between two lives there is the wall clock alone.

use std::{collections::BTreeMap, time::Instant};

use jiff::{SignedDuration, Timestamp};

use super::{Drain, Ledger};
use crate::name::ComponentName;

/// Clocks that differ by less go on as they are: NTP sets by milliseconds, a leap by a second.
const JUMP: SignedDuration = SignedDuration::from_secs(5);

/// What a process knows of how its wall clock jumped since it first saw each drain.
#[derive(Clone, Debug, Default)]
pub struct Steady {
    seen: BTreeMap<Key, Seen>,
}

/// A drain, and when it says that it began.
type Key = (ComponentName, Option<(String, String)>, Timestamp);

/// When a drain was first seen, by both clocks.
#[derive(Clone, Copy, Debug)]
struct Seen {
    wall: Timestamp,
    steady: Instant,
}

impl Steady {
    /// Returns `ledger` with its times as the wall clock would have shown them if it had always stood as it does now:
    /// `wall`, which is when the steady clock stands at `steady`.
    ///
    /// A drain from the future was written by a clock that has been set right since, and begins now.
    #[must_use]
    pub fn times(&mut self, mut ledger: Ledger, wall: Timestamp, steady: Instant) -> Ledger {
        let keys: Vec<Key> = ledger.drains.iter().map(key).collect();
        self.seen.retain(|key, _| keys.contains(key));
        for (drain, key) in ledger.drains.iter_mut().zip(keys) {
            let ahead = drain.begun.max(drain.since).max(wall);
            let seen = *self.seen.entry(key).or_insert(Seen { wall: ahead, steady });
            let passed = steady.saturating_duration_since(seen.steady);
            let passed = SignedDuration::try_from(passed).unwrap_or(SignedDuration::MAX);
            let jump = wall.duration_since(seen.wall).saturating_sub(passed);
            if jump.abs() >= JUMP {
                drain.begun = drain.begun.saturating_add(jump).unwrap_or(drain.begun);
                drain.since = drain.since.saturating_add(jump).unwrap_or(drain.since);
            }
        }
        ledger
    }
}

fn key(drain: &Drain) -> Key {
    (drain.component.clone(), drain.wave.clone(), drain.begun)
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, time::Duration};

    use super::*;
    use crate::{digest::Digest, drain::Stage};

    #[expect(clippy::disallowed_methods, reason = "an Instant comes from nowhere else")]
    fn start() -> Instant {
        Instant::now()
    }

    fn at(minutes: i64) -> Timestamp {
        Timestamp::from_second(1_795_000_000 + 60 * minutes).unwrap()
    }

    fn ledger(begun: i64, since: i64) -> Ledger {
        let drain = Drain {
            component: "driver".parse().unwrap(),
            wave: None,
            target: Digest::of("target"),
            begun: at(begun),
            stage: Stage::Waiting,
            since: at(since),
            nodes: BTreeMap::new(),
            queues: BTreeMap::new(),
        };
        Ledger { drains: vec![drain] }
    }

    /// Returns how long the drain has waited, in minutes, at each of some times by the wall clock and by the steady one.
    fn waited(ledger: &Ledger, times: &[(i64, u64)]) -> Vec<i64> {
        let (mut steady, first) = (Steady::default(), start());
        let age = |&(wall, passed): &(i64, u64)| {
            let now = first + Duration::from_secs(60 * passed);
            let seen = steady.times(ledger.clone(), at(wall), now);
            at(wall).duration_since(seen.drains[0].begun).as_mins()
        };
        times.iter().map(age).collect()
    }

    #[test]
    fn a_wall_clock_that_jumps_changes_nothing_of_how_long_a_drain_has_waited() {
        let ledger = ledger(0, 0);
        assert_eq!(waited(&ledger, &[(0, 0), (10, 10), (140, 20), (150, 30)]), [0, 10, 20, 30]);
        assert_eq!(waited(&ledger, &[(0, 0), (10, 10), (-100, 20), (-90, 30)]), [0, 10, 20, 30]);
        assert_eq!(waited(&ledger, &[(0, 0), (130, 10), (20, 20)]), [0, 10, 20], "there and back");
    }

    #[test]
    fn a_life_before_this_one_is_told_by_the_wall_clock_alone() {
        assert_eq!(waited(&ledger(0, 0), &[(50, 0), (60, 10)]), [50, 60]);
    }

    #[test]
    fn a_drain_from_the_future_begins_now_and_its_deadline_comes() {
        let years = 10 * 365 * 24 * 60;
        assert_eq!(waited(&ledger(years, years), &[(0, 0), (10, 10)]), [0, 10]);
        assert_eq!(waited(&ledger(years - 5, years), &[(0, 0), (10, 10)]), [5, 15]);
    }

    #[test]
    fn clocks_that_go_alike_leave_the_ledger_as_it_is() {
        let (mut steady, first) = (Steady::default(), start());
        for seconds in 0..100 {
            let now = first + Duration::from_secs(seconds);
            let wall = at(0) + Duration::from_millis(seconds * 1_000 + seconds * 37 % 900);
            assert_eq!(steady.times(ledger(-3, -2), wall, now), ledger(-3, -2));
        }
    }

    #[test]
    fn what_was_written_since_a_jump_is_by_the_clock_as_it_stands() {
        let (mut steady, first) = (Steady::default(), start());
        let _ = steady.times(ledger(0, 0), at(0), first);
        let later = first + Duration::from_secs(600);
        let written = steady.times(ledger(0, 0), at(130), later);
        assert_eq!(written, ledger(120, 120));
        assert_eq!(steady.times(written.clone(), at(130), later), written);
    }
}
