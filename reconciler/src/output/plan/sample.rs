//! A plan with one of everything, for the snapshots of all printers.

use serde_json::{Value, json};
use sitewright_model::{
    digest::Digest,
    drain::{DrainStage, NodeStage, Unmatched, WaveNode, WavePlan},
    format::{approval::ApprovalSpec, blueprint::Hazard},
    object::{GroupKind, ObjectId, Shown, Uid},
    plan::{
        Action, ApprovalFile, Attribution, Change, ChangeCause, ComponentPlan, FORMAT, FieldChange,
        Gate, Judged, Opening, Plan, PlanDigest, PlannedCluster,
    },
    revision::Revision,
    work::{Hit, Hits, Sort},
};

pub(crate) fn id(kind: &str, name: &str) -> ObjectId {
    let (kind, group) = kind.split_once('.').unwrap_or((kind, ""));
    let (namespace, name) = match name.split_once('/') {
        Some((namespace, name)) => (Some(namespace.to_owned()), name),
        None => (None, name),
    };
    ObjectId { kind: GroupKind::new(group, kind), namespace, name: name.to_owned() }
}

pub(crate) fn change(kind: &str, name: &str, action: Action) -> Change {
    Change {
        id: id(kind, name),
        api_version: "v1".into(),
        action,
        cause: ChangeCause::Revision,
        hazard: Hazard::Safe,
        because: Vec::new(),
        hits: None,
        gates: Vec::new(),
        approved: Vec::new(),
        judged: Judged::Server,
        origin: Some("templates/x.yaml.j2".into()),
    }
}

pub(crate) fn none(kind: &str, name: &str) -> Change {
    Change { cause: ChangeCause::None, judged: Judged::Digest, ..change(kind, name, Action::None) }
}

pub(crate) fn field(field: &str, before: Value, after: Value) -> FieldChange {
    let shown = |value: Value| if value.is_null() { Shown::Absent } else { Shown::Value(value) };
    FieldChange { field: field.into(), before: shown(before), after: shown(after), by: None }
}

fn edited(mut field: FieldChange) -> FieldChange {
    field.by = Some(Attribution {
        manager: "kubectl-edit".into(),
        time: Some("2026-11-03T14:02:31Z".into()),
    });
    field
}

fn uid(text: &str) -> Uid {
    Uid(text.to_owned())
}

fn component(name: &str, blueprint: Option<&str>, changes: Vec<Change>) -> ComponentPlan {
    ComponentPlan {
        name: name.parse().unwrap(),
        blueprint: blueprint.map(|name| (name.parse().unwrap(), "1.2.0".to_owned())),
        depends_on: Vec::new(),
        changes,
    }
}

fn storage() -> ComponentPlan {
    let cluster = Change {
        hazard: Hazard::DestroysData,
        because: vec!["the pools of the Ceph cluster go with it".into()],
        gates: vec![
            Gate::Tombstone {
                uid: uid("0f2c9c1e-6b1f-4c39-9a60-2f6f1f0b8a11"),
                because: "3 pools hold data of 41 bound claims".into(),
            },
            Gate::Approval { hazard: Hazard::DestroysData },
        ],
        origin: None,
        ..change(
            "CephCluster.ceph.rook.io",
            "rook-ceph/rook-ceph",
            Action::Delete { uid: uid("0f2c9c1e-6b1f-4c39-9a60-2f6f1f0b8a11") },
        )
    };
    let class = Change {
        gates: vec![Gate::BlastRadius { wanted: 25, allowed: 10 }],
        ..change(
            "StorageClass.storage.k8s.io",
            "scratch",
            Action::Replace {
                uid: uid("77"),
                immutable: vec!["parameters".into(), "provisioner".into()],
            },
        )
    };
    let mut changes = vec![cluster, class];
    changes.extend((0..40).map(|n| none("ConfigMap", &format!("rook-ceph/settled-{n}"))));
    component("storage", Some("rook-ceph"), changes)
}

fn config(level: &str) -> Value {
    let mut lines: Vec<String> = (0..30).map(|n| format!("key-{n}: {n}")).collect();
    lines[12] = format!("logLevel: {level}");
    json!(lines.join("\n"))
}

