//! Every error of the cluster as people see it: number, place, way out (law 12).

#![allow(clippy::unwrap_used, reason = "a test may panic, also in its helpers")]

use std::collections::BTreeSet;

use sitewright_cluster::Error;
use sitewright_model::{
    diagnostic::Diagnostics,
    digest::Digest,
    object::{GroupKind, ObjectId},
    plan::{
        PlanDigest,
        graph::{Cycle, Node, Requirement},
    },
    report::{self, Style},
};

/// Returns the name of the variant: a new one does not compile until it has a name, and a sample below.
fn name(error: &Error) -> &'static str {
    match error {
        Error::NoKubeconfig { .. } => "NoKubeconfig",
        Error::NoContext { .. } => "NoContext",
        Error::Unreachable { .. } => "Unreachable",
        Error::Certificate { .. } => "Certificate",
        Error::Unauthorised { .. } => "Unauthorised",
        Error::Forbidden { .. } => "Forbidden",
        Error::TooOld { .. } => "TooOld",
        Error::Unavailable { .. } => "Unavailable",
        Error::BadAnswer { .. } => "BadAnswer",
        Error::Refused { .. } => "Refused",
        Error::PartialDiscovery { .. } => "PartialDiscovery",
        Error::PlanChanged { .. } => "PlanChanged",
        Error::InventoryUnreadable { .. } => "InventoryUnreadable",
        Error::InventoryRace { .. } => "InventoryRace",
        Error::Locked { .. } => "Locked",
        Error::LockLost { .. } => "LockLost",
        Error::Circle(_) => "Circle",
        Error::HealthRule { .. } => "HealthRule",
        Error::Stopped => "Stopped",
    }
}

/// How many variants [`name`] knows.
const VARIANTS: usize = 19;

fn circle() -> Cycle {
    let node = |kind: &str, namespace: Option<&str>, name: &str| {
        Node::Object(ObjectId {
            kind: GroupKind::new("", kind),
            namespace: namespace.map(str::to_owned),
            name: name.to_owned(),
        })
    };
    let links = vec![
        (node("ConfigMap", Some("apps"), "settings"), Requirement::Applied),
        (node("Namespace", None, "apps"), Requirement::Healthy),
    ];
    Cycle { links }
}

fn samples() -> Vec<Error> {
    let server = || "https://10.0.0.1:6443".to_owned();
    let why = |why: &str| why.to_owned();
    vec![
        Error::NoKubeconfig {
            why: why("failed to read the kubeconfig: No such file or directory"),
        },
        Error::NoContext { context: "lab".into(), known: vec!["lab-admin".into(), "kind".into()] },
        Error::NoContext { context: "lab".into(), known: Vec::new() },
        Error::Unreachable { server: server(), why: why("Connection refused (os error 111)") },
        Error::Certificate {
            server: server(),
            why: why("invalid peer certificate: UnknownIssuer"),
        },
        Error::Unauthorised { server: server(), why: why("Unauthorized") },
        Error::Forbidden {
            verb: "list".into(),
            resource: "deployments.apps".into(),
            why: why("deployments.apps is forbidden: User \"ada\" cannot list resource"),
        },
        Error::TooOld { version: "v1.27.4".into(), oldest: "v1.30".into() },
        Error::Unavailable {
            verb: "get".into(),
            resource: "namespace kube-system".into(),
            why: why("etcdserver: request timed out"),
        },
        Error::BadAnswer {
            verb: "get".into(),
            resource: "the server's version".into(),
            why: why("line 1, column 1: Syntax"),
        },
        Error::Refused {
            verb: "create".into(),
            resource: "Lease sitewright-system/sitewright-lab".into(),
            why: why("namespace sitewright-system is being terminated"),
        },
        Error::PartialDiscovery { group_version: "metrics.k8s.io/v1beta1".into() },
        Error::PlanChanged {
            approved: PlanDigest(Digest::of("approved")),
            actual: PlanDigest(Digest::of("actual")),
        },
        Error::InventoryUnreadable {
            object: "ConfigMap sitewright-system/sitewright-lab.0.0".into(),
            why: why("its digest does not fit its content"),
        },
        Error::InventoryRace { object: "ConfigMap sitewright-system/sitewright-lab.0.0".into() },
        Error::Locked { holder: "ada at login-1, process 4711".into() },
        Error::LockLost { why: why("it could not be renewed in time") },
        Error::Circle(Box::new(circle())),
        Error::HealthRule {
            component: "queues".parse().unwrap(),
            why: why("the expression `status.(` is not CEL: unexpected `(`"),
        },
        Error::Stopped,
    ]
}

#[test]
fn every_error_has_a_number_a_place_and_a_way_out() {
    let samples = samples();
    let names: BTreeSet<&str> = samples.iter().map(name).collect();
    assert_eq!(names.len(), VARIANTS, "a variant has no sample");
    let diagnostics = samples.iter().map(Error::diagnostic).collect::<Vec<_>>();
    assert!(diagnostics.iter().all(|diagnostic| diagnostic.help.is_some()));
    insta::assert_snapshot!(report::render(&Diagnostics(diagnostics), Style::default()));
}
