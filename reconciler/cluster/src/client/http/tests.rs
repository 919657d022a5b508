use super::*;

#[test]
fn the_text_of_a_warning_is_unquoted() {
    let header = r#"299 - "unknown field \"spec.x\"""#;
    assert_eq!(warning(header).unwrap(), r#"unknown field "spec.x""#);
    assert_eq!(warning("199 nothing"), None);
}
