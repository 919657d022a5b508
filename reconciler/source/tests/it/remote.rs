//! Repositories on servers: smart HTTP by git's own program, ssh by a stand-in that runs git here.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use sitewright_model::code;
use sitewright_source::{Mirror, Settings, Snapshot};

use crate::{
    repo::Repo,
    server::{Request, Response, Server, http_backend},
    support::{in_environment, open, open_with, wrong},
};

fn site() -> Repo {
    let repo = Repo::new();
    repo.write("sites/lab/site.yaml", "kind: Site\n").write("big.txt", "x".repeat(200_000));
    repo.commit("first");
    repo
}

fn settings(cache: &Path) -> Settings {
    Settings::new(cache)
}

fn commit(snapshot: &Snapshot) -> String {
    snapshot.origin().commit.unwrap()
}

/// Serves `repo` as a server does that knows nothing newer than version 0 of the protocol.
pub(crate) fn old_server(repo: &Repo) -> Server {
    let root = repo.path().to_owned();
    Server::start(move |request| {
        let mut request = request.clone();
        request.headers.retain(|(name, _)| !name.eq_ignore_ascii_case("git-protocol"));
        http_backend(&root, &request)
    })
}

#[test]
fn every_kind_of_reference_is_fetched_over_http() {
    let repo = site();
    let first = repo.git.head().unwrap().target().unwrap().to_string();
    repo.annotated_tag("v1.2.0", first.parse().unwrap());
    let second = repo.write("x", "x").commit("second");
    repo.tag("v1.10.0", second);
    let third = repo.write("x", "y").commit("third").to_string();
    let second = second.to_string();
    for server in [Server::git(repo.path()), old_server(&repo)] {
        for (reference, expected) in [
            ("main", &third),
            ("HEAD", &third),
            ("refs/heads/main", &third),
            ("v1.2.0", &first),
            ("semver:1.x", &second),
            ("semver:~1.2", &first),
            (&first, &first),
            (&third[..8], &third),
        ] {
            let cache = tempfile::tempdir().unwrap();
            let at = format!("{}//sites/lab@{reference}", server.url(".git"));
            let snapshot = open_with(&at, &settings(cache.path())).unwrap();
            assert_eq!(&commit(&snapshot), expected, "{reference}");
            let files = snapshot.folder("sites/lab").unwrap();
            assert_eq!(&**files.get("site.yaml").unwrap(), b"kind: Site\n");
        }
        let default = open(&format!("{}//sites/lab", server.url(".git"))).unwrap();
        assert_eq!(commit(&default), third);
        assert_eq!(default.origin().repository, server.url(".git"));
    }
}

#[test]
fn a_commit_that_no_reference_names_is_found_by_its_prefix() {
    let repo = site();
    let first = repo.git.head().unwrap().target().unwrap().to_string();
    repo.write("x", "x").commit("second");
    for server in [Server::git(repo.path()), old_server(&repo)] {
        let at = format!("{}//@{}", server.url(".git"), &first[..10]);
        assert_eq!(commit(&open(&at).unwrap()), first);
        let at = format!("{}//@{first}", server.url(".git"));
        assert_eq!(commit(&open(&at).unwrap()), first);
    }
}

#[test]
fn what_is_here_is_not_fetched_again() {
    let repo = site();
    let server = Server::git(repo.path());
    let cache = tempfile::tempdir().unwrap();
    let settings = settings(cache.path());
    let at = format!("{}//sites/lab@main", server.url(".git"));
    let first = open_with(&at, &settings).unwrap();
    server.take_log();

    open_with(&at, &settings).unwrap();
    assert_eq!(
        server.take_log(),
        ["GET /.git/info/refs", "POST /.git/git-upload-pack"],
        "one look at the references, no fetch"
    );

    let pinned = format!("{}//sites/lab@{}", server.url(".git"), commit(&first));
    open_with(&pinned, &settings).unwrap();
    assert!(server.take_log().is_empty(), "a whole commit id needs no network");
}

