//! Draining: what holds, what is waited for, what is given back, and that a kill leaves nothing held unaccounted.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::world::{World, config_map, id, now, object};
use crate::{
    desired::DesiredWave,
    drain::{self, Deed, Ledger, Next, NodeStage, Situation, Stage},
    format::{
        approval::ApprovalSpec,
        blueprint::{Hazard, HazardOn, HazardRule},
        drain::{DrainPolicy, DrainRules, HitsRule, Wave, WaveLabel, WavePods},
        maintenance::MaintenanceWindow,
    },
    name::ComponentName,
    object::ObjectId,
    plan::{ApprovalFile, Consent, Draining, Gate, Plan, plan},
    work::{DaemonSet, Extent, Node, Pod, Queue, Running, Sort, Workload},
};

const GPU: &str = "nvidia.com/gpu";

fn app() -> ComponentName {
    "app".parse().unwrap()
}

fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn on_gpu_nodes() -> HitsRule {
    HitsRule { nodes: labels(&[("gpu", "true")]), uses: Some("nvidia.com/*".into()) }
}

/// A cluster with work on it, under a site whose change of a driver evicts jobs.
struct Bench {
    world: World,
    running: Running,
    now: Timestamp,
    unhealthy: BTreeSet<ComponentName>,
    news: Vec<String>,
}

fn driver(version: u64) -> Value {
    config_map("driver", json!({ "version": version }))
}

fn driver_id() -> ObjectId {
    id("", "ConfigMap", "n", "driver")
}

impl Bench {
    /// Two nodes with GPUs and one without, a queue for each sort, and the driver at version 1.
    fn new(policy: DrainPolicy) -> Self {
        let mut world = World::with([driver(1)]);
        world.component("app").hazards = vec![HazardRule {
            kind: "ConfigMap".into(),
            name: Some("driver".into()),
            on: HazardOn::Update,
            is: Hazard::EvictsJobs,
            because: "every GPU is reset".into(),
            hits: Some(on_gpu_nodes()),
        }];
        world.component("app").policy.drain = Some(policy);
        let first = world.plan();
        world.apply(&first, Consent::Given);
        let node = |name: &str, gpu: &str| Node {
            name: name.into(),
            uid: format!("uid-{name}"),
            labels: labels(&[("gpu", gpu)]),
            ready: true,
            ..Node::default()
        };
        let queue = |name: &str, gpu: &str| Queue {
            name: name.into(),
            uid: format!("uid-{name}"),
            api_version: "kueue.x-k8s.io/v1beta2".into(),
            flavors: vec![labels(&[("gpu", gpu)])],
            ..Queue::default()
        };
        let running = Running {
            nodes: vec![node("gpu-1", "true"), node("gpu-2", "true"), node("cpu-1", "false")],
            queues: vec![queue("training", "true"), queue("builds", "false")],
            ..Running::default()
        };
        Self { world, running, now: now(), unhealthy: BTreeSet::new(), news: Vec::new() }
    }

    fn waiting() -> Self {
        let mut bench = Self::new(serde_json::from_value(json!("wait")).unwrap());
        bench.world.put("app", [driver(2)]);
        bench
    }

    fn job(&mut self, name: &str, node: &str) {
        self.pod(name, node, Sort::Job);
    }

    fn pod(&mut self, name: &str, node: &str, sort: Sort) {
        let owner = match sort {
            Sort::Service => id("apps", "Deployment", "lab", name),
            _ => id("batch", "Job", "lab", name),
        };
        self.running.pods.push(Pod {
            namespace: "lab".into(),
            name: format!("{name}-0"),
            uid: format!("uid-{name}"),
            node: Some(node.into()),
            since: Some(self.now),
            owners: vec![owner],
            devices: [(GPU.to_owned(), 2)].into(),
            person: Some("ada".into()),
            sort,
            ..Pod::default()
        });
    }

