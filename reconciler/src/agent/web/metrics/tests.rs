//! The text of the metrics, and what is made over it.

use std::{collections::BTreeSet, path::Path};

use super::*;

/// Measures everything once.
fn everything() -> (Metrics, Instant) {
    let (metrics, begin) = (Metrics::default(), Instant::now());
    metrics.leads(true);
    metrics.requested("apply", Some(200));
    metrics.requested("apply", Some(409));
    metrics.requested("get", None);
    metrics.hooked(Forge::GitHub, Hooked::Pulled);
    let site = "lab/gpu";
    metrics.took(site, Stage::Plan, Duration::from_millis(750));
    metrics.took(site, Stage::Apply, Duration::from_secs(7));
    metrics.reconciled(site, Reconciled::Held, Timestamp::from_second(1_782_000_000).unwrap());
    metrics.fetched(site, Fetched::New);
    let component = |name: &str| name.parse().unwrap();
    metrics.mended(site, &component("queues"), 2);
    metrics.notified(site, NotificationKind::GitLab, Notified::Delivered);
    metrics.record().recorded();
    metrics.record().looked_up(Looked::Gone, 2);
    let held = BTreeMap::from([(Hazard::EvictsJobs, 3)]);
    let levels = Levels {
        objects: Some(120),
        drifted: BTreeMap::from([(component("queues"), 1), (component("storage"), 0)]),
        held,
        draining: 2,
        wave_nodes: BTreeMap::from([(WaveStage::Broken, 1)]),
        fights: 1,
        is_ready: true,
    };
    metrics.is_at(site, &levels);
    let sign = begin + Duration::from_secs(30);
    let signs = move || {
        BTreeMap::from([("Deployment.apps".to_owned(), Some(sign)), ("Pod".to_owned(), None)])
    };
    metrics.watches(site, begin, Box::new(signs));
    (metrics, begin + Duration::from_secs(90))
}

fn sorted(text: &str) -> String {
    // series of one metric come in the order of a hash map
    let mut blocks: Vec<Vec<&str>> = Vec::new();
    for line in text.lines() {
        match blocks.last_mut() {
            Some(block) if !line.starts_with("# HELP") && line != "# EOF" => block.push(line),
            _ => blocks.push(vec![line]),
        }
    }
    for block in &mut blocks {
        let is_histogram = block.iter().any(|line| line.ends_with(" histogram"));
        if !is_histogram {
            block.sort_by_key(|line| (!line.starts_with('#'), *line));
        }
    }
    blocks.concat().join("\n")
}

#[test]
fn everything_as_openmetrics() {
    let (metrics, now) = everything();
    // one stage, so that the histogram has one order
    metrics.0.durations.remove(&StageOf { site: "lab/gpu".into(), stage: Stage::Apply });
    insta::assert_snapshot!(sorted(&metrics.text(now)));
}

#[test]
fn a_site_that_is_gone_leaves_nothing_behind() {
    let (metrics, now) = everything();
    metrics.forget("lab/gpu");
    let text = metrics.text(now);
    assert!(!text.contains("lab/gpu"), "{text}");
    assert!(text.contains("sitewright_leader 1"), "{text}");
}

#[test]
fn a_component_that_left_the_site_takes_its_series_with_it() {
    let (metrics, now) = everything();
    let drifted = BTreeMap::from([("storage".parse().unwrap(), 4)]);
    metrics.is_at("lab/gpu", &Levels { drifted, ..Levels::default() });
    let text = metrics.text(now);
    assert!(!text.contains("queues"), "{text}");
    let line = r#"sitewright_drifted_objects{site="lab/gpu",component="storage"} 4"#;
    assert!(text.contains(line), "{text}");
    // a look that failed before it knew the components says nothing of them
    metrics.is_at("lab/gpu", &Levels::default());
    assert!(metrics.text(now).contains(line));
}

#[test]
fn the_age_of_a_watch_grows_while_nobody_tells_of_it() {
    let (metrics, now) = everything();
    let age = |text: &str, kind: &str| -> f64 {
        let line = text.lines().find(|line| line.contains(&format!("kind=\"{kind}\""))).unwrap();
        line.rsplit_once(' ').unwrap().1.parse().unwrap()
    };
    let text = metrics.text(now);
    assert_eq!((age(&text, "Deployment.apps"), age(&text, "Pod")), (60.0, 90.0));
    let text = metrics.text(now + Duration::from_secs(600));
    assert_eq!((age(&text, "Deployment.apps"), age(&text, "Pod")), (660.0, 690.0));
}

/// Returns the words of a file that begin as our metrics do.
fn names(text: &str) -> BTreeSet<&str> {
    let words = text.split(|char: char| !char.is_ascii_alphanumeric() && char != '_');
    words.filter(|word| word.starts_with("sitewright_")).collect()
}

#[test]
fn dashboards_alerts_and_the_book_name_metrics_that_there_are() {
    let (metrics, now) = everything();
    let text = metrics.text(now);
    let there: BTreeSet<&str> = names(&text);
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for file in [
        "examples/monitoring/dashboard.json",
        "examples/monitoring/alerts.yaml",
        "book/src/metrics.md",
    ] {
        let text = std::fs::read_to_string(top.join(file)).unwrap();
        let named = names(&text);
        assert!(!named.is_empty(), "{file}");
        let unknown: Vec<_> = named.difference(&there).collect();
        // a histogram is told without the suffix of its series too
        let unknown: Vec<_> = unknown
            .into_iter()
            .filter(|name| !there.contains(format!("{name}_bucket").as_str()))
            .collect();
        assert!(unknown.is_empty(), "{file}: {unknown:?}");
    }
}

#[test]
fn the_dashboard_is_json() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let text = std::fs::read_to_string(top.join("examples/monitoring/dashboard.json")).unwrap();
    serde_json::from_str::<serde_json::Value>(&text).unwrap();
}
