//! Every error has a number, and a page in the book (law 12).
//!
//! A page is `book/src/errors/SWxxxx.md`, written by whoever adds the code. The index
//! `book/src/errors/index.md` and the rows of `book/src/SUMMARY.md` follow from the codes:
//! `SITEWRIGHT_BLESS=1 cargo test -p sitewright-model --test error_pages` writes them anew.

#![expect(clippy::unwrap_used, reason = "a test that cannot read the book has failed")]
#![expect(
    clippy::disallowed_methods,
    reason = "the book is files; the ban is for the model itself"
)]

use std::{
    collections::BTreeSet,
    env, fs,
    path::{Path, PathBuf},
};

use sitewright_model::code::{self, Code};

/// The headings of a page below its title, in order.
const HEADINGS: [&str; 3] = ["## What it means", "## Example", "## Way out"];

fn book() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../book/src")
}

/// `Unknown key` from `unknown key`.
fn heading(code: Code) -> String {
    let mut letters = code.title.chars();
    let first = letters.next().map(|letter| letter.to_uppercase().to_string());
    first.unwrap_or_default() + letters.as_str()
}

#[test]
fn every_code_has_a_page_of_the_agreed_shape() {
    let wrong: Vec<String> = code::all().into_iter().filter_map(what_is_wrong).collect();
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

/// Returns what is wrong with the page of `code`, if anything is.
fn what_is_wrong(code: Code) -> Option<String> {
    let name = format!("book/src/errors/{code}.md");
    let Ok(page) = fs::read_to_string(book().join(format!("errors/{code}.md"))) else {
        return Some(format!("{name}: missing; the code is `{code} {}`", code.title));
    };
    let headings: Vec<&str> = outside_code(&page).filter(|line| line.starts_with('#')).collect();
    let title = format!("# {code} {}", code.title);
    if headings.first() != Some(&title.as_str()) {
        return Some(format!("{name}: the first heading must be `{title}`"));
    }
    if headings.get(1..) != Some(&HEADINGS) {
        return Some(format!("{name}: below the title stand exactly {HEADINGS:?}, in this order"));
    }
    if sections(&page).any(|section| section.trim().is_empty()) {
        return Some(format!("{name}: a section is empty"));
    }
    None
}

/// Returns the lines of `page` that are not in a fenced block.
fn outside_code(page: &str) -> impl Iterator<Item = &str> {
    let mut in_code = false;
    page.lines().filter(move |line| {
        let fence = line.trim_start().starts_with("```");
        in_code ^= fence;
        !in_code && !fence
    })
}

fn sections(page: &str) -> impl Iterator<Item = &str> {
    let starts = HEADINGS.iter().filter_map(|heading| page.split_once(heading));
    starts.map(|(_, rest)| rest.split("\n## ").next().unwrap_or_default())
}

#[test]
fn every_page_has_a_code() {
    let codes: BTreeSet<String> = code::all().iter().map(|code| format!("{code}.md")).collect();
    let stray: Vec<String> = fs::read_dir(book().join("errors"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "index.md" && !codes.contains(name))
        .collect();
    assert!(stray.is_empty(), "pages without a code in model::code: {stray:?}");
}

#[test]
fn the_index_lists_every_code() {
    let row = |code: Code| format!("| [{code}]({code}.md) | {} |", code.title);
    hold("errors/index.md", "|---|---|", "| [SW", row);
}

#[test]
fn the_summary_lists_every_code() {
    let row = |code: Code| format!("  - [{code} {}](errors/{code}.md)", heading(code));
    hold("SUMMARY.md", "- [All errors](errors/index.md)", "  - [SW", row);
}

/// Holds that below the line `after` of `file` stands one `row` for each code, or writes them there.
fn hold(file: &str, after: &str, start_of_row: &str, row: impl Fn(Code) -> String) {
    let path = book().join(file);
    let text = fs::read_to_string(&path).unwrap();
    let others = text.lines().filter(|line| !line.starts_with(start_of_row));
    let expected: String = others
        .flat_map(|line| {
            let rows = code::all().into_iter().filter(move |_| line == after).map(&row);
            [line.to_owned()].into_iter().chain(rows)
        })
        .map(|line| line + "\n")
        .collect();
    if text == expected {
        return;
    }
    if env::var_os("SITEWRIGHT_BLESS").is_some() {
        fs::write(path, expected).unwrap();
        return;
    }
    panic!(
        "book/src/{file} does not list the codes as they are; write it anew with\n    \
         SITEWRIGHT_BLESS=1 cargo test -p sitewright-model --test error_pages"
    );
}

#[test]
fn the_summary_lists_every_page_of_the_book() {
    let summary = fs::read_to_string(book().join("SUMMARY.md")).unwrap();
    let listed: BTreeSet<String> = summary
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next())
        .map(str::to_owned)
        .collect();
    let missing: Vec<String> =
        pages(Path::new("")).into_iter().filter(|page| !listed.contains(page)).collect();
    assert!(missing.is_empty(), "book/src/SUMMARY.md does not list {missing:?}");
}

/// Returns all Markdown files under `folder`, relative to the book, but for the summary itself.
fn pages(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(book().join(folder)).unwrap().map(|entry| entry.unwrap());
    entries
        .flat_map(|entry| {
            let path = folder.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                return pages(&path);
            }
            let page = path.to_str().unwrap().to_owned();
            if page.ends_with(".md") && page != "SUMMARY.md" { vec![page] } else { Vec::new() }
        })
        .collect()
}
