//! `cargo xtask soak`

use std::{
    process::Command,
    time::{Duration, SystemTime},
};

use anyhow::{Result, ensure};
use sitewright_e2e::Soak;

/// Runs two agents through random faults on a real control plane, for as long as is asked.
///
/// The API server and etcd are killed, connections break, answers are refused, late or missing, git is away or sends
/// half a pack, agents are killed, the leader is stopped past its Lease, its wall clock jumps. After each fault the site must converge, with
/// nothing lost, no object written by two agents at once, and no write once nothing changes. Ends with an error at the
/// first law that is broken; the same seed brings the same faults.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// How long new faults are begun.
    #[arg(long, value_name = "N", default_value_t = 900)]
    seconds: u64,
    /// Objects of the site.
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    objects: usize,
    /// Where randomness comes from; else the time of day.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
}

#[expect(clippy::print_stdout, reason = "the summary is the result")]
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["build", "--quiet", "--release", "--package", "sitewright"])
        .current_dir(super::top())
        .status()?;
    ensure!(status.success(), "sitewright does not build");
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| super::top().join("target"), Into::into);
    let now = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let seed = arguments.seed.unwrap_or_else(|| now().as_secs());
    let time = Duration::from_secs(arguments.seconds);
    let program = target.join("release/sitewright").canonicalize()?;
    say(&format!("seed {seed}"));
    let soak = Soak { program, time, objects: arguments.objects, seed, told: say };
    println!("{}", soak.run());
    Ok(())
}

#[expect(clippy::print_stderr, reason = "a soak of many minutes says where it is")]
fn say(text: &str) {
    eprintln!("{text}");
}
