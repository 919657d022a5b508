//! What is soaked: a control plane, a git server, two agents, and people who commit, edit and delete.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use sitewright_testbed::{AuditEvent, ControlPlane, FaultProxy, GitHttp, Mode, Options};
use tempfile::TempDir;

use super::{clock::Clock, random::Random};
use crate::{git, program::Running};

/// The namespace of the objects and of the SiteSync, and the name of the site.
pub(super) const NAMESPACE: &str = "soaked";

/// What is waited for comes long before this, also after several failures in a row.
const PATIENCE: Duration = Duration::from_secs(240);

/// Objects that one commit moves, at most.
const MOVED: usize = 20;

/// Components that the objects are spread over.
const COMPONENTS: usize = 5;

/// All that there is.
pub(super) struct World {
    /// Dropped first: they must not outlive what they speak to.
    agents: [Option<Running>; 2],
    proxies: [FaultProxy; 2],
    clocks: [Clock; 2],
    pub(super) plane: ControlPlane,
    pub(super) git: GitHttp,
    folder: TempDir,
    program: PathBuf,
    objects: usize,
    /// What the newest commit says: this mark, in so many of the first objects.
    mark: usize,
    moved: usize,
    /// By name, the UID that each object had, without those that were deleted by people since.
    uids: BTreeMap<String, String>,
    /// Where it is at, for failures.
    place: String,
    /// What ended agents said.
    past: [String; 2],
}

impl World {
    pub(super) fn start(program: PathBuf, objects: usize) -> Self {
        let plane = ControlPlane::start(Options::new().without_controllers());
        let plane = plane.expect("the control plane starts");
        let proxy = |index: usize| {
            let proxy = FaultProxy::start_as(&plane, &user(index), &["system:masters"]);
            proxy.expect("the proxy starts")
        };
        let proxies = [proxy(0), proxy(1)];
        let folder = tempfile::tempdir().expect("a folder");
        let clock = |name| Clock::new(folder.path(), name);
        let clocks = [clock("clock-0"), clock("clock-1")];
        fs::create_dir(folder.path().join("work")).expect("a folder");
        git(folder.path(), &["init", "-q", "--bare", "-b", "main", "site.git"]);
        git(&folder.path().join("work"), &["init", "-q", "-b", "main"]);
        let server = GitHttp::serve(folder.path()).expect("the server starts");
        let crd = crate::project().join("schema/sitesync.crd.json");
        let crd = crd.display().to_string();
        let kubectl = |arguments: &[&str]| plane.kubectl(arguments).expect("kubectl works");
        kubectl(&["apply", "--server-side", "-f", &crd]);
        kubectl(&["wait", "--for=condition=Established", "crd/sitesyncs.sitewright.dev"]);
        kubectl(&["create", "namespace", NAMESPACE]);
        let mut world = Self {
            agents: [None, None],
            proxies,
            clocks,
            plane,
            git: server,
            folder,
            program,
            objects,
            mark: 0,
            moved: 0,
            uids: BTreeMap::new(),
            place: "the beginning".to_owned(),
            past: Default::default(),
        };
        world.push();
        let url = format!("{}/site.git", world.git.url());
        let sync = json!({ "apiVersion": "sitewright.dev/v1alpha1", "kind": "SiteSync",
            "metadata": { "name": "site", "namespace": NAMESPACE },
            "spec": { "source": { "url": url, "ref": "main", "interval": "5s" }, "resync": "15s" } });
        let sync = sync.to_string();
        world.plane.kubectl_with(&["create", "-f", "-"], sync.as_bytes()).expect("kubectl works");
        world.launch(0);
        world.launch(1);
        world
    }

    pub(super) fn say_where(&mut self, place: String) {
        self.place = place;
    }

    pub(super) fn proxies(&self) -> impl Iterator<Item = &FaultProxy> {
        self.proxies.iter()
    }

    // === agents ===

    /// Starts an agent.
    pub(super) fn launch(&mut self, which: usize) {
        let mut command = Command::new(&self.program);
        command
            .args(["agent", "--namespace", NAMESPACE, "--elect", "--listen", "127.0.0.1:0"])
            .args(["--log-format", "json"])
            .env("KUBECONFIG", self.proxies[which].kubeconfig())
            .env("SITEWRIGHT_CACHE_DIR", self.folder.path().join(format!("cache-{which}")))
            .current_dir(self.folder.path());
        self.clocks[which].rule(&mut command);
        self.agents[which] = Some(Running::start(&mut command));
    }

    /// Kills an agent at once.
    pub(super) fn kill(&mut self, which: usize) {
        if let Some(agent) = self.agents[which].take() {
            agent.handle().signal("KILL");
            self.past[which].push_str(&agent.end().stderr);
        }
    }

    pub(super) fn signal(&self, which: usize, signal: &str) {
        if let Some(agent) = &self.agents[which] {
            agent.handle().signal(signal);
        }
    }

