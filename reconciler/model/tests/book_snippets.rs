//! What the book and the README show of our formats is what the program reads.
//!
//! A fenced block is checked when its info string says what it is: `yaml,site`, `yaml,blueprint`,
//! `yaml,lock`, `yaml,approval` and `yaml,lineage` are whole files; `yaml,site.spec`, `yaml,component` and `yaml,blueprint.spec` are parts
//! that are put into a small whole. A number at the end, as in `yaml,site,SW0102`, says with which
//! error it must be refused. The pages SW01xx show files that are refused; `format_pages` holds them.

#![expect(clippy::unwrap_used, reason = "a test that cannot read the book has failed")]
#![expect(
    clippy::disallowed_methods,
    reason = "the book is files; the ban is for the model itself"
)]

use std::{
    fs,
    path::{Path, PathBuf},
};

use sitewright_model::{
    code,
    diagnostic::Diagnostics,
    format::{approval, blueprint, lineage, lock, site},
};

/// One fenced block that is to be checked.
struct Snippet {
    /// File and line, for messages.
    place: String,
    /// The info string after `yaml,`, by part.
    tags: Vec<String>,
    text: String,
}

#[test]
fn every_snippet_is_read_as_the_book_says() {
    let snippets: Vec<Snippet> = pages().iter().flat_map(|page| snippets(page)).collect();
    let wrong: Vec<String> = snippets.iter().filter_map(what_is_wrong).collect();
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n\n"));
    assert!(!snippets.is_empty(), "no page has a snippet to check");
}

/// Returns what is wrong with a snippet, if anything is.
fn what_is_wrong(snippet: &Snippet) -> Option<String> {
    let (what, wanted) = match snippet.tags.as_slice() {
        [what] => (what, None),
        [what, code] => (what, Some(code)),
        _ => return Some(format!("{}: `yaml,WHAT` or `yaml,WHAT,CODE`", snippet.place)),
    };
    let text = &snippet.text;
    let result = match what.as_str() {
        "site" => read_site(text),
        "site.spec" => read_site(&site_of_spec(text)),
        "component" => read_site(&site_of_component(text)),
        "blueprint" => read_blueprint(text),
        "blueprint.spec" => read_blueprint(&blueprint_of_spec(text)),
        "lock" => lock::parse("snippet", text).map(drop),
        "approval" => approval::parse("snippet", text).map(drop),
        "lineage" => lineage::parse("snippet", text).map(drop),
        _ => return Some(format!("{}: `{what}` is nothing that can be checked", snippet.place)),
    };
    match (result, wanted) {
        (Ok(()), None) => None,
        (Ok(()), Some(code)) => Some(format!("{}: is not refused with {code}", snippet.place)),
        (Err(found), None) => Some(format!("{}: {found}", snippet.place)),
        (Err(found), Some(code)) => {
            let says_so = found.0.iter().any(|diagnostic| diagnostic.code.to_string() == **code);
            (!says_so).then(|| format!("{}: not {code} but {found}", snippet.place))
        }
    }
}

fn read_site(text: &str) -> Result<(), Diagnostics> {
    site::parse("snippet", text).map(drop)
}

fn read_blueprint(text: &str) -> Result<(), Diagnostics> {
    blueprint::parse("snippet", text).map(drop)
}

fn site_of_spec(spec: &str) -> String {
    let components = if has_key(spec, "components") { "" } else { "  components: []\n" };
    format!(
        "apiVersion: sitewright.dev/v1alpha1\nkind: Site\nmetadata: {{ name: example }}\nspec:\n{components}{}",
        indented(spec, 2)
    )
}

fn site_of_component(component: &str) -> String {
    let name = if has_key(component, "name") { "" } else { "name: example\n" };
    let blueprint =
        if has_key(component, "blueprint") { "" } else { "blueprint: { name: example }\n" };
    let whole = indented(&format!("{name}{blueprint}{component}"), 4);
    site_of_spec(&format!("components:\n  -\n{whole}"))
}

fn blueprint_of_spec(spec: &str) -> String {
    let summary = if has_key(spec, "summary") { "" } else { "  summary: an example\n" };
    format!(
        "apiVersion: sitewright.dev/v1alpha1\nkind: Blueprint\nmetadata: {{ name: example, version: 1.0.0 }}\nspec:\n{summary}{}",
        indented(spec, 2)
    )
}

fn has_key(text: &str, key: &str) -> bool {
    text.lines().any(|line| line.strip_prefix(key).is_some_and(|rest| rest.starts_with(':')))
}

fn indented(text: &str, by: usize) -> String {
    text.lines().map(|line| format!("{:by$}{line}\n", "")).collect()
}

/// Returns every Markdown page of the book, and the README.
fn pages() -> Vec<PathBuf> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut pages = vec![top.join("README.md")];
    let mut folders = vec![top.join("book/src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                pages.push(path);
            }
        }
    }
    pages.retain(|page| !is_held_by_format_pages(page));
    pages.sort();
    pages
}

fn is_held_by_format_pages(page: &Path) -> bool {
    let mut names = code::format::ALL.iter().map(|code| format!("{code}.md"));
    names.any(|name| page.ends_with(Path::new("errors").join(name)))
}

/// Returns the blocks of `page` that are to be checked, whatever they are nested in.
fn snippets(page: &Path) -> Vec<Snippet> {
    let text = fs::read_to_string(page).unwrap();
    let mut found = Vec::new();
    let mut open: Option<Snippet> = None;
    for (number, line) in text.lines().enumerate() {
        if let Some(snippet) = &mut open {
            if line.trim() == "```" {
                found.extend(open.take());
            } else {
                snippet.text.push_str(line);
                snippet.text.push('\n');
            }
        } else if let Some(tags) = line.strip_prefix("```yaml,") {
            open = Some(Snippet {
                place: format!("{}:{}", page.display(), number + 1),
                tags: tags.split(',').map(|tag| tag.trim().to_owned()).collect(),
                text: String::new(),
            });
        }
    }
    found
}
