//! Embeds what the program carries along: the book's error pages, and the files of a new site repository.

use std::{
    env,
    error::Error,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("..");
    write_pages(&root.join("book/src/errors"))?;
    write_scaffold(&root)
}

/// `sitewright explain` works without the book.
fn write_pages(folder: &Path) -> Result<()> {
    let mut table = String::from("const PAGES: &[(&str, &str)] = &[\n");
    for path in files(folder)? {
        let code = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if code.starts_with("SW") {
            entry(&mut table, &code, &path)?;
        }
    }
    finish(table, "pages.rs")
}

/// `sitewright init` writes a blueprint and the schemas of the formats.
fn write_scaffold(root: &Path) -> Result<()> {
    let mut table = String::from("const SCAFFOLD: &[(&str, &str)] = &[\n");
    for folder in ["blueprints/team-space", "schema"] {
        for path in files(&root.join(folder))? {
            let name = path.strip_prefix(root)?.display().to_string();
            let is_format = ["site", "blueprint", "lock", "approval"]
                .iter()
                .any(|format| name == format!("schema/{format}.schema.json"));
            if folder != "schema" || is_format {
                entry(&mut table, &name, &path)?;
            }
        }
    }
    finish(table, "scaffold.rs")
}

fn entry(table: &mut String, name: &str, path: &Path) -> Result<()> {
    let path = path.canonicalize()?;
    writeln!(table, "    ({name:?}, include_str!({:?})),", path.display().to_string())?;
    Ok(())
}

fn finish(mut table: String, name: &str) -> Result<()> {
    table.push_str("];\n");
    fs::write(Path::new(&env::var("OUT_DIR")?).join(name), table)?;
    Ok(())
}

/// Returns the files below `folder`, sorted.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    println!("cargo::rerun-if-changed={}", folder.display());
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            found.extend(files(&entry.path())?);
        } else {
            found.push(entry.path());
        }
    }
    found.sort_unstable();
    Ok(found)
}
