//! What a run reads, by ids that cannot move.

use jiff::Timestamp;
use sitewright_model::lineage::{
    EntityId, EntityKind, Relation, Statement,
    claim::{clean, named},
    submit::ReadOnly,
};
use sitewright_source::{
    outbound::Reach,
    resolve::{Resolving, resolve},
    worktree::Data,
};

use super::{bad, code::Code};
use crate::cli::{Context, Failure};

/// What a run reads.
#[derive(Default)]
pub(super) struct Inputs {
    /// `URI@ID` each, or a name that nothing could be found out about.
    pub(super) data: Vec<String>,
    /// Names, and what each leads to now.
    pub(super) names: Vec<(String, String)>,
    /// Claims that are mounted read-only.
    pub(super) mounted: Vec<ReadOnly>,
    /// What the model is derived from.
    pub(super) base_model: Option<String>,
    /// What the researcher should know.
    pub(super) notes: Vec<String>,
}

impl Inputs {
    pub(super) fn of(
        data: &[String],
        base_model: Option<&str>,
        code: &Code,
        context: &Context,
    ) -> Result<Self, Failure> {
        let mut inputs = Self::default();
        for text in data {
            if let Some(claim) = text.strip_prefix("pvc://") {
                inputs.mounted.push(mounted(claim)?);
            } else if is_address(text) {
                let pinned = inputs.pinned("--data", text, context)?;
                inputs.data.push(pinned);
            } else {
                let found = in_tree(text, code)?;
                inputs.data.extend(found);
            }
        }
        if let Some(text) = base_model {
            inputs.base_model = Some(inputs.pinned("--base-model", text, context)?);
        }
        Ok(inputs)
    }

    /// Returns what `text` leads to now, by an id that cannot move, as far as that can be found out.
    fn pinned(&mut self, flag: &str, text: &str, context: &Context) -> Result<String, Failure> {
        let text = check_uri(flag, text)?;
        let Some(named) = named(&text).filter(|named| named.id.kind() == EntityKind::Ref) else {
            return Ok(text);
        };
        context.doing("looking up names");
        let settings = context.settings()?;
        let with =
            Resolving { reach: Reach::Anybody, ..Resolving::new(&settings, Timestamp::now()) };
        let found = resolve(&named.id, Some(&text), &with);
        let led = found.as_ref().ok().and_then(|said| led_to(said, &named.id));
        let Some(pinned) = led.and_then(|id| written(id, &text)) else {
            let why = match found {
                Err(why) => why.to_string(),
                Ok(_) => "it has no id that cannot move".to_owned(),
            };
            self.notes.push(format!(
                "{text} is recorded as a name, which may lead elsewhere tomorrow: {why}"
            ));
            return Ok(text);
        };
        self.notes.push(format!("{text} leads to {pinned} now"));
        self.names.push((text, pinned.clone()));
        Ok(pinned)
    }
}

/// Returns a URI as it may be shown to everybody.
pub(super) fn check_uri(flag: &str, text: &str) -> Result<String, Failure> {
    let text = clean(text.trim());
    if is_address(&text) && named(&text).is_some() {
        return Ok(text);
    }
    Err(bad(format!("{flag} {text} is no URI"))
        .help("write s3://bucket/path, oci://registry/repository@sha256:…, git+https://host/repository@COMMIT or the like")
        .into())
}

fn is_address(text: &str) -> bool {
    text.contains("://") || text.starts_with("dvc:") || text.starts_with("annex:")
}

fn led_to<'s>(said: &'s [Statement], name: &EntityId) -> Option<&'s EntityId> {
    said.iter().find_map(|one| match one {
        Statement::Edge { from, relation: Relation::LedTo, to, .. } if from == name => Some(to),
        _ => None,
    })
}

/// Writes an id that `name` led to as `URI@ID`; none where that would be read as something else.
fn written(id: &EntityId, name: &str) -> Option<String> {
    let (place, fragment) = match name.split_once('#') {
        Some((place, fragment)) => (place, format!("#{fragment}")),
        None => (name, String::new()),
    };
    // a branch or a tag of the name: what stands behind the last part of the path
    let last = place.rfind('/').map_or(0, |at| at + 1);
    let without = |mark: char| match place.get(last..).and_then(|end| end.find(mark)) {
        Some(at) => place.get(..last + at).unwrap_or(place),
        None => place,
    };
    let rest = id.rest();
    let text = match (id.kind(), rest.split_once(':')) {
        (EntityKind::Commit, _) => format!("{}@{rest}{fragment}", branchless(place)),
        (EntityKind::Image, _) => format!("{}@{rest}", without(':')),
        (EntityKind::Data, Some(("sha256", hex))) => format!("{place}@sha256:{hex}"),
        (EntityKind::Data, Some(("lakefs", commit))) => {
            let path = name.strip_prefix("lakefs://").and_then(|rest| rest.splitn(3, '/').nth(2));
            match path {
                Some(path) => format!("lakefs://{commit}/{path}"),
                None => format!("lakefs://{commit}"),
            }
        }
        (EntityKind::Data, Some(("s3", object))) => format!("s3://{object}"),
        (EntityKind::Data, Some(("uri", uri))) => uri.to_owned(),
        _ => return None,
    };
    named(&text).is_some_and(|named| named.id == *id).then_some(text)
}

