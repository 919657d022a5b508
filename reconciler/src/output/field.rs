//! One changed field as lines: short values on one line, long ones as a folded line diff.
//!
//! Comes in: a [`FieldChange`]. Goes out: [`FieldLines`], which text and Markdown draw in their own way.
//! Secrets need no care here: a [`Shown::Secret`] has no value to print.

use serde_json::Value;
use similar::{ChangeTag, TextDiff};
use sitewright_model::{
    object::Shown,
    plan::{Attribution, FieldChange},
};

use super::{
    look::{Detail, Look},
    words,
};

/// Values up to this many characters stay on the line of their field.
const INLINE: usize = 60;
/// Unchanged lines that are shown around a changed one.
const CONTEXT: usize = 2;
/// Lines of one diff that are shown unless everything is asked for.
const DIFF_LINES: usize = 24;
/// Texts of more lines than this are not compared line by line: the comparison could take seconds.
const DIFF_INPUT_LINES: usize = 20_000;

/// One changed field, ready to be drawn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldLines {
    /// The path of the field.
    pub field: String,
    /// What became of it.
    pub body: Body,
    /// Who wrote the live value, where it is not us.
    pub by: Option<String>,
}

/// What became of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// Old and new value, each on one line.
    Inline(String, String),
    /// A line diff.
    Diff(Vec<DiffLine>),
}

/// One line of a diff.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DiffLine {
    /// It stays.
    Kept(String),
    /// It goes.
    Gone(String),
    /// It comes.
    New(String),
    /// So many lines are left out here.
    Folded(String),
}

/// Returns `change` as lines.
pub fn lines(change: &FieldChange, look: &Look) -> FieldLines {
    FieldLines {
        field: words::clean(&change.field),
        body: body(&change.before, &change.after, look),
        by: change.by.as_ref().map(attribution),
    }
}

/// Returns who wrote a value and when, for example `kubectl-edit, 2026-11-03 14:02 UTC`.
pub fn attribution(by: &Attribution) -> String {
    let manager = words::clean(&by.manager);
    match &by.time {
        Some(time) => format!("{manager}, {}", words::time(time)),
        None => manager,
    }
}

/// Returns `value` on one line, cut to fit; what was cut is said.
pub fn inline(value: &Shown, look: &Look) -> String {
    match value {
        Shown::Absent => "(none)".to_owned(),
        Shown::Secret => "(secret)".to_owned(),
        Shown::Value(value) => one_line(value, look, 0),
    }
}

fn body(before: &Shown, after: &Shown, look: &Look) -> Body {
    let (old, new) = match (before, after) {
        (Shown::Secret, Shown::Secret) => {
            return Body::Inline("(secret)".into(), "(secret, changed)".into());
        }
        (Shown::Value(old), Shown::Value(new)) => (Some(old), Some(new)),
        (Shown::Value(old), Shown::Absent) => (Some(old), None),
        (Shown::Absent, Shown::Value(new)) => (None, Some(new)),
        _ => return Body::Inline(inline(before, look), inline(after, look)),
    };
    let spread = [old, new].into_iter().flatten().any(needs_lines);
    match (old.map_or_else(Vec::new, spread_lines), new.map_or_else(Vec::new, spread_lines)) {
        (old, new) if spread && old.len().max(new.len()) <= DIFF_INPUT_LINES => {
            Body::Diff(diff(&old, &new, look))
        }
        _ => {
            let skip = common_head(old, new);
            let text = |value: Option<&Value>| match value {
                Some(value) => one_line(value, look, skip),
                None => "(none)".to_owned(),
            };
            Body::Inline(text(old), text(new))
        }
    }
}

/// Returns the difference of two texts, line by line, folded.
pub fn text_diff(old: &str, new: &str, look: &Look) -> Vec<DiffLine> {
    let lines = |text: &str| text.lines().map(words::clean).collect::<Vec<_>>();
    diff(&lines(old), &lines(new), look)
}