    fn finish(&mut self, name: &str) {
        self.running.pods.retain(|pod| pod.name != format!("{name}-0"));
    }

    fn weighed(&self) -> (Plan, Draining) {
        let (desired, live) = (self.world.desired(), self.world.live());
        let plan = plan(&desired, &live, self.now);
        let draining = plan.draining(&desired, &live, &self.running);
        (plan.with_work(&desired, &live, &self.running, &draining), draining)
    }

    fn next(&self) -> Next {
        let (plan, draining) = self.weighed();
        let desired = self.world.desired();
        let mut unhealthy = self.unhealthy.clone();
        if plan.changes().any(|(_, change)| change.gates.is_empty() && change.hazard > Hazard::Safe)
        {
            unhealthy.insert(app());
        }
        drain::next(Situation {
            desired: &desired,
            plan: &plan,
            draining: &draining,
            running: &self.running,
            unhealthy: &unhealthy,
        })
    }

    /// One look: the step, and then the apply of what goes ahead. A kill comes after so many of the writes.
    fn look_until(&mut self, mut writes: usize) {
        let next = self.next();
        let mut may_write = || {
            let may = writes > 0;
            writes = writes.saturating_sub(1);
            may
        };
        if next.before != self.running.ledger {
            if !may_write() {
                return;
            }
            self.running.ledger = next.before.clone();
        }
        for deed in &next.deeds {
            if !may_write() {
                return;
            }
            self.run(deed);
            self.check();
        }
        if next.after != self.running.ledger {
            if !may_write() {
                return;
            }
            self.running.ledger = next.after.clone();
        }
        self.check();
        self.news.extend(next.news);
        let (plan, _) = self.weighed();
        if may_write() {
            self.world.apply(&plan, Consent::None);
        }
    }

    fn look(&mut self) {
        self.look_until(usize::MAX);
    }

    fn run(&mut self, deed: &Deed) {
        let site = self.world.site.to_string();
        match deed {
            Deed::Cordon { node, .. } => self.node(node).cordoned = true,
            Deed::Uncordon { node, .. } => self.node(node).cordoned = false,
            Deed::Stop { queue, .. } => self.queue(queue).stopped = true,
            Deed::Resume { queue, .. } => self.queue(queue).stopped = false,
            Deed::Evict { uid, .. } => self.running.pods.retain(|pod| pod.uid != *uid),
            // its controller makes a new one at once
            Deed::Restart { uid, .. } => {
                let revision =
                    self.running.daemon_sets.first().and_then(|set| set.revision.clone());
                for pod in self.running.pods.iter_mut().filter(|pod| pod.uid == *uid) {
                    pod.revision.clone_from(&revision);
                    pod.ready = true;
                    pod.name = format!("{}-new", pod.name);
                }
            }
            Deed::Label { node, key, value, .. } => {
                self.node(node).labels.insert(key.clone(), value.clone());
            }
        }
        match deed {
            Deed::Cordon { node, .. } => self.node(node).held_by = Some(site),
            Deed::Uncordon { node, .. } => self.node(node).held_by = None,
            Deed::Stop { queue, .. } => self.queue(queue).held_by = Some(site),
            Deed::Resume { queue, .. } => self.queue(queue).held_by = None,
            _ => {}
        }
    }

    fn node(&mut self, name: &str) -> &mut Node {
        self.running.nodes.iter_mut().find(|node| node.name == name).unwrap()
    }

    fn queue(&mut self, name: &str) -> &mut Queue {
        self.running.queues.iter_mut().find(|queue| queue.name == name).unwrap()
    }

    fn held(&self) -> Vec<String> {
        let nodes = self.running.nodes.iter().filter(|node| node.cordoned).map(|n| n.name.clone());
        let queues = self.running.queues.iter().filter(|q| q.stopped).map(|q| q.name.clone());
        nodes.chain(queues).collect()
    }