    /// Lets the wall clock of an agent jump, now and for all its later lives.
    pub(super) fn jump(&mut self, which: usize, seconds: i64) {
        self.clocks[which].jump(seconds);
    }

    /// Waits until an agent says something at the time of its own clock.
    pub(super) fn expect_to_see(&self, which: usize) {
        let deadline = Instant::now() + PATIENCE;
        let said = || self.agents[which].as_ref().map(|agent| agent.handle().said());
        let has_seen = || {
            let time = format!("{{\"timestamp\":\"{}", self.clocks[which].minute());
            said().is_none_or(|said| said.contains(&time))
        };
        while !has_seen() {
            let why = || format!("agent {which} does not see that its clock jumped");
            self.expect(Instant::now() < deadline, why);
            thread::sleep(Duration::from_millis(300));
        }
    }

    /// The agent that holds the Lease, if either does.
    pub(super) fn leader(&self) -> Option<usize> {
        let lease = ["get", "lease", &format!("sitewright.agent.{NAMESPACE}")];
        let rest = ["-n", "sitewright-system", "-o", "jsonpath={.spec.holderIdentity}"];
        let holder = self.plane.kubectl(&[&lease[..], &rest].concat()).ok()?;
        self.agents.iter().position(|agent| {
            let id = agent.as_ref().map(|agent| format!("_{}_", agent.handle().process()));
            id.is_some_and(|id| holder.contains(&id))
        })
    }

    /// Whether a request is one of the agents'.
    pub(super) fn is_an_agents(&self, event: &AuditEvent) -> bool {
        (0..2).any(|index| event.user == user(index))
    }

    /// Panics with all that is known unless `is_so`.
    pub(super) fn expect(&self, is_so: bool, why: impl FnOnce() -> String) {
        if is_so {
            return;
        }
        let mut said = String::new();
        for (index, agent) in self.agents.iter().enumerate() {
            let now = agent.as_ref().map(|agent| agent.handle().said()).unwrap_or_default();
            let all = format!("{}{now}", self.past[index]);
            let lines: Vec<&str> = all.lines().collect();
            let last = lines.iter().skip(lines.len().saturating_sub(60));
            let _ = writeln!(said, "--- agent {index}");
            last.for_each(|line| {
                let _ = writeln!(said, "{line}");
            });
        }
        panic!("{}: {}\n{said}", self.place, why());
    }

    // === people ===

    /// Makes some changes, as far as the API server takes them.
    pub(super) fn change(&mut self, random: &mut Random, count: usize) {
        for _ in 0..count {
            let name = object(random.below(self.objects));
            match random.below(5) {
                0 => self.commit(random),
                1 => {
                    let gone = ["delete", "cm", &name, "-n", NAMESPACE, "--wait=false"];
                    if self.plane.kubectl(&gone).is_ok() {
                        self.uids.remove(&name);
                    }
                }
                _ => {
                    let patch = r#"{"data":{"mark":"by-hand"}}"#;
                    let edit = ["patch", "cm", &name, "-n", NAMESPACE, "--type=merge", "-p", patch];
                    let by = ["--field-manager=kubectl-edit"];
                    let _ = self.plane.kubectl(&[&edit[..], &by].concat());
                }
            }
        }
    }

    /// Commits another mark in some objects, and pushes it.
    pub(super) fn commit(&mut self, random: &mut Random) {
        self.mark += 1;
        self.moved = 1 + random.below(MOVED.min(self.objects));
        self.push();
    }

    fn push(&self) {
        let work = self.folder.path().join("work");
        write_site(&work, self.objects, self.mark, self.moved);
        git(&work, &["add", "."]);
        git(&work, &["commit", "-q", "-m", &format!("mark {}", self.mark)]);
        let remote = self.folder.path().join("site.git").display().to_string();
        git(&work, &["push", "-q", &remote, "main"]);
    }

    // === what must be ===

    /// Waits until the API server works.
    pub(super) fn wait_for_api(&self) {
        let deadline = Instant::now() + PATIENCE;
        while self.plane.kubectl(&["get", "--raw", "/readyz"]).is_err() {
            self.expect(Instant::now() < deadline, || "the API server is not ready".to_owned());
            thread::sleep(Duration::from_millis(200));
        }
    }

    /// Waits until every object is there, and as the newest commit says.
    pub(super) fn converge(&mut self) {
        self.wait_for_api();
        let deadline = Instant::now() + PATIENCE;
        loop {
            let wrong = self.wrong();
            if wrong.is_empty() {
                // what is left of the faults would come upon the next round
                self.proxies.iter().for_each(FaultProxy::heal);
                return;
            }
            self.expect(Instant::now() < deadline, || {
                format!("{} objects are not as commit {} says: {wrong:?}", wrong.len(), self.mark)
            });
            thread::sleep(Duration::from_millis(300));
        }
    }

