//! Whether a reference moved forward, over HTTP in both versions of the protocol, and on disk.

use sitewright_model::code;
use sitewright_source::{
    Location, Settings, Snapshot,
    history::{Moved, moved},
};

use crate::{
    repo::Repo,
    server::{Server, http_backend},
};

/// A repository, as it is reached in different ways.
struct Served {
    repo: Repo,
    servers: Vec<Server>,
}

impl Served {
    fn new() -> Self {
        let repo = Repo::new();
        repo.write("site.yaml", "0").commit("first");
        // both ways of a server: with filters, as forges have them, and without
        let with_filter = repo.path().to_owned();
        let old = repo.path().to_owned();
        let servers = vec![
            Server::git(repo.path()),
            Server::start(move |request| {
                std::process::Command::new("git")
                    .args(["config", "uploadpack.allowFilter", "true"])
                    .current_dir(&with_filter)
                    .status()
                    .unwrap();
                http_backend(&with_filter, request)
            }),
            Server::start(move |request| {
                let mut request = request.clone();
                request.headers.retain(|(name, _)| !name.eq_ignore_ascii_case("git-protocol"));
                http_backend(&old, &request)
            }),
        ];
        Self { repo, servers }
    }

    /// Reads `reference`, lets `change` happen, reads it again, and returns how it moved, each way.
    fn move_by(&self, reference: &str, change: impl FnOnce(&Repo)) -> Vec<Moved> {
        let at = if reference.is_empty() { String::new() } else { format!("@{reference}") };
        let mut urls: Vec<String> =
            self.servers.iter().map(|server| format!("{}//{at}", server.url(".git"))).collect();
        urls.push(format!("file://{}//{at}", self.repo.path().display()));
        let caches: Vec<_> = urls.iter().map(|_| tempfile::tempdir().unwrap()).collect();
        let read = |url: &String, cache: &tempfile::TempDir| {
            let location = Location::parse(url).unwrap();
            let settings = Settings::new(cache.path());
            let commit = Snapshot::open(&location, &settings).unwrap().origin().commit.unwrap();
            (location, settings, commit)
        };
        let before: Vec<String> =
            urls.iter().zip(&caches).map(|(url, cache)| read(url, cache).2).collect();
        change(&self.repo);
        let each = urls.iter().zip(&caches).zip(before);
        each.map(|((url, cache), before)| {
            let (location, settings, after) = read(url, cache);
            moved(&location, &before, &after, &settings).unwrap()
        })
        .collect()
    }
}

fn commits(repo: &Repo, count: usize) {
    for n in 0..count {
        repo.write("site.yaml", format!("{count} {n}")).commit("more");
    }
}

#[test]
fn commits_on_top_are_a_move_forward_however_many() {
    let served = Served::new();
    for count in [1, 3, 70] {
        let moved = served.move_by("main", |repo| commits(repo, count));
        assert_eq!(moved, [Moved::Forward; 4], "{count} commits");
    }
    assert_eq!(served.move_by("", |repo| commits(repo, 2)), [Moved::Forward; 4]);
    assert_eq!(served.move_by("main", |_| ()), [Moved::Forward; 4]);
}

#[test]
fn a_merge_leads_from_both_sides() {
    let served = Served::new();
    let moved = served.move_by("main", |repo| {
        repo.git(&["checkout", "-q", "-b", "side", "HEAD"]);
        commits(repo, 2);
        repo.git(&["checkout", "-q", "main"]);
        repo.git(&["merge", "-q", "--no-ff", "-m", "merge", "side"]);
    });
    assert_eq!(moved, [Moved::Forward; 4]);
}

#[test]
fn a_forced_branch_is_rewritten_also_back_to_an_earlier_commit() {
    let served = Served::new();
    commits(&served.repo, 5);
    let moved = served.move_by("main", |repo| {
        repo.git(&["reset", "-q", "--hard", "HEAD~2"]);
        commits(repo, 1);
    });
    assert_eq!(moved, [Moved::Rewritten; 4]);
    let back = served.move_by("main", |repo| {
        repo.git(&["reset", "-q", "--hard", "HEAD~1"]);
    });
    assert_eq!(back, [Moved::Rewritten; 4]);
    let other = served.move_by("main", |repo| {
        repo.git(&["checkout", "-q", "--orphan", "other"]);
        commits(repo, 2);
        repo.git(&["branch", "-q", "-M", "other", "main"]);
    });
    assert_eq!(other, [Moved::Rewritten; 4]);
}

#[test]
fn a_tag_does_not_move_even_forward_and_a_range_may() {
    let served = Served::new();
    served.repo.git(&["tag", "v1.0.0"]);
    let moved = served.move_by("v1.0.0", |repo| {
        commits(repo, 1);
        repo.git(&["tag", "-f", "v1.0.0"]);
    });
    assert_eq!(moved, [Moved::Tag; 4]);
    let range = served.move_by("semver:1.x", |repo| {
        repo.git(&["checkout", "-q", "--orphan", "release"]);
        commits(repo, 1);
        repo.git(&["tag", "v1.1.0"]);
    });
    assert_eq!(range, [Moved::Forward; 4]);
}

#[test]
fn a_branch_that_vanished_is_an_error_with_the_nearest_name() {
    let served = Served::new();
    served.repo.git(&["branch", "production"]);
    let url = format!("{}//@production", served.servers[0].url(".git"));
    let cache = tempfile::tempdir().unwrap();
    let (location, settings) = (Location::parse(&url).unwrap(), Settings::new(cache.path()));
    Snapshot::open(&location, &settings).unwrap();
    served.repo.git(&["branch", "-D", "production"]);
    let errors = Snapshot::open(&location, &settings).unwrap_err();
    assert!(
        errors.0.iter().any(|error| error.code == code::source::UNKNOWN_REFERENCE),
        "{errors:?}"
    );
}
