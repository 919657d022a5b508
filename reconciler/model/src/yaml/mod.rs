//! The one door for YAML, in and out.
//!
//! Comes in: text. Goes out: JSON values as kubectl, Helm and Flux would read them
//! (`sigs.k8s.io/yaml`), and on demand the place of any part of them. Never: a YAML value of its
//! own; no other module names the YAML crate.
//!
//! Where Kubernetes' own reader guesses, this one refuses: a key given twice is an error, and so is
//! a key that is not text (`on:` is read as `true` there). Every input is bounded.

mod blot;
mod index;
mod mistake;
mod tree;

use std::{
    cell::LazyCell,
    fmt,
    ops::Range,
    sync::{Arc, OnceLock},
};

use serde_json::Value;

use self::index::Index;
pub use self::mistake::Mistake;
use crate::{
    code::format,
    diagnostic::{Diagnostic, Diagnostics, FileSpan},
};

/// The largest text that is read: three times the largest CRD bundle that we know of.
pub const MAX_BYTES: usize = 32 * 1024 * 1024;
/// The deepest nesting: twice what the deepest CRD schema that we know of needs; each level takes
/// some 24 KiB of stack in an unoptimised build, and a thread has 2 MiB.
const MAX_DEPTH: usize = 64;
/// The most nodes: what [`MAX_BYTES`] of manifests hold, with room to spare.
const MAX_NODES: usize = 8_000_000;
/// The most documents: a stream of the smallest objects still fits in [`MAX_BYTES`].
const MAX_DOCUMENTS: usize = 200_000;
/// The most nodes that aliases may repeat, in all: this is what stops an alias bomb.
const MAX_REPEATED: usize = 200_000;

/// One document of a YAML file, and where its parts stand in the file.
#[derive(Clone)]
pub struct Document {
    /// What the document says.
    pub value: Value,
    number: usize,
    source: Arc<Source>,
    /// The pointers of the values that no place shows.
    hidden: Vec<String>,
    /// The text without them, once it was needed.
    shown: OnceLock<Arc<str>>,
}

/// The value may hold secrets, so only the file is shown.
impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Document({})", self.source.file)
    }
}

/// A file's text, and its index once it was needed.
struct Source {
    file: String,
    text: Arc<str>,
    index: OnceLock<Index>,
}

/// Reads every document of `text`; documents that say nothing (empty, `null`) are left out.
///
/// `file` is how messages name the text.
pub fn parse_documents(file: &str, text: &str) -> Result<Vec<Document>, Diagnostics> {
    parse_format(file, text, &[], &|_| false)
}

/// Like [`parse_documents`], for formats that Kubernetes never reads: each of `words` is text where it
/// is a key, whatever Kubernetes would make of it; and a mistake shows nothing of what lies under a key
/// that `is_private`.
pub(crate) fn parse_format(
    file: &str,
    text: &str,
    words: &[&str],
    is_private: &dyn Fn(&str) -> bool,
) -> Result<Vec<Document>, Diagnostics> {
    let text = without_bom(text);
    let read = check_size(text).and_then(|()| tree::read(text, tree::Keys::AsWritten));
    let source = Source { file: file.into(), text: text.into(), index: OnceLock::new() };
    let shown = || Arc::from(blot::blot(text, is_private));
    let values = match read {
        Ok(values) => values,
        Err(mistake) => {
            let shown = shown();
            let mistakes = match mistake.code {
                format::DUPLICATE_KEY => source.duplicates(&shown),
                _ => Diagnostics::default(),
            };
            let one = || mistake.without_hidden(text, &shown).at(file, Arc::clone(&shown)).into();
            return Err(if mistakes.has_errors() { mistakes } else { one() });
        }
    };
    if values.iter().any(has_doubtful_key) {
        let mistakes = source.keys_that_are_not_text(words, &shown);
        if mistakes.has_errors() {
            return Err(mistakes);
        }
    }
    let source = Arc::new(source);
    let document = |(number, value)| Document {
        value,
        number,
        source: Arc::clone(&source),
        hidden: Vec::new(),
        shown: OnceLock::new(),
    };
    Ok(values.into_iter().enumerate().map(document).collect())
}

/// Returns whether some key may be read as something else than text.
fn has_doubtful_key(value: &Value) -> bool {
    match value {
        Value::Object(map) => map
            .iter()
            .any(|(key, value)| tree::may_be_more_than_text(key) || has_doubtful_key(value)),
        Value::Array(items) => items.iter().any(has_doubtful_key),
        _ => false,
    }
}

/// Reads every document of a rendered manifest, without places; documents that say nothing are left out.
///
/// Keys that are whole numbers become text as in Kubernetes; upstream charts write such keys.
pub fn parse_values(text: &str) -> Result<Vec<Value>, Mistake> {
    let text = without_bom(text);
    check_size(text)?;
    tree::read(text, tree::Keys::NumbersToo)
}

/// Writes `value` as YAML that every reader of Kubernetes takes for the same value.
pub fn to_yaml(value: &Value) -> String {
    let options = serde_yaml::ser_options! { prefer_block_scalars: true, yaml_12: false };
    serde_yaml::to_string_with_options(value, options)
        .expect("a JSON value has text keys and finite numbers, and a String takes every write")
}

