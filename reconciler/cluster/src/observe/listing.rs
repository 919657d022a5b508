//! Lists, read page by page and object by object, so that no more than a page is ever in memory.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::{Value, value::RawValue};
use sitewright_model::{
    live::LiveObject,
    name::SiteName,
    object::{ObjectId, SITE_LABEL},
};

use super::body;
use crate::{
    Error,
    client::{
        http::{Answer, Http, Request},
        path::{Resource, query},
    },
};

/// Objects of a page: the figure of kubectl and client-go.
const PAGE: u64 = 500;

/// A list whose continue token expired begins anew, so often.
const FRESH_STARTS: usize = 3;

/// Asks for names, labels and the like, without the objects' content.
pub(crate) const METADATA_ONLY: &str =
    "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json";

/// Namespace and name within one kind.
pub(crate) type Key = (Option<String>, String);

/// Returns the key of `id` among the objects of `resource`.
pub(crate) fn key(id: &ObjectId, resource: &Resource) -> Key {
    (id.namespace.clone().filter(|_| resource.namespaced), id.name.clone())
}

/// What becomes of a list.
pub(crate) trait Visit {
    /// Takes one object.
    fn item(&mut self, key: Key, value: Value) -> Result<(), Error>;

    /// Decides after a page whether to read on; `remaining` is what the server says is left.
    fn after_page(&mut self, remaining: Option<u64>) -> Next {
        let _ = remaining;
        Next::Page
    }

    /// Forgets all items: the list begins anew.
    fn restart(&mut self);
}

/// Whether to read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Read the next page.
    Page,
    /// It is enough.
    Enough,
}

/// What is asked for.
#[derive(Clone, Copy)]
pub(crate) struct Query<'a> {
    pub(crate) namespace: Option<&'a str>,
    pub(crate) selector: Option<&'a str>,
    /// A field selector.
    pub(crate) fields: Option<&'a str>,
    pub(crate) content: Content,
    /// Objects of a page.
    pub(crate) page: u64,
}

/// How much of each object is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    Whole,
    Metadata,
}

impl Query<'_> {
    /// All objects of a kind, whole.
    pub(crate) const ALL: Self =
        Self { namespace: None, selector: None, fields: None, content: Content::Whole, page: PAGE };
}

#[derive(Deserialize)]
struct Page<'a> {
    #[serde(default)]
    metadata: PageMetadata,
    /// `null` where an answer of metadata only has no object in it.
    #[serde(borrow, default)]
    items: Option<Vec<&'a RawValue>>,
}

#[derive(Default, Deserialize)]
struct PageMetadata {
    #[serde(rename = "continue", default)]
    token: String,
    #[serde(rename = "remainingItemCount", default)]
    remaining: Option<u64>,
}

/// Reads the objects of `resource` that `asked` describes.
pub(crate) async fn read<V: Visit>(
    http: &Http,
    resource: &Resource,
    asked: Query<'_>,
    visit: &mut V,
) -> Result<(), Error> {
    let mut token = String::new();
    let mut starts = 0;
    loop {
        let answer = match page(http, resource, asked, &token).await {
            Err(Error::Refused { why, .. }) if is_expired(&why) && starts < FRESH_STARTS => {
                starts += 1;
                token.clear();
                visit.restart();
                continue;
            }
            other => other?,
        };
        let page: Page<'_> =
            serde_json::from_slice(&answer.body).map_err(|_| senseless(resource))?;
        for text in page.items.unwrap_or_default() {
            let value = item(text, resource)?;
            visit.item(key_of(&value), value)?;
        }
        let next = visit.after_page(page.metadata.remaining);
        if page.metadata.token.is_empty() || next == Next::Enough {
            return Ok(());
        }
        token = page.metadata.token;
    }
}

async fn page(
    http: &Http,
    resource: &Resource,
    asked: Query<'_>,
    token: &str,
) -> Result<Answer, Error> {
    let limit = asked.page.to_string();
    let mut pairs = vec![("limit", limit.as_str())];
    pairs.extend(asked.selector.map(|selector| ("labelSelector", selector)));
    pairs.extend(asked.fields.map(|fields| ("fieldSelector", fields)));
    if !token.is_empty() {
        pairs.push(("continue", token));
    }
    let url = query(&resource.collection(asked.namespace), pairs);
    let request = Request::list(url, resource.display());
    http.ask(match asked.content {
        Content::Whole => request,
        Content::Metadata => request.accept(METADATA_ONLY),
    })
    .await
}

fn is_expired(message: &str) -> bool {
    message.contains("continue parameter is too old") || message.contains("resource version")
}

/// Items of a list carry neither `apiVersion` nor `kind`.
fn item(text: &RawValue, resource: &Resource) -> Result<Value, Error> {
    let mut value: Value = serde_json::from_str(text.get()).map_err(|_| senseless(resource))?;
    let map = value.as_object_mut().ok_or_else(|| senseless(resource))?;
    map.insert("apiVersion".into(), resource.api_version().into());
    map.insert("kind".into(), resource.kind.clone().into());
    Ok(value)
}

fn key_of(value: &Value) -> Key {
    let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    (text("/metadata/namespace"), text("/metadata/name").unwrap_or_default())
}

