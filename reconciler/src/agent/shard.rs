//! A share of the SiteSyncs: several agents at work at once, each on its own.

use std::{fmt, str::FromStr};

use sitewright_cluster::sync::SyncKey;
use sitewright_model::digest::Digest;

/// The most shards that a fleet is split into.
pub(crate) const MOST: u32 = 256;

/// One share of many, written `2/3`: which, from 1 on, and of how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shard {
    number: u32,
    of: u32,
}

impl Shard {
    /// Returns whether a SiteSync is in this share: by a hash of its namespace and name, so that it is in exactly one,
    /// and stays there while their number does.
    pub(crate) fn has(self, key: &SyncKey) -> bool {
        let hash = Digest::of(key.to_string());
        let first =
            hash.bytes().iter().take(4).fold(0_u32, |sum, byte| sum << 8 | u32::from(*byte));
        first % self.of == self.number - 1
    }

    /// Returns its name, for the Lease by which one agent of a share works.
    pub(crate) fn name(self) -> String {
        format!("shard-{}-of-{}", self.number, self.of)
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = text.split_once('/').and_then(|(number, of)| {
            Some(Self { number: number.parse().ok()?, of: of.parse().ok()? })
        });
        parsed
            .filter(|shard| {
                (1..=MOST).contains(&shard.of) && (1..=shard.of).contains(&shard.number)
            })
            .ok_or_else(|| {
                format!(
                    "a shard is written `2/3`: its number, and how many there are, at most {MOST}"
                )
            })
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sync_is_in_exactly_one_shard_and_they_share_evenly() {
        let shards: Vec<Shard> = (1..=3).map(|n| format!("{n}/3").parse().unwrap()).collect();
        let mut counts = [0; 3];
        for n in 0..900 {
            let key = SyncKey { namespace: "lab".into(), name: format!("site-{n}") };
            let owners: Vec<usize> = (0..3).filter(|shard| shards[*shard].has(&key)).collect();
            assert_eq!(owners.len(), 1);
            counts[owners[0]] += 1;
        }
        assert!(counts.iter().all(|count| (230..370).contains(count)), "{counts:?}");
    }

    #[test]
    fn what_is_no_share_is_refused() {
        for text in ["", "1", "0/3", "4/3", "1/0", "1/257", "a/3", "-1/3"] {
            assert!(text.parse::<Shard>().is_err(), "{text}");
        }
    }
}
