//! Diagnostics as people read them: the text underlined as rustc does it.

use annotate_snippets::{AnnotationKind, Element, Group, Level, Origin, Renderer, Snippet};

use crate::{
    diagnostic::{Diagnostic, Diagnostics, FileSpan, Place, Severity},
    terminal::{clean, clean_lines, clean_source},
};

/// How a report looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// Whether it is coloured.
    pub color: Color,
    /// The width of the terminal in columns; longer lines of source are cut around the mistake.
    pub width: usize,
}

/// Whether a report is coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Color {
    /// Plain text.
    Plain,
    /// ANSI escape sequences.
    Ansi,
}

impl Default for Style {
    fn default() -> Self {
        Self { color: Color::Plain, width: 120 }
    }
}

/// Returns all of `diagnostics` as text that ends with a newline; empty where there are none.
pub fn render(diagnostics: &Diagnostics, style: Style) -> String {
    let renderer = match style.color {
        Color::Plain => Renderer::plain(),
        Color::Ansi => Renderer::styled(),
    };
    let renderer = renderer.term_width(style.width);
    let mut text = String::new();
    for diagnostic in &diagnostics.0 {
        text.push_str(&renderer.render(&[group(diagnostic)]));
        text.push_str("\n\n");
    }
    text.push_str(&for_more(diagnostics));
    text
}

/// Returns the line that leads to the pages of the book.
fn for_more(diagnostics: &Diagnostics) -> String {
    let mut codes: Vec<_> = diagnostics.0.iter().map(|diagnostic| diagnostic.code).collect();
    codes.sort_unstable();
    codes.dedup();
    let others: Vec<String> = codes.iter().skip(1).map(ToString::to_string).collect();
    match (codes.first(), others.as_slice()) {
        (None, _) => String::new(),
        (Some(code), []) => format!("for more: sitewright explain {code}\n"),
        (Some(code), others) => {
            format!("for more: sitewright explain {code} (or {})\n", others.join(", "))
        }
    }
}

fn group(diagnostic: &Diagnostic) -> Group<'_> {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    // Names and messages come from repositories, servers and clusters; only the source is normalized below.
    let title =
        level.primary_title(clean_lines(&diagnostic.message)).id(diagnostic.code.to_string());
    let span = diagnostic.place.span.as_ref();
    let source = span.map(|span| source(span, diagnostic.label.as_deref()));
    // A place without text has no line to write the label under.
    let homeless = span.is_none_or(|span| span.text.is_empty());
    let label = diagnostic.label.as_deref().filter(|_| homeless);
    let notes = label.into_iter().chain(diagnostic.notes.iter().map(String::as_str));
    let notes = notes.map(|note| Level::NOTE.message(clean_lines(note)).into());
    let subject = subject(&diagnostic.place);
    let subject =
        subject.map(|subject| Level::NOTE.with_name("in").message(clean(&subject)).into());
    let help = diagnostic.help.as_deref().map(|help| Level::HELP.message(clean_lines(help)).into());
    title.elements(source.into_iter().chain(subject).chain(notes).chain(help))
}

/// Returns the component and object, in words.
fn subject(place: &Place) -> Option<String> {
    let component = place.component.as_ref().map(|component| format!("component {component}"));
    let object = place.object.as_ref().map(ToString::to_string);
    let parts: Vec<String> = component.into_iter().chain(object).collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

fn source<'a>(span: &'a FileSpan, label: Option<&'a str>) -> Element<'a> {
    if span.text.is_empty() {
        return Origin::path(clean(&span.file)).into();
    }
    let line = Line::of(span);
    let annotation = AnnotationKind::Primary.span(line.range).label(label.map(clean));
    let snippet =
        Snippet::source(clean_source(line.text)).path(clean(&span.file)).line_start(line.number);
    snippet.annotation(annotation).into()
}

/// The first line of a span: enough to find it, and a bound on what is drawn.
struct Line<'a> {
    text: &'a str,
    number: usize,
    range: std::ops::Range<usize>,
}

