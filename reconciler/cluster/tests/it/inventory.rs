//! The inventory and the lock on a real server.

use serde_json::Value;
use sitewright_cluster::{Error, apply::Options, observe::Depth};

use crate::site::{Site, apply, apply_on, cluster, config_map, control_plane, namespace};

fn maps_of(site: &str) -> Vec<Value> {
    let selector = format!("sitewright.dev/inventory={site}");
    let arguments = ["get", "configmaps", "-n", "sitewright-system", "-l", &selector, "-o", "json"];
    let list: Value = serde_json::from_str(&control_plane().kubectl(&arguments).unwrap()).unwrap();
    list["items"].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_missing_head_is_an_error_and_nothing_is_pruned() {
    namespace("headless");
    let site = Site::new("headless").component("app", [config_map("headless", "c", "v")]);
    apply(&site).await;
    let delete = ["delete", "configmap", "sitewright-headless", "-n", "sitewright-system"];
    control_plane().kubectl(&delete).unwrap();
    let error = cluster().await.observe(site.desired(), Depth::Full).await.unwrap_err();
    assert_eq!(error.code().number, 502, "{error}");
}

#[tokio::test]
async fn an_inventory_that_grows_is_laid_out_anew() {
    namespace("grows");
    let maps = |count: usize| (0..count).map(|n| config_map("grows", &format!("c{n}"), "v"));
    apply(&Site::new("grows").component("app", maps(2))).await;
    assert_eq!(maps_of("grows").len(), 2);
    let site = Site::new("grows").component("app", maps(4_100));
    let report = apply(&site).await;
    assert_eq!(report.end, sitewright_cluster::apply::End::Converged);
    // the head, and four shards of the second generation; the first is gone
    assert_eq!(maps_of("grows").len(), 5);
    let cluster = cluster().await;
    let before = cluster.requests();
    let live = cluster.observe(site.desired(), Depth::Full).await.unwrap();
    assert_eq!(live.inventory.entries.len(), 4_100);
    let sent = cluster.requests().since(&before);
    assert_eq!((sent.list, sent.dry_run), (10, 0), "{sent:?}");
}

#[tokio::test]
async fn the_holder_of_a_lock_is_named_and_a_dead_one_does_not_hold() {
    namespace("locked");
    let site =
        |value: &str| Site::new("locked").component("app", [config_map("locked", "c", value)]);
    apply(&site("1")).await;
    let lease = |holder: &str| {
        let patch = format!(r#"{{"spec":{{"holderIdentity":"{holder}"}}}}"#);
        let arguments = [
            "patch",
            "lease",
            "sitewright-locked",
            "-n",
            "sitewright-system",
            "--type=merge",
            "-p",
            &patch,
        ];
        control_plane().kubectl(&arguments).unwrap();
    };
    let cluster = cluster().await;
    // a process of another machine that shows that it lives
    lease("elsewhere_1_1_0123456789ab_0");
    let living = async {
        for n in 0..12 {
            tokio::time::sleep(std::time::Duration::from_millis(500)).await;
            let patch = format!(r#"{{"spec":{{"renewTime":"2026-01-01T00:00:{n:02}.000000Z"}}}}"#);
            let arguments = [
                "patch",
                "lease",
                "sitewright-locked",
                "-n",
                "sitewright-system",
                "--type=merge",
                "-p",
                &patch,
            ];
            control_plane().kubectl(&arguments).unwrap();
        }
    };
    let second = site("2");
    let (error, ()) = tokio::join!(apply_on(&cluster, &second, Options::default()), living);
    let Err(Error::Locked { holder }) = error else { panic!("{error:?}") };
    assert_eq!(holder, "process 1 on elsewhere");
    // the same, silent: it is dead after the lease's own time
    assert!(apply_on(&cluster, &second, Options::default()).await.is_ok());
}