/// Returns the bytes of a file as text, or says why they are not text.
pub fn text_of<'a>(file: &str, bytes: &'a [u8]) -> Result<&'a str, Diagnostics> {
    let refuse = |what: &str, help: &str| {
        Err(Diagnostic::error(format::NOT_TEXT, what).at(whole_file(file), "").help(help).into())
    };
    if bytes.len() > MAX_BYTES {
        return Err(too_large(bytes.len()).at(file, "".into()).into());
    }
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return refuse("the file is UTF-16, not UTF-8", "save it as UTF-8");
    }
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains('\0') => Ok(text),
        Ok(_) => refuse("the file is binary: it holds a NUL byte", "give a YAML file"),
        Err(error) => {
            let at = error.valid_up_to();
            refuse(&format!("the file is not UTF-8: byte {at} is not text"), "save it as UTF-8")
        }
    }
}

impl Document {
    /// Returns the range of the value at `pointer` (RFC 6901) in [`Document::text`].
    ///
    /// The first call on a file reads it once more to find every place in it.
    pub fn span(&self, pointer: &str) -> Option<Range<usize>> {
        self.source.index().find(self.number, pointer).map(|found| found.value)
    }

    /// Returns the range of the key that leads to the value at `pointer`.
    pub fn key_span(&self, pointer: &str) -> Option<Range<usize>> {
        self.source.index().find(self.number, pointer).and_then(|found| found.key)
    }

    /// Returns the place of the value at `pointer`; where there is none, that of what would hold it.
    pub fn place(&self, pointer: &str) -> FileSpan {
        let index = self.source.index();
        let found = ancestors(pointer).find_map(|pointer| index.find(self.number, pointer));
        let range = found.map_or(0..0, |found| match found.key {
            Some(key) if found.value.is_empty() => key,
            _ => found.value,
        });
        self.source.span(range, self.shown())
    }

    /// Returns the place of the key that leads to `pointer`; where there is none, as [`Document::place`].
    pub fn key_place(&self, pointer: &str) -> FileSpan {
        match self.key_span(pointer) {
            Some(range) => self.source.span(range, self.shown()),
            None => self.place(pointer),
        }
    }

    /// Hides the values at `pointers`: places no longer show them.
    pub(crate) fn hide(&mut self, pointers: Vec<String>) {
        self.hidden = pointers;
        self.shown = OnceLock::new();
    }

    fn shown(&self) -> &Arc<str> {
        if self.hidden.is_empty() {
            return &self.source.text;
        }
        self.shown.get_or_init(|| self.without(self.hidden.iter().map(String::as_str)))
    }

    /// Returns the text of the whole file with the values at `pointers` blotted out.
    pub(crate) fn without<'p>(&self, pointers: impl IntoIterator<Item = &'p str>) -> Arc<str> {
        let mut text = self.source.text.to_string();
        for range in pointers.into_iter().filter_map(|pointer| self.span(pointer)) {
            if let Some(hidden) = text.get(range.clone()).map(blot::hide) {
                text.replace_range(range, &hidden);
            }
        }
        text.into()
    }

    /// Returns the file as messages name it.
    pub fn file(&self) -> &str {
        &self.source.file
    }

    /// Returns the text of the whole file, without a byte-order mark; it may hold secrets.
    pub fn text(&self) -> &Arc<str> {
        &self.source.text
    }
}

impl Source {
    fn index(&self) -> &Index {
        self.index.get_or_init(|| Index::new(&self.text))
    }

    fn span(&self, range: Range<usize>, shown: &Arc<str>) -> FileSpan {
        FileSpan { file: self.file.clone(), text: Arc::clone(shown), range }
    }

    /// Returns an error for each key that stands twice in one map.
    fn duplicates(&self, shown: &Arc<str>) -> Diagnostics {
        let error = |(key, first, second): (&str, Range<usize>, Range<usize>)| {
            Diagnostic::error(format::DUPLICATE_KEY, format!("key `{key}` is given twice"))
                .at(self.span(second, shown), "given again here")
                .note(format!("it is first given at {}", self.span(first, shown)))
                .help("keep one of the two")
        };
        Diagnostics(self.index().duplicates().map(error).collect()).in_order()
    }

    /// Returns an error for each plain key that Kubernetes would read as something else than text.
    fn keys_that_are_not_text(&self, words: &[&str], shown: &dyn Fn() -> Arc<str>) -> Diagnostics {
        let shown = LazyCell::new(shown);
        let keys = self.index().plain_keys().filter(|(key, _)| !words.contains(key));
        let errors = keys.filter_map(|(key, range)| {
            let mistake = Mistake::key_not_text(key, tree::read_as(key)?, range);
            Some(mistake.at(&self.file, Arc::clone(&shown)))
        });
        Diagnostics(errors.collect()).in_order()
    }
}

/// Returns the place of a whole file, without its text.
pub(crate) fn whole_file(file: &str) -> FileSpan {
    FileSpan { file: file.to_owned(), text: "".into(), range: 0..0 }
}

/// Returns `pointer`, then what holds it, and so on up to the root.
pub(crate) fn ancestors(pointer: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(pointer), |pointer| {
        pointer.rfind('/').and_then(|slash| pointer.get(..slash))
    })
}

/// Returns the line and the column, in characters, of the byte at `offset`; both count from 1.
pub(crate) fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let column = before.get(line_start..).map_or(0, |line| line.chars().count());
    (before.matches('\n').count() + 1, column + 1)
}

fn without_bom(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

fn check_size(text: &str) -> Result<(), Mistake> {
    if text.len() > MAX_BYTES { Err(too_large(text.len())) } else { Ok(()) }
}

fn too_large(bytes: usize) -> Mistake {
    let mebibytes = |bytes: usize| bytes / (1024 * 1024);
    let message = format!(
        "the text is {} MiB long; at most {} MiB are read",
        mebibytes(bytes),
        mebibytes(MAX_BYTES)
    );
    Mistake::new(format::TOO_LARGE, message, 0..0).help("split the file")
}

#[cfg(test)]
mod tests;
