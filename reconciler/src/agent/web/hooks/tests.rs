//! Messages as each forge sends them.

use std::time::Duration;

use axum::http::{HeaderName, HeaderValue};
use base64::{Engine, prelude::BASE64_STANDARD};
use hmac::Mac;
use tokio::time::timeout;

use super::*;

/// What GitHub's page about the validation of deliveries has as an example.
const SECRET: &str = "It's a Secret to Everybody";
const HELLO: &[u8] = b"Hello, World!";
const HELLO_SIGNATURE: &str =
    "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";

const GITHUB_PUSH: &[u8] = br#"{"ref":"refs/heads/main","before":"6113728f27ae82c7b1a177c8d03f9e96e0adf246","after":"4544205a385319fd846d5df4ed2e3b8173529d78","repository":{"id":17273051,"name":"lab","full_name":"astro/lab","clone_url":"https://github.com/astro/lab.git","default_branch":"main"},"pusher":{"name":"kim","email":"kim@example.edu"},"created":false,"deleted":false,"forced":false,"commits":[{"id":"4544205a385319fd846d5df4ed2e3b8173529d78","message":"more GPUs","added":[],"removed":[],"modified":["sites/lab-gpu/site.yaml"]}]}"#;
const GITHUB_PING: &[u8] = br#"{"zen":"Keep it logically awesome.","hook_id":109948940,"hook":{"type":"Repository","id":109948940,"active":true,"events":["push"]},"repository":{"full_name":"astro/lab"}}"#;
const GITLAB_PUSH: &[u8] = br#"{"object_kind":"push","event_name":"push","before":"95790bf891e76fee5e1747ab589903a6a1f80f22","after":"da1560886d4f094c3e6c9ef40349f7d38b5d27d7","ref":"refs/heads/main","checkout_sha":"da1560886d4f094c3e6c9ef40349f7d38b5d27d7","user_username":"kim","project_id":15,"project":{"id":15,"path_with_namespace":"astro/lab","git_http_url":"https://gitlab.example.edu/astro/lab.git"},"commits":[],"total_commits_count":1}"#;
const GITLAB_SYSTEM: &[u8] = br#"{"event_name":"repository_update","user_id":1,"project_id":1,"changes":[{"before":"8205ea8d81ce0c6b90fbe8280d118cc9fdad6130","after":"4045ea7a3df38697b3730a20fb73c8bed8a3e69e","ref":"refs/heads/main"}],"refs":["refs/heads/main"]}"#;
const GITEA_PUSH: &[u8] = br#"{"ref":"refs/heads/main","before":"28e1879d029cb852e4844d9c718537df08844e03","after":"bffeb74224043ba2feb48d137756c8a9331c449a","compare_url":"","commits":[],"total_commits":1,"repository":{"id":140,"full_name":"astro/lab","clone_url":"https://gitea.example.edu/astro/lab.git"},"pusher":{"login":"kim"}}"#;

fn key() -> SyncKey {
    SyncKey { namespace: "lab".into(), name: "gpu".into() }
}

fn now() -> Timestamp {
    Timestamp::from_second(1_782_000_000).unwrap()
}

fn waiting(secrets: &[&str]) -> (Hooks, Trigger, Trigger) {
    let (hooks, trigger, refused) = (Hooks::default(), Trigger::default(), Trigger::default());
    let secrets = secrets.iter().map(|secret| HookSecret::new(secret).unwrap()).collect();
    let target = HookTarget { secrets, trigger: trigger.clone(), refused: refused.clone() };
    hooks.set(key(), target);
    (hooks, trigger, refused)
}

fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    let pair = |(name, value): &(&str, &str)| {
        (name.parse::<HeaderName>().unwrap(), value.parse::<HeaderValue>().unwrap())
    };
    pairs.iter().map(pair).collect()
}

fn hex(secret: &str, body: &[u8]) -> String {
    let mac = HookSecret::new(secret).unwrap().plain().chain_update(body);
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn standard(secret: &str, id: &str, time: Timestamp, body: &[u8]) -> String {
    let signed = format!("{id}.{}.", time.as_second());
    let mac = HookSecret::new(secret).unwrap().standard().chain_update(signed).chain_update(body);
    format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes()))
}

fn take(hooks: &Hooks, pairs: &[(&str, &str)], body: &[u8]) -> Verdict {
    take_at(hooks, pairs, body, now())
}

