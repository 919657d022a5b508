//! By what an agent reads git, and reaches clusters: logins that are rotated, kubeconfigs of other clusters, and accounts that
//! it acts as.

use std::{fs, thread, time::Duration};

use serde_json::{Value, json};
use sitewright_testbed::{AuditEvent, ControlPlane, Mode, Options};

use crate::syncs::{Followed, SETTINGS, is_ready};

/// Writes a Secret, over the one that is there.
fn secret(followed: &Followed, name: &str, data: &Value) {
    let body = json!({ "apiVersion": "v1", "kind": "Secret", "stringData": data,
        "metadata": { "name": name, "namespace": followed.lab.name() } });
    followed.lab.kubectl_with(&["apply", "--server-side", "-f", "-"], &body.to_string());
}

fn login(followed: &Followed, password: &str) {
    secret(followed, "login", &json!({ "username": "git", "password": password }));
}

/// Commits another color, and waits until it is there.
fn paint(followed: &mut Followed, color: &str) {
    followed.lab.component("app", &SETTINGS.replace("blue", color));
    followed.push(color);
    followed.wait("site", color, |_| followed.color().as_deref() == Some(color));
}

#[test]
fn a_password_that_was_rotated_is_picked_up_and_the_next_commit_converges() {
    let mut followed = Followed::start("rotated");
    followed.server.login("git", "old");
    login(&followed, "old");
    followed.sync("site", |spec| spec["source"]["secretRef"] = json!({ "name": "login" }));
    followed.wait("site", "ready", is_ready);

    // the server first: what is refused in between is told, and is over by itself
    followed.server.login("git", "new");
    followed.wait("site", "refused", |status| status.to_string().contains("SW0204"));
    login(&followed, "new");
    paint(&mut followed, "green");
    let status = followed.wait("site", "ready", is_ready);
    assert_eq!(status["history"].as_array().map(Vec::len), Some(2), "{status:#}");

    // and the Secret first
    login(&followed, "newer");
    followed.server.login("git", "newer");
    paint(&mut followed, "white");
    followed.wait("site", "ready", is_ready);
    let log = followed.stop();
    assert_eq!(log.matches("a Secret has changed").count(), 2, "{log}");
    assert!(!log.contains("newer"), "{log}");
}

#[test]
fn one_agent_serves_a_second_cluster_through_its_kubeconfig() {
    let other = ControlPlane::start(Options::new().without_controllers()).unwrap();
    let mut followed = Followed::start("second-cluster");
    let name = followed.lab.name().to_owned();
    other.kubectl(&["create", "namespace", &name]).unwrap();
    let kubeconfig = |user: &str| {
        let file = other.kubeconfig_for(user, &["system:masters"]).unwrap();
        json!({ "kubeconfig": fs::read_to_string(file).unwrap() })
    };
    secret(&followed, "target", &kubeconfig("first-identity"));
    let mark = other.audit().mark().unwrap();
    followed.sync("site", |spec| {
        spec["cluster"] = json!({ "kubeconfig": { "name": "target" } });
        spec["resync"] = "10s".into();
    });
    followed.wait("site", "ready", is_ready);
    let color = || {
        let path = "jsonpath={.data.color}";
        other.kubectl(&["get", "cm", "settings", "-n", &name, "-o", path]).unwrap_or_default()
    };
    assert_eq!((color(), followed.color()), ("blue".to_owned(), None), "it is on the other one");
    let records = ["get", "cm", "-n", "sitewright-system", "-o", "name"];
    assert!(
        other.kubectl(&records).unwrap().contains(&name),
        "the inventory is where the objects are"
    );

    let edit = r#"{"data":{"color":"red"}}"#;
    other.kubectl(&["patch", "cm", "settings", "-n", &name, "--type=merge", "-p", edit]).unwrap();
    followed.wait("site", "mended", |_| color() == "blue");
    let agents = |event: &AuditEvent| event.user_agent.starts_with("sitewright/");
    let users = |mark| {
        let events = other.audit().since(mark).unwrap().into_iter().filter(agents);
        let writes =
            events.filter(|event| event.mode == Mode::Real && event.resource == "configmaps");
        let writes = writes.filter(|event| event.namespace == name && event.verb == "patch");
        writes.map(|event| event.user).collect::<Vec<_>>()
    };
    assert_eq!(users(mark), ["first-identity", "first-identity"]);

    // another kubeconfig is taken with the next look at the whole, though the old one still works
    secret(&followed, "target", &kubeconfig("second-identity"));
    followed.wait("site", "begun anew", |_| followed.said("a Secret has changed"));
    let mark = other.audit().mark().unwrap();
    followed.lab.component("app", &SETTINGS.replace("blue", "green"));
    followed.push("green");
    followed.wait("site", "green", |_| color() == "green");
    assert_eq!(users(mark), ["second-identity"]);
    followed.stop();
}

