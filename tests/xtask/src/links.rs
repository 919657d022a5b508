//! `cargo xtask links`
//!
//! Reads the HTML that mdBook built, so that anchors are the ones a reader's browser looks for, and
//! the Markdown outside the book. Links to other hosts are left alone: a test must not need the
//! internet. Our own, since mdbook-linkcheck is unmaintained and lychee takes longer to build than
//! everything else in `.ci/run` that is not a test.

mod html;
mod markdown;

use std::{
    collections::BTreeMap,
    fs,
    path::{Component, Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail, ensure};

/// Checks the links of the built book and of the Markdown files outside it.
///
/// Links to other hosts are left alone.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The folder of the built book.
    #[arg(long, default_value = "book/book")]
    book: PathBuf,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let book = Pages::read(&super::top().join(&arguments.book), book_pages, html::page)
        .context("build the book first: .ci/tool mdbook build book")?;
    let outside = Pages::read(super::top(), markdown_outside_the_book, markdown::page)?;
    let broken = [book.broken(), outside.broken()].concat();
    for line in &broken {
        report(line);
    }
    ensure!(broken.is_empty(), "{} links lead nowhere", broken.len());
    report(&format!("{} links hold", book.count() + outside.count()));
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the links are what the command is for")]
fn report(line: &str) {
    println!("{line}");
}

/// What one page offers and wants.
#[derive(Debug, Default, PartialEq, Eq)]
struct Page {
    /// The anchors in it.
    anchors: Vec<String>,
    /// Where its links lead, as written.
    links: Vec<String>,
}

/// The pages of one tree of files.
struct Pages {
    root: PathBuf,
    pages: BTreeMap<PathBuf, Page>,
}

impl Pages {
    fn read(
        root: &Path,
        list: fn(&Path) -> Result<Vec<PathBuf>>,
        parse: fn(&str) -> Page,
    ) -> Result<Self> {
        let mut pages = BTreeMap::new();
        for path in list(root)? {
            let text = fs::read_to_string(root.join(&path))
                .with_context(|| format!("cannot read {}", path.display()))?;
            pages.insert(path, parse(&text));
        }
        Ok(Self { root: root.to_owned(), pages })
    }

    fn count(&self) -> usize {
        self.pages.values().map(|page| page.links.len()).sum()
    }

    /// Returns one line for each link that leads nowhere.
    fn broken(&self) -> Vec<String> {
        let links = self
            .pages
            .iter()
            .flat_map(|(path, page)| page.links.iter().map(move |link| (path, link)));
        links
            .filter_map(|(path, link)| {
                let why = self.why_broken(path, link)?;
                Some(format!("{}: `{link}`: {why}", path.display()))
            })
            .collect()
    }

    /// Returns why `link` on the page at `from` leads nowhere, if it does.
    fn why_broken(&self, from: &Path, link: &str) -> Option<&'static str> {
        if is_external(link) {
            return None;
        }
        let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
        let target = if path.is_empty() {
            from.to_owned()
        } else {
            let Some(target) = resolve(from, path) else { return Some("leaves its tree") };
            target
        };
        if !self.root.join(&target).exists() {
            return Some("no such file");
        }
        match self.pages.get(&target) {
            Some(page) if !anchor.is_empty() && !page.anchors.iter().any(|have| have == anchor) => {
                Some("no such heading or anchor")
            }
            _ => None,
        }
    }
}

fn is_external(link: &str) -> bool {
    let scheme = link.split_once(':').map_or("", |(scheme, _)| scheme);
    !scheme.is_empty() && scheme.chars().all(|c| c.is_ascii_alphabetic()) || link.starts_with("//")
}

/// Returns where `link` on the page at `from` leads; none where it leaves the tree.
fn resolve(from: &Path, link: &str) -> Option<PathBuf> {
    let mut target = from.parent().unwrap_or(Path::new("")).to_owned();
    for part in Path::new(link).components() {
        match part {
            Component::Normal(name) => target.push(name),
            Component::CurDir => {}
            Component::ParentDir => {
                if !target.pop() {
                    return None;
                }
            }
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(target)
}

/// Lists the pages of the book. Left out: `print.html` repeats all others, `404.html` is served at any depth,
/// `toc.html` is the side bar that every page embeds.
fn book_pages(root: &Path) -> Result<Vec<PathBuf>> {
    let generated = ["print.html", "404.html", "toc.html"].map(Path::new);
    let mut pages = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root.join(&folder))? {
            let entry = entry?;
            let path = folder.join(entry.file_name());
            if entry.file_type()?.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "html")
                && !generated.contains(&path.as_path())
            {
                pages.push(path);
            }
        }
    }
    if pages.is_empty() {
        bail!("no page in {}", root.display());
    }
    Ok(pages)
}

fn markdown_outside_the_book(root: &Path) -> Result<Vec<PathBuf>> {
    let output = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard", "*.md"])
        .current_dir(root)
        .output()
        .context("cannot run git")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let listed = String::from_utf8(output.stdout)?;
    let outside = |path: &&str| !path.is_empty() && !path.starts_with("book/");
    Ok(listed.split('\0').filter(outside).map(PathBuf::from).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two pages in a folder that goes with the returned handle.
    fn pages() -> (tempfile::TempDir, Pages) {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::create_dir(root.join("errors")).unwrap();
        fs::write(root.join("plan.md"), "# The plan\n\n## Gates\n").unwrap();
        fs::write(root.join("errors/SW0101.md"), "").unwrap();
        let list = |_: &Path| Ok(vec!["plan.md".into(), "errors/SW0101.md".into()]);
        let pages = Pages::read(root, list, markdown::page).unwrap();
        (folder, pages)
    }

    #[test]
    fn a_link_may_lead_to_a_file_a_heading_or_another_host() {
        let (_folder, pages) = pages();
        for link in
            ["../plan.md", "../plan.md#gates", "#", "https://example.edu/x", "mailto:a@example.edu"]
        {
            assert_eq!(pages.why_broken(Path::new("errors/SW0101.md"), link), None, "{link}");
        }
    }

    #[test]
    fn a_link_that_leads_nowhere_is_told_why() {
        let (_folder, pages) = pages();
        let why = |link| pages.why_broken(Path::new("errors/SW0101.md"), link);
        assert_eq!(why("plan.md"), Some("no such file"));
        assert_eq!(why("../plan.md#hazards"), Some("no such heading or anchor"));
        assert_eq!(why("../../plan.md"), Some("leaves its tree"));
        assert_eq!(why("/plan.md"), Some("leaves its tree"));
    }
}