    /// What is held is accounted for, at every moment.
    fn check(&self) {
        let ledger = &self.running.ledger;
        for name in self.held() {
            let is_named = ledger
                .drains
                .iter()
                .any(|drain| drain.nodes.contains_key(&name) || drain.queues.contains_key(&name));
            assert!(is_named, "{name} is held, and {ledger:?} does not say so");
        }
    }

    fn version(&self) -> Value {
        self.world.cluster[&driver_id()].body["spec"]["version"].clone()
    }

    fn gate(&self) -> Option<Gate> {
        let (plan, _) = self.weighed();
        plan.change(&driver_id()).unwrap().gates.first().cloned()
    }
}

#[test]
fn a_change_waits_for_the_job_that_it_would_hit_and_for_no_other() {
    let mut bench = Bench::waiting();
    bench.job("train", "gpu-1");
    bench.job("compile", "cpu-1");
    let (plan, _) = bench.weighed();
    let change = plan.change(&driver_id()).unwrap();
    let hits = change.hits.as_ref().unwrap();
    assert_eq!(hits.place, "pods with nvidia.com/* on 2 nodes");
    let named: Vec<String> = hits.work.iter().map(|hit| hit.work.to_string()).collect();
    assert_eq!(named, ["Job.batch lab/train"]);
    assert_eq!(hits.work[0].devices[GPU], 2);
    assert!(matches!(change.gates[..], [Gate::Drain { left: Some(1), .. }]), "{:?}", change.gates);

    bench.look();
    assert_eq!(bench.held(), ["gpu-1", "gpu-2", "training"]);
    bench.look();
    assert_eq!(bench.version(), json!(1));
    bench.finish("train");
    assert_eq!(bench.gate(), None);
    bench.look();
    assert_eq!(bench.version(), json!(2));
    assert_eq!(bench.held(), ["gpu-1", "gpu-2", "training"], "not before it is looked at again");
    bench.look();
    assert_eq!(bench.held(), [""; 0]);
    assert_eq!(bench.running.ledger, Ledger::default());
    assert_eq!(bench.next(), Next::default(), "and then there is nothing to do");
}

#[test]
fn nothing_goes_ahead_before_nothing_new_can_start() {
    let mut bench = Bench::waiting();
    assert!(matches!(bench.gate(), Some(Gate::Drain { left: Some(0), .. })));
    bench.look();
    // the queue is released by hand: what it admits now would be hit
    bench.world.put("app", [driver(3)]);
    bench.queue("training").stopped = false;
    assert!(matches!(bench.gate(), Some(Gate::Drain { .. })));
    bench.look();
    assert!(bench.queue("training").stopped);
}

#[test]
fn what_was_changed_is_well_before_anything_is_given_back() {
    let mut bench = Bench::waiting();
    bench.unhealthy.insert(app());
    for _ in 0..5 {
        bench.look();
    }
    assert_eq!(bench.version(), json!(2));
    assert_eq!(bench.held(), ["gpu-1", "gpu-2", "training"]);
    assert_eq!(bench.running.ledger.drains[0].stage, Stage::Changing);
    bench.unhealthy.clear();
    bench.look();
    assert_eq!(bench.held(), [""; 0]);
}

#[test]
fn a_change_that_is_taken_back_gives_everything_back() {
    let mut bench = Bench::waiting();
    bench.job("train", "gpu-1");
    bench.look();
    bench.world.put("app", [driver(1)]);
    bench.look();
    assert_eq!(bench.held(), [""; 0]);
    assert_eq!(bench.version(), json!(1));
}

#[test]
fn a_component_that_leaves_the_site_leaves_nothing_held() {
    let mut bench = Bench::waiting();
    bench.job("train", "gpu-1");
    bench.look();
    bench.world.remove("app");
    bench.unhealthy.insert(app());
    bench.look();
    assert_eq!(bench.held(), [""; 0]);
}