#[test]
fn a_kubeconfig_may_run_nothing_read_nothing_and_trust_not_everybody() {
    let followed = Followed::start("wild-config");
    let marker = followed.lab.folder().join("it-ran");
    let refused = [
        (
            "runs",
            json!({ "exec": { "apiVersion": "client.authentication.k8s.io/v1",
            "command": "touch", "args": [marker.to_str().unwrap()],
            "interactiveMode": "Never" } }),
            json!({}),
            "by running a program",
        ),
        ("reads", json!({ "tokenFile": "/etc/hostname" }), json!({}), "names files"),
        (
            "trusts",
            json!({ "token": "t" }),
            json!({ "insecure-skip-tls-verify": true }),
            "any certificate",
        ),
    ];
    for (name, user, cluster, _) in &refused {
        let mut cluster = cluster.clone();
        cluster["server"] = followed.lab.control_plane().url().into();
        let config = json!({ "apiVersion": "v1", "kind": "Config", "current-context": "a",
            "contexts": [{ "name": "a", "context": { "cluster": "a", "user": "a" } }],
            "clusters": [{ "name": "a", "cluster": cluster }],
            "users": [{ "name": "a", "user": user }] });
        secret(&followed, name, &json!({ "kubeconfig": config.to_string() }));
        followed.sync(name, |spec| spec["cluster"] = json!({ "kubeconfig": { "name": name } }));
    }
    for (name, _, _, why) in &refused {
        let status = followed.wait(name, "refused", |status| status["state"] == "Failing");
        let told = status["conditions"].to_string();
        assert!(told.contains("SW0602") && told.contains(why), "{name}: {status:#}");
    }
    thread::sleep(Duration::from_secs(1));
    assert!(!marker.exists(), "the program of a kubeconfig was run");
    followed.stop();
}

#[test]
fn a_site_is_written_as_its_service_account_with_the_rights_that_install_prints() {
    let mut followed = Followed::start("acts-as");
    let printed =
        followed.lab.run(&["install", ".", "--namespace", "acts-as", "--act-as", "acts-as/site"]);
    assert_eq!(printed.code, 0, "{printed}");
    // names of its own, since another test installs on this control plane too
    let printed = printed
        .stdout
        .replace("sitewright-sites", "acts-as-sites")
        .replace("name: sitewright-agent", "name: acts-as-agent");
    let apply = ["apply", "--server-side", "--force-conflicts", "-f", "-"];
    followed.lab.kubectl_with(&apply, &printed);
    let account = "system:serviceaccount:acts-as:acts-as-agent";
    let groups = ["system:serviceaccounts", "system:serviceaccounts:acts-as"];
    let kubeconfig = followed.lab.control_plane().kubeconfig_for(account, &groups).unwrap();
    (followed, _) = followed.start_again(|command| {
        command.env("KUBECONFIG", &kubeconfig);
    });
    let control_plane = sitewright_e2e::control_plane();
    let mark = control_plane.audit().mark().unwrap();
    followed.sync("site", |spec| spec["serviceAccountName"] = "site".into());
    followed.wait("site", "ready", is_ready);
    paint(&mut followed, "green");
    let events = control_plane.audit().since(mark).unwrap();
    let writes: Vec<&AuditEvent> = events
        .iter()
        .filter(|event| event.user == account && event.resource == "configmaps")
        .filter(|event| !["get", "list", "watch"].contains(&event.verb.as_str()))
        .collect();
    assert!(writes.iter().any(|event| event.name == "settings" && event.mode == Mode::Real));
    for write in &writes {
        assert_eq!(write.acted_as, "system:serviceaccount:acts-as:site", "{write:?}");
    }
    let refused: Vec<&AuditEvent> =
        events.iter().filter(|event| event.user == account && event.code == 403).collect();
    assert!(
        refused.iter().all(|event| event.resource == "namespaces" && event.verb == "create"),
        "{refused:#?}"
    );

    // as another account it may not act
    followed.sync("site", |spec| spec["serviceAccountName"] = "default".into());
    let status = followed.wait("site", "refused", |status| status["state"] == "Failing");
    assert!(status.to_string().contains("SW0606"), "{status:#}");
    followed.stop();
}
