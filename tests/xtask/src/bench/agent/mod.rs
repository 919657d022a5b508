//! The agent at rest, how soon it mends, how soon a push arrives, what a restart costs, and many sites in one repository.

mod cluster;
mod follow;
mod many;
mod mending;
mod process;
mod push;
mod restart;

use std::{path::Path, process::Command, thread, time::Duration};

use anyhow::{Context, Result, ensure};
use sitewright_testbed::ControlPlane;

use self::process::Agent;
use super::{
    Figures, apply,
    figure::{Figure, Reach},
    program::Program,
    site,
};

/// How long the agent is watched while nothing happens.
const REST: Duration = Duration::from_secs(30);
/// How often it looks at git meanwhile.
const POLL: Duration = Duration::from_secs(1);
/// How long the agent sends nothing before it counts as resting.
const QUIET: Duration = Duration::from_secs(3);
/// What is waited for comes long before this.
const PATIENCE: Duration = Duration::from_secs(120);

pub(super) fn measure(program: &Program, objects: usize) -> Result<Figures> {
    super::say(&format!("the agent with {objects} objects: at rest, mending, restarted"));
    let (_, figures) = apply::with_control_plane(|plane| {
        let folder = tempfile::tempdir()?;
        site::write(folder.path(), 50.min(objects), objects)?;
        git(folder.path(), &["init", "--quiet", "--initial-branch", "main"])?;
        commit(folder.path(), "a site of many objects")?;
        program.run(folder.path(), &["apply", "--yes"], Some(plane.kubeconfig()), &[0])?;
        let site = format!("file://{}//@main", folder.path().display());
        let poll = format!("{}s", POLL.as_secs());
        let arguments = ["--site", &site, "--poll", &poll, "--resync", "24h"];
        let start = || Agent::start(program, folder.path(), plane, &arguments);
        let mark = plane.audit().mark()?;
        let agent = start()?;
        agent.wait_for_rest(plane, mark, QUIET)?;
        let mut figures = at_rest(&agent, plane, objects)?;
        let client = cluster::client(plane.kubeconfig())?;
        figures.extend(mending::measure(&agent, &client, objects)?);
        drop(agent);
        let what = format!("agent, {objects} objects, killed and started again");
        let (agent, restarted) = restart::measure(plane, &what, start)?;
        figures.extend(restarted);
        drop(agent);
        figures.extend(push::measure(program, plane, objects)?);
        Ok(figures)
    })?;
    Ok(figures)
}

/// Measures many sites of one repository.
pub(super) fn measure_sites(program: &Program, objects: usize) -> Result<Figures> {
    let (_, figures) = apply::with_control_plane(|plane| many::measure(program, plane, objects))?;
    Ok(figures)
}

fn at_rest(agent: &Agent, plane: &ControlPlane, objects: usize) -> Result<Figures> {
    let mark = plane.audit().mark()?;
    let before = agent.cpu()?;
    thread::sleep(REST);
    let used = agent.cpu()?.saturating_sub(before);
    let requests = apply::ours(plane.audit().since(mark)?).len();
    let polls = REST.as_secs_f64() / POLL.as_secs_f64();
    let resident = agent.resident_mib()?;
    Ok(vec![
        Figure::new(
            format!("agent, {objects} objects at rest for {} s: requests", REST.as_secs()),
            requests as f64,
            "requests",
        )
        .reach(Reach::AtMost(0.0)),
        Figure::new(
            format!("agent, {objects} objects at rest: CPU of a poll"),
            used.as_secs_f64() * 1e3 / polls,
            "ms",
        )
        .reach(Reach::AtMost(50.0)),
        Figure::new(format!("agent, {objects} objects: resident memory"), resident, "MiB")
            .reach(Reach::AtMost(64.0)),
    ])
}

/// Returns the median, the 99th percentile and the longest of some times, in milliseconds.
fn spread(mut times: Vec<Duration>) -> [f64; 3] {
    times.sort();
    [0.5, 0.99, 1.0].map(|share| {
        let index = ((times.len() as f64 * share).ceil() as usize).clamp(1, times.len().max(1)) - 1;
        times.get(index).map_or(f64::NAN, |time| time.as_secs_f64() * 1e3)
    })
}

fn commit(folder: &Path, message: &str) -> Result<()> {
    git(folder, &["add", "--all", "--", ".", ":!.cache"])?;
    git(folder, &["commit", "--quiet", "--message", message])
}

fn git(folder: &Path, arguments: &[&str]) -> Result<()> {
    let status = Command::new("git")
        .args(["-c", "user.name=Bench", "-c", "user.email=bench@example.org"])
        .args(arguments)
        .current_dir(folder)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_SYSTEM", "/dev/null")
        .status()
        .context("git does not start")?;
    ensure!(status.success(), "git {} failed", arguments.join(" "));
    Ok(())
}
