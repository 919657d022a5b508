//! A short soak; `cargo xtask soak` runs long ones.

use std::time::Duration;

use sitewright_e2e::Soak;

/// Faults of a short run; each run of the tests may name another.
const SEED: u64 = 20_261_126;

#[test]
fn two_agents_keep_a_site_through_random_faults() {
    let asked = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let objects = asked("SITEWRIGHT_SOAK_OBJECTS").and_then(|count| usize::try_from(count).ok());
    let soak = Soak {
        program: sitewright_e2e::program(),
        time: Duration::from_secs(asked("SITEWRIGHT_SOAK_SECONDS").unwrap_or(75)),
        objects: objects.unwrap_or(40),
        seed: asked("SITEWRIGHT_SOAK_SEED").unwrap_or(SEED),
        told: |line| eprintln!("{line}"),
    };
    eprintln!("{}", soak.run());
}
