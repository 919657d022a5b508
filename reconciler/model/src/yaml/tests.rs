use proptest::prelude::*;
use serde_json::json;

use super::*;

fn read(text: &str) -> Value {
    match parse_documents("t.yaml", text).unwrap().as_slice() {
        [one] => one.value.clone(),
        other => panic!("{} documents in {text:?}", other.len()),
    }
}

fn refuse(text: &str) -> Diagnostic {
    parse_documents("t.yaml", text).unwrap_err().0.remove(0)
}

fn at(diagnostic: &Diagnostic) -> (usize, usize) {
    let span = diagnostic.place.span.as_ref().unwrap();
    line_and_column(&span.text, span.range.start)
}

/// What kubectl, Helm and Flux make of it (sigs.k8s.io/yaml, goyaml.v2/resolve.go).
#[test]
fn reads_scalars_as_kubernetes_does() {
    let cases = [
        ("yes", json!(true)),
        ("No", json!(false)),
        ("on", json!(true)),
        ("OFF", json!(false)),
        ("y", json!(true)),
        ("N", json!(false)),
        ("True", json!(true)),
        ("'yes'", json!("yes")),
        ("0644", json!(420)),
        ("0o14", json!(12)),
        ("0x1F", json!(31)),
        ("0b101", json!(5)),
        ("1_000", json!(1000)),
        ("08", json!(8)),
        ("+12", json!(12)),
        ("-0x10", json!(-16)),
        ("1e3", json!(1000)),
        ("10.0", json!(10)),
        (".5", json!(0.5)),
        ("1.", json!(1)),
        ("18446744073709551615", json!(18_446_744_073_709_551_615_u64)),
        ("18446744073709551616", json!(18_446_744_073_709_551_616.0)),
        ("-9223372036854775808", json!(i64::MIN)),
        ("2001-12-14", json!("2001-12-14")),
        ("12:30:45", json!("12:30:45")),
        ("1.2.3", json!("1.2.3")),
        ("v1", json!("v1")),
        ("infinity", json!("infinity")),
        ("!Tag x", json!("x")),
        ("!!str 12", json!("12")),
        ("!!int '12'", json!(12)),
        ("!!binary aGk=", json!("hi")),
    ];
    for (text, value) in cases {
        assert_eq!(read(&format!("k: {text}\n")), json!({ "k": value }), "{text}");
    }
    for nothing in ["", "~", "null", "Null", "NULL"] {
        assert_eq!(read(&format!("k: {nothing}\n")), json!({ "k": null }), "{nothing}");
    }
}

#[test]
fn reads_structures_as_kubernetes_does() {
    let merged = "b: &x {p: 1, q: 2}\na:\n  <<: *x\n  q: 3\n";
    assert_eq!(read(merged)["a"], json!({ "p": 1, "q": 3 }));
    let merged = "b: &x {p: 1}\nc: &y {p: 2, q: 2}\na: {<<: [*x, *y]}\n";
    assert_eq!(read(merged)["a"], json!({ "p": 1, "q": 2 }));
    assert_eq!(read("a: &n [1, 2]\nb: *n\n"), json!({ "a": [1, 2], "b": [1, 2] }));
    assert_eq!(read("\u{feff}a: 1\r\nb: |\r\n  x\r\n"), json!({ "a": 1, "b": "x\n" }));
    assert_eq!(read("a: >-\n  x\n  y\n"), json!({ "a": "x y" }));
    assert_eq!(read("a:\n- 1\n-\n  b: 2\n"), json!({ "a": [1, { "b": 2 }] }));
    assert_eq!(read("{a: 1, b: }"), json!({ "a": 1, "b": null }));
    assert_eq!(read("\"on\": 1\n'1': 2\n"), json!({ "on": 1, "1": 2 }));
    assert_eq!(read("%YAML 1.1\n---\na: 1\n"), json!({ "a": 1 }));
}

#[test]
fn more_comments_than_the_reader_would_buffer_are_no_matter() {
    let comments = "  # why\n".repeat(500);
    assert_eq!(read(&format!("a:\n{comments}  b: 1\n")), json!({ "a": { "b": 1 } }));
    assert_eq!(read(&format!("a:\n{comments}  - 1\n{comments}  - 2\n")), json!({ "a": [1, 2] }));
}

