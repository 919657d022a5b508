//! The agent at rest, and how soon it mends.

use std::{
    fs,
    path::Path,
    process::{Child, Command},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use kube::{
    Api, Client, Config,
    api::{DynamicObject, Patch, PatchParams},
    config::{KubeConfigOptions, Kubeconfig},
    core::{ApiResource, GroupVersionKind},
};
use serde_json::json;
use sitewright_testbed::ControlPlane;

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
/// Edits that are mended, one after another; each on another object, so that nobody takes it for a fight.
const EDITS: usize = 100;
/// What is waited for comes long before this.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) fn measure(program: &Program, objects: usize) -> Result<Figures> {
    super::say(&format!("the agent with {objects} objects: at rest, then mending"));
    let (_, figures) = apply::with_control_plane(|plane| {
        let folder = tempfile::tempdir()?;
        site::write(folder.path(), 50.min(objects), objects)?;
        commit(folder.path())?;
        program.run(folder.path(), &["apply", "--yes"], Some(plane.kubeconfig()), &[0])?;
        let agent = Agent::start(program, folder.path(), plane)?;
        agent.wait_for_rest(plane)?;
        let mut figures = at_rest(&agent, plane, objects)?;
        figures.extend(mending(plane, objects)?);
        Ok(figures)
    })?;
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

fn mending(plane: &ControlPlane, objects: usize) -> Result<Figures> {
    let mut times = Vec::with_capacity(EDITS);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let config = Kubeconfig::read_from(plane.kubeconfig())?;
        let config = Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await?;
        let client = Client::try_from(config)?;
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", "ConfigMap"));
        for index in 0..EDITS {
            let namespace = site::NAMESPACES.get(index % 5).copied().unwrap_or_default();
            let api: Api<DynamicObject> =
                Api::namespaced_with(client.clone(), namespace, &resource);
            let name = format!("settings-0-{index}");
            let edit = Patch::Merge(json!({ "data": { "color": "red" } }));
            // somebody at a keyboard: what a controller writes is a conflict, and not mended
            let by = PatchParams {
                field_manager: Some("kubectl-edit".into()),
                ..PatchParams::default()
            };
            api.patch(&name, &by, &edit).await?;
            let written = Instant::now();
            loop {
                let live = api.get(&name).await?;
                if live.data.pointer("/data/color").is_some_and(|color| color == "blue") {
                    break;
                }
                ensure!(written.elapsed() < PATIENCE, "{name} is not mended");
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            times.push(written.elapsed().as_secs_f64() * 1e3);
        }
        anyhow::Ok(())
    })?;
    times.sort_by(f64::total_cmp);
    let at = |share: f64| {
        let index = ((times.len() as f64 * share).ceil() as usize).clamp(1, times.len()) - 1;
        times.get(index).copied().unwrap_or_default()
    };
    Ok(vec![
        Figure::new(format!("agent, {objects} objects: an edit to mended, p50"), at(0.5), "ms"),
        Figure::new(format!("agent, {objects} objects: an edit to mended, p99"), at(0.99), "ms")
            .reach(Reach::AtMost(300.0)),
    ])
}

fn commit(folder: &Path) -> Result<()> {
    let git = |arguments: &[&str]| -> Result<()> {
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
    };
    git(&["init", "--quiet", "--initial-branch", "main"])?;
    git(&["add", "site.yaml", "blueprints"])?;
    git(&["commit", "--quiet", "--message", "a site of many objects"])
}

/// The agent, watched from outside.
struct Agent {
    child: Child,
}

impl Agent {
    fn start(program: &Program, folder: &Path, plane: &ControlPlane) -> Result<Self> {
        let site = format!("file://{}//@main", folder.display());
        let poll = format!("{}s", POLL.as_secs());
        let log = fs::File::create(folder.join("agent.log"))?;
        let child = program
            .command(folder, Some(plane.kubeconfig()))
            .args(["agent", "--site", &site, "--poll", &poll, "--resync", "24h"])
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("the program does not start")?;
        Ok(Self { child })
    }

    /// Waits until it has sent something, and then nothing for a while.
    fn wait_for_rest(&self, plane: &ControlPlane) -> Result<()> {
        let start = Instant::now();
        let begin = plane.audit().mark()?;
        while apply::ours(plane.audit().since(begin)?).is_empty() {
            ensure!(start.elapsed() < PATIENCE, "the agent does not begin");
            thread::sleep(Duration::from_millis(200));
        }
        loop {
            let mark = plane.audit().mark()?;
            thread::sleep(QUIET);
            if apply::ours(plane.audit().since(mark)?).is_empty() {
                return Ok(());
            }
            ensure!(start.elapsed() < PATIENCE, "the agent does not come to rest");
        }
    }

    /// Processor time so far, user and system: fields 14 and 15 of `/proc/PID/stat`, in hundredths of a second.
    fn cpu(&self) -> Result<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let (_, rest) = stat.rsplit_once(')').context("a process has a name")?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let ticks = |index: usize| -> Result<u64> {
            Ok(fields.get(index).context("a process has times")?.parse()?)
        };
        Ok(Duration::from_millis((ticks(11)? + ticks(12)?) * 10))
    }

    fn resident_mib(&self) -> Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().strip_suffix("kB")).context("it is resident")?;
        Ok(kib.trim().parse::<f64>()? / 1024.0)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