/// Returns an address of git without the branch behind it, which may hold slashes: `…/repo@feature/x`.
fn branchless(place: &str) -> &str {
    let path_from = place.find("://").map_or(0, |at| at + 3);
    let slash =
        place.get(path_from..).and_then(|rest| rest.find('/')).map_or(0, |at| at + path_from);
    match place.rfind('@').filter(|at| *at > slash) {
        Some(at) => place.get(..at).unwrap_or(place),
        None => place,
    }
}

/// Returns the ids of what is at a path of the tree.
fn in_tree(text: &str, code: &Code) -> Result<Vec<String>, Failure> {
    let unknown = |why: &str| {
        bad(format!("--data {text} {why}"))
            .help("give a path that the commit knows (a file, a folder, or what a .dvc file or dvc.lock tells of), or a URI")
    };
    let Some(path) = code.tree.from_top(text) else {
        return Err(unknown("leads out of this tree").into());
    };
    let in_git = || match path.as_str() {
        "" => code.uri(),
        path => format!("{}#{path}", code.uri()),
    };
    match code.tree.data(&code.commit, &path)? {
        Data::Kept(ids) => Ok(ids),
        Data::Lfs(digest) => Ok(vec![format!("git+{}/{path}@{digest}", code.address())]),
        Data::InGit => Ok(vec![in_git()]),
        Data::Unknown => {
            Err(unknown(&format!("is nothing that commit {} knows", code.short())).into())
        }
    }
}

/// Reads `CLAIM[/PATH]`.
fn mounted(text: &str) -> Result<ReadOnly, Failure> {
    let (claim, path) = text.split_once('/').unwrap_or((text, ""));
    let path = path.trim_matches('/');
    let is_name = !claim.is_empty()
        && claim.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c));
    let is_plain = !path.split('/').any(|part| matches!(part, "." | "..")) && !path.contains(':');
    if is_name && is_plain {
        return Ok(ReadOnly { claim: claim.to_owned(), path: path.to_owned() });
    }
    Err(bad(format!("pvc://{text} names no claim"))
        .help("write pvc://CLAIM or pvc://CLAIM/PATH, with a claim of the namespace of the run")
        .into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_name_led_to_is_written_as_the_recorder_reads_it() {
        let (commit, hex) = ("1".repeat(40), "a".repeat(64));
        for (name, id, text) in [
            (
                "git+https://h/r@feature/x#data",
                format!("commit:{commit}"),
                format!("git+https://h/r@{commit}#data"),
            ),
            ("git+https://h/r", format!("commit:{commit}"), format!("git+https://h/r@{commit}")),
            (
                "oci://h:5000/r/i:v1",
                format!("image:sha256:{hex}"),
                format!("oci://h:5000/r/i@sha256:{hex}"),
            ),
            ("s3://b/k", "data:s3:b/k@v3".into(), "s3://b/k@v3".into()),
            (
                "lakefs://r/main/a/b",
                format!("data:lakefs:r/{hex}"),
                format!("lakefs://r/{hex}/a/b"),
            ),
        ] {
            assert_eq!(
                written(&id.parse().unwrap(), name).as_deref(),
                Some(text.as_str()),
                "{name}"
            );
        }
        assert_eq!(
            written(
                &"tree:sha256:x".parse().unwrap_or_else(|_| "ref:x".parse().unwrap()),
                "s3://b"
            ),
            None
        );
    }

    #[test]
    fn no_login_is_kept_and_no_claim_leads_elsewhere() {
        let text = check_uri("--data", "https://me:secret@h/x@sha256:00").unwrap();
        assert!(!text.contains("secret"), "{text}");
        assert!(check_uri("--model", "model").is_err());
        assert_eq!(mounted("c/a/b/").unwrap(), ReadOnly { claim: "c".into(), path: "a/b".into() });
        for text in ["", "/a", "c/../d", "C", "c/a:b"] {
            assert!(mounted(text).is_err(), "{text}");
        }
    }
}