#[test]
fn at_the_deadline_everything_is_given_back_or_the_change_is_done() {
    let rules =
        |then: &str| serde_json::from_value(json!({ "deadline": "1h", "then": then })).unwrap();
    let mut bench = Bench::new(rules("hold"));
    bench.world.put("app", [driver(2)]);
    bench.job("train", "gpu-1");
    bench.look();
    bench.now += SignedDuration::from_hours(2);
    bench.look();
    assert_eq!(bench.held(), [""; 0]);
    let gave_up = bench.gate().unwrap();
    assert!(matches!(gave_up, Gate::Drain { stage: drain::DrainStage::GaveUp, .. }), "{gave_up:?}");
    bench.look();
    assert_eq!(bench.held(), [""; 0], "it is not tried again by itself");
    assert_eq!(bench.version(), json!(1));
    bench.world.put("app", [driver(3)]);
    bench.look();
    assert_eq!(bench.held(), ["gpu-1", "gpu-2", "training"], "another change is another drain");

    let mut bench = Bench::new(rules("go-ahead"));
    bench.world.put("app", [driver(2)]);
    bench.job("train", "gpu-1");
    bench.look();
    bench.now += SignedDuration::from_hours(2);
    bench.look();
    assert_eq!(bench.version(), json!(2));
}

#[test]
fn an_approval_of_the_plan_does_not_wait_and_everything_is_given_back_after_it() {
    let mut bench = Bench::waiting();
    bench.job("train", "gpu-1");
    bench.look();
    let (plan, _) = bench.weighed();
    bench.world.apply(&plan, Consent::Given);
    assert_eq!(bench.version(), json!(2));
    bench.look();
    assert_eq!(bench.held(), [""; 0]);
}

#[test]
fn what_was_approved_before_it_was_drained_holds_nothing_back() {
    let mut bench = Bench::waiting();
    bench.job("train", "gpu-1");
    let (plan, draining) = bench.weighed();
    let approval = ApprovalFile {
        file: "approvals/x.yaml".into(),
        is_committed: true,
        spec: ApprovalSpec {
            plan: plan.digest.0,
            cluster: plan.cluster.uid.clone(),
            reason: "now".into(),
            until: None,
            opens: Vec::new(),
        },
    };
    let plan = plan.with_approvals(&[approval]);
    assert!(plan.change(&driver_id()).unwrap().gates.is_empty());
    let desired = bench.world.desired();
    let next = drain::next(Situation {
        desired: &desired,
        plan: &plan,
        draining: &draining,
        running: &bench.running,
        unhealthy: &BTreeSet::new(),
    });
    assert_eq!(next, Next::default());
}

#[test]
fn the_digest_binds_no_work_that_comes_and_goes() {
    let mut bench = Bench::waiting();
    let before = bench.weighed().0.digest;
    bench.job("train", "gpu-1");
    bench.look();
    assert_eq!(bench.weighed().0.digest, before);
}

#[test]
fn draining_begins_when_a_window_is_near_and_the_change_waits_for_it() {
    let rules = DrainRules { ahead: Some("24h".into()), ..DrainRules::default() };
    let mut bench = Bench::new(DrainPolicy::Rules(rules));
    bench.world.policy.maintenance = vec![MaintenanceWindow {
        days: vec![crate::format::maintenance::Day::Sat],
        from: "06:00".parse().unwrap(),
        to: "10:00".parse().unwrap(),
        timezone: "UTC".into(),
    }];
    bench.world.put("app", [driver(2)]);
    bench.look();
    assert_eq!(bench.held(), [""; 0], "it is Tuesday");
    bench.now = "2026-02-06T08:00:00Z".parse().unwrap();
    bench.look();
    assert_eq!(bench.held(), ["gpu-1", "gpu-2", "training"]);
    bench.look();
    assert_eq!(bench.version(), json!(1), "the window is closed");
    bench.now = "2026-02-07T07:00:00Z".parse().unwrap();
    bench.look();
    assert_eq!(bench.version(), json!(2));
}