impl<'a> Line<'a> {
    fn of(span: &'a FileSpan) -> Self {
        let text: &str = &span.text;
        let start = text.floor_char_boundary(span.range.start);
        let (before, after) = text.split_at(start);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line_end = start + after.find(['\n', '\r']).unwrap_or(after.len());
        let end = text.floor_char_boundary(span.range.end).clamp(start, line_end);
        let trimmed = text.get(start..end).map_or(0, |underlined| underlined.trim_end().len());
        Self {
            text: text.get(line_start..line_end).unwrap_or_default(),
            number: before.matches('\n').count() + 1,
            range: start - line_start..start - line_start + trimmed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{code::format, object::Object};

    fn at(text: &str, range: std::ops::Range<usize>) -> FileSpan {
        FileSpan { file: "sites/x/site.yaml".into(), text: text.into(), range }
    }

    fn plain(diagnostics: impl Into<Diagnostics>) -> String {
        render(&diagnostics.into(), Style::default())
    }

    #[test]
    fn a_mistake_is_underlined_and_says_what_was_expected() {
        let error = Diagnostic::error(format::UNKNOWN_KEY, "unknown key `replcas`")
            .at(at("spec:\n  replcas: 3\n", 8..15), "did you mean `replicas`?")
            .note("valid keys are `image` and `replicas`")
            .help("write `replicas`")
            .component(&"web".parse().unwrap());
        insta::assert_snapshot!(plain(error));
    }

    #[test]
    fn several_share_one_last_line_and_a_place_may_have_no_text() {
        let object = serde_json::json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": { "name": "web", "namespace": "shop" },
        });
        let object = Object::new(object).unwrap();
        let first = Diagnostic::error(format::NOT_TEXT, "the file is binary").at(at("", 0..0), "");
        let second = Diagnostic::warning(format::UNKNOWN_KEY, "unknown key `x`")
            .at(at("", 0..0), "did you mean `y`?")
            .object(object.id());
        let third = Diagnostic::error(format::WRONG_TYPE, "no place at all");
        insta::assert_snapshot!(plain(Diagnostics(vec![first, second, third])));
    }

    #[test]
    fn long_lines_wide_letters_tabs_and_line_ends_are_drawn_within_the_width() {
        let long = format!("{}wrong{}", "a ".repeat(200), " b".repeat(200));
        let narrow = Style { width: 60, ..Style::default() };
        let error = |span| Diagnostic::error(format::WRONG_TYPE, "wrong").at(span, "here");
        let shown = render(&error(at(&long, 400..405)).into(), narrow);
        assert!(shown.lines().all(|line| line.chars().count() <= 70), "{shown}");
        insta::assert_snapshot!(plain(error(at("名前: wrong\r\nb: 1\r\n", 8..14))));
        insta::assert_snapshot!(plain(error(at("a:\t[x,\n  y]\n", 3..11))));
    }

    #[test]
    fn a_span_that_does_not_fit_its_text_is_still_drawn() {
        for range in [0..0, 3..3, 1..2, 5..99, 99..100] {
            let error = Diagnostic::error(format::WRONG_TYPE, "wrong").at(at("é\nb", range), "x");
            assert!(plain(error).contains("SW0103"));
        }
    }

    #[test]
    fn nothing_in_a_report_can_act_on_a_terminal() {
        let hostile = "\u{1b}]0;x\u{7} \u{9b}2J \u{202e}x\u{2066} \u{200f}";
        let span = || FileSpan {
            file: hostile.into(),
            text: format!("a: {hostile}\n").as_str().into(),
            range: 3..5,
        };
        let object = serde_json::json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": hostile },
        });
        let error = Diagnostic::error(format::WRONG_TYPE, hostile)
            .at(span(), hostile)
            .note(hostile)
            .help(hostile);
        let error = match Object::new(object) {
            Ok(object) => error.object(object.id()),
            Err(_) => error,
        };
        let homeless = Diagnostic::error(format::WRONG_TYPE, "x")
            .at(FileSpan { text: "".into(), ..span() }, hostile);
        let shown = plain(Diagnostics(vec![error, homeless]));
        let acts =
            |c: &char| *c != '\n' && (c.is_control() || "\u{202e}\u{2066}\u{200f}".contains(*c));
        assert_eq!(shown.chars().find(acts), None, "{shown}");
        assert!(shown.contains("\\u{1b}]0;x"), "{shown}");
    }

    #[test]
    fn colour_is_optional() {
        let error = Diagnostic::error(format::WRONG_TYPE, "wrong");
        let style = Style { color: Color::Ansi, width: 80 };
        assert!(render(&error.clone().into(), style).contains('\u{1b}'));
        assert!(!plain(error).contains('\u{1b}'));
        assert_eq!(plain(Diagnostics::default()), "");
    }
}
