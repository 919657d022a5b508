//! The form of git's configuration, as far as `.gitmodules` and `.datalad/config` use it.

use std::collections::BTreeMap;

/// Entries of one file that are read.
const MOST: usize = 50_000;

/// A submodule, as `.gitmodules` has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Module {
    /// Where its repository is.
    pub(super) url: Option<String>,
    /// The id of the dataset of DataLad that it is.
    pub(super) dataset: Option<String>,
    path: Option<String>,
}

/// The submodules of a repository.
#[derive(Debug, Default)]
pub(super) struct Modules(BTreeMap<String, Module>);

impl Modules {
    /// Reads `.gitmodules`.
    pub(super) fn parse(text: &str) -> Self {
        let mut by_section: BTreeMap<String, Module> = BTreeMap::new();
        for (section, key, value) in parse(text) {
            if !section.starts_with("submodule.") {
                continue;
            }
            let module = by_section.entry(section).or_default();
            match key.as_str() {
                "path" => module.path = Some(value),
                "url" => module.url = Some(value),
                "datalad-id" => module.dataset = Some(value),
                _ => {}
            }
        }
        let with_path = |module: Module| Some((module.path.clone()?, module));
        Self(by_section.into_values().filter_map(with_path).collect())
    }

    /// Returns the submodule at `path`.
    pub(super) fn at(&self, path: &str) -> Option<&Module> {
        self.0.get(path)
    }
}

/// Returns section, key and value of each entry; sections as `submodule.NAME`.
pub(super) fn parse(text: &str) -> Vec<(String, String, String)> {
    let mut section = String::new();
    let mut entries = Vec::new();
    for line in text.lines().map(str::trim) {
        if entries.len() >= MOST {
            break;
        }
        if let Some(head) = line.strip_prefix('[') {
            let Some((head, _)) = head.rsplit_once(']') else { continue };
            section = match head.split_once(char::is_whitespace) {
                Some((name, sub)) => {
                    format!("{}.{}", name.to_ascii_lowercase(), unquoted(sub.trim()))
                }
                None => head.to_ascii_lowercase(),
            };
        } else if let Some((key, value)) = line.split_once('=')
            && !line.starts_with(['#', ';'])
        {
            let entry = (section.clone(), key.trim().to_ascii_lowercase(), unquoted(value.trim()));
            entries.push(entry);
        }
    }
    entries
}

/// Takes quotes and escapes away, and a comment behind the value.
fn unquoted(text: &str) -> String {
    let (mut out, mut is_quoted) = (String::new(), false);
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => is_quoted = !is_quoted,
            '\\' => out.extend(chars.next()),
            '#' | ';' if !is_quoted => break,
            other => out.push(other),
        }
    }
    if is_quoted { out } else { out.trim_end().to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn submodules_are_found_by_their_path() {
        let text = "[submodule \"a b\"]\n\tpath = sub/x\n\turl = https://h/x.git # why\n\tdatalad-id = 12-34\n; no\n[core]\nbare=true\n";
        let modules = Modules::parse(text);
        let module = modules.at("sub/x").unwrap();
        assert_eq!(module.url.as_deref(), Some("https://h/x.git"));
        assert_eq!(module.dataset.as_deref(), Some("12-34"));
        assert_eq!(
            parse("[datalad \"dataset\"]\n\tid = z\n")[0],
            ("datalad.dataset".into(), "id".into(), "z".into())
        );
    }
}