fn queues() -> ComponentPlan {
    let deployment = Change {
        hazard: Hazard::RestartsPods,
        because: vec!["the pod template changes, so its 2 pods are replaced one by one".into()],
        cause: ChangeCause::Both,
        ..change(
            "Deployment.apps",
            "kueue-system/kueue-controller-manager",
            Action::Update {
                fields: vec![
                    field(
                        "spec.template.spec.containers[name=manager].image",
                        json!("registry.k8s.io/kueue/kueue:v0.19.1"),
                        json!("registry.k8s.io/kueue/kueue:v0.19.2"),
                    ),
                    edited(field("spec.replicas", json!(5), json!(2))),
                    field(
                        "metadata.annotations[example.edu/owner]",
                        json!(null),
                        json!("hpc-team"),
                    ),
                ],
            },
        )
    };
    let configured = change(
        "ConfigMap",
        "kueue-system/kueue-manager-config",
        Action::Update {
            fields: vec![field(
                "data[controller_manager_config.yaml]",
                config("info"),
                config("debug"),
            )],
        },
    );
    let secret = change(
        "Secret",
        "kueue-system/webhook-server-cert",
        Action::Update {
            fields: vec![
                FieldChange {
                    field: "data[tls.key]".into(),
                    before: Shown::Secret,
                    after: Shown::Secret,
                    by: None,
                },
                FieldChange {
                    field: "data[ca.crt]".into(),
                    before: Shown::Absent,
                    after: Shown::Secret,
                    by: None,
                },
            ],
        },
    );
    let queue = Change {
        hazard: Hazard::EvictsJobs,
        because: vec!["HoldAndDrain evicts every workload".into()],
        gates: vec![Gate::Approval { hazard: Hazard::EvictsJobs }],
        ..change(
            "ClusterQueue.kueue.x-k8s.io",
            "vision",
            Action::Update {
                fields: vec![field("spec.stopPolicy", json!("None"), json!("HoldAndDrain"))],
            },
        )
    };
    let taken = Change {
        cause: ChangeCause::Drift,
        gates: vec![Gate::Conflict {
            fields: vec![("kubectl-client-side-apply".into(), ".spec.ports[port=443]".into())],
        }],
        ..change(
            "Service",
            "kueue-system/kueue-webhook-service",
            Action::Update {
                fields: vec![edited(field(
                    "spec.ports[port=443].targetPort",
                    json!(9444),
                    json!(9443),
                ))],
            },
        )
    };
    let mut component =
        component("queues", Some("kueue"), vec![deployment, configured, secret, queue, taken]);
    component.depends_on = vec!["gpus".parse().unwrap(), "storage".parse().unwrap()];
    component
}

fn gpus() -> ComponentPlan {
    let mut changes: Vec<Change> = (0..15)
        .map(|n| {
            change("ClusterRole.rbac.authorization.k8s.io", &format!("gpu-{n}"), Action::Create)
        })
        .collect();
    changes.extend((0..3).map(|n| {
        let name = format!("crd-{n}.nvidia.com");
        change("CustomResourceDefinition.apiextensions.k8s.io", &name, Action::Create)
    }));
    changes.push(Change {
        judged: Judged::Schema,
        ..change("ClusterPolicy.nvidia.com", "cluster-policy", Action::Create)
    });
    changes.push(Change {
        judged: Judged::NotYet { why: "webhook gpu.example.edu is not up yet".into() },
        ..change("NVIDIADriver.nvidia.com", "default", Action::Create)
    });
    changes.push(change(
        "Namespace",
        "gpu-operator",
        Action::Adopt {
            fields: vec![field(
                "metadata.labels[sitewright.dev/site]",
                json!(null),
                json!("lab-gpu"),
            )],
        },
    ));
    component("gpus", Some("gpu-nvidia"), changes)
}

fn window() -> Gate {
    let at = "2026-11-28T05:00:00Z".parse().unwrap();
    Gate::Window { opens: Some(Opening { at, timezone: "Europe/Zurich".into() }) }
}

fn troubles() -> ComponentPlan {
    let gated = |name: &str, action: Action, gate: Gate| Change {
        gates: vec![gate],
        ..change("ConfigMap", name, action)
    };
    component(
        "troubles",
        Some("extras"),
        vec![
            gated("lab/adoptable", Action::Adopt { fields: vec![] }, Gate::Adoption),
            gated("lab/theirs", Action::Unknown, Gate::OtherSite { site: "lab-cpu".into() }),
            gated(
                "lab/refused",
                Action::Unknown,
                Gate::Refused { causes: vec!["data.key: Invalid value: must be text".into()] },
            ),
            gated(
                "lab/unproven",
                Action::Replace { uid: uid("8"), immutable: vec!["data".into()] },
                {
                    Gate::UnprovenReplacement {
                        causes: vec!["data: Forbidden by policy lab-rules".into()],
                    }
                },
            ),
            gated(
                "lab/unseen",
                Action::Delete { uid: uid("9") },
                Gate::MissingEvidence { because: "claims could not be listed: forbidden".into() },
            ),
            gated(
                "lab/going",
                Action::Unknown,
                Gate::Terminating {
                    finalizers: vec!["foregroundDeletion".into(), "example.edu/cleanup".into()],
                },
            ),
            gated(
                "lab/emptied",
                Action::Delete { uid: uid("4") },
                Gate::EmptyRendering { owned: 7 },
            ),
            Change {
                hazard: Hazard::RestartsPods,
                because: vec!["its pods restart: the pod template changes".into()],
                ..gated(
                    "lab/later",
                    Action::Update { fields: vec![field("data.mode", json!("b"), json!("a"))] },
                    window(),
                )
            },
            Change {
                cause: ChangeCause::Drift,
                ..gated(
                    "lab/watched",
                    Action::Update {
                        fields: vec![edited(field("data.mode", json!("b"), json!("a")))],
                    },
                    Gate::ReportOnly,
                )
            },
        ],
    )
}

