use super::*;

#[test]
fn the_text_of_a_warning_is_unquoted() {
    let header = r#"299 - "unknown field \"spec.x\"""#;
    assert_eq!(warning(header).unwrap(), r#"unknown field "spec.x""#);
    assert_eq!(warning("199 nothing"), None);
}

#[test]
fn what_is_printed_of_a_request_or_a_refusal_is_never_what_it_holds() {
    let request = Request::put("/x".into(), "Secret n/s", b"canary".to_vec());
    assert_eq!(format!("{request:?}"), "Request(update Secret n/s)");
    let body = br#"{ "kind": "Status", "reason": "Invalid", "message": "canary", "code": 422 }"#;
    let refused = Refused::read(422, None, body);
    assert_eq!(
        format!("{:?}", Failure::Refused(Box::new(refused))),
        "Refused(Refused(422 Invalid))"
    );
}