#[test]
fn a_new_commit_brings_what_changed_only() {
    let sent = Arc::new(Mutex::new(Vec::new()));
    let repo = site();
    let (root, sizes) = (repo.path().to_owned(), sent.clone());
    let server = Server::start(move |request: &Request| {
        let response = http_backend(&root, request);
        sizes.lock().unwrap().push(response.body.len());
        response
    });
    let random: Vec<u8> =
        (0..100_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()).collect();
    repo.write("random.bin", random).commit("does not compress");
    let cache = tempfile::tempdir().unwrap();
    let at = format!("{}//sites/lab@main", server.url(".git"));
    open_with(&at, &settings(cache.path())).unwrap();
    assert!(sent.lock().unwrap().iter().sum::<usize>() > 200_000);

    sent.lock().unwrap().clear();
    repo.write("sites/lab/site.yaml", "kind: Site # changed\n").commit("second");
    let snapshot = open_with(&at, &settings(cache.path())).unwrap();
    assert_eq!(&*snapshot.file("sites/lab/site.yaml").unwrap(), b"kind: Site # changed\n");
    assert!(snapshot.file("random.bin").is_ok());
    assert!(sent.lock().unwrap().iter().sum::<usize>() < 5_000, "{sent:?}");
}

#[test]
fn a_rewritten_branch_is_followed() {
    let repo = site();
    let server = Server::git(repo.path());
    let cache = tempfile::tempdir().unwrap();
    let at = format!("{}//@main", server.url(".git"));
    open_with(&at, &settings(cache.path())).unwrap();
    repo.git(&["checkout", "-q", "--orphan", "other"]);
    let other = repo.write("y", "y").commit("unrelated");
    repo.git(&["branch", "-f", "main", "other"]);
    assert_eq!(commit(&open_with(&at, &settings(cache.path())).unwrap()), other.to_string());
}

#[test]
fn a_vanished_branch_and_an_empty_repository_say_so() {
    let repo = site();
    repo.git(&["branch", "release"]);
    let server = Server::git(repo.path());
    let at = format!("{}//@release", server.url(".git"));
    open(&at).unwrap();
    repo.git(&["branch", "-D", "release"]);
    repo.git(&["branch", "released"]);
    let text = wrong(open(&at), code::source::UNKNOWN_REFERENCE);
    assert!(text.contains("did you mean `released`?"), "{text}");
    let unknown = format!("{}//@{}", server.url(".git"), "0123456789".repeat(4));
    wrong(open(&unknown), code::source::UNKNOWN_REFERENCE);
    let none = format!("{}//@semver:9.x", server.url(".git"));
    wrong(open(&none), code::source::UNKNOWN_REFERENCE);

    for make in [Server::git, |path: &Path| old_server_at(path)] {
        let empty = Repo::new();
        let server = make(empty.path());
        wrong(open(&format!("{}//", server.url(".git"))), code::source::EMPTY_REPOSITORY);
        wrong(open(&format!("{}//@main", server.url(".git"))), code::source::EMPTY_REPOSITORY);
    }
}

pub(crate) fn old_server_at(path: &Path) -> Server {
    let root = path.to_owned();
    Server::start(move |request| {
        let mut request = request.clone();
        request.headers.clear();
        http_backend(&root, &request)
    })
}

#[test]
fn a_password_in_the_address_is_used_and_never_shown() {
    let repo = site();
    let root = repo.path().to_owned();
    let server = Server::start(move |request| {
        // ann:canary
        match request.header("authorization") {
            Some("Basic YW5uOmNhbmFyeQ==") => http_backend(&root, request),
            _ => Response::new(401, "who?").header("WWW-Authenticate", "Basic realm=x"),
        }
    });
    let address = |login: &str| format!("http://{login}127.0.0.1:{}/.git//@main", server.port);
    let snapshot = open(&address("ann:canary@")).unwrap();
    assert!(!format!("{snapshot:?}").contains("canary"));
    let text = wrong(open(&address("ann:canaries@")), code::source::REPOSITORY_REFUSED);
    assert!(!text.contains("canar"), "{text}");
    wrong(open(&address("")), code::source::REPOSITORY_REFUSED);
}

#[test]
fn a_token_is_sent_to_its_own_host_alone() {
    let name = "remote::a_token_is_sent_to_its_own_host_alone";
    if !in_environment(
        name,
        &[("SITEWRIGHT_GIT_TOKEN", "canary"), ("SITEWRIGHT_GIT_HOST", "localhost")],
    ) {
        return;
    }
    let repo = site();
    let server = Server::git(repo.path());
    let at = |host: &str| format!("http://{host}:{}/.git//@main", server.port);
    open(&at("127.0.0.1")).unwrap();
    assert!(server.requests().iter().all(|request| request.header("authorization").is_none()));
    open(&at("localhost")).unwrap();
    // x-access-token:canary
    let expected = "Basic eC1hY2Nlc3MtdG9rZW46Y2FuYXJ5";
    assert!(
        server.requests().iter().any(|request| request.header("authorization") == Some(expected))
    );
}

