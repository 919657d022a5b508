//! Commits, beside what git says of them.

use sitewright_model::lineage::{Grade, Relation};
use sitewright_source::resolve::{Resolving, Unresolved, resolve};
use sitewright_testbed::GitTrouble;

use crate::bench::{Bench, check, edges, fact};

#[test]
fn a_commit_is_found_with_its_tree_its_times_and_what_leads_to_it() {
    let bench = Bench::new();
    for (format, with_filter) in
        [("sha1", true), ("sha1", false), ("sha256", true), ("sha256", false)]
    {
        let name = format!("{format}-{with_filter}");
        let work = bench.init(&name, format);
        bench.write(&work.join("src/train.py"), "print(1)\n");
        bench.write(&work.join("large.bin"), "x".repeat(5000));
        let first = bench.commit(&work);
        for index in 0..50 {
            bench.write(&work.join("src/train.py"), format!("print({index})\n").repeat(200));
            bench.commit(&work);
        }
        bench.run(&work, &["git", "tag", "-a", "-m", "x", "v1"]);
        bench.run(&work, &["git", "branch", "other", &first]);
        let uri = bench.publish(&work, &format!("{name}.git"), with_filter);

        let id = format!("commit:{first}");
        let said = bench.resolve(&id, &format!("{uri}#src")).unwrap();
        check(&said);
        let tree = bench.run(&work, &["git", "rev-parse", &format!("{first}^{{tree}}")]);
        assert_eq!(fact(&said, &id, "tree"), Some(tree.as_str()));
        assert_eq!(fact(&said, &id, "resolution"), Some("found"));
        assert_eq!(fact(&said, &id, "authoredAt"), Some("2023-11-14T22:13:20Z"));
        assert_eq!(fact(&said, &id, "path"), Some("src: folder"));
        assert_eq!(fact(&said, &id, "objectFormat"), Some(format));
        assert_eq!(fact(&said, &id, "reachableFrom"), Some("refs/heads/other"));

        // without a reference at the commit itself, the history is looked through
        let bare = bench.path("served").join(format!("{name}.git"));
        bench.run(&bare, &["git", "branch", "-D", "other"]);
        let said = bench.resolve(&id, &format!("{uri}#src/none.py")).unwrap();
        let expected = Some("refs/heads/main, refs/tags/v1");
        assert_eq!(fact(&said, &id, "reachableFrom"), expected, "{format}");
        assert_eq!(fact(&said, &id, "path"), Some("src/none.py: missing"));
        // nobody's name is recorded
        assert!(!format!("{said:?}").contains("Ann"));
    }
}

#[test]
fn a_commit_that_was_forced_away_is_found_and_led_to_by_nothing() {
    let bench = Bench::new();
    let work = bench.init("w", "sha1");
    bench.write(&work.join("a"), "1");
    bench.commit(&work);
    bench.write(&work.join("a"), "2");
    let lost = bench.commit(&work);
    let uri = bench.publish(&work, "w.git", true);
    let bare = bench.path("served/w.git");
    bench.run(&bare, &["git", "update-ref", "refs/heads/main", &format!("{lost}^")]);
    let id = format!("commit:{lost}");
    let said = bench.resolve(&id, &uri).unwrap();
    assert_eq!(fact(&said, &id, "reachableFrom"), Some("none"));
    bench.run(&bare, &["git", "reflog", "expire", "--expire=now", "--all"]);
    bench.run(&bare, &["git", "repack", "-q", "-a", "-d"]);
    bench.run(&bare, &["git", "prune", "--expire=now"]);
    let gone = bench.resolve(&id, &uri).unwrap_err();
    assert!(matches!(gone, Unresolved::Gone(_)), "{gone}");
    let said = gone.statements(&id.parse().unwrap(), &uri);
    assert_eq!(fact(&said, &id, "resolution"), Some("gone"));
}

#[test]
fn a_name_leads_to_a_commit_at_a_time_and_is_only_inferred() {
    let bench = Bench::new();
    let work = bench.init("w", "sha1");
    bench.write(&work.join("a"), "1");
    let commit = bench.commit(&work);
    let uri = format!("{}@main", bench.publish(&work, "w.git", true));
    let id = format!("ref:{uri}");
    let said = bench.resolve(&id, &uri).unwrap();
    check(&said);
    let led = edges(&said, &id, Relation::LedTo, Grade::Inferred);
    assert_eq!(led, [format!("commit:{commit}")]);
    assert!(format!("{said:?}").contains("at 2027-01-15T08:00:00Z"));
    let other = bench.resolve(&format!("{id}x"), &format!("{uri}x")).unwrap_err();
    assert!(matches!(other, Unresolved::Gone(_)), "{other}");
}

#[test]
fn what_is_away_refused_or_gone_is_told_apart_and_no_file_of_this_machine_is_read() {
    let bench = Bench::new();
    let work = bench.init("w", "sha1");
    bench.write(&work.join("a"), "1");
    let id = format!("commit:{}", bench.commit(&work));
    let uri = bench.publish(&work, "w.git", true);
    bench.server.trouble(Some(GitTrouble::Away));
    let away = bench.resolve(&id, &uri).unwrap_err();
    assert!(
        away.is_temporary() && away.statements(&id.parse().unwrap(), &uri).is_empty(),
        "{away}"
    );
    bench.server.trouble(Some(GitTrouble::TruncatedPacks));
    assert!(bench.resolve(&id, &uri).unwrap_err().is_temporary());
    bench.server.trouble(None);
    let gone = bench.resolve(&id, &uri.replace("w.git", "x.git")).unwrap_err();
    assert!(matches!(gone, Unresolved::Gone(_)), "{gone}");
    // who wrote the annotation chose the address
    let others = Resolving::new(&bench.settings, bench.resolving().now);
    let requests = bench.server.requests().len();
    let file = format!("git+file://{}", work.display());
    for uri in [uri.as_str(), &file, "git+ssh://git@localhost/x", "git+https://127.1/x"] {
        let refused = resolve(&id.parse().unwrap(), Some(uri), &others).unwrap_err();
        let is_refused = matches!(refused, Unresolved::Refused(_) | Unresolved::Unknown(_));
        assert!(is_refused, "{uri}: {refused}");
    }
    assert_eq!(bench.server.requests().len(), requests);
}

#[test]
fn submodules_and_pointers_of_lfs_are_named() {
    let bench = Bench::new();
    let inner = bench.init("inner", "sha1");
    bench.write(&inner.join("a"), "1");
    let commit = bench.commit(&inner);
    let work = bench.init("w", "sha1");
    let from = inner.to_str().unwrap();
    bench.run(
        &work,
        &["git", "-c", "protocol.file.allow=always", "submodule", "add", "-q", from, "lib"],
    );
    let hex = "ab".repeat(32);
    let pointer =
        format!("version https://git-lfs.github.com/spec/v1\noid sha256:{hex}\nsize 12\n");
    bench.write(&work.join("weights.bin"), pointer);
    let id = format!("commit:{}", bench.commit(&work));
    let uri = bench.publish(&work, "w.git", true);
    let said = bench.resolve(&id, &uri).unwrap();
    let expected = [format!("commit:{commit}"), format!("data:sha256:{hex}")];
    assert_eq!(edges(&said, &id, Relation::Expected, Grade::Resolved), expected);
    assert_eq!(fact(&said, &id, "submodules"), Some("1"));
    assert_eq!(fact(&said, &id, "lfsFiles"), Some("1"));
    assert_eq!(fact(&said, &expected[1], "size"), Some("12"));
}
