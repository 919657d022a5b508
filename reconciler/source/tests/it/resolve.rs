//! Commits on servers of either version of git's protocol. What the tools say of them is asked in the tests of the
//! testbed.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::{Value, json};
use sitewright_model::{
    digest::Digest,
    lineage::{EntityId, Grade, Relation, Statement},
};
use sitewright_source::{
    Secret, Settings, Url,
    outbound::Reach,
    resolve::{
        LakeFs, Resolving, S3, Stores, Unresolved,
        dsse::{TrustedKey, pae},
        push_envelope, resolve,
    },
};

use crate::{
    remote::old_server,
    repo::Repo,
    server::{Request, Response, Server},
};

fn resolving(settings: &Settings) -> Resolving<'_> {
    Resolving { reach: Reach::Anybody, ..Resolving::new(settings, Timestamp::UNIX_EPOCH) }
}

fn value<'s>(said: &'s [Statement], wanted: &str) -> Option<&'s str> {
    said.iter().find_map(|one| match one {
        Statement::Fact { field, value, .. } if field == wanted => Some(value.as_str()),
        _ => None,
    })
}

#[test]
fn a_commit_in_the_middle_of_a_history_is_found_also_where_tips_alone_are_given_out() {
    let repo = Repo::new();
    let md5 = "d41d8cd98f00b204e9800998ecf8427e";
    // larger than what comes with a commit where the server can leave files out
    let lock = format!("# {}\nouts:\n- {{md5: {md5}, hash: md5, path: data}}\n", "x".repeat(3000));
    repo.write("sets/data.dvc", lock).write("a", "1");
    let commit = repo.commit("first").to_string();
    repo.write("a", "2");
    repo.commit("second");
    let mut config = repo.git.config().unwrap();
    config.set_bool("uploadpack.allowFilter", true).unwrap();

    let settings = Settings::new("/nonexistent");
    let id = EntityId::commit(&commit).unwrap();
    let data = EntityId::data("dvc", &format!("md5:{md5}")).unwrap();
    for server in [Server::git(repo.path()), old_server(&repo)] {
        let uri = format!("git+{}", server.url(".git"));
        let said = resolve(&id, Some(&uri), &resolving(&settings)).unwrap();
        assert_eq!(value(&said, "reachableFrom"), Some("refs/heads/main"), "{said:?}");
        assert!(said.iter().any(|one| matches!(one, Statement::Edge { to, relation: Relation::Expected, .. } if *to == data)), "{said:?}");

        let other = EntityId::commit(&"ab".repeat(20)).unwrap();
        let gone = resolve(&other, Some(&uri), &resolving(&settings)).unwrap_err();
        assert!(matches!(gone, Unresolved::Gone(_)), "{gone}");
    }
}

#[test]
fn a_name_does_not_lead_out_of_the_bucket_or_repository_that_it_names() {
    let settings = Settings::new("/nonexistent");
    let endpoint = || Url::parse("http://127.0.0.1:1").unwrap();
    let (region, buckets) = ("us-east-1".to_owned(), Some(vec!["open".to_owned()]));
    let s3 = vec![S3 { endpoint: endpoint(), region, buckets, login: None, list: false }];
    let (access_key, secret_key) = ("k".to_owned(), Secret::new("s"));
    let lakefs = vec![LakeFs { endpoint: endpoint(), access_key, secret_key }];
    let stores = Stores { s3, lakefs, ..Stores::default() };
    let with = Resolving { stores: &stores, ..resolving(&settings) };
    for id in [
        "ref:s3://open/../closed/x",
        "data:s3:open/../closed/x@1",
        "ref:s3://closed/x",
        "ref:s3://open%2Fx/y",
        "ref:lakefs://../main",
        "data:lakefs:../abab",
    ] {
        let refused = resolve(&id.parse().unwrap(), None, &with).unwrap_err();
        let is_refused = matches!(refused, Unresolved::Unknown(_) | Unresolved::Refused(_));
        assert!(is_refused, "{id}: {refused}");
    }
    let away = resolve(&"ref:s3://open/x".parse().unwrap(), None, &with).unwrap_err();
    assert!(away.is_temporary(), "{away}");
}

#[test]
fn offline_nothing_is_asked() {
    let mut settings = Settings::new("/nonexistent");
    settings.offline = true;
    for (id, uri) in [
        (format!("commit:{}", "ab".repeat(20)), "git+https://git.example.org/x"),
        (format!("image:sha256:{}", "ab".repeat(32)), "oci://registry.example.org/x"),
    ] {
        let away = resolve(&id.parse().unwrap(), Some(uri), &resolving(&settings)).unwrap_err();
        assert!(away.is_temporary(), "{away}");
    }
}

