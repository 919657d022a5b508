//! Where each part of a YAML file stands, found by a second reading.
//!
//! Values are read without places, since almost no file has a mistake; this index is built from the
//! parser's events when the first mistake is to be shown.

use std::{collections::BTreeMap, ops::Range};

use serde_yaml::granit_parser::{
    Event, Options, Parser, ScalarStyle, Span, StructureStyle, Tag, options as parser_options,
};

/// How many aliases and merges one look-up follows: a merge may refer to itself.
const MAX_HOPS: usize = 64;

/// The places of all nodes of a file.
#[derive(Debug, Default)]
pub(super) struct Index {
    nodes: Vec<Node>,
    /// The root of each document that says something.
    roots: Vec<NodeId>,
    /// By the parser's number for the anchor.
    anchors: BTreeMap<usize, NodeId>,
}

/// A position in [`Index::nodes`].
type NodeId = usize;

#[derive(Debug)]
struct Node {
    range: Range<usize>,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// The text is kept where an anchor lets it be a key elsewhere.
    Scalar(Option<Box<str>>),
    Alias(usize),
    List(Vec<NodeId>),
    Map(Vec<Entry>),
}

#[derive(Debug)]
struct Entry {
    key: Key,
    value: NodeId,
}

#[derive(Debug)]
struct Key {
    text: Box<str>,
    range: Range<usize>,
    style: KeyStyle,
}

/// Whether what a key is read as depends on its letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum KeyStyle {
    /// Neither quoted nor tagged as text: `on` is a boolean.
    Plain,
    /// Quoted, tagged as text, or an alias.
    Clear,
}

/// Where a value stands, and the key that leads to it.
pub(super) struct Found {
    pub(super) key: Option<Range<usize>>,
    pub(super) value: Range<usize>,
}

impl Index {
    /// Reads `text` once more. A text that cannot be read gives the places up to the mistake.
    pub(super) fn new(text: &str) -> Self {
        let mut options: Options = parser_options! { block_nesting_limit: super::MAX_DEPTH + 1 };
        options.set_emit_comments(false);
        let mut builder = Builder::default();
        for event in Parser::new_from_str_with_options(text, options) {
            let Ok((event, span)) = event else { break };
            if builder.take(event, &span).is_none() {
                break;
            }
        }
        builder.index
    }

    /// Finds the value at `pointer` in the document with this number.
    pub(super) fn find(&self, document: usize, pointer: &str) -> Option<Found> {
        let mut node = *self.roots.get(document)?;
        let mut key = None;
        for part in pointer.split('/').skip(1) {
            let part = part.replace("~1", "/").replace("~0", "~");
            (key, node) = match &self.resolve(node)?.kind {
                Kind::List(items) => (None, *items.get(part.parse::<usize>().ok()?)?),
                Kind::Map(_) => {
                    let entry = self.entry(node, &part, &mut MAX_HOPS.clone())?;
                    (Some(entry.key.range.clone()), entry.value)
                }
                Kind::Scalar(_) | Kind::Alias(_) => return None,
            };
        }
        Some(Found { key, value: self.nodes.get(node)?.range.clone() })
    }

    /// Returns each key that stands twice in one map, with its first and its other place.
    pub(super) fn duplicates(&self) -> impl Iterator<Item = (&str, Range<usize>, Range<usize>)> {
        self.maps().flat_map(|entries| {
            let mut seen: BTreeMap<&str, &Range<usize>> = BTreeMap::new();
            let keys = entries.iter().map(|entry| &entry.key).filter(|key| *key.text != *"<<");
            keys.filter_map(move |key| match seen.get(&*key.text) {
                Some(first) => Some((&*key.text, (*first).clone(), key.range.clone())),
                None => {
                    seen.insert(&key.text, &key.range);
                    None
                }
            })
        })
    }

    /// Returns each key that is neither quoted nor tagged as text.
    pub(super) fn plain_keys(&self) -> impl Iterator<Item = (&str, Range<usize>)> {
        let keys = self.maps().flatten().map(|entry| &entry.key);
        let plain = keys.filter(|key| key.style == KeyStyle::Plain);
        plain.map(|key| (&*key.text, key.range.clone()))
    }

    fn maps(&self) -> impl Iterator<Item = &[Entry]> {
        self.nodes.iter().filter_map(|node| match &node.kind {
            Kind::Map(entries) => Some(entries.as_slice()),
            _ => None,
        })
    }

    /// Follows an alias to what it stands for.
    fn resolve(&self, node: NodeId) -> Option<&Node> {
        let node = self.nodes.get(node)?;
        match node.kind {
            Kind::Alias(anchor) => self.nodes.get(*self.anchors.get(&anchor)?),
            _ => Some(node),
        }
    }

    /// Finds `key` in a map: among its own entries, then in what it merges.
    fn entry(&self, map: NodeId, key: &str, hops: &mut usize) -> Option<&Entry> {
        *hops = hops.checked_sub(1)?;
        let Kind::Map(entries) = &self.resolve(map)?.kind else { return None };
        if let Some(entry) = entries.iter().find(|entry| *entry.key.text == *key) {
            return Some(entry);
        }
        entries.iter().filter(|entry| *entry.key.text == *"<<").find_map(|merge| {
            match &self.resolve(merge.value)?.kind {
                Kind::List(items) => items.iter().find_map(|item| self.entry(*item, key, hops)),
                _ => self.entry(merge.value, key, hops),
            }
        })
    }
}