fn removed() -> ComponentPlan {
    let deletes = (0..3).map(|n| Change {
        origin: None,
        ..change("ConfigMap", &format!("old/config-{n}"), Action::Delete { uid: uid("5") })
    });
    let mut changes: Vec<Change> = deletes.collect();
    changes.push(change("Namespace", "shared", Action::Release { uid: uid("6") }));
    changes.push(change("ConfigMap", "old/gone", Action::Forget));
    changes.push(change("ConfigMap", "old/recorded", Action::Record));
    changes.push(Change {
        cause: ChangeCause::Drift,
        ..change("ConfigMap", "old/deleted-by-hand", Action::Create)
    });
    component("old", None, changes)
}

fn plan(components: Vec<ComponentPlan>) -> Plan {
    Plan {
        format: FORMAT.to_owned(),
        site: "lab-gpu".parse().unwrap(),
        revision: Revision {
            repository: "https://git.example.edu/lab/cluster".into(),
            path: "sites/lab-gpu".into(),
            reference: Some("main".into()),
            commit: Some("1f3c9e2a01bc5d6e7f80911223344556677889aa".into()),
            dirty: true,
            inputs: Digest::of("inputs"),
        },
        cluster: PlannedCluster {
            uid: uid("6c1f0d3e-0000-4000-8000-000000000001"),
            version: "v1.37.2".into(),
            name: "lab-admin".into(),
        },
        made: "2026-11-25T12:00:00Z".parse().unwrap(),
        approvals: Vec::new(),
        digest: PlanDigest(Digest::of("plan")),
        components,
        waves: Vec::new(),
        unmatched: Vec::new(),
    }
}

/// One of everything.
pub(crate) fn everything() -> Plan {
    plan(vec![
        storage(),
        gpus(),
        queues(),
        troubles(),
        component("quiet", Some("extras"), vec![none("ConfigMap", "lab/quiet")]),
        removed(),
    ])
}

fn approval(name: &str, plan: &Plan) -> ApprovalFile {
    ApprovalFile {
        file: format!("sites/lab-gpu/approvals/{name}.yaml"),
        is_committed: true,
        spec: ApprovalSpec {
            plan: plan.digest.0,
            cluster: plan.cluster.uid.clone(),
            reason: "announced".into(),
            until: None,
            opens: Vec::new(),
        },
    }
}

/// A plan that waits for an approval, of which one part waits for a window too.
fn hazardous() -> Plan {
    let mut queues = queues();
    queues.changes.retain(|change| !change.because.is_empty());
    for change in &mut queues.changes {
        change.gates = vec![Gate::Approval { hazard: change.hazard }];
    }
    let mut restarting = queues.changes[0].clone();
    restarting.id.name = "later".into();
    restarting.gates.push(window());
    queues.changes.push(restarting);
    queues.changes.push(Change {
        gates: vec![Gate::BlastRadius { wanted: 25, allowed: 10 }],
        ..change("ConfigMap", "old/config-0", Action::Delete { uid: uid("5") })
    });
    plan(vec![queues])
}

/// A plan that a file approves.
pub(crate) fn approved() -> Plan {
    let plan = hazardous();
    let file = ApprovalFile { is_committed: false, ..approval("1f3c9e2a01bc", &plan) };
    plan.with_approvals(&[file])
}

/// A plan that no file approves, though there are some.
pub(crate) fn not_approved() -> Plan {
    let plan = hazardous();
    let with = |name: &str, with: &dyn Fn(&mut ApprovalSpec)| {
        let mut file = approval(name, &plan);
        with(&mut file.spec);
        file
    };
    let mut files = vec![
        with("expired", &|spec| spec.until = Some("2026-11-24".parse().unwrap())),
        with("elsewhere", &|spec| spec.cluster = uid("another")),
    ];
    files
        .extend((0..5).map(|n| {
            with(&format!("old-{n}"), &|spec| spec.plan = Digest::of(format!("old {n}")))
        }));
    plan.with_approvals(&files)
}

