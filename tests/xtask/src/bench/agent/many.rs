//! Many sites in one repository: a commit that touches one of them.

use std::{
    fmt::Write as _,
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use sitewright_testbed::ControlPlane;

use super::{
    super::{
        Figures, apply,
        figure::{Figure, Reach},
        program::Program,
        site,
    },
    PATIENCE, QUIET, cluster, follow,
    process::Agent,
};

/// Sites in the repository.
const SITES: usize = 1_000;
/// How often the repository is asked.
const INTERVAL: Duration = Duration::from_secs(20);
/// How many intervals are watched, to see how often it is asked.
const INTERVALS: u32 = 3;
/// Commits, each of which touches one site; the same number to the repository of one site.
const COMMITS: u32 = 10;
/// How long the agent is watched after each.
const WINDOW: Duration = Duration::from_secs(5);
/// The site of the repository that has one.
const ALONE: &str = "alone";

pub(super) fn measure(program: &Program, plane: &ControlPlane, objects: usize) -> Result<Figures> {
    let sites = SITES.min(objects / 10);
    super::super::say(&format!("the agent with {sites} sites of one repository"));
    let folder = tempfile::tempdir()?;
    let (many, alone) = (follow::Repository::new()?, follow::Repository::new()?);
    let names: Vec<String> = (0..sites).map(name).collect();
    write(&many.tree(), &names)?;
    write(&alone.tree(), &[ALONE.to_owned()])?;
    many.push("many sites")?;
    alone.push("one site")?;
    let agent = follow::start(program, folder.path(), plane)?;
    let metrics = follow::address(&agent, "probes and metrics")?;
    let hooks = follow::address(&agent, "webhooks")?;
    let begun = Instant::now();
    let interval = format!("{}s", INTERVAL.as_secs());
    many.follow(plane, &syncs(&names), &interval)?;
    alone.follow(plane, &syncs(&[ALONE.to_owned()]), &interval)?;
    while follow::metric(&metrics, "sitewright_ready{", "")? < (sites + 1) as f64 {
        ensure!(begun.elapsed() < PATIENCE * 10, "the sites are not ready");
        thread::sleep(Duration::from_millis(500));
    }
    let applied = begun.elapsed();
    agent.wait_for_quiet(plane, QUIET)?;

    let (asked, idle) = (many.times_asked(), agent.cpu()?);
    thread::sleep(INTERVAL * INTERVALS);
    let idle = (agent.cpu()? - idle).as_secs_f64() / (INTERVAL * INTERVALS).as_secs_f64();
    let asked = (many.times_asked() - asked) as f64 / f64::from(INTERVALS);

    let client = cluster::client(plane.kubeconfig())?;
    let bench = Bench { plane, agent: &agent, metrics, hooks, client };
    let (mut of_many, mut of_alone) = (Commits::default(), Commits::default());
    for mark in 1..=COMMITS {
        let touched = name(mark as usize % sites);
        bench.commit(&many, &touched, mark, &mut of_many)?;
        bench.commit(&alone, ALONE, mark, &mut of_alone)?;
    }
    let resident = agent.resident_mib()?;
    let what = |rest: &str| format!("{sites} sites of one repository: {rest}");
    let each = |sum: f64| sum / f64::from(COMMITS);
    let cpu = |commits: &Commits| each(commits.cpu.as_secs_f64() * 1e3);
    // what the agent does all the time is in both, and so is the rendering and the apply of the touched site
    let rest = cpu(&of_many) - cpu(&of_alone);
    let idle_of_window = idle * WINDOW.as_secs_f64() * 1e3;
    let [arrived, ..] = super::spread(std::mem::take(&mut of_many.arrived));
    Ok(vec![
        Figure::new(what("all ready after"), applied.as_secs_f64(), "s"),
        Figure::new(what("asked of git in an interval"), asked, "times").reach(Reach::AtMost(1.5)),
        Figure::new(what("CPU of 1 s without a commit"), idle * 1e3, "ms"),
        Figure::new(what("requests of a commit to one"), each(of_many.requests), "requests"),
        Figure::new(what("those about other sites"), each(of_many.about_others), "requests")
            .reach(Reach::AtMost(0.0)),
        Figure::new(what("rendered, by its own word"), each(of_many.rendered), "sites")
            .reach(Reach::AtMost(1.0)),
        Figure::new(what("CPU of a commit to one"), cpu(&of_many) - idle_of_window, "ms"),
        Figure::new(
            "1 site of one repository: CPU of the same commit",
            cpu(&of_alone) - idle_of_window,
            "ms",
        ),
        Figure::new(what("CPU to decide the others"), rest, "ms").reach(Reach::AtMost(50.0)),
        Figure::new(what("webhook to the touched one changed"), arrived, "ms"),
        Figure::new(what("resident memory"), resident, "MiB"),
    ])
}

/// An agent that is looked at from outside.
struct Bench<'a> {
    plane: &'a ControlPlane,
    agent: &'a Agent,
    metrics: String,
    hooks: String,
    client: kube::Client,
}

/// What commits led to, all together.
#[derive(Default)]
struct Commits {
    /// Processor time within [`WINDOW`] after each, by `/proc`.
    cpu: Duration,
    /// Requests to the API server, by its audit log, and those of them that name another site.
    requests: f64,
    about_others: f64,
    /// Sites that the agent says it rendered: what a process computes is seen from outside as processor time alone.
    rendered: f64,
    arrived: Vec<Duration>,
}

