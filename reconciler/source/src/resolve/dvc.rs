//! Files of DVC: `*.dvc`, and `dvc.lock`.

use std::collections::BTreeSet;

use serde_json::Value;
use sitewright_model::yaml;

/// What a file of DVC names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Item {
    /// From the top of the repository.
    pub(crate) path: String,
    /// The id that DVC has for it: `md5:HEX`, with `.dir` for a folder.
    pub(crate) id: String,
    /// Its size in bytes.
    pub(crate) size: Option<u64>,
    /// Of a folder, how many files it has.
    pub(crate) files: Option<u64>,
    /// What it is to who runs the code.
    pub(crate) role: Role,
}

/// What data is to who runs the code of the commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// It was added, or a stage depends on it.
    Needed,
    /// A stage makes it, and no other stage depends on it.
    Made,
}

/// Returns whether DVC keeps ids in the file at `path`.
pub(crate) fn is_file(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    name == "dvc.lock" || (name.ends_with(".dvc") && name.len() > ".dvc".len())
}

/// Reads the file at `path`; none where it is none of DVC.
pub(crate) fn read(path: &str, text: &str) -> Option<Vec<Item>> {
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let document = yaml::parse_values(text).ok()?.pop()?;
    if path.rsplit('/').next() == Some("dvc.lock") {
        return lock(&document, folder);
    }
    // `wdir` moves what the paths are relative to
    let folder = match document.get("wdir").and_then(Value::as_str) {
        Some(wdir) => join(folder, wdir)?,
        None => folder.to_owned(),
    };
    let outs = document.get("outs")?.as_array()?;
    Some(outs.iter().flat_map(|out| items(out, &folder, Role::Needed)).collect())
}

fn lock(document: &Value, folder: &str) -> Option<Vec<Item>> {
    let stages = document.get("stages").unwrap_or(document).as_object()?;
    let list = |stage: &Value, key: &str| stage.get(key).and_then(Value::as_array).cloned();
    let all = |key: &str, role: Role| -> Vec<Item> {
        let entries = stages.values().flat_map(|stage| list(stage, key).unwrap_or_default());
        entries.flat_map(|entry| items(&entry, folder, role)).collect()
    };
    let mut needed = all("deps", Role::Needed);
    let ids: BTreeSet<String> = needed.iter().map(|item| item.id.clone()).collect();
    needed.extend(all("outs", Role::Made).into_iter().filter(|item| !ids.contains(&item.id)));
    Some(needed)
}

/// Returns what one entry of `outs` or `deps` names; of a folder with versions of a cloud, its files.
fn items(entry: &Value, folder: &str, role: Role) -> Vec<Item> {
    let Some(path) = entry.get("path").and_then(Value::as_str) else { return Vec::new() };
    // another machine's file, or one in a cloud: DVC has an address for it, and no path
    let Some(path) = join(folder, path) else { return Vec::new() };
    let number = |entry: &Value, key: &str| entry.get(key).and_then(Value::as_u64);
    if let Some(id) = id_of(entry) {
        let (size, files) = (number(entry, "size"), number(entry, "nfiles"));
        return vec![Item { path, id, size, files, role }];
    }
    let files = entry.get("files").and_then(Value::as_array);
    let files = files.into_iter().flatten().filter_map(|file| {
        let within = file.get("relpath").and_then(Value::as_str)?;
        let (path, size) = (join(&path, within)?, number(file, "size"));
        Some(Item { path, id: id_of(file)?, size, files: None, role })
    });
    files.collect()
}

/// Returns the id of an entry.
///
/// Before version 3, DVC took the MD5 of a text file with the ends of its lines made those of Unix, and wrote no
/// `hash`: it calls that `md5-dos2unix`, which is not the MD5 of the bytes.
fn id_of(entry: &Value) -> Option<String> {
    let md5 = entry.get("md5").and_then(Value::as_str)?;
    let hex = md5.strip_suffix(".dir").unwrap_or(md5);
    let is_md5 = hex.len() == 32 && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
    let name = match entry.get("hash").and_then(Value::as_str) {
        Some("md5") => "md5",
        None => "md5-dos2unix",
        Some(_) => return None,
    };
    is_md5.then(|| format!("{name}:{md5}"))
}

/// Returns `path` from the top of the repository; none where it leads out of it, or is an address.
fn join(folder: &str, path: &str) -> Option<String> {
    if path.contains("://") || path.starts_with('/') {
        return None;
    }
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MD5: &str = "d41d8cd98f00b204e9800998ecf8427e";

    #[test]
    fn an_added_file_is_needed_by_the_id_that_dvc_prints() {
        let text =
            format!("outs:\n- md5: {MD5}.dir\n  size: 5\n  nfiles: 2\n  hash: md5\n  path: data\n");
        let items = read("sets/data.dvc", &text).unwrap();
        assert_eq!(items[0].id, format!("md5:{MD5}.dir"));
        assert_eq!((items[0].path.as_str(), items[0].files), ("sets/data", Some(2)));
        let old = format!("outs:\n- md5: {MD5}\n  path: ../x\nwdir: a\n");
        let items = read("b/x.dvc", &old).unwrap();
        assert_eq!(
            (items[0].id.as_str(), items[0].path.as_str()),
            (&*format!("md5-dos2unix:{MD5}"), "b/x")
        );
    }

    #[test]
    fn what_a_stage_makes_and_no_other_needs_is_no_input() {
        let other = MD5.replace('d', "e");
        let text = format!(
            "schema: '2.0'\nstages:\n  a:\n    cmd: x\n    deps:\n    - {{path: raw, hash: md5, md5: {MD5}}}\n    outs:\n    - {{path: model, hash: md5, md5: {other}}}\n"
        );
        let items = read("dvc.lock", &text).unwrap();
        let roles: Vec<(&str, Role)> = items.iter().map(|i| (i.path.as_str(), i.role)).collect();
        assert_eq!(roles, [("raw", Role::Needed), ("model", Role::Made)]);
    }

    #[test]
    fn nothing_outside_the_repository_is_named() {
        for path in ["../../etc/passwd", "/etc/passwd", "s3://b/k"] {
            let text = format!("outs:\n- {{md5: {MD5}, hash: md5, path: '{path}'}}\n");
            assert!(read("a/x.dvc", &text).unwrap().is_empty(), "{path}");
        }
        assert!(read("x.dvc", "a: [").is_none());
        assert!(!is_file(".dvc") && !is_file(".dvc/config") && is_file("a/dvc.lock"));
    }
}