fn take_at(hooks: &Hooks, pairs: &[(&str, &str)], body: &[u8], now: Timestamp) -> Verdict {
    let headers = headers(pairs);
    let message = Message { forge: Forge::of(&headers), headers: &headers, body };
    hooks.take(&key(), &message, now)
}

/// Takes what pulls are waiting, without waiting for more.
async fn pulls(trigger: &Trigger) -> usize {
    let mut pulls = 0;
    while timeout(Duration::ZERO, trigger.pulled()).await.is_ok() {
        pulls += 1;
    }
    pulls
}

fn github<'p>(event: &'p str, signature: &'p str, id: &'p str) -> [(&'p str, &'p str); 3] {
    [("x-github-event", event), ("x-hub-signature-256", signature), ("x-github-delivery", id)]
}

#[tokio::test]
async fn the_signature_that_github_documents_is_accepted() {
    let (hooks, trigger, _) = waiting(&[SECRET]);
    let verdict = take(&hooks, &github("push", HELLO_SIGNATURE, "a"), HELLO);
    assert_eq!(verdict, Verdict::Pulled);
    assert_eq!(pulls(&trigger).await, 1);
}

#[tokio::test]
async fn a_push_on_github_pulls_and_a_ping_and_an_issue_do_not() {
    let (hooks, trigger, _) = waiting(&["s3cret"]);
    let sign = |body| format!("sha256={}", hex("s3cret", body));
    let (push, ping) = (sign(GITHUB_PUSH), sign(GITHUB_PING));
    assert_eq!(take(&hooks, &github("ping", &ping, "a"), GITHUB_PING), Verdict::Ping);
    assert_eq!(take(&hooks, &github("issues", &push, "b"), GITHUB_PUSH), Verdict::Ignored);
    assert_eq!(pulls(&trigger).await, 0);
    assert_eq!(take(&hooks, &github("push", &push, "c"), GITHUB_PUSH), Verdict::Pulled);
    assert_eq!(pulls(&trigger).await, 1);
}

#[tokio::test]
async fn a_push_on_gitea_and_on_forgejo_pulls() {
    let (hooks, trigger, _) = waiting(&["s3cret"]);
    let signature = hex("s3cret", GITEA_PUSH);
    let hub = format!("sha256={signature}");
    let gitea = [
        ("x-github-event", "push"),
        ("x-hub-signature-256", hub.as_str()),
        ("x-gitea-event", "push"),
        ("x-gitea-delivery", "f6266f16-1bf3-46a5-9ea4-602e06ead473"),
        ("x-gitea-signature", signature.as_str()),
    ];
    assert_eq!(take(&hooks, &gitea, GITEA_PUSH), Verdict::Pulled);
    let forgejo = [
        ("x-forgejo-event", "push"),
        ("x-forgejo-delivery", "a2b0f7a1-0000-46a5-9ea4-602e06ead473"),
        ("x-forgejo-signature", signature.as_str()),
    ];
    let both: Vec<_> = gitea.iter().chain(&forgejo).copied().collect();
    assert_eq!(Forge::of(&headers(&both)), Forge::Forgejo);
    assert_eq!(take(&hooks, &both, GITEA_PUSH), Verdict::Pulled);
    assert_eq!(pulls(&trigger).await, 1, "two pulls before anybody looks are one look");
    let without_prefix = [("x-forgejo-event", "push"), ("x-forgejo-signature", hub.as_str())];
    assert_eq!(take(&hooks, &without_prefix, GITEA_PUSH), Verdict::Refused);
}

