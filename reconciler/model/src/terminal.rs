//! Text from elsewhere, made safe for a terminal.

use std::{borrow::Cow, fmt::Write as _};

/// Returns `text` with everything escaped that a terminal would act on instead of showing:
/// control characters, and marks that turn the direction of writing.
///
/// What a repository or a cluster holds is not ours; a name must not be able to move the cursor.
pub fn clean(text: &str) -> String {
    escape(text, acts).into_owned()
}

/// As [`clean`], for text of several lines: line feeds stay.
pub(crate) fn clean_lines(text: &str) -> Cow<'_, str> {
    escape(text, |character| acts(character) && character != '\n')
}

/// As [`clean`], for a line of a file whose columns are pointed at: stand-ins of the same number of
/// bytes, so that what is underlined stays so. Tabs stay.
pub(crate) fn clean_source(line: &str) -> Cow<'_, str> {
    if !line.chars().any(acts) {
        return Cow::Borrowed(line);
    }
    let stand_in = |character: char| match character.len_utf8() {
        _ if !acts(character) || character == '\t' => character,
        1 => '?',
        2 => '\u{b7}',
        _ => '\u{fffd}',
    };
    Cow::Owned(line.chars().map(stand_in).collect())
}

fn escape(text: &str, acts: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.chars().any(&acts) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        if acts(character) {
            let _ = write!(out, "{}", character.escape_unicode());
        } else {
            out.push(character);
        }
    }
    Cow::Owned(out)
}

fn acts(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_elsewhere_cannot_move_the_cursor() {
        assert_eq!(clean("a\u{1b}[2Jb\n"), "a\\u{1b}[2Jb\\u{a}");
        assert_eq!(clean("\u{202e}txt\u{9b}1m"), "\\u{202e}txt\\u{9b}1m");
        assert_eq!(clean("Zürich"), "Zürich");
        assert_eq!(clean_lines("a\n\r\u{200f}b"), "a\n\\u{d}\\u{200f}b");
    }

    #[test]
    fn a_line_of_a_file_keeps_its_columns() {
        let line = "a:\t\u{1b}[1m \u{9b} \u{061c} \u{2067}ü";
        let clean = clean_source(line);
        assert_eq!(clean, "a:\t?[1m · · \u{fffd}ü");
        assert_eq!(clean.len(), line.len());
    }
}
