//! How paths are written, and what they find.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn path(text: &str) -> FieldPath {
    text.parse().unwrap()
}

fn pod() -> Value {
    json!({
        "metadata": { "annotations": { "a/b": "1", "example.com/team": "x" } },
        "spec": {
            "containers": [
                { "name": "manager", "image": "m:1", "ports": [{ "containerPort": 80 }] },
                { "name": "side car", "image": "s:1" },
            ],
            "ports": [{ "port": 80, "protocol": "TCP" }, { "port": 80, "protocol": "UDP" }],
        },
    })
}

#[test]
fn paths_find_what_they_name() {
    let pod = pod();
    let cases = [
        ("spec.containers[name=manager].image", vec!["/spec/containers/0/image"]),
        ("spec.containers[*].image", vec!["/spec/containers/0/image", "/spec/containers/1/image"]),
        ("spec.containers[1].image", vec!["/spec/containers/1/image"]),
        ("spec.containers[name=\"side car\"]", vec!["/spec/containers/1"]),
        ("spec.ports[port=80,protocol=UDP]", vec!["/spec/ports/1"]),
        (".spec.ports[port=80,protocol=\"TCP\"].port", vec!["/spec/ports/0/port"]),
        ("metadata.annotations[\"a/b\"]", vec!["/metadata/annotations/a~1b"]),
        (
            "metadata.annotations[*]",
            vec!["/metadata/annotations/a~1b", "/metadata/annotations/example.com~1team"],
        ),
        ("spec.nothing[name=x].y", vec![]),
        ("spec.containers.image", vec![]),
    ];
    for (text, pointers) in cases {
        assert_eq!(path(text).pointers(&pod), pointers, "{text}");
    }
}

#[test]
fn a_left_out_protocol_is_tcp() {
    let pointers =
        path("spec.containers[name=manager].ports[containerPort=80,protocol=TCP]").pointers(&pod());
    assert_eq!(pointers, ["/spec/containers/0/ports/0"]);
}

#[test]
fn pointers_print_as_people_write_them() {
    let pod = pod();
    let cases = [
        ("/spec/containers/0/image", "spec.containers[name=manager].image"),
        ("/spec/containers/1", "spec.containers[name=\"side car\"]"),
        ("/spec/ports/1/port", "spec.ports[port=80,protocol=UDP].port"),
        ("/metadata/annotations/a~1b", "metadata.annotations[\"a/b\"]"),
        ("/metadata/annotations/example.com~1team", "metadata.annotations[\"example.com/team\"]"),
        ("/spec/gone/0/x", "spec.gone.0.x"),
        ("", ""),
    ];
    for (pointer, text) in cases {
        assert_eq!(FieldPath::of_pointer(pointer, &pod).to_string(), text);
    }
}

#[test]
fn the_servers_unquoted_keys_are_told_apart_by_the_body() {
    let read = FieldPath::of_server_text(".metadata.annotations.example.com/team", &pod());
    assert_eq!(read.unwrap().to_string(), "metadata.annotations[\"example.com/team\"]");
}

#[test]
fn mistakes_are_placed() {
    for (text, at) in [("a..b", 2), ("a[", 2), ("a[x", 3), ("a[x=", 4), ("a.", 2), ("a]", 1)] {
        let error = text.parse::<FieldPath>().unwrap_err();
        assert_eq!(error.at, at, "{error}");
    }
}

#[test]
fn removal_is_of_every_match() {
    let mut pod = pod();
    assert_eq!(path("spec.containers[*]").remove(&mut pod), 2);
    assert_eq!(path("spec.ports[protocol=TCP]").remove(&mut pod), 1);
    assert_eq!(
        pod["spec"],
        json!({ "containers": [], "ports": [{ "port": 80, "protocol": "UDP" }] })
    );
}

#[test]
fn containment_is_by_prefix_and_wildcard() {
    assert!(path("spec").contains(&path("spec.replicas")));
    assert!(path("spec.x[*].y").contains(&path("spec.x[name=a].y.z")));
    assert!(path("x[name=a]").contains(&path("x[name=a,type=b]")));
    assert!(!path("x[name=a,type=b]").contains(&path("x[name=a]")));
    assert!(!path("spec.replicas").contains(&path("spec")));
    assert!(FieldPath::root().contains(&path("spec")));
}

fn segment() -> impl Strategy<Value = Segment> {
    let text = "[a-z./\\[\\]\"=,* \\\\é~]{1,6}";
    prop_oneof![
        text.prop_map(Segment::Key),
        (0usize..99).prop_map(Segment::Index),
        text.prop_map(Segment::Member),
        Just(Segment::Any),
        prop::collection::vec(("[a-z]{1,4}", text), 1..3).prop_map(Segment::Entry),
    ]
}

proptest! {
    #[test]
    fn text_round_trips(segments in prop::collection::vec(segment(), 0..5)) {
        let path = FieldPath::new(segments);
        prop_assert_eq!(path.to_string().parse::<FieldPath>().unwrap(), path);
    }

    #[test]
    fn reading_never_panics(text in "\\PC{0,24}") {
        let _ = text.parse::<FieldPath>();
    }
}
