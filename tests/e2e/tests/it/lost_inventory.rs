//! An inventory that somebody deleted: what is ours is known by its label and field manager.

use sitewright_e2e::{Lab, change_in};

fn config_map(name: &str) -> String {
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{ name: {name}, namespace: '{{ns}}' }}\ndata: {{ a: b }}\n"
    )
}

#[test]
fn after_its_loss_everything_keeps_its_uid_and_is_still_pruned() {
    let mut lab = Lab::new("lost-inventory");
    let account = "---\napiVersion: v1\nkind: ServiceAccount\nmetadata: { name: account, namespace: '{ns}' }\n";
    lab.component("stays", &config_map("stays"));
    lab.component("goes", &format!("{}{account}", config_map("goes")));
    lab.apply();
    let uids = |lab: &Lab| {
        [("configmap", "stays"), ("configmap", "goes"), ("serviceaccount", "account")]
            .map(|(kind, name)| lab.uid(kind, name))
    };
    let before = uids(&lab);

    let label = format!("sitewright.dev/inventory={}", lab.name());
    let everywhere = ["-n", "sitewright-system", "-l", &label];
    let deleted = lab.kubectl(&[&["delete", "configmaps"], &everywhere[..]].concat());
    assert!(deleted.contains("sitewright-lost-inventory"), "{deleted}");

    // What is ours needs no consent to be taken back.
    let plan = lab.plan();
    for (kind, name) in
        [("ConfigMap", "stays"), ("ConfigMap", "goes"), ("ServiceAccount", "account")]
    {
        let change = change_in(&plan, kind, name);
        assert_eq!(change["action"]["is"], "adopt", "{change:#}");
        assert!(change["gates"].as_array().is_none_or(Vec::is_empty), "{change:#}");
    }
    let requests = lab.requests(|| {
        lab.apply();
    });
    let deletes = requests.0.iter().filter(|event| event.verb.starts_with("delete")).count();
    assert_eq!(deletes, 0, "{requests}");
    assert_eq!(uids(&lab), before);
    assert_eq!(lab.run(&["plan"]).code, 0, "{}", lab.run(&["plan"]));

    // It is ours as before, and not an adopted stranger that would only be released.
    lab.remove("goes");
    assert_eq!(lab.change("ConfigMap", "goes")["action"]["is"], "delete");
    lab.apply();
    assert!(lab.live("configmap", "goes").is_none());
    assert!(lab.live("serviceaccount", "account").is_none());
    assert_eq!(lab.uid("configmap", "stays"), before[0]);
}

/// The component leaves the site while nobody knows what it had: then nothing is deleted by guess.
#[test]
fn what_left_the_site_while_the_inventory_was_lost_is_not_deleted_by_guess() {
    let mut lab = Lab::new("lost-and-left");
    lab.component("stays", &config_map("stays"));
    lab.component("goes", &config_map("goes"));
    lab.apply();
    let label = format!("sitewright.dev/inventory={}", lab.name());
    lab.kubectl(&["delete", "configmaps", "-n", "sitewright-system", "-l", &label]);
    lab.remove("goes");
    let requests = lab.requests(|| {
        lab.apply();
    });
    assert_eq!(requests.count("delete", "configmaps"), 0, "{requests}");
    assert!(lab.live("configmap", "goes").is_some());
}

/// A part that is missing is not an inventory with less in it.
#[test]
fn an_inventory_without_its_head_is_never_taken_for_empty() {
    let mut lab = Lab::new("headless");
    lab.component("app", &config_map("settings"));
    lab.apply();
    lab.kubectl(&["delete", "configmap", "sitewright-headless", "-n", "sitewright-system"]);
    let mut run = None;
    let requests = lab.requests(|| run = Some(lab.run(&["apply", "--yes"])));
    let run = run.expect("it ran");
    assert_eq!(run.code, 1, "{run}");
    assert!(run.stderr.contains("error[SW0502]"), "{run}");
    assert!(requests.writes().is_empty(), "{requests}");
}