/// Returns whether a value is better shown as lines than on one line.
fn needs_lines(value: &Value) -> bool {
    match value {
        Value::String(text) => text.trim_end_matches('\n').contains('\n'),
        Value::Array(_) | Value::Object(_) => compact(value).chars().count() > INLINE,
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

fn spread_lines(value: &Value) -> Vec<String> {
    let text = match value {
        Value::String(text) => text.clone(),
        other => serde_json::to_string_pretty(other)
            .expect("a JSON value has string keys and so always serializes"),
    };
    text.lines().map(|line| words::clean(&line.replace('\t', "    "))).collect()
}

fn one_line(value: &Value, look: &Look, skip: usize) -> String {
    let text = match value {
        Value::String(text) => return quoted(text, look, skip),
        other => compact(other),
    };
    if look.detail == Detail::Full || text.chars().count() <= INLINE {
        return words::clean(&text);
    }
    match value {
        Value::Array(items) => format!("[{}]", words::count(items.len(), "item")),
        Value::Object(fields) => format!("{{{}}}", words::count(fields.len(), "field")),
        _ => words::clean(&words::cut(&text, INLINE, look.glyphs.ellipsis())),
    }
}

/// Returns `text` in quotes, from the `skip`th character on, cut to fit.
fn quoted(text: &str, look: &Look, skip: usize) -> String {
    let length = text.chars().count();
    let dots = look.glyphs.ellipsis();
    if look.detail == Detail::Full || length <= INLINE {
        return escaped(text);
    }
    let part: String = text.chars().skip(skip).take(INLINE).collect();
    let head = if skip > 0 { dots } else { "" };
    let tail = if skip + INLINE < length { dots } else { "" };
    format!("{head}{}{tail} ({})", escaped(&part), words::count(length, "character"))
}

/// Returns `text` as a JSON string that no terminal acts on.
fn escaped(text: &str) -> String {
    words::clean(&Value::String(text.to_owned()).to_string())
}

/// Returns how many characters two long texts may lose in front and still show where they part.
fn common_head(old: Option<&Value>, new: Option<&Value>) -> usize {
    const LEAD: usize = 12;
    let (Some(Value::String(old)), Some(Value::String(new))) = (old, new) else { return 0 };
    let common = old.chars().zip(new.chars()).take_while(|(a, b)| a == b).count();
    if common + LEAD < INLINE { 0 } else { common - LEAD }
}

fn compact(value: &Value) -> String {
    value.to_string()
}

fn diff(old: &[String], new: &[String], look: &Look) -> Vec<DiffLine> {
    let old: Vec<&str> = old.iter().map(String::as_str).collect();
    let new: Vec<&str> = new.iter().map(String::as_str).collect();
    let diff = TextDiff::from_slices(&old, &new);
    let mut lines = Vec::new();
    let mut seen = 0;
    for group in diff.grouped_ops(CONTEXT) {
        let start = group.first().map_or(seen, |op| op.old_range().start);
        fold(&mut lines, start - seen, look);
        for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
            let text = change.value().to_owned();
            lines.push(match change.tag() {
                ChangeTag::Equal => DiffLine::Kept(text),
                ChangeTag::Delete => DiffLine::Gone(text),
                ChangeTag::Insert => DiffLine::New(text),
            });
        }
        seen = group.last().map_or(seen, |op| op.old_range().end);
    }
    fold(&mut lines, old.len() - seen, look);
    bounded(lines, look)
}

fn fold(lines: &mut Vec<DiffLine>, count: usize, look: &Look) {
    if count > 0 {
        let dots = look.glyphs.ellipsis();
        lines.push(DiffLine::Folded(format!("{dots} {}", words::count(count, "unchanged line"))));
    }
}

fn bounded(mut lines: Vec<DiffLine>, look: &Look) -> Vec<DiffLine> {
    if look.detail != Detail::Full && lines.len() > DIFF_LINES {
        let rest = lines.split_off(DIFF_LINES);
        let changed =
            rest.iter().filter(|line| matches!(line, DiffLine::Gone(_) | DiffLine::New(_))).count();
        let dots = look.glyphs.ellipsis();
        lines.push(DiffLine::Folded(format!(
            "{dots} {}",
            words::count(changed, "more changed line")
        )));
    }
    lines
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn change(before: Shown, after: Shown) -> FieldLines {
        let change = FieldChange { field: "spec.x".into(), before, after, by: None };
        lines(&change, &Look::plain())
    }

    fn value(value: Value) -> Shown {
        Shown::Value(value)
    }

    #[test]
    fn short_values_stay_on_one_line() {
        let lines = change(value(json!(1)), value(json!(2)));
        assert_eq!(lines.body, Body::Inline("1".into(), "2".into()));
        let lines = change(Shown::Absent, value(json!({ "a": [1, "b"] })));
        assert_eq!(lines.body, Body::Inline("(none)".into(), r#"{"a":[1,"b"]}"#.into()));
    }

    #[test]
    fn a_changed_secret_is_said_to_have_changed() {
        let lines = change(Shown::Secret, Shown::Secret);
        assert_eq!(lines.body, Body::Inline("(secret)".into(), "(secret, changed)".into()));
    }

    #[test]
    fn long_texts_show_the_part_where_they_differ() {
        let text = |end: &str| value(json!(format!("{}{end}", "x".repeat(500))));
        let Body::Inline(before, after) = change(text("old"), text("new")).body else { panic!() };
        assert_eq!(before, r#"…"xxxxxxxxxxxxold" (503 characters)"#);
        assert_eq!(after, r#"…"xxxxxxxxxxxxnew" (503 characters)"#);
    }

    #[test]
    fn texts_of_many_lines_become_a_folded_diff() {
        let text = |middle: &str| {
            let mut lines: Vec<String> = (0..40).map(|n| format!("line {n}")).collect();
            lines[20] = middle.into();
            value(json!(lines.join("\n")))
        };
        let Body::Diff(lines) = change(text("old"), text("new")).body else { panic!() };
        assert_eq!(lines.first(), Some(&DiffLine::Folded("… 18 unchanged lines".into())));
        assert!(lines.contains(&DiffLine::Gone("old".into())));
        assert!(lines.contains(&DiffLine::New("new".into())));
        assert_eq!(lines.len(), 8);
    }

    #[test]
    fn long_lists_are_compared_item_by_item() {
        let list = |n: usize| value(json!((0..n).map(|n| format!("user-{n}")).collect::<Vec<_>>()));
        let Body::Diff(lines) = change(list(40), list(41)).body else { panic!() };
        assert!(lines.contains(&DiffLine::New("  \"user-40\"".into())));
    }

    #[test]
    fn a_value_cannot_move_the_cursor() {
        let lines = change(Shown::Absent, value(json!("a\u{1b}[2J\u{9b}b")));
        assert_eq!(lines.body, Body::Inline("(none)".into(), r#""a\u001b[2J\u{9b}b""#.into()));
    }
}