/// A registry with the API of referrers, which the one of the testbed does not have yet.
#[derive(Clone, Default)]
struct Registry(Arc<Mutex<HashMap<String, Vec<u8>>>>);

impl Registry {
    fn answer(&self, request: &Request) -> Response {
        let mut kept = self.0.lock().unwrap();
        let path = request.path.trim_start_matches("/v2/x/").to_owned();
        let digest = Digest::of(&request.body);
        match (request.method.as_str(), path.as_str()) {
            ("POST", _) => Response::new(202, "").header("Location", "/v2/x/upload"),
            ("PUT", "upload") => {
                kept.insert(format!("blobs/{digest}"), request.body.clone());
                Response::new(201, "")
            }
            ("PUT", _) => {
                kept.insert(path, request.body.clone());
                let manifest: Value = serde_json::from_slice(&request.body).unwrap();
                let subject = manifest["subject"]["digest"].as_str().unwrap_or_default();
                Response::new(201, "").header("OCI-Subject", subject)
            }
            ("GET", _) if path.starts_with("referrers/") => {
                let subject = path.trim_start_matches("referrers/");
                let manifests: Vec<Value> = kept
                    .iter()
                    .filter_map(|(path, bytes)| {
                        let digest = path.strip_prefix("manifests/")?;
                        let manifest: Value = serde_json::from_slice(bytes).ok()?;
                        (manifest["subject"]["digest"] == subject).then(|| {
                            json!({ "digest": digest, "artifactType": manifest["artifactType"] })
                        })
                    })
                    .collect();
                Response::new(200, json!({ "manifests": manifests }).to_string())
            }
            ("GET", _) => match kept.get(&path) {
                Some(bytes) => Response::new(200, bytes.clone()),
                None => Response::new(404, ""),
            },
            _ => Response::new(405, ""),
        }
    }

    fn paths(&self) -> Vec<String> {
        self.0.lock().unwrap().keys().cloned().collect()
    }
}

#[test]
fn an_envelope_is_pushed_as_a_referrer_and_found_through_the_api_of_referrers() {
    let registry = Registry::default();
    let answering = registry.clone();
    let server = Server::start(move |request| answering.answer(request));
    let manifest = json!({ "schemaVersion": 2, "layers": [] }).to_string();
    let digest = Digest::of(&manifest);
    let path = format!("manifests/{digest}");
    registry.0.lock().unwrap().insert(path, manifest.into_bytes());

    let commit = "0123456789abcdef0123456789abcdef01234567";
    let statement = json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{ "digest": { "sha256": digest.hex() } }],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": { "buildDefinition": { "resolvedDependencies": [
            { "uri": "git+https://git.example.org/x", "digest": { "gitCommit": commit } },
        ] } },
    })
    .to_string();
    let kind = "application/vnd.in-toto+json";
    let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
    let signature = pair.sign(&pae(kind, statement.as_bytes()));
    let envelope = json!({ "payloadType": kind, "payload": STANDARD.encode(&statement),
        "signatures": [{ "sig": STANDARD.encode(signature) }] })
    .to_string();
    // SubjectPublicKeyInfo of Ed25519 (RFC 8410)
    let der = [&b"0*0\x05\x06\x03+ep\x03!\0"[..], pair.public_key().as_ref()].concat();
    let keys = [TrustedKey::from_pem("release", &STANDARD.encode(der)).unwrap()];

    let settings = Settings::new("/nonexistent");
    let with = Resolving { keys: &keys, ..resolving(&settings) };
    let place = format!("oci://127.0.0.1:{}/x", server.port);
    let artifact = format!("{place}@{digest}");
    let pushed = push_envelope(&artifact, envelope.as_bytes(), "provenance", &with).unwrap();
    let paths = registry.paths();
    assert!(paths.contains(&format!("manifests/{pushed}")), "{paths:?}");
    assert!(!paths.iter().any(|path| path.starts_with("manifests/sha256-")), "{paths:?}");

    let id = EntityId::image(digest);
    let said = resolve(&id, Some(&place), &with).unwrap();
    let attested = said.iter().any(|one| {
        matches!(one, Statement::Edge { from, relation: Relation::RanCode, to, grade: Grade::Attested, .. }
            if *from == id && *to == EntityId::commit(commit).unwrap())
    });
    assert!(attested, "{said:?}");
}
