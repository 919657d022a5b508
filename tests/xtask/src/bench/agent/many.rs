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
        Figures,
        figure::{Figure, Reach},
        program::Program,
        site,
    },
    PATIENCE, QUIET, cluster, follow,
};

/// Sites in the repository.
const SITES: usize = 1_000;
/// How often the repository is asked.
const INTERVAL: Duration = Duration::from_secs(20);
/// How many intervals are watched, to see how often it is asked.
const INTERVALS: u32 = 3;
/// Commits, each of which touches one site.
const COMMITS: u32 = 5;

pub(super) fn measure(program: &Program, plane: &ControlPlane, objects: usize) -> Result<Figures> {
    let sites = SITES.min(objects / 10);
    super::super::say(&format!("the agent with {sites} sites of one repository"));
    let folder = tempfile::tempdir()?;
    let repository = follow::Repository::new()?;
    write(&repository.tree(), sites)?;
    repository.push("many sites")?;
    let agent = follow::start(program, folder.path(), plane)?;
    let metrics = follow::address(&agent, "probes and metrics")?;
    let hooks = follow::address(&agent, "webhooks")?;
    let syncs: Vec<_> = (0..sites).map(|index| (name(index), path(index))).collect();
    repository.follow(plane, &syncs, &format!("{}s", INTERVAL.as_secs()))?;
    let begun = Instant::now();
    while follow::metric(&metrics, "sitewright_ready{", "")? < sites as f64 {
        ensure!(begun.elapsed() < PATIENCE * 10, "the sites are not ready");
        thread::sleep(Duration::from_millis(500));
    }
    let applied = begun.elapsed();
    agent.wait_for_quiet(plane, QUIET)?;

    let (asked, idle) = (repository.times_asked(), agent.cpu()?);
    thread::sleep(INTERVAL * INTERVALS);
    let idle = (agent.cpu()? - idle).as_secs_f64() / (INTERVAL * INTERVALS).as_secs_f64();
    let asked = (repository.times_asked() - asked) as f64 / f64::from(INTERVALS);

    let client = cluster::client(plane.kubeconfig())?;
    let api = cluster::config_maps(&client, site::NAMESPACES[0]);
    let renders =
        || follow::metric(&metrics, "sitewright_reconcile_duration_seconds_count", "\"render\"");
    let (mut used, mut rendered, mut arrived) = (vec![], 0.0, vec![]);
    for mark in 1..=COMMITS {
        let touched = mark as usize % sites;
        write_site(&repository.tree(), touched, mark)?;
        repository.push("one site")?;
        let (renderings, cpu) = (renders()?, agent.cpu()?);
        let begun = Instant::now();
        follow::tell_of_push(&hooks, &name(touched))?;
        let text = mark.to_string();
        let is_marked = |live: &kube::api::DynamicObject| {
            live.data.pointer("/data/mark").is_some_and(|found| *found == text)
        };
        let seen = cluster::block_on(cluster::until(&api, &name(touched), is_marked))?;
        arrived.push(seen.saturating_duration_since(begun));
        agent.wait_for_quiet(plane, QUIET)?;
        // what the agent does all the time is not the commit's
        let idle = begun.elapsed().mul_f64(idle);
        used.push(agent.cpu()?.saturating_sub(cpu + idle));
        rendered += renders()? - renderings;
    }
    let resident = agent.resident_mib()?;
    let what = |rest: &str| format!("{sites} sites of one repository: {rest}");
    let [used, ..] = super::spread(used);
    let [arrived, ..] = super::spread(arrived);
    Ok(vec![
        Figure::new(what("all ready after"), applied.as_secs_f64(), "s"),
        Figure::new(what("asked of git in an interval"), asked, "times").reach(Reach::AtMost(1.5)),
        Figure::new(what("rendered by a commit to one"), rendered / f64::from(COMMITS), "sites")
            .reach(Reach::AtMost(1.0)),
        Figure::new(what("CPU of 1 s without a commit"), idle * 1e3, "ms"),
        Figure::new(what("CPU of a commit to one"), used, "ms").reach(Reach::AtMost(50.0)),
        Figure::new(what("webhook to the touched one changed"), arrived, "ms"),
        Figure::new(what("resident memory"), resident, "MiB"),
    ])
}

fn name(index: usize) -> String {
    format!("lab-{index}")
}

fn path(index: usize) -> String {
    format!("sites/{}", name(index))
}

/// Writes the sites, which share a blueprint.
fn write(folder: &Path, sites: usize) -> Result<()> {
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
    (0..sites).try_for_each(|index| write_site(folder, index, 0))
}

fn write_site(folder: &Path, index: usize, mark: u32) -> Result<()> {
    let (name, folder) = (name(index), folder.join(path(index)));
    fs::create_dir_all(&folder)?;
    let site = format!(
        "apiVersion: sitewright.dev/v1alpha1\nkind: Site\nmetadata: {{ name: {name} }}\nspec:\n  components:\n\
         \u{20}   - name: one\n      blueprint: {{ name: small }}\n      values: {{ name: {name}, mark: {mark} }}\n"
    );
    Ok(fs::write(folder.join("site.yaml"), site)?)
}