#[test]
fn what_cannot_be_told_is_not_begun_and_says_so() {
    let mut bench = Bench::waiting();
    bench.world.component("app").hazards[0].hits = None;
    bench.look();
    assert_eq!(bench.held(), [""; 0]);
    let Some(Gate::Drain { unknown: Some(why), .. }) = bench.gate() else { panic!() };
    assert!(why.contains("`hits`"), "{why}");

    let mut bench = Bench::waiting();
    bench.running.missing.push("may not list pods".into());
    bench.look();
    assert_eq!(bench.version(), json!(1));
    assert!(matches!(bench.gate(), Some(Gate::Drain { unknown: Some(_), .. })));
}

#[test]
fn what_only_the_node_says_is_given_back() {
    let mut bench = Bench::waiting();
    bench.job("train", "gpu-1");
    bench.look();
    bench.world.put("app", [driver(1)]);
    // somebody deleted the ledger
    bench.running.ledger = Ledger::default();
    for deed in bench.next().deeds {
        bench.run(&deed);
    }
    assert_eq!(bench.held(), [""; 0]);
}

#[test]
fn a_changed_queue_reaches_the_workloads_that_it_admitted() {
    let mut world = World::with([object(
        "kueue.x-k8s.io/v1beta2",
        "ClusterQueue",
        "",
        "training",
        json!({ "stopPolicy": "None" }),
    )]);
    let first = world.plan();
    world.apply(&first, Consent::Given);
    world.remove("app");
    let admitted = |name: &str, queue: &str| Workload {
        namespace: "lab".into(),
        name: format!("job-{name}"),
        owner: Some(id("batch", "Job", "lab", name)),
        local_queue: "users".into(),
        queue: queue.into(),
        flavors: ["gpu".to_owned()].into(),
        pods: 4,
        devices: [(GPU.to_owned(), 32)].into(),
        since: Some(now()),
    };
    let running = Running {
        workloads: vec![admitted("train", "training"), admitted("build", "builds")],
        ..Running::default()
    };
    let (desired, live) = (world.desired(), world.live());
    let plan = world.plan().with_work(&desired, &live, &running, &Draining::default());
    let change = plan.change(&id("kueue.x-k8s.io", "ClusterQueue", "", "training")).unwrap();
    let work = &change.hits.as_ref().unwrap().work;
    assert_eq!(work.len(), 1, "{work:?}");
    assert_eq!((work[0].work.name.as_str(), work[0].queue.as_deref()), ("train", Some("users")));
    assert_eq!((work[0].pods, work[0].devices[GPU]), (4, 32));
}

// === waves ===

fn restart() -> Wave {
    Wave {
        name: "driver".into(),
        hits: on_gpu_nodes(),
        restart: Some(WavePods {
            namespace: "gpu".into(),
            daemon_sets: labels(&[("app", "driver")]),
        }),
        label: None,
        ready: None,
        deadline: Some("10m".into()),
    }
}

impl Bench {
    /// A driver on both nodes that is outdated, and a wave that restarts it.
    fn rolling(policy: Value, wave: DesiredWave) -> Self {
        let mut bench = Self::new(serde_json::from_value(policy).unwrap());
        bench.world.component("app").waves = vec![wave];
        let set = id("apps", "DaemonSet", "gpu", "driver");
        for node in ["gpu-1", "gpu-2"] {
            bench.running.pods.push(Pod {
                namespace: "gpu".into(),
                name: format!("driver-{node}"),
                uid: format!("uid-driver-{node}"),
                node: Some(node.into()),
                owners: vec![set.clone()],
                sort: Sort::Daemon,
                revision: Some("old".into()),
                ready: true,
                ..Pod::default()
            });
        }
        bench.running.daemon_sets = vec![DaemonSet {
            id: set,
            labels: labels(&[("app", "driver")]),
            revision: Some("new".into()),
            on_delete: true,
        }];
        bench
    }

