//! Repositories that the tools make, and what the resolvers say of them.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use jiff::Timestamp;
use sitewright_model::lineage::{EntityId, Grade, Relation, Statement};
use sitewright_source::{
    Settings,
    outbound::Reach,
    resolve::{Resolving, Unresolved, resolve},
};
use sitewright_testbed::{GitHttp, tools::PythonTools};

/// A folder for repositories and the home of the tools, and a server of them.
pub(crate) struct Bench {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) server: GitHttp,
    pub(crate) settings: Settings,
    programs: Option<PathBuf>,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::made(None)
    }

    /// With the programs that keep data beside git.
    pub(crate) fn with_data_tools() -> Self {
        Self::made(Some(PythonTools::Data.find().unwrap()))
    }

    fn made(programs: Option<PathBuf>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let served = folder.path().join("served");
        fs::create_dir_all(&served).unwrap();
        let settings = Settings::new(folder.path().join("cache"));
        let server = GitHttp::serve(served).unwrap();
        Self { folder, server, settings, programs }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs a program in `folder`, and gives what it prints.
    pub(crate) fn run(&self, folder: &Path, command: &[&str]) -> String {
        let output = self.output(folder, command);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{command:?}: {said}");
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    fn output(&self, folder: &Path, command: &[&str]) -> Output {
        let path = env::var("PATH").unwrap();
        let path = match &self.programs {
            Some(programs) => format!("{}:{path}", programs.display()),
            None => path,
        };
        Command::new(command[0])
            .args(&command[1..])
            .current_dir(folder)
            .env("PATH", path)
            .env("HOME", self.folder.path())
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_ALLOW_PROTOCOL", "file")
            .env("GIT_AUTHOR_DATE", "1700000000 +0100")
            .env("GIT_COMMITTER_DATE", "1700000001 +0100")
            .env("DVC_NO_ANALYTICS", "true")
            .env("PYTHONWARNINGS", "ignore")
            .envs([("GIT_AUTHOR_NAME", "Ann"), ("GIT_COMMITTER_NAME", "Ann")])
            .envs([("GIT_AUTHOR_EMAIL", "a@b.example"), ("GIT_COMMITTER_EMAIL", "a@b.example")])
            .output()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"))
    }

    pub(crate) fn write(&self, path: &Path, content: impl AsRef<[u8]>) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// Makes a repository to work in.
    pub(crate) fn init(&self, name: &str, format: &str) -> PathBuf {
        let work = self.path(name);
        fs::create_dir_all(&work).unwrap();
        self.run(&work, &["git", "init", "-q", "-b", "main", "--object-format", format]);
        work
    }

    /// Commits everything, and returns the id.
    pub(crate) fn commit(&self, work: &Path) -> String {
        self.run(work, &["git", "add", "-A"]);
        self.run(work, &["git", "commit", "-q", "-m", "x"]);
        self.run(work, &["git", "rev-parse", "HEAD"])
    }

    /// Puts a bare copy on the server, with everything that refers to something, and returns its address.
    pub(crate) fn publish(&self, work: &Path, name: &str, with_filter: bool) -> String {
        let bare = self.path("served").join(name);
        let _ = fs::remove_dir_all(&bare);
        let (from, to) = (work.to_str().unwrap(), bare.to_str().unwrap());
        self.run(self.folder.path(), &["git", "clone", "-q", "--bare", from, to]);
        let filter = if with_filter { "true" } else { "false" };
        self.run(&bare, &["git", "config", "uploadpack.allowFilter", filter]);
        format!("git+{}/{name}", self.server.url())
    }

    pub(crate) fn resolving(&self) -> Resolving<'_> {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        Resolving { reach: Reach::Anybody, ..Resolving::new(&self.settings, now) }
    }

    pub(crate) fn resolve(&self, id: &str, uri: &str) -> Result<Vec<Statement>, Unresolved> {
        resolve(&id.parse().unwrap(), Some(uri), &self.resolving())
    }
}

/// Returns the value of a fact about `id`.
pub(crate) fn fact<'s>(said: &'s [Statement], id: &str, wanted: &str) -> Option<&'s str> {
    said.iter().find_map(|one| match one {
        Statement::Fact { of, field, value, .. } if of.as_str() == id && field == wanted => {
            Some(value.as_str())
        }
        _ => None,
    })
}

/// Returns what `id` is said to depend on, in order.
pub(crate) fn edges(said: &[Statement], id: &str, wanted: Relation, at: Grade) -> Vec<String> {
    let mut found: Vec<String> = said
        .iter()
        .filter_map(|one| match one {
            Statement::Edge { from, relation, to, grade, .. }
                if from.as_str() == id && *relation == wanted && *grade == at =>
            {
                Some(to.to_string())
            }
            _ => None,
        })
        .collect();
    found.sort();
    found
}

/// Checks that nothing is said above `resolved`, and nothing about a run.
pub(crate) fn check(said: &[Statement]) {
    for one in said {
        assert!(one.grade() >= Grade::Resolved, "{one:?}");
        let of: &EntityId = match one {
            Statement::Fact { of, .. } => of,
            Statement::Edge { from, .. } => from,
        };
        assert!(!of.as_str().starts_with("run:"), "{one:?}");
    }
}