#[test]
fn git_credential_helpers_are_asked_after_a_refusal() {
    let name = "remote::git_credential_helpers_are_asked_after_a_refusal";
    let helper = "!f() { echo username=ann; echo password=canary; }; f";
    if !in_environment(
        name,
        &[
            ("GIT_CONFIG_COUNT", "1"),
            ("GIT_CONFIG_KEY_0", "credential.helper"),
            ("GIT_CONFIG_VALUE_0", helper),
        ],
    ) {
        return;
    }
    let repo = site();
    let root = repo.path().to_owned();
    let server = Server::start(move |request| match request.header("authorization") {
        Some("Basic YW5uOmNhbmFyeQ==") => http_backend(&root, request),
        _ => Response::new(401, "who?").header("WWW-Authenticate", "Basic realm=x"),
    });
    open(&format!("{}//@main", server.url(".git"))).unwrap();
}

/// The login for the first server was once sent to the one that it redirects to.
#[test]
fn a_helper_is_asked_again_for_the_server_that_a_redirect_leads_to() {
    let name = "remote::a_helper_is_asked_again_for_the_server_that_a_redirect_leads_to";
    // The password is the server's own name and port.
    let helper = "!f() { while read -r line; do case $line in host=*) host=${line#host=};; esac; done; \
                  echo username=ann; echo \"password=$host\"; }; f";
    if !in_environment(
        name,
        &[
            ("GIT_CONFIG_COUNT", "1"),
            ("GIT_CONFIG_KEY_0", "credential.helper"),
            ("GIT_CONFIG_VALUE_0", helper),
        ],
    ) {
        return;
    }
    let repo = site();
    let root = repo.path().to_owned();
    let refusal = || Response::new(401, "who?").header("WWW-Authenticate", "Basic realm=x");
    let target = Arc::new(Server::start(move |request| match request.header("authorization") {
        Some(_) => http_backend(&root, request),
        None => refusal(),
    }));
    let there = target.clone();
    let server = Server::start(move |request| match request.header("authorization") {
        Some(_) => {
            let location = format!("{}?{}", there.url(".git/info/refs"), request.query);
            Response::new(302, "").header("Location", location)
        }
        None => refusal(),
    });
    open(&format!("{}//@main", server.url("old.git"))).unwrap();
    let logins = |server: &Server| -> Vec<String> {
        let sent = server.requests();
        let mut sent: Vec<_> =
            sent.iter().filter_map(|r| r.header("authorization").map(str::to_owned)).collect();
        sent.dedup();
        sent
    };
    let (first, second) = (logins(&server), logins(&target));
    assert_eq!((first.len(), second.len()), (1, 1));
    assert_ne!(first, second, "each server sees its own login");
}

#[test]
fn the_first_redirect_is_followed_and_a_login_stays_behind() {
    let repo = site();
    let target = Arc::new(Server::git(repo.path()));
    let there = target.clone();
    let server = Server::start(move |request| {
        let location = format!("{}?{}", there.url(".git/info/refs"), request.query);
        Response::new(302, "").header("Location", location)
    });
    let at = format!("http://ann:canary@127.0.0.1:{}/old.git//@main", server.port);
    open(&at).unwrap();
    let requests = target.requests();
    assert!(requests.len() >= 2);
    assert!(requests.iter().all(|request| request.header("authorization").is_none()));
}

