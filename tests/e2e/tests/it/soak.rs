//! A short soak; `cargo xtask soak` runs long ones.

use std::time::Duration;

use sitewright_e2e::Soak;

/// Faults of a short run; each run of the tests may name another.
const SEED: u64 = 20_261_126;

#[test]
fn two_agents_keep_a_site_through_random_faults() {
    let seed = std::env::var("SITEWRIGHT_SOAK_SEED").ok().and_then(|text| text.parse().ok());
    let soak = Soak {
        program: sitewright_e2e::program(),
        time: Duration::from_secs(75),
        objects: 40,
        seed: seed.unwrap_or(SEED),
        told: |line| eprintln!("{line}"),
    };
    eprintln!("{}", soak.run());
}
