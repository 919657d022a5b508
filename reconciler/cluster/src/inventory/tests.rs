use std::num::NonZeroUsize;

use super::*;
use sitewright_model::{
    digest::Digest,
    inventory::{EntryState, Said},
    object::{GroupKind, Uid},
};

fn id(name: &str) -> ObjectId {
    let namespace = Some("research-team-vision".to_owned());
    ObjectId { kind: GroupKind::new("", "ConfigMap"), namespace, name: name.to_owned() }
}

fn entry(number: usize) -> Entry {
    let digest = |text: &str| Digest::of(format!("{text}{number}"));
    let hex = digest("uid").hex();
    Entry {
        api_version: "v1".into(),
        component: "settings".parse().unwrap(),
        adopted: false,
        unproven: false,
        said: Some(Said::default()),
        state: EntryState::Applied {
            uid: Uid(format!("{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..28])),
            rendered: digest("rendered"),
            settled: digest("settled"),
        },
    }
}

fn store(site: &SiteName, maps: &[Value]) -> Result<Store, Error> {
    let http = Http::nowhere(NonZeroUsize::MIN.get());
    let mut store = Store::empty(&http, site, &Memory::default());
    store.read(maps)?;
    Ok(store)
}

fn head(site: &SiteName, generation: u64, shards: usize) -> Value {
    json!({ "metadata": { "name": head::name(site), "resourceVersion": "7" },
            "data": { "format": head::FORMAT, "generation": generation.to_string(), "shards": shards.to_string() } })
}

fn shard(site: &SiteName, generation: u64, index: usize, names: &[&str]) -> Value {
    let mut shard = Shard::new(generation, index);
    for (number, name) in names.iter().enumerate() {
        shard.set(id(name), entry(number));
    }
    // what the server gives back: bytes as base64 text
    let mut body: Value = serde_json::from_slice(&bytes(&shard.body(site))).unwrap();
    body["metadata"]["resourceVersion"] = "9".into();
    body
}

fn site() -> SiteName {
    "lab".parse().unwrap()
}

#[tokio::test]
async fn entries_come_back_as_written() {
    let maps =
        [head(&site(), 2, 2), shard(&site(), 2, 0, &["a", "b"]), shard(&site(), 2, 1, &["c"])];
    let store = store(&site(), &maps).unwrap();
    assert_eq!(store.inventory().entries.len(), 3);
    assert_eq!(store.get(&id("b")), Some(&entry(1)));
}

#[tokio::test]
async fn shards_of_a_generation_that_never_came_into_force_are_left_over() {
    let maps = [head(&site(), 2, 1), shard(&site(), 2, 0, &["a"]), shard(&site(), 3, 0, &["a"])];
    let store = store(&site(), &maps).unwrap();
    assert_eq!(store.left_over, [("sitewright-lab.3.0".to_owned(), "9".to_owned())]);
    assert_eq!((store.newest_generation, store.inventory().entries.len()), (3, 1));
}

#[tokio::test]
async fn damage_is_an_error_and_never_an_empty_inventory() {
    let is_unreadable = |maps: &[Value], part: &str| match store(&site(), maps) {
        Err(error @ Error::InventoryUnreadable { .. }) => {
            assert!(error.to_string().contains(part), "{error}");
        }
        other => panic!("{part}: {:?}", other.map(|store| store.inventory())),
    };
    is_unreadable(&[shard(&site(), 1, 0, &["a"])], "ConfigMap sitewright-lab is missing");
    is_unreadable(&[head(&site(), 1, 1)], "some are missing");
    let mut newer = head(&site(), 1, 0);
    newer["data"]["format"] = "sitewright.dev/inventory/v9".into();
    is_unreadable(&[newer], "its format is `sitewright.dev/inventory/v9`");
    let mut edited = shard(&site(), 1, 0, &["a"]);
    edited["binaryData"][codec::KEY] =
        shard(&site(), 1, 0, &["b"])["binaryData"][codec::KEY].take();
    edited["data"]["digest"] = Digest::of("else").to_string().into();
    is_unreadable(&[head(&site(), 1, 1), edited], "digest");
    let mut cut = shard(&site(), 1, 0, &["a"]);
    cut["binaryData"][codec::KEY] = "H4sI".into();
    is_unreadable(&[head(&site(), 1, 1), cut], "unpacked");
    let twice = [head(&site(), 1, 2), shard(&site(), 1, 0, &["a"]), shard(&site(), 1, 1, &["a"])];
    is_unreadable(&twice, "in another shard too");
}

#[tokio::test]
async fn the_name_of_one_site_is_never_a_shard_of_another() {
    let other: SiteName = "lab-1-0".parse().unwrap();
    assert_eq!(shard::Place::of_name(&site(), &head::name(&other)), None);
}

#[test]
fn a_full_shard_stays_far_below_what_etcd_takes() {
    let mut shard = Shard::new(1, 0);
    for number in 0..ENTRIES_AT_MOST {
        let name = format!("experiment-{number}-settings");
        shard.set(id(&name), entry(number));
    }
    let size = bytes(&shard.body(&site())).len();
    assert!(size < 900_000, "{size} bytes");
}

#[test]
fn identities_spread_evenly() {
    let mut counts = [0_usize; 16];
    for number in 0..16_000 {
        let index = shard::index_of(&id(&format!("object-{number}")), 16).unwrap();
        counts[index] += 1;
    }
    assert!(counts.iter().all(|&count| (800..1200).contains(&count)), "{counts:?}");
}