/// Running work, and two changes that would hit it: one is drained, one gave up; and a wave.
pub(crate) fn drained() -> Plan {
    let at = |text: &str| Some(text.parse().unwrap());
    let hit = |kind: &str, name: &str, sort, gpus: u64| Hit {
        work: id(kind, name),
        sort,
        person: Some("ada".into()),
        queue: Some("users".into()),
        since: at("2026-11-23T07:30:00Z"),
        pods: gpus.div_ceil(8),
        devices: [("nvidia.com/gpu".to_owned(), gpus)].into(),
        nodes: (0..gpus.div_ceil(8)).map(|n| format!("gpu-{n}")).collect(),
    };
    let hits = Hits {
        place: "pods with nvidia.com/* on 12 nodes".into(),
        work: vec![
            hit("TrainJob.trainer.kubeflow.org", "vision/llama", Sort::Job, 64),
            Hit { queue: None, ..hit("Notebook.kubeflow.org", "nlp/rework", Sort::Notebook, 1) },
            Hit {
                person: None,
                queue: None,
                ..hit("Deployment.apps", "web/chat", Sort::Service, 2)
            },
        ],
        unknown: None,
    };
    let gate = |stage| Gate::Drain {
        stage,
        left: Some(2),
        since: at("2026-11-25T08:55:00Z"),
        deadline: at("2026-11-28T08:55:00Z"),
        unknown: None,
    };
    let waits = |name: &str, stage| Change {
        hazard: Hazard::EvictsJobs,
        because: vec!["the device plugin restarts on every GPU node".into()],
        hits: Some(hits.clone()),
        gates: vec![gate(stage)],
        ..change(
            "ConfigMap",
            name,
            Action::Update { fields: vec![field("data.replicas", json!("1"), json!("4"))] },
        )
    };
    let blind = Change {
        gates: vec![Gate::Drain {
            stage: DrainStage::NotBegun,
            left: Some(0),
            since: None,
            deadline: None,
            unknown: Some("nothing says where it hits".into()),
        }],
        hits: Some(Hits { unknown: Some("nothing says where it hits".into()), ..Hits::default() }),
        ..waits("gpu-operator/blind", DrainStage::NotBegun)
    };
    let node = |name: &str, stage, work: &[Hit]| WaveNode {
        node: name.into(),
        stage,
        work: work.to_vec(),
    };
    let jobs = &hits.work[..1];
    let mut plan = plan(vec![component(
        "gpus",
        Some("gpu-nvidia"),
        vec![
            blind,
            waits("gpu-operator/mig", DrainStage::GaveUp),
            waits("gpu-operator/time-slicing", DrainStage::Waiting),
        ],
    )]);
    plan.waves = vec![WavePlan {
        component: "gpus".parse().unwrap(),
        wave: "driver".into(),
        done: 8,
        nodes: vec![
            node("gpu-3", NodeStage::Broken { why: "the pod driver-x is not Ready".into() }, &[]),
            node("gpu-4", NodeStage::Changing, &[]),
            node("gpu-5", NodeStage::Waiting, jobs),
            node("gpu-6", NodeStage::Pending, jobs),
        ],
        stopped: Some("gpu-3 did not come back: the pod driver-x is not Ready".into()),
    }];
    plan.unmatched = vec![Unmatched {
        component: "gpus".parse().unwrap(),
        wave: "mig".into(),
        why: "matches no node now: none has nvidia.com/mig.capble=true".into(),
    }];
    plan
}

/// Nothing to do.
pub(crate) fn quiet() -> Plan {
    let changes = vec![
        none("ConfigMap", "lab/quiet"),
        none("Namespace", "lab"),
        change("ConfigMap", "lab/recorded", Action::Record),
    ];
    plan(vec![component("quiet", Some("extras"), changes)])
}

/// A first plan of a small site: creates only.
pub(crate) fn first() -> Plan {
    let changes = vec![
        change("Namespace", "hello", Action::Create),
        change("ConfigMap", "hello/greeting", Action::Create),
    ];
    plan(vec![component("hello", Some("hello"), changes)])
}

/// Far more than fits a comment.
pub(crate) fn huge() -> Plan {
    let components = (0..60).map(|n| {
        let changes = (0..80).map(|m| {
            let fields = (0..6)
                .map(|f| field(&format!("data.key-{f}"), json!("before ``` `"), json!("after")))
                .collect();
            let gates = if m % 4 == 0 {
                vec![Gate::Approval { hazard: Hazard::RestartsPods }]
            } else {
                Vec::new()
            };
            Change {
                hazard: Hazard::RestartsPods,
                because: vec!["its pods read it at start".into()],
                gates,
                ..change("ConfigMap", &format!("lab/c{n}-{m}"), Action::Update { fields })
            }
        });
        component(&format!("component-{n}"), Some("extras"), changes.collect())
    });
    plan(components.collect())
}
