//! Which commit runs, and whether others can get it.

use clap::Args;
use jiff::Timestamp;
use sitewright_model::lineage::submit::Clone;
use sitewright_source::{
    Url,
    outbound::Reach,
    resolve::{Resolving, Unresolved, leads_to},
    worktree::{Remote, WorkTree, WorkTreeError, reference},
};

use super::{bad, uncommitted};
use crate::cli::{Context, Failure};

/// How the code is found.
#[derive(Args, Debug)]
pub(super) struct Flags {
    /// The remote from which others get the code; default the one that the branch follows, or origin
    #[arg(long, value_name = "NAME")]
    remote: Option<String>,
    /// The address of the repository as the cluster reaches it, where that is another one than the remote's
    #[arg(long, value_name = "URL")]
    repository: Option<String>,
    /// Files that git does not know are not needed by any run
    #[arg(long)]
    ignore_untracked: bool,
    /// Take the tree as it is: its files become a commit beside all branches (refs/sitewright/…)
    #[arg(long)]
    capture_dirty: bool,
    /// Push a commit that the remote does not have to a reference of its own there; no branch is touched
    #[arg(long)]
    push: bool,
    /// Do not ask the remote whether it has the commit
    #[arg(long, conflicts_with = "push")]
    assume_pushed: bool,
}

/// Code that others can get.
pub(super) struct Code {
    pub(super) tree: WorkTree,
    /// The commit that runs.
    pub(super) commit: String,
    /// Where the cluster gets it.
    url: Url,
    /// Whether a reference of its own leads to it, and no branch may.
    is_beside: bool,
    /// Whether the remote has it, as far as is known.
    is_there: bool,
    /// What the researcher should know.
    pub(super) notes: Vec<String>,
}

impl Code {
    pub(super) fn of(flags: &Flags, context: &Context) -> Result<Self, Failure> {
        context.doing("looking at the working tree");
        let folder = std::env::current_dir().map_err(|error| {
            uncommitted(format!("this folder cannot be read: {error}")).help("go to another one")
        })?;
        let tree = WorkTree::around(&folder)?;
        let remote = tree.remote(flags.remote.as_deref())?;
        let url = match &flags.repository {
            Some(text) => address(text)?,
            None => remote.url.clone(),
        };
        let (commit, is_beside, notes) = commit(&tree, flags)?;
        let mut code = Self { tree, commit, url, is_beside, is_there: true, notes };
        if !flags.assume_pushed {
            code.reach(&remote, flags, context)?;
        }
        Ok(code)
    }

    /// Sees to it that the remote has the commit.
    fn reach(&mut self, remote: &Remote, flags: &Flags, context: &Context) -> Result<(), Failure> {
        let asked = if remote.url.scheme() == "file" { &self.url } else { &remote.url };
        if asked.scheme() == "file" {
            return Err(uncommitted(format!(
                "remote `{}` is a folder of this machine, {}",
                remote.name,
                asked.path()
            ))
            .help("say with --remote or --repository where the cluster gets the code; or say --assume-pushed")
            .into());
        }
        if self.is_beside && !flags.push {
            self.is_there = false;
            let reference = reference(&self.commit);
            self.notes.push(format!(
                "only this clone has the captured tree: `git push {} {reference}` brings it to the server",
                remote.name
            ));
            return Ok(());
        }
        context.doing("asking the remote");
        if self.is_kept(asked, context)? {
            return Ok(());
        }
        if !flags.push {
            return Err(self.not_there(remote, asked).into());
        }
        context.doing("pushing");
        self.tree.push(remote, &self.commit)?;
        self.is_beside = true;
        if self.is_kept(asked, context)? {
            return Ok(());
        }
        Err(uncommitted(format!("{} does not show what was pushed to `{}`", asked, remote.name))
            .help("push to a branch of your own, and submit again")
            .into())
    }

