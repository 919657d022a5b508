use super::*;
use serde_json::json;

fn refused(code: u16, reason: &str, message: &str, causes: &[(&str, &str, &str)]) -> Failure {
    let cause = |(reason, field, message): &(&str, &str, &str)| Cause {
        field: (*field).to_owned(),
        reason: (*reason).to_owned(),
        message: (*message).to_owned(),
    };
    Failure::Refused(Box::new(Refused {
        code,
        reason: reason.to_owned(),
        message: message.to_owned(),
        causes: causes.iter().map(cause).collect(),
        retry_after: None,
    }))
}

fn deployment(selector: &str, replicas: i64) -> Object {
    Object::new(json!({ "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": { "name": "web", "namespace": "n" },
        "spec": { "replicas": replicas, "selector": { "matchLabels": { "app": selector } } } }))
    .unwrap()
}

const SELECTOR: (&str, &str, &str) = (
    "FieldValueInvalid",
    "spec.selector",
    r#"Invalid value: {"matchLabels":{"app":"b"}}: field is immutable"#,
);
const REPLICAS: (&str, &str, &str) =
    ("FieldValueInvalid", "spec.replicas", "Invalid value: -1: must be greater than or equal to 0");

#[test]
fn an_immutable_field_that_differs_is_a_candidate_for_replacement() {
    let failure = refused(422, "Invalid", "…", &[SELECTOR]);
    let live = deployment("a", 1);
    let meaning = meaning(&failure, &deployment("b", 1), Some(live.expose()));
    assert!(
        matches!(meaning, Meaning::LooksImmutable(causes) if causes[0].field == "spec.selector")
    );
}

#[test]
fn an_immutable_field_that_does_not_differ_is_only_invalid() {
    let failure = refused(422, "Invalid", "…", &[SELECTOR]);
    let live = deployment("b", 1);
    let meaning = meaning(&failure, &deployment("b", 1), Some(live.expose()));
    assert!(matches!(meaning, Meaning::Refused(Refusal::Invalid(_))));
}

#[test]
fn one_invalid_value_beside_an_immutable_field_makes_it_invalid() {
    let failure = refused(422, "Invalid", "…", &[SELECTOR, REPLICAS]);
    let live = deployment("a", 1);
    let meaning = meaning(&failure, &deployment("b", -1), Some(live.expose()));
    assert!(matches!(meaning, Meaning::Refused(Refusal::Invalid(causes)) if causes.len() == 2));
}

#[test]
fn a_new_object_is_never_immutable() {
    let failure = refused(422, "Invalid", "…", &[SELECTOR]);
    let meaning = meaning(&failure, &deployment("b", 1), None);
    assert!(matches!(meaning, Meaning::Refused(Refusal::Invalid(_))));
}

#[test]
fn conflicts_name_manager_and_field() {
    let message = r#"conflict with "autoscaler" using apps/v1 at 2026-11-22T10:00:00Z"#;
    let causes = [("FieldManagerConflict", ".spec.replicas", message)];
    let failure = refused(409, "Conflict", "Apply failed with 1 conflict", &causes);
    let expected = FieldConflict { manager: "autoscaler".into(), field: ".spec.replicas".into() };
    let meaning = meaning(&failure, &deployment("a", 1), None);
    assert_eq!(meaning, Meaning::Refused(Refusal::Conflict(vec![expected])));
}

#[test]
fn an_unknown_field_is_invalid_though_the_server_calls_it_an_internal_error() {
    let message = "failed to create typed patch object (n/web; apps/v1, Kind=Deployment): .spec.x: field not declared in schema";
    let failure = refused(500, "InternalError", message, &[]);
    let meaning = meaning(&failure, &deployment("a", 1), None);
    let Meaning::Refused(Refusal::Invalid(causes)) = meaning else { panic!("{meaning:?}") };
    assert_eq!(
        (causes[0].field.as_str(), causes[0].message.as_str()),
        ("spec.x", "field not declared in schema")
    );
}

#[test]
fn an_object_that_was_made_anew_is_not_an_immutable_field() {
    let causes =
        [("FieldValueInvalid", "metadata.uid", "Invalid value: \"1\": field is immutable")];
    let failure = refused(422, "Invalid", "…", &causes);
    let live = deployment("a", 1);
    let meaning = meaning(&failure, &deployment("b", 1), Some(live.expose()));
    assert_eq!(meaning, Meaning::AnotherObject);
}

#[test]
fn the_rights_of_a_user_and_the_verdict_of_a_quota_are_told_apart() {
    let rights =
        r#"deployments.apps "web" is forbidden: User "u" cannot patch resource "deployments""#;
    let quota = r#"pods "web" is forbidden: exceeded quota: team"#;
    let read =
        |message| meaning(&refused(403, "Forbidden", message, &[]), &deployment("a", 1), None);
    assert!(matches!(read(rights), Meaning::Refused(Refusal::Forbidden(_))));
    assert!(matches!(read(quota), Meaning::Refused(Refusal::Denied(_))));
}

#[test]
fn a_webhook_that_is_down_is_waited_for_only_where_it_can_come() {
    let message = r#"Internal error occurred: failed calling webhook "judge.example": failed to call webhook: Post "https://judge.n.svc:443/": no endpoints available for service "judge""#;
    let failure = refused(500, "InternalError", message, &[]);
    let Meaning::WebhookDown(name, message) = meaning(&failure, &deployment("a", 1), None) else {
        panic!("not a webhook")
    };
    assert_eq!(name, "judge.example");
    assert!(webhook(name.clone(), message, false).is_ok());
    assert!(webhook(name.clone(), "x509: unknown authority".into(), false).is_err());
    assert!(webhook(name, "x509: unknown authority".into(), true).is_ok());
}

#[test]
fn what_is_said_of_a_secret_quotes_no_value() {
    let secret = Object::new(json!({ "apiVersion": "v1", "kind": "Secret",
        "metadata": { "name": "s", "namespace": "n" }, "data": { "a": "canary!" } }))
    .unwrap();
    let message =
        r#"Secret in version "v1" cannot be handled as a Secret: illegal base64 data: canary!"#;
    let decoding = refused(400, "BadRequest", message, &[]);
    let causes = [("FieldValueInvalid", "data[a]", "Invalid value: canary!")];
    let validation = refused(422, "Invalid", message, &causes);
    for failure in [decoding, validation] {
        let said = format!("{:?}", meaning(&failure, &secret, None));
        assert!(!said.contains("canary"), "{said}");
    }
}