    /// The objects that are not as the newest commit says, some of them.
    fn wrong(&self) -> Vec<String> {
        let live = self.live();
        let wanted = (0..self.objects).map(|index| (object(index), self.wanted(index)));
        let is_wrong =
            |(name, mark): &(String, String)| live.get(name).is_none_or(|(_, live)| live != mark);
        wanted.filter(is_wrong).map(|(name, _)| name).take(10).collect()
    }

    fn wanted(&self, index: usize) -> String {
        if index < self.moved { self.mark.to_string() } else { "0".to_owned() }
    }

    /// By name, UID and mark of the live objects; none where the API server does not answer.
    fn live(&self) -> BTreeMap<String, (String, String)> {
        let arguments = ["get", "cm", "-n", NAMESPACE, "-o", "json"];
        let list = self.plane.kubectl(&arguments).ok();
        let list: Value =
            list.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let items = list["items"].as_array().cloned().unwrap_or_default();
        let one = |item: &Value| {
            let metadata = &item["metadata"];
            (text(&metadata["name"]), (text(&metadata["uid"]), text(&item["data"]["mark"])))
        };
        items.iter().map(one).collect()
    }

    /// Expects that every object that nobody deleted is the same as ever.
    pub(super) fn expect_nothing_lost(&mut self) {
        let live = self.live();
        for (name, uid) in &self.uids {
            let is_same = live.get(name).is_some_and(|(live, _)| live == uid);
            self.expect(is_same, || format!("{name} was lost, or made anew"));
        }
        let ours: BTreeSet<String> = (0..self.objects).map(object).collect();
        let uids = live.into_iter().filter(|(name, _)| ours.contains(name));
        self.uids = uids.map(|(name, (uid, _))| (name, uid)).collect();
    }

    /// Waits until the agents write nothing for a while, and expects that what was converged still is.
    pub(super) fn be_still(&mut self, time: Duration) {
        let deadline = Instant::now() + PATIENCE;
        let mut is_still = false;
        while !is_still {
            let mark = self.plane.audit().mark().expect("the audit log can be read");
            thread::sleep(time);
            let events = self.plane.audit().since(mark).expect("the audit log can be read");
            let writes: Vec<String> = events
                .iter()
                .filter(|event| self.is_an_agents(event) && is_write(event))
                .map(|event| format!("{} {} {}", event.user, event.verb, event.uri))
                .collect();
            is_still = writes.is_empty();
            self.expect(is_still || Instant::now() < deadline, || {
                format!("it is written without end, where nothing changes: {writes:?}")
            });
        }
        let wrong = self.wrong();
        self.expect(wrong.is_empty(), || format!("what was converged is not any more: {wrong:?}"));
    }
}

/// A write that changes something; the leader shows by its Lease that it lives.
fn is_write(event: &AuditEvent) -> bool {
    let reads = ["get", "list", "watch"];
    !reads.contains(&event.verb.as_str())
        && event.mode == Mode::Real
        && event.resource != "leases"
        && !event.resource.ends_with("reviews")
}

fn user(index: usize) -> String {
    format!("soak-agent-{index}")
}

fn object(index: usize) -> String {
    format!("object-{index}")
}

fn write_site(folder: &Path, objects: usize, mark: usize, moved: usize) {
    let blueprint = folder.join("blueprints/many");
    fs::create_dir_all(blueprint.join("templates")).expect("a folder");
    let write = |path: &Path, text: &str| fs::write(path, text).expect("it can be written");
    let components = COMPONENTS.min(objects);
    let mut site = format!(
        "apiVersion: sitewright.dev/v1alpha1\nkind: Site\nmetadata: {{ name: {NAMESPACE} }}\nspec:\n  components:\n"
    );
    for part in 0..components {
        let (from, to) = (objects * part / components, objects * (part + 1) / components);
        let _ = writeln!(
            site,
            "    - name: part-{part}\n      blueprint: {{ name: many }}\n      values: {{ from: {from}, to: {to}, mark: {mark}, moved: {moved} }}"
        );
    }
    write(&folder.join("site.yaml"), &site);
    write(
        &blueprint.join("blueprint.yaml"),
        "apiVersion: sitewright.dev/v1alpha1\nkind: Blueprint\nmetadata: { name: many, version: 1.0.0 }\n\
         spec:\n  summary: Objects of a soak.\n  values: values.schema.json\n  templates: [templates/]\n",
    );
    write(
        &blueprint.join("values.schema.json"),
        r#"{ "$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object", "properties": {
            "from": { "type": "integer" }, "to": { "type": "integer" },
            "mark": { "type": "integer" }, "moved": { "type": "integer" } } }"#,
    );
    let template = format!(
        "{{% for index in range(values.from, values.to) %}}\n---\napiVersion: v1\nkind: ConfigMap\n\
         metadata: {{ name: {{{{ \"object-\" ~ index }}}}, namespace: {NAMESPACE} }}\n\
         data:\n  mark: {{{{ ((values.mark if index < values.moved else 0) ~ \"\") | tojson }}}}\n{{% endfor %}}\n"
    );
    write(&blueprint.join("templates/many.yaml.j2"), &template);
}
