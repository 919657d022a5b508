//! Fights: two managers that write the same field in turn. Mending at once, every time, would only make the
//! other one faster; Config Sync calls this KNV2005.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use sitewright_model::object::ObjectId;
use tokio::time::Instant;

/// So many times within [`WITHIN`] a field of an object may be mended; the next one is a fight.
const AT_MOST: usize = 5;

/// The time over which rewrites are counted.
const WITHIN: Duration = Duration::from_secs(60);

/// The first pause of a fight; it doubles while the fight goes on.
const FIRST_PAUSE: Duration = Duration::from_secs(30);

/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(10 * 60);

/// What is known of objects that were mended lately.
#[derive(Default)]
pub(super) struct Fights {
    objects: BTreeMap<ObjectId, Bout>,
}

#[derive(Default)]
struct Bout {
    /// When each field was mended, oldest first.
    mended: BTreeMap<String, VecDeque<Instant>>,
    pauses: u32,
    until: Option<Instant>,
}

/// Whether drift is mended now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Mend it.
    Mend,
    /// A fight begins: it is left alone until then.
    Begins(Instant),
    /// The fight goes on.
    Paused(Instant),
}

impl Fights {
    /// Decides whether the drift of `fields` of an object is mended now, and counts it if so.
    pub(super) fn turn<'f>(
        &mut self,
        id: &ObjectId,
        fields: impl IntoIterator<Item = &'f str>,
        now: Instant,
    ) -> Turn {
        self.forget_old(now);
        let bout = self.objects.entry(id.clone()).or_default();
        if let Some(until) = bout.until.filter(|until| now < *until) {
            return Turn::Paused(until);
        }
        bout.until = None;
        let mut fights = false;
        for field in fields {
            let times = bout.mended.entry(field.to_owned()).or_default();
            times.retain(|time| now.saturating_duration_since(*time) < WITHIN);
            fights |= times.len() >= AT_MOST;
            times.push_back(now);
        }
        if !fights {
            return Turn::Mend;
        }
        let pause = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(bout.pauses.min(16)));
        let until = now + pause.min(LONGEST_PAUSE);
        bout.pauses += 1;
        bout.until = Some(until);
        bout.mended.clear();
        Turn::Begins(until)
    }

    /// Returns when the next pause is over.
    pub(super) fn next(&self) -> Option<Instant> {
        self.objects.values().filter_map(|bout| bout.until).min()
    }

    /// Takes the objects whose pause is over.
    pub(super) fn over(&mut self, now: Instant) -> Vec<ObjectId> {
        let ended = self
            .objects
            .iter_mut()
            .filter(|(_, bout)| bout.until.is_some_and(|until| until <= now));
        ended
            .map(|(id, bout)| {
                bout.until = None;
                id.clone()
            })
            .collect()
    }

    /// What was quiet for long is forgotten, its pauses too.
    fn forget_old(&mut self, now: Instant) {
        let is_fresh = |time: &Instant| now.saturating_duration_since(*time) < LONGEST_PAUSE * 2;
        self.objects
            .retain(|_, bout| bout.until.is_some() || bout.mended.values().flatten().any(is_fresh));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sitewright_model::object::GroupKind;

    fn id(name: &str) -> ObjectId {
        ObjectId {
            kind: GroupKind::new("", "ConfigMap"),
            namespace: Some("n".into()),
            name: name.into(),
        }
    }

    #[test]
    fn the_sixth_rewrite_of_one_field_within_a_minute_is_a_fight() {
        let (mut fights, now) = (Fights::default(), Instant::now());
        let second = |seconds| now + Duration::from_secs(seconds);
        for turn in 0..5 {
            assert_eq!(fights.turn(&id("a"), ["data.x"], second(turn)), Turn::Mend);
            assert_eq!(fights.turn(&id("b"), ["data.x"], second(turn * 20)), Turn::Mend, "slow");
        }
        let until = second(6) + FIRST_PAUSE;
        assert_eq!(fights.turn(&id("a"), ["data.x"], second(6)), Turn::Begins(until));
        assert_eq!(fights.turn(&id("a"), ["data.y"], second(7)), Turn::Paused(until));
        assert_eq!(fights.turn(&id("b"), ["data.x"], second(100)), Turn::Mend);
        assert_eq!(fights.next(), Some(until));
        assert_eq!(fights.over(until), [id("a")]);
        assert_eq!(fights.next(), None);
        assert_eq!(fights.turn(&id("a"), ["data.x"], until), Turn::Mend, "it has another chance");
    }

    #[test]
    fn different_fields_are_no_fight_and_pauses_double() {
        let (mut fights, now) = (Fights::default(), Instant::now());
        for field in 0..20 {
            assert_eq!(fights.turn(&id("a"), [format!("data.{field}").as_str()], now), Turn::Mend);
        }
        let mut at = now;
        let mut pauses = Vec::new();
        while pauses.len() < 3 {
            match fights.turn(&id("c"), ["data.x"], at) {
                Turn::Begins(until) => {
                    pauses.push(until - at);
                    at = until;
                }
                Turn::Mend => at += Duration::from_secs(1),
                Turn::Paused(_) => panic!("the pause is over"),
            }
        }
        assert_eq!(pauses, [FIRST_PAUSE, FIRST_PAUSE * 2, FIRST_PAUSE * 4]);
    }
}