#[test]
fn documents_that_say_nothing_are_left_out() {
    let text = "---\n# nothing\n---\na: 1\n---\nnull\n---\n~\n---\nb: 2\n...\n";
    let documents = parse_documents("t.yaml", text).unwrap();
    let values: Vec<_> = documents.iter().map(|document| &document.value).collect();
    assert_eq!(values, [&json!({ "a": 1 }), &json!({ "b": 2 })]);
    assert_eq!(documents[1].span("/b").map(|range| &text[range]), Some("2"));
    assert_eq!(documents[0].span("/b"), None);
    assert!(parse_documents("t.yaml", "").unwrap().is_empty());
}

#[test]
fn keys_that_are_not_text_are_refused_in_files_that_people_write() {
    for (text, key) in [("on: 1", "on"), ("a:\n  Yes: 1", "Yes"), ("1: x", "1"), ("~: x", "~")] {
        let error = refuse(text);
        assert_eq!(error.code, format::KEY_NOT_TEXT, "{text}");
        assert!(error.message.starts_with(&format!("key `{key}` is read as ")), "{error}");
        assert_eq!(error.help, Some(format!("quote it: \"{key}\"")));
        let span = error.place.span.unwrap();
        assert_eq!(&span.text[span.range], key);
    }
    assert_eq!(refuse("? [a]\n: 1").code, format::KEY_NOT_TEXT);
    assert_eq!(refuse("? {a: 1}\n: 1").code, format::KEY_NOT_TEXT);
    let all = parse_documents("t.yaml", "{off: 1, .5: 2, 0x1F: 3, 1a: 4, -x: 5, !!str no: 6}");
    assert_eq!(all.unwrap_err().0.len(), 3);
    for tagged in ["!mine no: 1", "!!smr on: 1", "!!int 7: 1", "!!bool 'yes': 1", "!!null '': 1"] {
        assert_eq!(refuse(tagged).code, format::KEY_NOT_TEXT, "{tagged}");
    }
    assert_eq!(read("{!!str no: 1, ! on: 2}"), json!({ "no": 1, "on": 2 }));
    assert!(parse_format("t.yaml", "on: {off: 1}", &["on", "off"], &|_| false).is_ok());
    assert!(parse_format("t.yaml", "On: 1", &["on"], &|_| false).is_err());
}

#[test]
fn whole_numbers_are_keys_in_rendered_manifests() {
    assert_eq!(
        parse_values("data: {8080: x, 0x10: z}").unwrap(),
        [json!({ "data": { "8080": "x", "16": "z" } })]
    );
    assert_eq!(parse_values("on: 1").unwrap_err().code, format::KEY_NOT_TEXT);
    assert!(parse_values("{1: a, '1': b}").is_err());
}

#[test]
fn every_key_given_twice_is_shown_with_both_places() {
    let text = "a: 1\nb: {c: 1, c: 2}\na: 3\n";
    let errors = parse_documents("t.yaml", text).unwrap_err().0;
    let seen: Vec<_> = errors.iter().map(|error| (error.message.as_str(), at(error))).collect();
    assert_eq!(seen, [("key `c` is given twice", (2, 11)), ("key `a` is given twice", (3, 1))]);
    assert_eq!(errors[0].notes, ["it is first given at t.yaml:2:5"]);
    assert_eq!(errors[1].notes, ["it is first given at t.yaml:1:1"]);
}