    fn revisions(&self) -> Vec<&str> {
        let pods = self.running.pods.iter().filter(|pod| pod.sort == Sort::Daemon);
        pods.filter_map(|pod| pod.revision.as_deref()).collect()
    }
}

fn by_restart() -> DesiredWave {
    DesiredWave { rule: restart(), label: None }
}

#[test]
fn a_wave_takes_idle_nodes_first_and_waits_for_the_others() {
    let mut bench = Bench::rolling(json!("wait"), by_restart());
    bench.job("train", "gpu-1");
    bench.pod("serve", "gpu-2", Sort::Service);
    let (plan, _) = bench.weighed();
    let order: Vec<&str> = plan.waves[0].nodes.iter().map(|node| node.node.as_str()).collect();
    assert_eq!(order, ["gpu-2", "gpu-1"]);

    bench.look();
    assert_eq!(bench.held(), ["gpu-2"], "one at a time, and no queue");
    bench.look();
    assert!(
        bench.running.pods.iter().all(|pod| pod.sort != Sort::Service),
        "asked to go elsewhere"
    );
    assert_eq!(bench.revisions(), ["old", "old"]);
    bench.look();
    assert_eq!(bench.revisions(), ["old", "new"]);
    bench.look();
    assert_eq!(bench.held(), ["gpu-1"]);
    for _ in 0..3 {
        bench.look();
    }
    assert_eq!(bench.revisions(), ["old", "new"], "the job runs");
    bench.finish("train");
    for _ in 0..3 {
        bench.look();
    }
    assert_eq!(bench.revisions(), ["new", "new"]);
    assert_eq!(bench.held(), [""; 0]);
    assert_eq!(bench.weighed().0.waves, []);
}

#[test]
fn slurmd_is_never_evicted_and_what_runs_in_it_is_waited_for() {
    let mut bench = Bench::rolling(json!({ "deadline": "1h", "then": "go-ahead" }), by_restart());
    bench.running.pods.push(Pod {
        namespace: "slurm".into(),
        name: "gpu-0".into(),
        uid: "uid-slurmd".into(),
        node: Some("gpu-1".into()),
        owners: vec![id("slinky.slurm.net", "NodeSet", "slurm", "gpu")],
        sort: Sort::Job,
        ..Pod::default()
    });
    for _ in 0..6 {
        bench.look();
    }
    assert_eq!(bench.revisions(), ["old", "new"], "its jobs run");
    bench.now += SignedDuration::from_hours(2);
    for _ in 0..4 {
        bench.look();
    }
    assert_eq!(bench.revisions(), ["new", "new"], "the deadline is over");
    assert!(bench.running.pods.iter().any(Pod::is_slurm));
}

#[test]
fn a_wave_stops_at_the_node_that_does_not_come_back() {
    let mut bench = Bench::rolling(json!("wait"), by_restart());
    bench.look();
    bench.look();
    bench.node("gpu-1").ready = false;
    bench.look();
    bench.now += SignedDuration::from_mins(11);
    bench.look();
    let (plan, _) = bench.weighed();
    let wave = &plan.waves[0];
    assert!(matches!(wave.nodes[0].stage, NodeStage::Broken { .. }), "{wave:?}");
    assert_eq!(wave.stopped.as_deref(), Some("gpu-1 did not come back: the node is not Ready"));
    for _ in 0..3 {
        bench.look();
    }
    assert_eq!(bench.held(), ["gpu-1"], "it stays out, and no further node is begun");
    assert_eq!(bench.revisions(), ["new", "old"]);
    bench.node("gpu-1").ready = true;
    bench.look();
    bench.look();
    assert_eq!(bench.held(), ["gpu-2"], "once it is back the wave goes on");
}