#[test]
fn servers_that_are_wrong_are_told_apart() {
    let at = |server: &Server| format!("{}//@main", server.url("x.git"));
    let page = Server::start(|_| Response::new(200, "<html>").header("Content-Type", "text/html"));
    wrong(open(&at(&page)), code::source::GIT_PROTOCOL);
    let nothing = Server::start(|_| Response::new(404, ""));
    wrong(open(&at(&nothing)), code::source::NOT_A_REPOSITORY);
    let broken = Server::start(|_| Response::new(500, ""));
    wrong(open(&at(&broken)), code::source::REPOSITORY_UNREACHABLE);
    let circle = Server::start(|_| Response::new(302, "").header("Location", "/x"));
    wrong(open(&at(&circle)), code::source::GIT_PROTOCOL);
    let away = Server::start(|_| Response::new(302, "").header("Location", "file:///etc/passwd"));
    wrong(open(&at(&away)), code::source::GIT_PROTOCOL);
    let git = |body: &'static [u8]| {
        Server::start(move |_| {
            Response::new(200, body)
                .header("Content-Type", "application/x-git-upload-pack-advertisement")
        })
    };
    wrong(open(&at(&git(b"<html>"))), code::source::GIT_PROTOCOL);
    wrong(open(&at(&git(b"000eversion 2\n"))), code::source::REPOSITORY_UNREACHABLE);
    let text = wrong(open(&at(&git(b"0011ERR no\x1b[31m!\n"))), code::source::GIT_PROTOCOL);
    assert!(!text.contains('\x1b'), "{text}");
    let sha256 = b"000eversion 2\n0019object-format=sha256\n0000";
    assert!(wrong(open(&at(&git(sha256))), code::source::GIT_PROTOCOL).contains("SHA-256"));
    drop(nothing);
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let gone = format!("http://127.0.0.1:{port}/x.git//@main");
    wrong(open(&gone), code::source::REPOSITORY_UNREACHABLE);
}

#[test]
fn a_fetch_is_bounded_in_bytes_and_time() {
    let repo = site();
    let random: Vec<u8> =
        (0..100_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()).collect();
    repo.write("random.bin", random).commit("does not compress");
    let server = Server::git(repo.path());
    let cache = tempfile::tempdir().unwrap();
    let mut settings = settings(cache.path());
    settings.limits.fetch_bytes = 100_000;
    let at = format!("{}//@main", server.url(".git"));
    wrong(open_with(&at, &settings), code::source::TOO_LARGE);

    let slow = Server::start(|_| {
        std::thread::sleep(Duration::from_secs(20));
        Response::new(200, "")
    });
    settings.limits.fetch_seconds = 1;
    let at = format!("{}//@main", slow.url(".git"));
    wrong(open_with(&at, &settings), code::source::REPOSITORY_UNREACHABLE);
}

/// libgit2 allocates what a delta declares: thirty bytes on the wire once asked for gigabytes.
#[test]
fn a_pack_that_unpacks_to_too_much_is_refused() {
    let repo = site();
    let mut text = "0123456789abcdef\n".repeat(3_000);
    repo.write("delta.txt", &text).commit("second");
    text.push_str("more\n");
    repo.write("delta.txt", &text).commit("third");
    repo.git(&["repack", "-adfq"]);
    let server = Server::git(repo.path());
    let at = format!("{}//@main", server.url(".git"));
    let limited = |object_bytes, inflated_bytes| {
        let cache = tempfile::tempdir().unwrap();
        let mut settings = settings(cache.path());
        settings.limits.object_bytes = object_bytes;
        settings.limits.inflated_bytes = inflated_bytes;
        open_with(&at, &settings).map(drop)
    };
    limited(300_000, 600_000).unwrap();
    let text = wrong(limited(150_000, 600_000), code::source::TOO_LARGE);
    assert!(text.contains("an object of more than 150000 bytes"), "{text}");
    let text = wrong(limited(300_000, 220_000), code::source::TOO_LARGE);
    assert!(text.contains("together"), "{text}");
}

#[test]
fn a_damaged_mirror_is_made_anew() {
    let repo = site();
    let server = Server::git(repo.path());
    let cache = tempfile::tempdir().unwrap();
    let at = format!("{}//@main", server.url(".git"));
    drop(open_with(&at, &settings(cache.path())).unwrap());
    let mirrors: Vec<_> = fs::read_dir(cache.path().join("git")).unwrap().flatten().collect();
    let mirror = mirrors[0].path().join("repository");
    fs::remove_file(mirror.join("HEAD")).unwrap();
    assert!(open_with(&at, &settings(cache.path())).unwrap().file("big.txt").is_ok());
    fs::remove_dir_all(mirror.join("objects/pack")).unwrap();
    assert!(open_with(&at, &settings(cache.path())).unwrap().file("big.txt").is_ok());
}

