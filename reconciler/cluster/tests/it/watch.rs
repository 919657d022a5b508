//! The watches: what costs a look, what costs nothing, and what a look at some objects alone costs.

use std::{collections::BTreeSet, time::Duration};

use serde_json::Value;
use sitewright_cluster::{
    CancellationToken, Cluster,
    apply::{End, Options},
    watch::{Noticed, Watches},
};
use sitewright_model::{
    live::Observation,
    object::{GroupKind, ObjectId},
    plan::{self, ChangeCause},
};
use tokio::time::timeout;

use crate::site::{Site, apply, cluster, config_map, control_plane, id, live, namespace};

/// Longer than any event takes to arrive.
const LONG: Duration = Duration::from_secs(60);

fn kinds(kinds: &[&str]) -> BTreeSet<GroupKind> {
    kinds.iter().map(|kind| GroupKind::new("", *kind)).collect()
}

async fn following(cluster: &Cluster, site: &Site) -> Watches {
    let mut watches = cluster.watches(&site.desired().site);
    watches.follow(&kinds(&["ConfigMap", "Service"])).await.unwrap();
    assert_eq!(watches.take().gaps, kinds(&["ConfigMap", "Service"]));
    watches
}

/// Waits until `id` is noticed in one of the two ways.
async fn noticed(watches: &Watches, id: &ObjectId) -> Noticed {
    let mut all = Noticed::default();
    let wait = async {
        while !all.suspects.contains(id) && !all.touched.contains(id) {
            watches.noticed().await;
            let Noticed { suspects, touched, gaps } = watches.take();
            all.suspects.extend(suspects);
            all.touched.extend(touched);
            all.gaps.extend(gaps);
        }
    };
    timeout(LONG, wait).await.expect("an event");
    all
}

fn kubectl(arguments: &[&str]) {
    control_plane().kubectl(arguments).expect("kubectl works");
}

fn annotate(name: &str, note: &str) {
    kubectl(&["annotate", "--overwrite", "cm", name, "-n", "watched", note]);
}

fn edit(name: &str, value: &str) {
    let patch = format!(r#"{{"data":{{"key":"{value}"}}}}"#);
    kubectl(&["patch", "cm", name, "-n", "watched", "--type=merge", "-p", &patch]);
}

#[tokio::test]
async fn an_event_that_changes_nothing_of_ours_is_told_from_one_that_does() {
    namespace("watched");
    let map = config_map("watched", "one", "v");
    let site = Site::new("watched").component("app", [map.clone()]);
    apply(&site).await;
    let cluster = cluster().await;
    let watches = following(&cluster, &site).await;
    let before = cluster.requests();

    annotate("one", "note=1");
    let first = noticed(&watches, &id(&map)).await;
    assert!(first.suspects.contains(&id(&map)), "nothing was known of it: {first:?}");
    annotate("one", "note=2");
    let second = noticed(&watches, &id(&map)).await;
    assert!(second.suspects.is_empty(), "{second:?}");
    edit("one", "theirs");
    let third = noticed(&watches, &id(&map)).await;
    assert!(third.suspects.contains(&id(&map)), "{third:?}");
    kubectl(&["label", "cm", "one", "-n", "watched", "sitewright.dev/site-"]);
    let unlabelled = noticed(&watches, &id(&map)).await;
    assert!(unlabelled.suspects.contains(&id(&map)), "{unlabelled:?}");
    assert_eq!(cluster.requests().since(&before).total(), 0, "a watch asks nothing");
    assert!(watches.pulses().values().all(|pulse| pulse.last_sign.is_some()));
}

#[tokio::test]
async fn a_look_at_one_object_mends_it_and_asks_for_no_other() {
    namespace("mended");
    let maps: Vec<Value> =
        (0..30).map(|index| config_map("mended", &format!("m-{index}"), "v")).collect();
    let site = Site::new("mended").component("app", maps.clone());
    apply(&site).await;
    let cluster = cluster().await;
    let patch = r#"{"data":{"key":"theirs"}}"#;
    kubectl(&["patch", "cm", "m-7", "-n", "mended", "--type=merge", "-p", patch]);
    kubectl(&["patch", "cm", "m-8", "-n", "mended", "--type=merge", "-p", patch]);

    let ids = BTreeSet::from([id(&maps[7]), id(&maps[9])]);
    let part = site.desired().only(&ids);
    let _kinds = cluster.outside_namespaces(&kinds(&["Namespace"])).await;
    let before = cluster.requests();
    let seen = cluster.observe_only(&part, &ids).await.unwrap();
    assert_eq!(seen.objects.keys().cloned().collect::<BTreeSet<_>>(), ids);
    assert!(matches!(seen.objects[&id(&maps[9])], Observation::Settled));
    assert_eq!(cluster.requests().since(&before).total(), 4, "inventory, two objects, a dry run");
    let plan = plan::plan(&part, &seen, jiff::Timestamp::UNIX_EPOCH);
    assert_eq!(plan.change(&id(&maps[7])).unwrap().cause, ChangeCause::Drift);
    let (events, _receiver) = tokio::sync::mpsc::channel(1);
    let cancel = CancellationToken::new();
    let report =
        cluster.apply(&part, &plan, &seen, Options::default(), events, cancel).await.unwrap();
    assert_eq!(report.end, End::Converged, "{report:?}");
    assert_eq!(live(&maps[7]).unwrap()["data"]["key"], "v");
    assert_eq!(live(&maps[8]).unwrap()["data"]["key"], "theirs", "nobody asked for it");
    let whole = cluster.observe(site.desired(), Default::default()).await.unwrap();
    assert_eq!(whole.inventory.entries.len(), 30, "the others' entries are kept");
}

#[tokio::test]
async fn kinds_are_followed_and_left() {
    let cluster = cluster().await;
    let site = Site::new("followed");
    let mut watches = following(&cluster, &site).await;
    watches.follow(&kinds(&["ConfigMap", "NoSuchKind"])).await.unwrap();
    let pulses: BTreeSet<GroupKind> = watches.pulses().into_keys().collect();
    assert_eq!(pulses, kinds(&["ConfigMap"]));
    assert!(watches.take().is_empty());
}