#[test]
fn an_agent_that_was_gone_for_longer_than_a_node_may_take_restarts_it_all_the_same() {
    let mut bench = Bench::rolling(json!("wait"), by_restart());
    bench.look_until(2); // the ledger and the cordon
    bench.look_until(1); // the ledger, and no restart
    bench.now += SignedDuration::from_hours(1);
    bench.look_until(1);
    assert_eq!(bench.revisions(), ["old", "old"]);
    for _ in 0..8 {
        bench.look();
    }
    assert_eq!(bench.revisions(), ["new", "new"]);
    assert_eq!(bench.held(), [""; 0]);
}

#[test]
fn a_node_that_was_given_back_by_hand_while_it_was_changed_is_not_restarted_under_a_job() {
    let mut bench = Bench::rolling(json!("wait"), by_restart());
    bench.look_until(2);
    bench.look_until(1);
    bench.node("gpu-1").cordoned = false;
    bench.job("train", "gpu-1");
    for _ in 0..3 {
        bench.look();
    }
    assert_eq!(bench.revisions(), ["old", "old"]);
    bench.finish("train");
    for _ in 0..8 {
        bench.look();
    }
    assert_eq!(bench.revisions(), ["new", "new"]);
    assert_eq!(bench.held(), [""; 0]);
}

#[test]
fn a_wave_sets_a_label_and_waits_for_its_condition() {
    let label = WaveLabel { key: "nvidia.com/mig.config".into(), from: "mig".into() };
    let ready = Some("metadata.labels['state'] == 'success'".into());
    let rule = Wave { name: "mig".into(), restart: None, label: Some(label), ready, ..restart() };
    let wave = DesiredWave { rule, label: Some("all-1g.5gb".into()) };
    let mut bench = Bench::rolling(json!({ "atOnce": 2 }), wave);
    let set = |bench: &mut Bench, is: bool| {
        for name in ["gpu-1", "gpu-2"] {
            bench.node(name).waves.insert(drain::key(&app(), "mig"), Ok(is));
        }
    };
    set(&mut bench, false);
    bench.look();
    assert_eq!(bench.held(), ["gpu-1", "gpu-2"], "two at once");
    bench.look();
    assert_eq!(bench.node("gpu-1").labels["nvidia.com/mig.config"], "all-1g.5gb");
    bench.look();
    assert_eq!(bench.held(), ["gpu-1", "gpu-2"]);
    set(&mut bench, true);
    bench.look();
    assert_eq!(bench.held(), [""; 0]);
}

#[test]
fn a_wave_that_its_operator_rolls_by_itself_is_not_begun_and_says_so() {
    let mut bench = Bench::rolling(json!("wait"), by_restart());
    bench.running.daemon_sets[0].on_delete = false;
    bench.look();
    assert_eq!(bench.held(), [""; 0]);
    let (plan, _) = bench.weighed();
    assert!(plan.waves[0].stopped.as_ref().unwrap().contains("OnDelete"));
}

#[test]
fn a_wave_that_matches_nothing_says_what_and_a_change_that_hits_no_node_too() {
    let why = |wave: Wave| {
        let bench = Bench::rolling(json!("wait"), DesiredWave { rule: wave, label: None });
        let unmatched = bench.weighed().0.unmatched;
        unmatched.first().map(|one| one.why.clone()).unwrap_or_default()
    };
    assert_eq!(why(restart()), "");
    let mut slip = restart();
    slip.hits.nodes = labels(&[("nvidia.com/gpu.presnt", "true"), ("pool", "*")]);
    assert_eq!(why(slip), "matches no node now: none has nvidia.com/gpu.presnt=true, pool");
    let mut slip = restart();
    slip.restart.as_mut().unwrap().daemon_sets = labels(&[("app", "drivr")]);
    assert_eq!(why(slip), "matches no DaemonSet in gpu now: none has app=drivr");

    let mut bench = Bench::rolling(json!("wait"), by_restart());
    bench.running.pods.clear();
    assert!(bench.weighed().0.unmatched[0].why.starts_with("matches no pod now"));
    bench.running.missing.push("no right to list pods".into());
    assert_eq!(bench.weighed().0.unmatched, [], "it is not known");

    let mut rule = on_gpu_nodes();
    rule.nodes = labels(&[("gpu", "treu")]);
    let hits = bench.running.hits(&Extent::Nodes(rule));
    assert_eq!(hits.place, "matches no node now: none has gpu=treu");
}

