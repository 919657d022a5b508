//! The example site `lab-gpu`: all of it is rendered from upstream's charts and planned on an empty cluster.

use std::fs;

use sitewright_e2e::{Lab, project};

use super::control_plane;

#[test]
fn the_example_site_is_planned_whole_on_an_empty_cluster() {
    let lab = Lab::with_library(control_plane(), "lab-gpu");
    lab.site(&fs::read_to_string(project().join("examples/sites/lab-gpu/site.yaml")).unwrap());
    let valid = lab.run(&["validate"]);
    assert_eq!(valid.code, 0, "{valid}");

    let plan = lab.plan();
    let mut judged = std::collections::BTreeMap::<String, usize>::new();
    for component in plan["components"].as_array().unwrap() {
        for change in component["changes"].as_array().unwrap() {
            assert_eq!(change["action"]["is"], "create", "{change:#}");
            assert!(change["gates"].is_null(), "{change:#}");
            *judged.entry(change["judged"]["by"].to_string()).or_default() += 1;
        }
    }
    // Instances of kinds that the cluster does not have yet are judged by the schemas in the charts.
    assert!(judged.len() > 1, "{judged:?}");

    let run = lab.run(&["plan"]);
    assert_eq!(run.code, 2, "{run}");
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r"sha256:[0-9a-f]{64}", "sha256:DIGEST");
    settings.add_filter(r"(?m)^Revision .*$", "Revision  REVISION");
    settings.add_filter(r"(?m)^Cluster .*$", "Cluster   CLUSTER");
    settings.bind(|| insta::assert_snapshot!(run.stdout));
}
