//! What differs, and how it is told.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn object(spec: Value) -> Object {
    Object::new(json!({
        "apiVersion": "x/v1", "kind": "X",
        "metadata": { "name": "x", "resourceVersion": spec.to_string() },
        "spec": spec, "status": { "seen": spec.to_string() }
    }))
    .unwrap()
}

fn found(live: Value, judged: Value) -> Vec<String> {
    let (live, judged) = (object(live), object(judged));
    diff(&live, &judged, &Secrecy::of([&live, &judged])).iter().map(line).collect()
}

fn line(difference: &Difference) -> String {
    let show = |shown: &Shown| match shown {
        Shown::Absent => "-".to_owned(),
        Shown::Secret => "(secret)".to_owned(),
        Shown::Value(value) => value.to_string(),
    };
    format!("{}: {} -> {}", difference.path, show(&difference.before), show(&difference.after))
}

#[test]
fn what_the_server_sets_is_no_difference() {
    let (mut one, two) = (json!({ "a": 1 }), json!({ "a": 1 }));
    assert_eq!(found(one.clone(), two.clone()), [""; 0]);
    one["b"] = Value::Null;
    assert_eq!(found(one, two), [""; 0]);
}

#[test]
fn a_subtree_that_one_side_has_is_one_difference() {
    assert_eq!(
        found(json!({}), json!({ "a": { "b": 1, "c": 2 } })),
        [r#"spec.a: - -> {"b":1,"c":2}"#]
    );
    assert_eq!(found(json!({ "a": { "b": 1 } }), json!({ "a": { "b": 2 } })), ["spec.a.b: 1 -> 2"]);
}

#[test]
fn entries_are_matched_by_their_keys() {
    let live = json!({ "containers": [
        { "name": "a", "image": "a:1", "ports": [{ "containerPort": 80, "protocol": "TCP" }] },
        { "name": "b", "image": "b:1" },
    ] });
    let judged = json!({ "containers": [
        { "name": "b", "image": "b:2" },
        { "name": "a", "image": "a:1",
          "ports": [{ "containerPort": 81, "protocol": "TCP" }, { "containerPort": 80, "protocol": "TCP" }] },
    ] });
    assert_eq!(
        found(live, judged),
        [
            r#"spec.containers[name=a].ports[containerPort=81,protocol=TCP]: - -> {"containerPort":81,"protocol":"TCP"}"#,
            r#"spec.containers[name=b].image: "b:1" -> "b:2""#,
        ]
    );
}

#[test]
fn an_order_alone_is_a_difference() {
    let (a, b) = (json!({ "name": "a" }), json!({ "name": "b" }));
    assert_eq!(
        found(json!({ "x": [a, b] }), json!({ "x": [b, a] })),
        [r#"spec.x: [{"name":"a"},{"name":"b"}] -> [{"name":"b"},{"name":"a"}]"#]
    );
}

#[test]
fn lists_without_keys_are_told_by_position_and_short_ones_whole() {
    assert_eq!(
        found(json!({ "args": ["a", "b"] }), json!({ "args": ["a", "c"] })),
        [r#"spec.args[1]: "b" -> "c""#]
    );
    assert_eq!(
        found(json!({ "args": ["a"] }), json!({ "args": ["a", "c"] })),
        [r#"spec.args: ["a"] -> ["a","c"]"#]
    );
    let rule = |verb: &str| json!({ "verbs": [verb] });
    assert_eq!(
        found(
            json!({ "r": [rule("a"), rule("z")] }),
            json!({ "r": [rule("a"), rule("m"), rule("z")] })
        ),
        [r#"spec.r[1]: - -> {"verbs":["m"]}"#]
    );
}

#[test]
fn secrets_say_that_they_change_and_nothing_more() {
    let secret = |value: &str| {
        Object::new(json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "s" },
            "data": { "canary": value }, "type": "Opaque" }))
        .unwrap()
    };
    let (live, judged) = (secret("canary-1"), secret("canary-2"));
    let all = diff(&live, &judged, &Secrecy::of([&live, &judged]));
    assert_eq!(all.iter().map(line).collect::<Vec<_>>(), ["data.canary: (secret) -> (secret)"]);
}

#[test]
fn a_secret_entry_stays_secret_at_another_position_of_its_list() {
    let live = object(json!({ "env": [{ "name": "a" }, { "name": "p", "value": "canary-1" }] }));
    let judged = object(json!({ "env": [{ "name": "p", "value": "canary-2" }] }))
        .with_sensitive(["/spec/env/0/value".to_owned()]);
    let text = format!("{:?}", diff(&live, &judged, &Secrecy::of([&live, &judged])));
    assert!(!text.contains("canary"), "{text}");
}

#[test]
fn a_flood_is_told_at_a_higher_level() {
    let many = |value: usize| {
        let map: Map<String, Value> =
            (0..1000).map(|key| (format!("k{key:04}"), json!({ "v": value }))).collect();
        json!({ "many": map, "one": value })
    };
    let (live, judged) = (object(many(1)), object(many(2)));
    let all = diff(&live, &judged, &Secrecy::default());
    let paths: Vec<String> = all.iter().map(|found| found.path.to_string()).collect();
    assert_eq!(paths, ["spec.many", "spec.one"]);
}

#[test]
fn an_estimate_sees_what_is_set_and_no_defaults() {
    let live = object(
        json!({ "replicas": 3, "strategy": "Rolling", "containers": [{ "name": "a", "pull": "Always" }] }),
    );
    let desired = object(json!({ "replicas": -1, "containers": [{ "name": "a" }] }));
    let all = estimate(&live, &desired, &Secrecy::default());
    let spec: Vec<String> = all.iter().map(line).filter(|l| l.starts_with("spec")).collect();
    assert_eq!(spec, ["spec.replicas: 3 -> -1"]);
}

fn value() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        (0..3i64).prop_map(Value::from),
        "[ab]".prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
    ];
    scalar.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("name|port|[xy]", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn empty_exactly_where_equal(one in value(), other in value()) {
        let (live, judged) = (object(one.clone()), object(other.clone()));
        let all = diff(&live, &judged, &Secrecy::default());
        prop_assert_eq!(all.is_empty(), one == other);
    }

    #[test]
    fn both_directions_name_as_much(one in value(), other in value()) {
        let (live, judged) = (object(one), object(other));
        let there = diff(&live, &judged, &Secrecy::default());
        let back = diff(&judged, &live, &Secrecy::default());
        prop_assert_eq!(there.len(), back.len());
    }

    #[test]
    fn each_difference_points_at_its_values(one in value(), other in value()) {
        let (live, judged) = (object(one), object(other));
        for found in diff(&live, &judged, &Secrecy::default()) {
            let shown = |body: &Value, pointer: &str| {
                body.pointer(pointer).map_or(Shown::Absent, |v| Shown::Value(v.clone()))
            };
            prop_assert_eq!(&found.before, &shown(live.expose(), &found.live));
            prop_assert_eq!(&found.after, &shown(judged.expose(), &found.judged));
            prop_assert_ne!(found.before, found.after);
        }
    }
}
