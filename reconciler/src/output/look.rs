//! How human output looks: width, glyphs, detail, colours.

use std::fmt::Display;

use anstyle::{AnsiColor, Style};

/// How human output looks. A value, so that printers stay pure and tests can pin it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// Columns of the terminal; [`UNLIMITED`] where there is none.
    pub width: usize,
    /// Which characters may be used.
    pub glyphs: Glyphs,
    /// How much is told.
    pub detail: Detail,
}

/// The width of output that no terminal shows: nothing is cut for want of room.
pub const UNLIMITED: usize = usize::MAX;

/// How much is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Detail {
    /// The lines one decides by: no fields.
    Brief,
    /// Long values and long lists are folded.
    #[default]
    Folded,
    /// Everything.
    Full,
}

/// Which characters may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Glyphs {
    /// The locale is UTF-8.
    Unicode,
    /// Plain ASCII.
    Ascii,
}

impl Glyphs {
    /// Returns the glyphs of a locale, as the first set one of `LC_ALL`, `LC_CTYPE` and `LANG` names it.
    pub fn of_locale(variable: impl Fn(&str) -> Option<String>) -> Self {
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
            .iter()
            .find_map(|name| variable(name).filter(|value| !value.is_empty()))
            .unwrap_or_default()
            .to_ascii_lowercase();
        if locale.contains("utf-8") || locale.contains("utf8") {
            Self::Unicode
        } else {
            Self::Ascii
        }
    }

    fn pick(self, unicode: &'static str, ascii: &'static str) -> &'static str {
        match self {
            Self::Unicode => unicode,
            Self::Ascii => ascii,
        }
    }

    /// Returns what stands between an old and a new value.
    pub fn arrow(self) -> &'static str {
        self.pick("→", "->")
    }

    /// Returns the mark of something left out.
    pub fn ellipsis(self) -> &'static str {
        self.pick("…", "...")
    }

    /// Returns the mark of success.
    pub fn ok(self) -> &'static str {
        self.pick("✓", "ok")
    }

    /// Returns the mark of a failure.
    pub fn fail(self) -> &'static str {
        self.pick("✗", "XX")
    }

    /// Returns the mark of something to look at.
    pub fn warn(self) -> &'static str {
        self.pick("!", "!")
    }

    /// Returns the mark of something under way.
    pub fn wait(self) -> &'static str {
        self.pick("◌", "..")
    }

    /// Returns what stands between two facts of one line.
    pub fn dot(self) -> &'static str {
        self.pick("·", "-")
    }
}

impl Look {
    /// Returns the look of plain output that nothing limits: Unicode, folded.
    pub const fn plain() -> Self {
        Self { width: UNLIMITED, glyphs: Glyphs::Unicode, detail: Detail::Folded }
    }

    /// Returns the same look with another amount of detail.
    #[must_use]
    pub const fn with_detail(self, detail: Detail) -> Self {
        Self { detail, ..self }
    }

    /// Returns the columns that prose may take: the width, and never so wide that lines are hard to read.
    pub fn prose_width(&self) -> usize {
        self.width.min(100)
    }
}

/// Something that is made.
pub const CREATE: Style = AnsiColor::Green.on_default();
/// Something that changes.
pub const UPDATE: Style = AnsiColor::Yellow.on_default();
/// Something that goes.
pub const DELETE: Style = AnsiColor::Red.on_default();
/// Something that waits for a person.
pub const HELD: Style = AnsiColor::Magenta.on_default().bold();
/// Something to look at.
pub const WARN: Style = AnsiColor::Yellow.on_default().bold();
/// Something wrong.
pub const FAIL: Style = AnsiColor::Red.on_default().bold();
/// Something good.
pub const GOOD: Style = AnsiColor::Green.on_default();
/// A heading, or the name of a component.
pub const STRONG: Style = Style::new().bold();
/// What may be skipped.
pub const DIM: Style = Style::new().dimmed();
/// Something to type or paste.
pub const CODE: Style = AnsiColor::Cyan.on_default();
/// No style.
pub const PLAIN: Style = Style::new();

/// Returns `text` in `style`; the stream that it is written to takes the style off where it cannot be shown.
pub fn paint(style: Style, text: impl Display) -> String {
    format!("{style}{text}{style:#}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_locale_variable_that_is_set_decides() {
        let utf8 = |name: &str| (name == "LANG").then(|| "de_CH.UTF-8".to_owned());
        assert_eq!(Glyphs::of_locale(utf8), Glyphs::Unicode);
        let posix = |name: &str| match name {
            "LC_ALL" => Some("C".to_owned()),
            _ => Some("de_CH.UTF-8".to_owned()),
        };
        assert_eq!(Glyphs::of_locale(posix), Glyphs::Ascii);
        assert_eq!(Glyphs::of_locale(|_| None), Glyphs::Ascii);
    }
}