    fn is_kept(&self, asked: &Url, context: &Context) -> Result<bool, Failure> {
        let settings = context.settings()?;
        let with =
            Resolving { reach: Reach::Anybody, ..Resolving::new(&settings, Timestamp::now()) };
        match leads_to(asked, &self.commit, &with) {
            Ok(found) => Ok(found.is_some()),
            Err(why) => Err(self.not_told(asked, &why).into()),
        }
    }

    fn not_there(&self, remote: &Remote, asked: &Url) -> sitewright_model::diagnostic::Diagnostic {
        uncommitted(format!("commit {} is on no branch or tag of {asked}", self.short()))
            .note(format!("that is remote `{}`; a commit that no branch leads to is tidied away", remote.name))
            .help("`git push`, then submit again; or say --push to push this commit beside all branches")
    }

    fn not_told(&self, asked: &Url, why: &Unresolved) -> sitewright_model::diagnostic::Diagnostic {
        uncommitted(format!("whether {asked} has commit {} cannot be told", self.short()))
            .note(why.to_string())
            .help("mend the way to the server and submit again; or say --assume-pushed, where you know that it has it")
    }

    pub(super) fn short(&self) -> &str {
        self.commit.get(..12).unwrap_or(&self.commit)
    }

    /// Returns the address of the repository, without a login.
    pub(super) fn address(&self) -> String {
        self.url.public()
    }

    pub(super) fn uri(&self) -> String {
        format!("git+{}@{}", self.address(), self.commit)
    }

    /// Returns the beginning of the name of a run: the repository's, as the name of an object may be.
    pub(super) fn short_name(&self) -> String {
        let last = self.url.path().trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        let last = last.strip_suffix(".git").unwrap_or(last).to_ascii_lowercase();
        let plain: String = last
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
            .take(40)
            .collect();
        match plain.trim_matches('-') {
            "" => "run".to_owned(),
            // the name of a Job is that of a service too, which begins with a letter
            name if name.starts_with(|c: char| c.is_ascii_digit()) => format!("run-{name}"),
            name => name.to_owned(),
        }
    }

    pub(super) fn clone_with(
        &self,
        image: &str,
        secret: Option<String>,
        path: &str,
    ) -> Result<Clone, Failure> {
        if !self.is_there {
            return Err(bad("a captured tree that was not pushed cannot be cloned")
                .help("say --push too")
                .into());
        }
        if !path.starts_with('/') || path.contains(':') {
            return Err(bad(format!("`{path}` is no path in a container"))
                .help("give one like /code")
                .into());
        }
        Ok(Clone {
            image: image.to_owned(),
            url: self.address(),
            commit: self.commit.clone(),
            reference: self.is_beside.then(|| reference(&self.commit)),
            secret,
            path: path.to_owned(),
        })
    }
}

/// Returns the commit that runs, whether it is a captured one, and what to know of it.
fn commit(tree: &WorkTree, flags: &Flags) -> Result<(String, bool, Vec<String>), Failure> {
    let commit = tree.commit()?;
    let differences = tree.differences(!flags.ignore_untracked)?;
    if differences.is_empty() {
        return Ok((commit, false, Vec::new()));
    }
    if !flags.capture_dirty {
        return Err(WorkTreeError::Dirty { commit, differences }.into());
    }
    let captured = tree.capture(&differences)?;
    let mut notes: Vec<String> = differences.iter().map(|one| format!("captured: {one}")).collect();
    notes.push(format!(
        "the tree as it is became commit {}; the list of its files that differ is {}",
        captured.commit.get(..12).unwrap_or(&captured.commit),
        captured.files,
    ));
    Ok((captured.commit, true, notes))
}

fn address(text: &str) -> Result<Url, Failure> {
    let text = text.strip_prefix("git+").unwrap_or(text);
    Url::parse(text).map_err(|why| {
        bad(format!("--repository is no address: {why}"))
            .help("give one like https://git.example.edu/vision/train")
            .into()
    })
}
