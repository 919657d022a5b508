//! What is shown when something is wrong: a number, a place, and a way out (law 12).

use std::{fmt, ops::Range, sync::Arc};

use crate::{code::Code, name::ComponentName, object::ObjectId};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Work goes on; something should be looked at.
    Warning,
    /// The command fails.
    Error,
}

/// A span of a text file.
#[derive(Clone, PartialEq, Eq)]
pub struct FileSpan {
    /// The file as people know it, relative to the repository.
    pub file: String,
    /// The whole text of the file; empty where it may hold secrets or is not text.
    pub text: Arc<str>,
    /// The byte range within `text`; empty at 0 where only the file is known.
    pub range: Range<usize>,
}

impl fmt::Display for FileSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.text.is_empty() {
            return Ok(());
        }
        let (line, column) = crate::yaml::line_and_column(&self.text, self.range.start);
        write!(f, ":{line}:{column}")
    }
}

impl fmt::Debug for FileSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{:?}]", self.file, self.range)
    }
}

/// Where it is wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The file and span, where there is one.
    pub span: Option<FileSpan>,
    /// The component, where there is one.
    pub component: Option<ComponentName>,
    /// The object, where there is one.
    pub object: Option<ObjectId>,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// The number and title.
    pub code: Code,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, in one sentence without a full stop; never holds a secret.
    pub message: String,
    /// Where it is wrong. Boxed to keep results small.
    pub place: Box<Place>,
    /// What to write under the underlined text: expected, nearest valid name.
    pub label: Option<String>,
    /// Further facts, one sentence each: causes, the other place.
    pub notes: Vec<String>,
    /// The way out.
    pub help: Option<String>,
}

impl Diagnostic {
    /// Makes an error.
    pub fn error(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            severity: Severity::Error,
            message: message.into(),
            place: Box::default(),
            label: None,
            notes: Vec::new(),
            help: None,
        }
    }

    /// Makes a warning.
    pub fn warning(code: Code, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, message) }
    }

    /// Adds the span, and what to write under it.
    #[must_use]
    pub fn at(mut self, span: FileSpan, label: impl Into<String>) -> Self {
        self.place.span = Some(span);
        self.label = Some(label.into()).filter(|label: &String| !label.is_empty());
        self
    }

    /// Adds the component.
    #[must_use]
    pub fn component(mut self, component: &ComponentName) -> Self {
        self.place.component = Some(component.clone());
        self
    }

    /// Adds the object.
    #[must_use]
    pub fn object(mut self, object: &ObjectId) -> Self {
        self.place.object = Some(object.clone());
        self
    }

    /// Adds a further fact.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// Adds the way out.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// All that is wrong with one input; never empty when returned as an error.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diagnostics(pub Vec<Diagnostic>);

impl Diagnostics {
    /// Returns whether any of them is an error.
    pub fn has_errors(&self) -> bool {
        self.0.iter().any(|diagnostic| diagnostic.severity == Severity::Error)
    }

    /// Adds one.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.0.push(diagnostic);
    }

    /// Adds all of `other`.
    pub fn extend(&mut self, other: Diagnostics) {
        self.0.extend(other.0);
    }

    /// Returns them in the order of their places, file by file.
    #[must_use]
    pub fn in_order(mut self) -> Self {
        self.0.sort_by(|one, other| {
            let place = |diagnostic: &Diagnostic| {
                let span = diagnostic.place.span.as_ref();
                span.map(|span| (span.file.clone(), span.range.start))
            };
            place(one).cmp(&place(other))
        });
        self
    }
}

impl From<Diagnostic> for Diagnostics {
    fn from(diagnostic: Diagnostic) -> Self {
        Self(vec![diagnostic])
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for Diagnostic {}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, diagnostic) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            fmt::Display::fmt(diagnostic, f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostics {}