#[test]
fn text_that_is_not_yaml_is_refused_where_it_goes_wrong() {
    let cases = [
        ("a:\n\tb: 1\n", (2, 2), "a tab stands where YAML wants spaces"),
        ("a: [1, 2\n", (1, 4), "`[` is not closed"),
        ("a: {b: 1\n", (1, 4), "`{` is not closed"),
        ("a: {b: 1 c: 2}\n", (1, 11), "expected `,` or `}`"),
        ("a: b: c\n", (1, 5), "`:` stands where no key can be"),
        ("a: \"open\n", (1, 4), "a quoted text is not closed"),
        ("a: @b\n", (1, 4), "text cannot start with `@`"),
        ("a: 1\nb\n", (2, 1), "a key without `:`"),
        ("- 1\na: 2\n", (2, 1), "the line does not fit the indentation above it"),
        ("a:\n  b: 1\n c: 2\n", (3, 2), "the line does not fit the indentation above it"),
        ("a: *nowhere\n", (1, 4), "alias `*nowhere` refers to no anchor"),
        ("a: .inf\n", (1, 4), "`.inf` is not a finite number"),
        ("a: 1e999\n", (1, 4), "`1e999` is not a finite number"),
        ("a: {<<: 3}\n", (1, 9), "`<<` merges something that is not a map"),
    ];
    for (text, place, message) in cases {
        let error = refuse(text);
        assert_eq!((error.message.as_str(), at(&error)), (message, place), "{text:?}");
        assert_eq!(error.code, format::UNREADABLE_YAML);
    }
}

#[test]
fn what_would_explode_is_refused() {
    let mut lol = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let below = vec![format!("*a{}", level - 1); 10].join(", ");
        lol.push_str(&format!("a{level}: &a{level} [{below}]\n"));
    }
    let long = format!("a: &a {}\nb: [{}]\n", "x".repeat(100_000), "*a,".repeat(10_000));
    let merges = format!("a: &a {{k: 1}}\nb:\n{}", "- <<: *a\n".repeat(150_000));
    let nested = |depth| format!("{}x{}", "{a: ".repeat(depth), "}".repeat(depth));
    assert!(parse_values(&nested(MAX_DEPTH)).is_ok());
    let deep = nested(MAX_DEPTH + 1);
    let deeper = format!("a: {}", "[".repeat(100_000));
    let deep_block: String = (0..5_000).map(|n| format!("{}a:\n", " ".repeat(n))).collect();
    let itself = "a: &a [*a]\n".to_owned();
    for text in [lol, long, merges, deep, deeper, deep_block] {
        let error = refuse(&text);
        assert_eq!(error.code, format::TOO_LARGE, "{} {error}", &text[..20]);
    }
    assert_eq!(refuse(&itself).code, format::UNREADABLE_YAML);
    let huge = format!("a: {}", "x".repeat(100 * 1024 * 1024));
    assert_eq!(refuse(&huge).code, format::TOO_LARGE);
    assert!(text_of("t.yaml", huge.as_bytes()).is_err());
}

#[test]
fn a_large_bundle_is_read() {
    let crd = "- {name: x, type: object, description: \"some words on what it is\"}\n";
    let text = format!("kind: List\nitems:\n{}", crd.repeat(60_000));
    assert_eq!(parse_values(&text).unwrap()[0]["items"].as_array().unwrap().len(), 60_000);
}

#[test]
fn bytes_that_are_not_text_are_refused() {
    assert_eq!(text_of("f", b"a: 1\n").unwrap(), "a: 1\n");
    for bytes in [&b"\x7fELF\x02\0\0"[..], b"a: \xff\xfe", b"\xff\xfea\0:\0", b"a\0b"] {
        assert_eq!(text_of("f", bytes).unwrap_err().0[0].code, format::NOT_TEXT);
    }
}

#[test]
fn every_value_and_key_has_its_place() {
    let text = "\
spec:
  plain: some words
  flow: {a: [1, 'two'], b: {c: }}
  block:
  - name: x
    text: |
      line
      line
  - name: y
  ~home/dir: 1
  shared: &s
    inner: 1
  again: *s
  merged:
    <<: *s
    own: 2
";
    let document = parse_documents("t.yaml", text).unwrap().remove(0);
    let value = |pointer: &str| document.span(pointer).map(|range| &text[range]);
    let key = |pointer: &str| document.key_span(pointer).map(|range| &text[range]);
    assert_eq!(value("/spec/plain"), Some("some words"));
    assert_eq!(key("/spec/plain"), Some("plain"));
    assert_eq!(value("/spec/flow/a"), Some("[1, 'two']"));
    assert_eq!(value("/spec/flow/a/1"), Some("'two'"));
    assert_eq!(key("/spec/flow/a/1"), None);
    assert_eq!(value("/spec/flow/b/c"), Some(""));
    assert_eq!(value("/spec/block/1"), Some("name: y"));
    assert!(value("/spec/block/0").unwrap().starts_with("name: x\n    text: |"));
    assert_eq!(value("/spec/~0home~1dir"), Some("1"));
    assert_eq!(value("/spec/again"), Some("*s"));
    assert_eq!(value("/spec/again/inner"), Some("1"));
    assert_eq!(value("/spec/merged/inner"), Some("1"));
    assert_eq!(value("/spec/merged/own"), Some("2"));
    assert_eq!(value("/spec/missing"), None);
    assert_eq!(value("/spec/block/2"), None);
    let place = |pointer: &str| document.place(pointer).range;
    assert_eq!(place("/spec/plain/below"), document.span("/spec/plain").unwrap());
    assert_eq!(&text[place("/spec/flow/b/c")], "c");
    assert_eq!(&text[document.key_place("/spec/block").range], "block");
}