#[test]
fn an_outgrown_mirror_is_made_anew_once_nobody_reads_it() {
    let repo = site();
    let server = Server::git(repo.path());
    let cache = tempfile::tempdir().unwrap();
    let at = format!("{}//@main", server.url(".git"));
    let reader = open_with(&at, &settings(cache.path())).unwrap();
    let mirrors: Vec<_> = fs::read_dir(cache.path().join("git")).unwrap().flatten().collect();
    let packs = mirrors[0].path().join("repository/objects/pack");
    for number in 0..70 {
        fs::write(packs.join(format!("old-{number}.pack")), "").unwrap();
    }
    let count = || fs::read_dir(&packs).unwrap().count();
    open_with(&at, &settings(cache.path())).unwrap();
    assert!(count() > 70, "somebody reads it");
    drop(reader);
    assert!(open_with(&at, &settings(cache.path())).unwrap().file("big.txt").is_ok());
    assert!(count() < 10);
}

#[test]
fn mirrors_make_room_for_each_other_unless_they_are_read() {
    let cache = tempfile::tempdir().unwrap();
    let mut settings = settings(cache.path());
    let repositories: Vec<_> = (0..4).map(|_| site()).collect();
    let servers: Vec<_> = repositories.iter().map(|repo| Server::git(repo.path())).collect();
    let open = |number: usize, settings: &Settings| {
        open_with(&format!("{}//@main", servers[number].url(".git")), settings).unwrap()
    };
    let kept = || {
        let mirrors = fs::read_dir(cache.path().join("git")).unwrap().flatten();
        mirrors.filter(|mirror| mirror.path().join("repository").exists()).count()
    };
    let reader = open(0, &settings);
    for number in [1, 2] {
        open(number, &settings);
    }
    assert_eq!(kept(), 3);
    settings.limits.mirrors_bytes = 1;
    let newest = open(3, &settings);
    assert_eq!(kept(), 2, "the one that is read, and the one that was just fetched");
    assert!(reader.file("big.txt").is_ok() && newest.file("big.txt").is_ok());
    drop(reader);
    assert!(open(0, &settings).file("big.txt").is_ok());
}

#[test]
fn what_a_killed_fetch_left_is_swept() {
    let repo = site();
    let server = Server::git(repo.path());
    let cache = tempfile::tempdir().unwrap();
    let at = format!("{}//@main", server.url(".git"));
    drop(open_with(&at, &settings(cache.path())).unwrap());
    let mirrors: Vec<_> = fs::read_dir(cache.path().join("git")).unwrap().flatten().collect();
    let left = mirrors[0].path().join("repository/objects/pack/pack_git2_abc123");
    fs::write(&left, "half a pack").unwrap();
    open_with(&at, &settings(cache.path())).unwrap();
    assert!(!left.exists());
}

#[test]
fn offline_reads_what_was_fetched_and_nothing_else() {
    let repo = site();
    let cache = tempfile::tempdir().unwrap();
    let mut settings = settings(cache.path());
    let server = Server::git(repo.path());
    let at = format!("{}//sites/lab@main", server.url(".git"));
    settings.offline = true;
    wrong(open_with(&at, &settings), code::source::OFFLINE);
    settings.offline = false;
    open_with(&at, &settings).unwrap();
    drop(server);
    settings.offline = true;
    assert!(open_with(&at, &settings).unwrap().file("sites/lab/site.yaml").is_ok());
    wrong(open_with(&at.replace("main", "other"), &settings), code::source::OFFLINE);
}

#[test]
fn a_mirror_stands_in_for_an_address() {
    let repo = site();
    let cache = tempfile::tempdir().unwrap();
    let mut settings = settings(cache.path());
    let server = Server::git(repo.path());
    let at = "https://git.example.edu/lab/.git//sites/lab@main";
    for to in [server.url(""), format!("file://{}/", repo.path().display())] {
        settings.mirrors = vec![Mirror { from: "https://git.example.edu/lab/".into(), to }];
        let snapshot = open_with(at, &settings).unwrap();
        assert_eq!(snapshot.origin().repository, "https://git.example.edu/lab/.git");
        assert!(snapshot.file("sites/lab/site.yaml").is_ok());
    }
}

#[test]
fn a_cache_that_cannot_be_written_is_no_hindrance() {
    let repo = site();
    let server = Server::git(repo.path());
    let at = format!("{}//sites/lab@main", server.url(".git"));
    let snapshot = open_with(&at, &settings(Path::new("/dev/null/cache"))).unwrap();
    assert!(snapshot.file("sites/lab/site.yaml").is_ok());
}