/// The parser's own message may quote the text, and the text may hold secrets.
fn senseless(resource: &Resource) -> Error {
    Error::BadAnswer {
        verb: "list".into(),
        resource: resource.display(),
        why: "it is not a list of objects".into(),
    }
}

// === owned ===

struct Owned<'a, T, F> {
    resource: &'a Resource,
    sensitive: &'a BTreeMap<Key, &'a BTreeSet<String>>,
    keep: F,
    kept: BTreeMap<Key, T>,
}

impl<T, F: FnMut(&Key, LiveObject) -> Option<T>> Visit for Owned<'_, T, F> {
    fn item(&mut self, key: Key, value: Value) -> Result<(), Error> {
        let none = BTreeSet::new();
        let sensitive = self.sensitive.get(&key).copied().unwrap_or(&none);
        let live = body::read(value, sensitive).ok_or_else(|| senseless(self.resource))?;
        if let Some(kept) = (self.keep)(&key, live) {
            self.kept.insert(key, kept);
        }
        Ok(())
    }

    fn restart(&mut self) {
        self.kept.clear();
    }
}

/// Lists the objects of `resource` that carry the site's label, and keeps what `keep` makes of each.
pub(crate) async fn owned<T>(
    http: &Http,
    resource: &Resource,
    site: &SiteName,
    sensitive: &BTreeMap<Key, &BTreeSet<String>>,
    keep: impl FnMut(&Key, LiveObject) -> Option<T>,
) -> Result<BTreeMap<Key, T>, Error> {
    let selector = format!("{SITE_LABEL}={site}");
    let mut visit = Owned { resource, sensitive, keep, kept: BTreeMap::new() };
    let asked = Query { selector: Some(&selector), ..Query::ALL };
    read(http, resource, asked, &mut visit).await?;
    Ok(visit.kept)
}

// === names ===

struct Names<'a> {
    wanted: &'a BTreeSet<Key>,
    there: BTreeSet<Key>,
    pages: u64,
    worth: u64,
    gave_up: bool,
}

impl Visit for Names<'_> {
    fn item(&mut self, key: Key, _: Value) -> Result<(), Error> {
        if self.wanted.contains(&key) {
            self.there.insert(key);
        }
        Ok(())
    }

    fn after_page(&mut self, remaining: Option<u64>) -> Next {
        self.pages += 1;
        let left = remaining.unwrap_or_default().div_ceil(PAGE);
        self.gave_up = self.pages + left > self.worth;
        if self.gave_up { Next::Enough } else { Next::Page }
    }

    fn restart(&mut self) {
        self.there.clear();
    }
}

/// Looks which of `wanted` are there at all, by listing names; none where that would cost more than
/// asking for each of them: a page of names costs the server about as much as ten objects one by one.
pub(crate) async fn names(
    http: &Http,
    resource: &Resource,
    wanted: &BTreeSet<Key>,
) -> Result<Option<BTreeSet<Key>>, Error> {
    let worth = wanted.len() as u64 / 10;
    if worth == 0 {
        return Ok(None);
    }
    let mut visit = Names { wanted, there: BTreeSet::new(), pages: 0, worth, gave_up: false };
    let asked = Query { content: Content::Metadata, ..Query::ALL };
    read(http, resource, asked, &mut visit).await?;
    Ok((!visit.gave_up).then_some(visit.there))
}

// === sample ===

struct Sample<'a> {
    fits: &'a (dyn Fn(&Value) -> bool + Sync),
    /// Names that are taken however many they are.
    always: &'a (dyn Fn(&str) -> bool + Sync),
    most: usize,
    taken: usize,
    found: Vec<String>,
    count: u64,
}

impl Visit for Sample<'_> {
    fn item(&mut self, (_, name): Key, value: Value) -> Result<(), Error> {
        self.count += 1;
        if !(self.fits)(&value) {
            return Ok(());
        }
        if (self.always)(&name) {
            self.found.push(name);
        } else if self.taken < self.most {
            self.taken += 1;
            self.found.push(name);
        }
        Ok(())
    }

    fn after_page(&mut self, remaining: Option<u64>) -> Next {
        if self.taken < self.most {
            return Next::Page;
        }
        self.count += remaining.unwrap_or_default();
        Next::Enough
    }

    fn restart(&mut self) {
        self.found.clear();
        self.taken = 0;
        self.count = 0;
    }
}

/// Returns the names of up to `most` objects that fit, besides those that `always` names, and how many
/// objects were seen or are known to be left.
pub(crate) async fn sample(
    http: &Http,
    resource: &Resource,
    asked: Query<'_>,
    most: usize,
    fits: &(dyn Fn(&Value) -> bool + Sync),
    always: &(dyn Fn(&str) -> bool + Sync),
) -> Result<(Vec<String>, u64), Error> {
    let mut visit = Sample { fits, always, most, taken: 0, found: Vec::new(), count: 0 };
    read(http, resource, asked, &mut visit).await?;
    Ok((visit.found, visit.count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_list_of_metadata_has_null_for_its_items() {
        let answer = r#"{ "kind": "PartialObjectMetadataList", "metadata": {}, "items": null }"#;
        let page: Page<'_> = serde_json::from_str(answer).unwrap();
        assert_eq!(page.items.unwrap_or_default().len(), 0);
    }
}