impl Bench<'_> {
    /// Commits another mark to the site `touched`, and tells the agent of the push.
    fn commit(
        &self,
        repository: &follow::Repository,
        touched: &str,
        mark: u32,
        commits: &mut Commits,
    ) -> Result<()> {
        write_site(&repository.tree(), touched, mark)?;
        repository.push("another mark")?;
        let (from, rendered) = (self.plane.audit().mark()?, self.rendered()?);
        let (begun, cpu) = (Instant::now(), self.agent.cpu()?);
        follow::tell_of_push(&self.hooks, touched)?;
        let text = mark.to_string();
        let is_marked = |live: &kube::api::DynamicObject| {
            live.data.pointer("/data/mark").is_some_and(|found| *found == text)
        };
        let api = cluster::config_maps(&self.client, site::NAMESPACES[0]);
        let seen = cluster::block_on(cluster::until(&api, touched, is_marked))?;
        commits.arrived.push(seen.saturating_duration_since(begun));
        thread::sleep(WINDOW.saturating_sub(begun.elapsed()));
        commits.cpu += self.agent.cpu()?.saturating_sub(cpu);
        commits.rendered += self.rendered()? - rendered;
        let events = apply::ours(self.plane.audit().since(from)?);
        let events = events.iter().filter(|event| event.verb != "watch");
        for event in events {
            commits.requests += 1.0;
            if is_about_another(&event.uri, touched) {
                super::super::say(&format!("  of {touched}: {} {}", event.verb, event.uri));
                commits.about_others += 1.0;
            }
        }
        Ok(())
    }

    fn rendered(&self) -> Result<f64> {
        let count = "sitewright_reconcile_duration_seconds_count";
        follow::metric(&self.metrics, count, "\"render\"")
    }
}

/// Returns whether an address names a site, or what is of one, but `touched`.
fn is_about_another(uri: &str, touched: &str) -> bool {
    let uri = uri.replace("%3D", "=").replace("%2F", "/");
    let words = uri.split(|one: char| !one.is_ascii_alphanumeric() && one != '-');
    let ends_with = |word: &str, name: &str| {
        word.strip_suffix(name).is_some_and(|rest| rest.is_empty() || rest.ends_with('-'))
    };
    let names_a_site = |word: &str| {
        let number = word.rsplit_once('-').filter(|(rest, _)| ends_with(rest, "lab"));
        number.is_some_and(|(_, number)| number.parse::<usize>().is_ok()) || ends_with(word, ALONE)
    };
    words.filter(|word| names_a_site(word)).any(|word| !ends_with(word, touched))
}

fn syncs(names: &[String]) -> Vec<(String, String)> {
    names.iter().map(|name| (name.clone(), path(name))).collect()
}

fn name(index: usize) -> String {
    format!("lab-{index}")
}

fn path(name: &str) -> String {
    format!("sites/{name}")
}

/// Writes the sites, which share a blueprint.
fn write(folder: &Path, names: &[String]) -> Result<()> {
    let blueprint = folder.join("blueprints/small");
    fs::create_dir_all(blueprint.join("templates"))?;
    fs::write(
        blueprint.join("blueprint.yaml"),
        "apiVersion: sitewright.dev/v1alpha1\nkind: Blueprint\nmetadata: { name: small, version: 1.0.0 }\n\
         spec:\n  summary: One config map.\n  values: values.schema.json\n  templates: [templates/]\n",
    )?;
    fs::write(
        blueprint.join("values.schema.json"),
        r#"{ "$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object",
            "properties": { "name": { "type": "string" }, "mark": { "type": "integer" } } }"#,
    )?;
    let mut template = String::from("apiVersion: v1\nkind: ConfigMap\n");
    writeln!(
        template,
        "metadata: {{ name: {{{{ values.name }}}}, namespace: {} }}",
        site::NAMESPACES[0]
    )?;
    writeln!(template, "data: {{ mark: {{{{ (values.mark ~ \"\") | tojson }}}} }}")?;
    fs::write(blueprint.join("templates/one.yaml.j2"), template)?;
    names.iter().try_for_each(|name| write_site(folder, name, 0))
}

fn write_site(folder: &Path, name: &str, mark: u32) -> Result<()> {
    let folder = folder.join(path(name));
    fs::create_dir_all(&folder)?;
    let site = format!(
        "apiVersion: sitewright.dev/v1alpha1\nkind: Site\nmetadata: {{ name: {name} }}\nspec:\n  components:\n\
         \u{20}   - name: one\n      blueprint: {{ name: small }}\n      values: {{ name: {name}, mark: {mark} }}\n"
    );
    Ok(fs::write(folder.join("site.yaml"), site)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_address_is_about_is_told_by_the_names_in_it() {
        let about = |uri: &str| is_about_another(uri, "lab-1");
        assert!(!about("/api/v1/namespaces/bench-a/configmaps/lab-1?force=true"));
        assert!(!about("/api/v1/configmaps?labelSelector=sitewright.dev%2Fsite%3Dlab-1"));
        assert!(!about("/api/v1/namespaces/sitewright-system/configmaps/sitewright-lab-1.0"));
        assert!(!about("/apis"));
        assert!(about("/api/v1/configmaps?labelSelector=sitewright.dev%2Fsite%3Dlab-11"));
        assert!(about("/api/v1/namespaces/bench-a/configmaps/lab-11?force=true"));
        assert!(about("/api/v1/namespaces/sitewright-system/configmaps/sitewright-lab-2"));
        assert!(about("/api/v1/namespaces/bench-a/configmaps/alone"));
        assert!(!is_about_another("/api/v1/namespaces/bench-a/configmaps/alone", "alone"));
    }
}