#[test]
fn readers_in_parallel_share_one_mirror() {
    let repo = site();
    let server = Server::git(repo.path());
    let cache = tempfile::tempdir().unwrap();
    let settings = settings(cache.path());
    let at = format!("{}//sites/lab@main", server.url(".git"));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let snapshot = open_with(&at, &settings).unwrap();
                assert!(snapshot.file("sites/lab/site.yaml").is_ok());
            });
        }
    });
    assert_eq!(fs::read_dir(cache.path().join("git")).unwrap().count(), 1);
}

/// Writes a stand-in for ssh that runs the command here, and returns its path.
fn fake_ssh(folder: &Path, script: &str) -> String {
    let path = folder.join("fake ssh.sh");
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Leaves only the last argument: the command for the other side.
const RUN_HERE: &str = "for last; do :; done; exec sh -c \"$last\"";

#[test]
fn ssh_is_the_program_of_the_system() {
    let name = "remote::ssh_is_the_program_of_the_system";
    let folder = tempfile::tempdir().unwrap();
    let script = fake_ssh(folder.path(), RUN_HERE);
    if !in_environment(name, &[("GIT_SSH_COMMAND", &format!("'{script}'"))]) {
        // Again with a server that does not hear of version 2.
        let old = fake_ssh(folder.path(), &format!("unset GIT_PROTOCOL; {RUN_HERE}"));
        in_environment(name, &[("GIT_SSH_COMMAND", &format!("'{old}'"))]);
        return;
    }
    let repo = site();
    let first = repo.git.head().unwrap().target().unwrap().to_string();
    repo.annotated_tag("v1.0.0", first.parse().unwrap());
    repo.write("x", "x").commit("second");
    let cache = tempfile::tempdir().unwrap();
    let address = format!("ssh://git@git.example.edu{}/.git", repo.path().display());
    for reference in ["v1.0.0", "semver:1.x", &first, &first[..9]] {
        let at = format!("{address}//sites/lab@{reference}");
        let snapshot = open_with(&at, &settings(cache.path())).unwrap();
        assert_eq!(commit(&snapshot), first, "{reference}");
        assert!(snapshot.file("sites/lab/site.yaml").is_ok());
    }
    open_with(&format!("{address}//@main"), &settings(cache.path())).unwrap();
    wrong(open(&format!("{address}//@mian")), code::source::UNKNOWN_REFERENCE);
    wrong(open("ssh://git@git.example.edu/no/such.git//@main"), code::source::NOT_A_REPOSITORY);
}

#[test]
fn what_ssh_says_is_told() {
    let name = "remote::what_ssh_says_is_told";
    let folder = tempfile::tempdir().unwrap();
    let script = "echo 'git@h: Permission denied (publickey).' >&2; exit 255";
    let script = fake_ssh(folder.path(), script);
    if !in_environment(name, &[("GIT_SSH_COMMAND", &format!("'{script}'"))]) {
        return;
    }
    let text =
        wrong(open("git@git.example.edu:lab/site.git//@main"), code::source::REPOSITORY_REFUSED);
    assert!(text.contains("Permission denied (publickey)"), "{text}");
}

#[test]
fn an_ssh_that_hangs_is_stopped() {
    let name = "remote::an_ssh_that_hangs_is_stopped";
    let folder = tempfile::tempdir().unwrap();
    let script = fake_ssh(folder.path(), "sleep 60; exit 1");
    if !in_environment(name, &[("GIT_SSH_COMMAND", &format!("'{script}'"))]) {
        return;
    }
    let mut settings = settings(folder.path());
    settings.limits.fetch_seconds = 1;
    let at = "git@git.example.edu:lab/site.git//@main";
    wrong(open_with(at, &settings), code::source::REPOSITORY_UNREACHABLE);
}

#[test]
fn an_ssh_that_is_not_installed_says_so() {
    let name = "remote::an_ssh_that_is_not_installed_says_so";
    if !in_environment(name, &[("GIT_SSH", "/no/such/ssh"), ("GIT_SSH_COMMAND", "")]) {
        return;
    }
    let text =
        wrong(open("git@git.example.edu:x.git//@main"), code::source::REPOSITORY_UNREACHABLE);
    assert!(text.contains("/no/such/ssh"), "{text}");
}