/// Builds the index event by event.
#[derive(Default)]
struct Builder {
    index: Index,
    open: Vec<Open>,
}

/// A collection that is not closed yet.
struct Open {
    node: NodeId,
    is_map: bool,
    style: StructureStyle,
    /// The key that waits for its value.
    key: Option<Key>,
}

impl Builder {
    /// Takes in one event; none where the text is nothing that a value can be read from.
    fn take(&mut self, event: Event<'_>, span: &Span) -> Option<()> {
        let range = span.byte_range()?;
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let tag = tag.as_deref().map(Tag::suffix);
                if self.open.is_empty() && says_nothing(&text, style, tag) {
                    return Some(());
                }
                let kept = (anchor > 0).then(|| Box::from(&*text));
                let is_key = self.key_is_next();
                let node = self.add(anchor, range.clone(), Kind::Scalar(kept));
                if !is_key {
                    return self.attach(node);
                }
                // An unknown tag changes nothing: `!mine no` is a boolean too.
                let is_text = style != ScalarStyle::Plain || matches!(tag, Some("str" | "!"));
                let style = if is_text { KeyStyle::Clear } else { KeyStyle::Plain };
                self.set_key(Key { text: (&*text).into(), range, style })
            }
            Event::Alias(anchor) if self.key_is_next() => {
                let text = self.anchored_text(anchor)?;
                self.set_key(Key { text, range, style: KeyStyle::Clear })
            }
            Event::Alias(anchor) => {
                let node = self.add(0, range, Kind::Alias(anchor));
                self.attach(node)
            }
            Event::SequenceStart(style, anchor, _) => {
                self.start(style, anchor, range, Kind::List(Vec::new()))
            }
            Event::MappingStart(style, anchor, _) => {
                self.start(style, anchor, range, Kind::Map(Vec::new()))
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(range),
            _ => Some(()),
        }
    }

    fn add(&mut self, anchor: usize, range: Range<usize>, kind: Kind) -> NodeId {
        let id = self.index.nodes.len();
        self.index.nodes.push(Node { range, kind });
        if anchor > 0 {
            self.index.anchors.insert(anchor, id);
        }
        id
    }

    fn start(
        &mut self,
        style: StructureStyle,
        anchor: usize,
        range: Range<usize>,
        kind: Kind,
    ) -> Option<()> {
        if self.key_is_next() {
            return None;
        }
        let is_map = matches!(kind, Kind::Map(_));
        let node = self.add(anchor, range, kind);
        self.attach(node)?;
        self.open.push(Open { node, is_map, style, key: None });
        Some(())
    }

    fn end(&mut self, range: Range<usize>) -> Option<()> {
        let open = self.open.pop()?;
        let end = match open.style {
            StructureStyle::Flow => range.end,
            // A block ends where its last part ends, not where the next line starts.
            StructureStyle::Block => self.last_part_end(open.node).unwrap_or(range.start),
        };
        let node = self.index.nodes.get_mut(open.node)?;
        node.range.end = end.max(node.range.start);
        Some(())
    }

    fn last_part_end(&self, node: NodeId) -> Option<usize> {
        let end_of = |id: NodeId| self.index.nodes.get(id).map(|node| node.range.end);
        match &self.index.nodes.get(node)?.kind {
            Kind::List(items) => items.last().and_then(|item| end_of(*item)),
            Kind::Map(entries) => {
                let last = entries.last()?;
                end_of(last.value).map(|end| end.max(last.key.range.end))
            }
            Kind::Scalar(_) | Kind::Alias(_) => None,
        }
    }

    fn key_is_next(&self) -> bool {
        self.open.last().is_some_and(|open| open.is_map && open.key.is_none())
    }

    fn set_key(&mut self, key: Key) -> Option<()> {
        self.open.last_mut()?.key = Some(key);
        Some(())
    }

    fn anchored_text(&self, anchor: usize) -> Option<Box<str>> {
        match &self.index.nodes.get(*self.index.anchors.get(&anchor)?)?.kind {
            Kind::Scalar(text) => text.clone(),
            _ => None,
        }
    }

    /// Puts a node where it belongs: into the innermost open collection, or at the root.
    fn attach(&mut self, node: NodeId) -> Option<()> {
        let Some(open) = self.open.last_mut() else {
            self.index.roots.push(node);
            return Some(());
        };
        match &mut self.index.nodes.get_mut(open.node)?.kind {
            Kind::List(items) => items.push(node),
            Kind::Map(entries) => {
                entries.push(Entry { key: open.key.take()?, value: node });
            }
            Kind::Scalar(_) | Kind::Alias(_) => return None,
        }
        Some(())
    }
}

/// Returns whether a document with only this in it is left out, as the reader does.
fn says_nothing(text: &str, style: ScalarStyle, tag: Option<&str>) -> bool {
    match tag {
        Some(tag) => tag == "null",
        None => style == ScalarStyle::Plain && matches!(text, "" | "~" | "null" | "Null" | "NULL"),
    }
}