#[test]
fn a_node_of_another_name_by_now_is_forgotten() {
    let mut bench = Bench::rolling(json!("wait"), by_restart());
    bench.look();
    assert_eq!(bench.held(), ["gpu-1"]);
    bench.running.nodes.retain(|node| node.name != "gpu-1");
    bench.running.pods.retain(|pod| pod.node.as_deref() != Some("gpu-1"));
    bench.look();
    bench.look();
    assert!(bench.running.ledger.drains.iter().all(|drain| !drain.nodes.contains_key("gpu-1")));
}

// === kills ===

#[derive(Clone, Debug)]
enum Happening {
    Commit(u64),
    Start(u8, bool),
    Finish(u8),
    Look(usize),
    Hours(i64),
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        (1_u64..4).prop_map(Happening::Commit),
        (0_u8..3, any::<bool>()).prop_map(|(job, first)| Happening::Start(job, first)),
        (0_u8..3).prop_map(Happening::Finish),
        (0_usize..8).prop_map(Happening::Look),
        Just(Happening::Look(usize::MAX)),
        (0_i64..3).prop_map(Happening::Hours),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    /// Whatever happens, with a kill after any write: what is held is accounted for, no job on a node is hit, and once
    /// everything is quiet nothing is held any more.
    #[test]
    fn a_kill_at_any_write_leaves_nothing_held_and_hits_no_job(
        happenings in prop::collection::vec(happening(), 0..40),
        is_wave in any::<bool>(),
    ) {
        let mut bench = if is_wave {
            Bench::rolling(json!("wait"), by_restart())
        } else {
            Bench::new(serde_json::from_value(json!("wait")).unwrap())
        };
        for happening in happenings {
            match happening {
                Happening::Commit(version) => { bench.world.put("app", [driver(version)]); }
                Happening::Start(job, first) => {
                    // the scheduler: not onto a cordoned node, and a job of this name only once
                    let node = if first { "gpu-1" } else { "gpu-2" };
                    let name = format!("job-{job}");
                    let runs = bench.running.pods.iter().any(|pod| pod.name == format!("{name}-0"));
                    if !runs && !bench.node(node).cordoned {
                        bench.job(&name, node);
                    }
                }
                Happening::Finish(job) => bench.finish(&format!("job-{job}")),
                Happening::Hours(hours) => bench.now += SignedDuration::from_hours(hours),
                Happening::Look(writes) => {
                    let (before, drivers) = (bench.version(), bench.revisions().join(" "));
                    let jobs = bench.running.pods.iter().filter(|pod| pod.sort == Sort::Job).count();
                    bench.look_until(writes);
                    if jobs > 0 {
                        prop_assert_eq!(bench.version(), before, "a job ran");
                    }
                    let busy: Vec<&str> = bench.running.pods.iter()
                        .filter(|pod| pod.sort == Sort::Job)
                        .filter_map(|pod| pod.node.as_deref())
                        .collect();
                    for (index, node) in ["gpu-1", "gpu-2"].iter().enumerate() {
                        if busy.contains(node) {
                            let old = drivers.split(' ').nth(index).map(str::to_owned);
                            let new = bench.revisions().get(index).map(|r| (*r).to_owned());
                            prop_assert_eq!(old.filter(|o| !o.is_empty()), new, "{} was busy", node);
                        }
                    }
                }
            }
            bench.check();
        }
        for job in 0..3 {
            bench.finish(&format!("job-{job}"));
        }
        for _ in 0..12 {
            bench.look();
        }
        prop_assert_eq!(bench.held(), Vec::<String>::new());
        prop_assert_eq!(&bench.running.ledger, &Ledger::default());
    }
}