/// Strings that one reader or another takes for something else when they are not quoted.
const TRICKY: [&str; 44] = [
    "",
    " ",
    "~",
    "null",
    "NULL",
    "true",
    "False",
    "yes",
    "on",
    "y",
    "N",
    "Off",
    "1_000",
    "0644",
    "08",
    "0o7",
    "0x1F",
    "1e3",
    ".5",
    ".inf",
    "-.INF",
    ".nan",
    "12:30:45",
    "2001-12-14",
    "1.0",
    "-",
    "- a",
    "? a",
    "a: b",
    "a #b",
    "#a",
    "*a",
    "&a",
    "!a",
    "|",
    "%a",
    "@a",
    "`a",
    "<<",
    "=",
    "a\nb\n",
    "a\t",
    " a ",
    "\u{85}\u{feff}\u{7f}'\"\\",
];

#[test]
fn what_is_written_is_read_back() {
    for text in TRICKY {
        for value in [json!(text), json!({ "k": text }), json!([text]), json!({ text: 1 })] {
            let yaml = to_yaml(&value);
            if value.is_string() {
                let wrapped = format!("k: {}", yaml.trim_end_matches('\n').replace('\n', "\n  "));
                assert_eq!(read(&wrapped)["k"], value, "{yaml:?}");
            } else {
                assert_eq!(read(&yaml), value, "{yaml:?}");
            }
        }
    }
    let value = json!({ "a": [], "b": {}, "c": null, "d": 1.5, "e": [[1], { "f": u64::MAX }] });
    assert_eq!(read(&to_yaml(&value)), value);
}

#[test]
fn strings_that_other_readers_mistake_are_written_in_quotes() {
    for text in TRICKY.into_iter().filter(|text| !text.contains('\n')) {
        let yaml = to_yaml(&json!({ "k": text }));
        assert!(yaml.starts_with("k: \"") || yaml.starts_with("k: '"), "{yaml:?}");
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-1.0e15..1.0e15).prop_map(|number: f64| json!(number.trunc() + 0.5)),
        any::<String>().prop_map(Value::from),
        "[-~:#\n \t'\"a-c0-9_.,{}\\[\\]|>&*!%@]{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[-~:#\n 'a-c0-9_./]{0,8}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// Returns every pointer into `value`.
fn pointers(value: &Value, at: String, all: &mut Vec<String>) {
    let mut below = |key: &str, value: &Value| {
        let key = key.replace('~', "~0").replace('/', "~1");
        pointers(value, format!("{at}/{key}"), all);
    };
    match value {
        Value::Object(map) => map.iter().for_each(|(key, value)| below(key, value)),
        Value::Array(list) => {
            list.iter().enumerate().for_each(|(n, value)| below(&n.to_string(), value));
        }
        _ => {}
    }
    all.push(at);
}

proptest! {
    #[test]
    fn any_value_survives_writing_and_has_places(value in any_json()) {
        let wrapped = json!({ "k": value });
        let text = to_yaml(&wrapped);
        let documents = parse_documents("t.yaml", &text).unwrap();
        prop_assert_eq!(&documents[0].value, &wrapped, "{}", text);
        prop_assert_eq!(&parse_values(&text).unwrap()[0], &wrapped);
        let mut all = Vec::new();
        pointers(&wrapped, String::new(), &mut all);
        for pointer in all {
            prop_assert!(documents[0].span(&pointer).is_some(), "{} in {}", pointer, text);
        }
    }
}