#[test]
fn a_push_on_gitlab_is_known_by_its_token() {
    let (hooks, ..) = waiting(&["s3cret"]);
    let with = |token, event| {
        let pairs = [("x-gitlab-event", event), ("x-gitlab-token", token)];
        take(&hooks, &pairs, GITLAB_PUSH)
    };
    assert_eq!(with("s3cret", "Push Hook"), Verdict::Pulled);
    assert_eq!(with("s3cret", "Tag Push Hook"), Verdict::Pulled);
    assert_eq!(with("s3cret", "Issue Hook"), Verdict::Ignored);
    for wrong in ["", "s3cre", "s3cret ", "S3CRET", "s3crets"] {
        assert_eq!(with(wrong, "Push Hook"), Verdict::Refused, "{wrong:?}");
    }
    let system = [("x-gitlab-event", "System Hook"), ("x-gitlab-token", "s3cret")];
    assert_eq!(take(&hooks, &system, GITLAB_SYSTEM), Verdict::Pulled);
    assert_eq!(take(&hooks, &system, br#"{"event_name":"user_create"}"#), Verdict::Ignored);
}

#[test]
fn a_push_on_gitlab_is_known_by_its_signature() {
    let secret = "whsec_dGVzdHRlc3R0ZXN0dGVzdHRlc3R0ZXN0dGVzdHRlc3Q=";
    let (hooks, ..) = waiting(&[secret]);
    let (time, signature) =
        (now().as_second().to_string(), standard(secret, "e-1", now(), GITLAB_PUSH));
    let pairs = [
        ("x-gitlab-event", "Push Hook"),
        ("idempotency-key", "e-1"),
        ("webhook-id", "e-1"),
        ("webhook-timestamp", time.as_str()),
        ("webhook-signature", signature.as_str()),
    ];
    assert_eq!(take(&hooks, &pairs, GITLAB_SYSTEM), Verdict::Refused, "another body");
    assert_eq!(take(&hooks, &pairs, GITLAB_PUSH), Verdict::Pulled);
    assert_eq!(take(&hooks, &pairs, GITLAB_PUSH), Verdict::Replayed);
}

/// The example in the reference libraries of Standard Webhooks.
#[test]
fn the_example_of_standard_webhooks_is_accepted() {
    let (hooks, ..) = waiting(&["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]);
    let pairs = [
        ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
        ("webhook-timestamp", "1614265330"),
        ("webhook-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
    ];
    let at = Timestamp::from_second(1_614_265_330).unwrap();
    let body = br#"{"test": 2432232314}"#;
    assert_eq!(take_at(&hooks, &pairs, body, at), Verdict::Pulled);
}

#[test]
fn a_signed_time_may_be_five_minutes_off_and_no_more() {
    let (hooks, ..) = waiting(&["s3cret"]);
    for (off, verdict) in [
        (300, Verdict::Pulled),
        (-300, Verdict::Pulled),
        (301, Verdict::Refused),
        (-301, Verdict::Refused),
    ] {
        let at = Timestamp::from_second(now().as_second() + off).unwrap();
        let (id, time) = (format!("m{off}"), at.as_second().to_string());
        let signature = standard("s3cret", &id, at, b"{}");
        let several = format!("v1a,AAAA v1,AAAA {signature}");
        let pairs = [
            ("webhook-id", id.as_str()),
            ("webhook-timestamp", time.as_str()),
            ("webhook-signature", several.as_str()),
        ];
        assert_eq!(take(&hooks, &pairs, b"{}"), verdict, "{off} s");
    }
}

#[test]
fn a_time_beyond_all_numbers_is_refused() {
    let (hooks, ..) = waiting(&["s3cret"]);
    for time in ["-9223372036854775808", "9223372036854775807", "now", ""] {
        let pairs =
            [("webhook-id", "a"), ("webhook-timestamp", time), ("webhook-signature", "v1,AAAA")];
        assert_eq!(take(&hooks, &pairs, b"{}"), Verdict::Refused, "{time:?}");
    }
}

#[test]
fn whoever_signs_plainly_pushes_unless_it_says_ping() {
    let (hooks, ..) = waiting(&["s3cret"]);
    let with = |body: &[u8]| {
        let signature = format!("sha256={}", hex("s3cret", body));
        take(&hooks, &[("x-signature-256", &signature)], body)
    };
    assert_eq!(with(b""), Verdict::Pulled);
    assert_eq!(with(b"pushed"), Verdict::Pulled);
    assert_eq!(with(br#"{"type":"ping"}"#), Verdict::Ping);
}

#[tokio::test]
async fn a_message_that_comes_twice_pulls_once() {
    let (hooks, trigger, _) = waiting(&[SECRET]);
    let pairs = github("push", HELLO_SIGNATURE, "72d3162e-cc78-11e3-81ab-4c9367dc0958");
    assert_eq!(take(&hooks, &pairs, HELLO), Verdict::Pulled);
    assert_eq!(pulls(&trigger).await, 1);
    assert_eq!(take(&hooks, &pairs, HELLO), Verdict::Replayed);
    assert_eq!(pulls(&trigger).await, 0);
}

#[tokio::test]
async fn a_flood_of_pushes_is_one_look() {
    let (hooks, trigger, _) = waiting(&[SECRET]);
    for id in 0..1000 {
        let id = id.to_string();
        let verdict = take(&hooks, &github("push", HELLO_SIGNATURE, &id), HELLO);
        assert_eq!(verdict, Verdict::Pulled);
    }
    assert_eq!(pulls(&trigger).await, 1);
}

#[tokio::test]
async fn what_is_not_signed_is_refused_and_the_secret_read_again() {
    let (hooks, trigger, refused) = waiting(&[SECRET]);
    let upper = HELLO_SIGNATURE.to_uppercase();
    let short = HELLO_SIGNATURE.trim_end_matches('7');
    let sha1 = HELLO_SIGNATURE.replace("sha256", "sha1");
    for wrong in ["", "sha256=", &upper, short, &sha1, &HELLO_SIGNATURE[7..]] {
        let verdict = take(&hooks, &github("push", wrong, "a"), HELLO);
        assert_eq!(verdict, Verdict::Refused, "{wrong:?}");
    }
    assert_eq!(take(&hooks, &github("push", HELLO_SIGNATURE, "a"), b"hello"), Verdict::Refused);
    assert_eq!(take(&hooks, &[("x-github-event", "push")], HELLO), Verdict::Refused);
    assert_eq!(take(&hooks, &[], HELLO), Verdict::Refused);
    assert_eq!((pulls(&trigger).await, pulls(&refused).await), (0, 1));
}

#[test]
fn a_refused_message_is_not_taken_for_known() {
    let (hooks, ..) = waiting(&[SECRET]);
    let forged = github("push", "sha256=00", "a");
    assert_eq!(take(&hooks, &forged, HELLO), Verdict::Refused);
    assert_eq!(take(&hooks, &github("push", HELLO_SIGNATURE, "a"), HELLO), Verdict::Pulled);
}

#[test]
fn a_target_that_nobody_waits_for_is_refused_as_a_wrong_signature_is() {
    let (hooks, ..) = waiting(&[SECRET]);
    hooks.remove(&key());
    let verdict = take(&hooks, &github("push", HELLO_SIGNATURE, "a"), HELLO);
    assert_eq!(verdict, Verdict::Refused);
}

#[test]
fn while_a_secret_is_changed_both_are_good() {
    let (hooks, ..) = waiting(&["new", SECRET]);
    assert_eq!(take(&hooks, &github("push", HELLO_SIGNATURE, "a"), HELLO), Verdict::Pulled);
    let signature = format!("sha256={}", hex("new", HELLO));
    assert_eq!(take(&hooks, &github("push", &signature, "b"), HELLO), Verdict::Pulled);
}

#[test]
fn an_empty_secret_is_none() {
    let why = |text| HookSecret::lines(text).err().map(|why| why.to_string());
    assert_eq!(why(" \n ").as_deref(), Some("it is empty"));
    assert_eq!(why("whsec_").as_deref(), Some("it is empty"));
    assert_eq!(why("whsec_???").as_deref(), Some("after `whsec_` comes no base64"));
    let (old, new) = ("o".repeat(16), "n".repeat(16));
    assert_eq!(HookSecret::lines(&format!("{old}\n{new}\n")).unwrap().len(), 2);
    let many = "it has more than 2 lines, and each is a secret";
    let three = format!("{old}\n{new}\n{old}\n");
    assert_eq!(why(&three).as_deref(), Some(many), "one would never be tried");
}

#[test]
fn a_secret_that_can_be_found_by_trying_is_none() {
    let is_short =
        |text: &str| HookSecret::lines(text).err() == Some(super::secret::RefusedSecret::TooShort);
    assert!(is_short("s3cret") && is_short(&"a".repeat(15)) && !is_short(&"a".repeat(16)));
    // 8 bytes, though it is written with 18
    assert!(is_short("whsec_c2hvcnRrZXk="));
    assert!(!is_short("whsec_MDEyMzQ1Njc4OWFiY2RlZg=="));
    assert!(
        is_short(&format!("{}\nshort\n", "a".repeat(32))),
        "each of them is good for a message"
    );
}
