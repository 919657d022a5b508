//! Questions over real sockets, to a record of two namespaces; the API server is one that we make up.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::routing::post;
use serde_json::{Value, json};
use sitewright_cluster::{CancellationToken, Cluster, Connection, Deadlines};
use sitewright_ledger::{Index, Log, SecretKey, copy};
use sitewright_model::lineage::{
    ClusterId, EntityId, Grade, Record, RecordKind, Relation, Source, Statement,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_util::sync::DropGuard;

use super::*;
use crate::agent::serve;

// === a record ===

fn run(number: u32) -> EntityId {
    EntityId::run(&ClusterId::new("c1"), &format!("run-{number}"))
}

/// A run of each of two namespaces over the same data, and what a resolver found out of a name of one of them.
fn record(dir: &Path) {
    let at = "2026-11-26T08:00:00Z".parse().unwrap();
    let source = Source::rule("test");
    let data = EntityId::data("dvc", "md5:d41d8cd98f00b204e9800998ecf8427e.dir").unwrap();
    let mut records = Vec::new();
    for (number, namespace) in [(1, "vision"), (2, "nlp")] {
        let run = run(number);
        let model = EntityId::reference(&format!("s3://models/{namespace}")).unwrap();
        let tree = EntityId::tree(sitewright_model::digest::Digest::of(namespace));
        let name = |value: &str| Statement::fact(&run, "name", value, Grade::Observed, &source);
        let edge = |from: &EntityId, relation, to: &EntityId, grade| {
            Statement::edge(from, relation, to, grade, &source)
        };
        let said = vec![
            name("train"),
            edge(&run, Relation::Used, &data, Grade::Claimed),
            edge(&model, Relation::GeneratedBy, &run, Grade::Claimed),
        ];
        records.push(Record::new(RecordKind::Run, at, run.clone(), said).within(Some(namespace)));
        let said = vec![edge(&model, Relation::LedTo, &tree, Grade::Resolved)];
        records.push(Record::new(RecordKind::Artifact, at, model, said));
    }
    let node = EntityId::node(&ClusterId::new("c1"), "node-1");
    let said = vec![Statement::fact(&node, "name", "gpu-1", Grade::Observed, &source)];
    records.push(Record::new(RecordKind::Node, at, node, said));
    let mut log = Log::open(dir, SecretKey::generate("c1.example.org").unwrap()).unwrap();
    log.append(&records).unwrap();
    Index::open(dir, log.reading()).unwrap();
}

// === an API server ===

/// What the API server that we make up was asked.
#[derive(Clone, Default)]
struct Asked {
    tokens: Arc<AtomicUsize>,
    rights: Arc<AtomicUsize>,
    is_broken: Arc<std::sync::atomic::AtomicBool>,
}

/// Knows the tokens `all`, `vision`, `nobody` and `elsewhere`; the last is meant for another audience.
async fn api_server(asked: Asked) -> (Cluster, DropGuard) {
    let tokens = {
        let asked = asked.clone();
        async move |review: String| {
            let review: Value = serde_json::from_str(&review).unwrap();
            asked.tokens.fetch_add(1, Ordering::Relaxed);
            if asked.is_broken.load(Ordering::Relaxed) {
                return Err(StatusCode::INTERNAL_SERVER_ERROR);
            }
            let token = review["spec"]["token"].as_str().unwrap();
            let is_known = ["all", "vision", "nobody", "elsewhere"].contains(&token);
            let audiences = if token == "elsewhere" {
                json!(["other"])
            } else {
                review["spec"]["audiences"].clone()
            };
            Ok(told(&json!({ "status": {
                "authenticated": is_known,
                "user": { "username": token, "groups": ["g"], "extra": { "scope": ["x"] } },
                "audiences": audiences,
            } })))
        }
    };
    let rights = {
        let asked = asked.clone();
        async move |review: String| {
            let review: Value = serde_json::from_str(&review).unwrap();
            asked.rights.fetch_add(1, Ordering::Relaxed);
            let spec = &review["spec"];
            assert_eq!(spec["resourceAttributes"]["group"], "lineage.sitewright.dev");
            assert_eq!(spec["resourceAttributes"]["verb"], "get");
            assert_eq!(spec["extra"], json!({ "scope": ["x"] }));
            let namespace = spec["resourceAttributes"]["namespace"].as_str();
            let allowed = match spec["user"].as_str().unwrap() {
                "all" => true,
                "vision" => namespace == Some("vision"),
                _ => false,
            };
            told(&json!({ "status": { "allowed": allowed } }))
        }
    };
    let namespace = async || told(&json!({ "metadata": { "uid": "c1" } }));
    let routes = Router::new()
        .route("/version", get(async || told(&json!({ "gitVersion": "v1.37.0" }))))
        .route("/api/v1/namespaces/kube-system", get(namespace))
        .route("/apis/authentication.k8s.io/v1/tokenreviews", post(tokens))
        .route("/apis/authorization.k8s.io/v1/subjectaccessreviews", post(rights));
    let (address, stop) = listening(routes).await;
    let text = format!(
        "{{apiVersion: v1, kind: Config, current-context: a, contexts: [{{name: a, context: {{cluster: a, user: a}}}}], \
         clusters: [{{name: a, cluster: {{server: 'http://{address}'}}}}], users: [{{name: a, user: {{}}}}]}}"
    );
    let deadlines = Deadlines {
        attempt: std::time::Duration::from_secs(1),
        operation: std::time::Duration::from_secs(1),
    };
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    let kubeconfig = Some(file.path().to_owned());
    let connection = Connection { kubeconfig, deadlines, ..Connection::default() };
    (Cluster::connect(&connection).await.unwrap(), stop)
}

fn told(value: &Value) -> Response {
    sent("application/json", value.to_string(), "no-store")
}

async fn listening(routes: Router) -> (SocketAddr, DropGuard) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
    tokio::spawn(serve(listener, routes, None, stop.clone()));
    (address, stop.drop_guard())
}

// === who asks ===

struct Served {
    address: SocketAddr,
    asked: Asked,
    dir: tempfile::TempDir,
    _stops: Vec<DropGuard>,
}

struct Reply {
    status: u16,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

impl Reply {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

async fn served(audience: Option<&str>) -> Served {
    let dir = tempfile::tempdir().unwrap();
    record(dir.path());
    let asked = Asked::default();
    let (cluster, stop) = api_server(asked.clone()).await;
    let access = Access::of(cluster, audience.map(str::to_owned));
    let api = Api::new(dir.path().to_owned(), true, access);
    let (address, of_api) = listening(api.routes()).await;
    Served { address, asked, dir, _stops: vec![stop, of_api] }
}

impl Served {
    async fn get(&self, path: &str, token: Option<&str>) -> Reply {
        let mut socket = TcpStream::connect(self.address).await.unwrap();
        let token =
            token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
        let request = format!("GET {path} HTTP/1.1\r\nHost: lineage\r\n{token}\r\n");
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut bytes = Vec::new();
        let _ = socket.read_to_end(&mut bytes).await;
        let at = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
        let head = String::from_utf8(bytes[..at].to_vec()).unwrap();
        let headers = head.lines().skip(1).filter_map(|line| line.split_once(": "));
        Reply {
            status: head.split(' ').nth(1).unwrap().parse().unwrap(),
            headers: headers.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect(),
            body: bytes[at + 4..].to_vec(),
        }
    }

    async fn of(&self, token: &str, thing: &str) -> Reply {
        self.get(&format!("/lineage/v1/of?thing={thing}"), Some(token)).await
    }
}

const DATA: &str = "dvc:md5:d41d8cd98f00b204e9800998ecf8427e.dir";

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_known_is_told_nothing() {
    let served = served(None).await;
    for path in
        ["/lineage/v1/of?thing=vision/train", "/lineage/v1/nothing", "/lineage/log/checkpoint"]
    {
        for token in [None, Some("made-up")] {
            let reply = served.get(path, token).await;
            assert_eq!(reply.status, 401, "{path}");
            assert_eq!(reply.headers["www-authenticate"], "Bearer");
            assert_eq!(reply.headers["content-type"], "application/problem+json");
            assert_eq!(reply.json()["code"], "SW1021");
        }
    }
    assert_eq!(served.get("/lineage/v1/openapi.json", None).await.status, 200);
    // the same made-up token is not asked about again and again
    assert_eq!(served.asked.tokens.load(Ordering::Relaxed), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_of_one_namespace_sees_it_and_what_it_leads_to_and_the_reader_of_all_everything() {
    let served = served(None).await;
    let ours = served.of("vision", "vision/train").await;
    assert_eq!(ours.status, 200, "{}", ours.text());
    // what is not theirs, by any of its names, is not there; and neither is what is really not there
    let nothing = served.of("vision", "nlp/none").await;
    assert_eq!(nothing.status, 404);
    for thing in ["nlp/train", "run:c1/run-2", "s3://models/nlp", "ref:s3://models/nlp"] {
        let theirs = served.of("vision", thing).await;
        assert_eq!(theirs.status, 404, "{thing}: {}", theirs.text());
        assert_eq!(theirs.text().replace(thing, "nlp/none"), nothing.text());
    }
    let impact = format!("/lineage/v1/impact?thing={DATA}");
    let seen = served.get(&impact, Some("vision")).await;
    let text = seen.text();
    assert!(text.contains("run-1") && !text.contains("run-2") && !text.contains("nlp"), "{text}");
    assert_eq!(seen.json()["hidden"], 1);
    // what both call so is one thing to who sees one of them
    assert_eq!(served.of("vision", "train").await.status, 200);
    assert_eq!(served.of("all", "train").await.status, 409);
    let all = served.get(&impact, Some("all")).await.text();
    assert!(all.contains("run-1") && all.contains("run-2"), "{all}");
    assert_eq!(served.of("nobody", "vision/train").await.status, 403);
    // nodes are of no namespace
    assert_eq!(served.of("vision", "gpu-1").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_for_who_may_see_everything_but_for_its_hashes() {
    let served = served(None).await;
    for (path, of_one) in [
        ("checkpoint", 200),
        ("tile/0/000.p/5", 200),
        ("tile/entries/000.p/5", 403),
        ("tile/bodies/000.p/5", 403),
    ] {
        let path = format!("/lineage/log/{path}");
        assert_eq!(served.get(&path, Some("vision")).await.status, of_one, "{path}");
        assert_eq!(served.get(&path, Some("all")).await.status, 200, "{path}");
        assert_eq!(served.get(&path, Some("nobody")).await.status, 403, "{path}");
    }
    for path in ["tile/0/001", "tile/0/../log.db", "log.db", "tile/x/000", "tile/9/000", "key.pub"]
    {
        let path = format!("/lineage/log/{path}");
        assert_eq!(served.get(&path, Some("all")).await.status, 404, "{path}");
    }
    let verify = served.get("/lineage/v1/verify", Some("vision")).await.json();
    assert_eq!(
        (&verify["size"], &verify["isSigned"], &verify["fits"]),
        (&json!(5), &json!(true), &json!(true))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_has_to_be_meant_for_us_where_that_is_asked_for() {
    let served = served(Some("lineage")).await;
    assert_eq!(served.of("vision", "vision/train").await.status, 200);
    assert_eq!(served.of("elsewhere", "vision/train").await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_cluster_said_is_believed_for_a_while_and_without_its_word_there_is_no_answer() {
    let served = served(None).await;
    for _ in 0..5 {
        assert_eq!(served.of("vision", "vision/train").await.status, 200);
    }
    assert_eq!(served.asked.tokens.load(Ordering::Relaxed), 1);
    // everywhere, vision and nlp
    assert_eq!(served.asked.rights.load(Ordering::Relaxed), 3);
    served.asked.is_broken.store(true, Ordering::Relaxed);
    let reply = served.of("all", "vision/train").await;
    assert_eq!((reply.status, &reply.json()["code"]), (503, &json!("SW1024")));
    assert_eq!(served.of("vision", "vision/train").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_too_much_is_told_so_and_others_are_not() {
    let served = served(None).await;
    let mut refused = 0;
    for _ in 0..80 {
        let reply = served.of("vision", "vision/train").await;
        if reply.status == 429 {
            assert!(reply.headers.contains_key("retry-after"));
            refused += 1;
        }
    }
    assert!(refused > 0);
    assert_eq!(served.of("all", "vision/train").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_is_what_the_document_says() {
    let served = served(None).await;
    let document = served.get("/lineage/v1/openapi.json", None).await.json();
    let check = |path: &str, media: &str, status: &str, value: &Value| {
        let pointer = |text: &str| text.replace('~', "~0").replace('/', "~1");
        let schema = match status {
            "200" => document
                .pointer(&format!(
                    "/paths/{}/get/responses/200/content/{}/schema",
                    pointer(path),
                    pointer(media)
                ))
                .unwrap_or_else(|| panic!("{path} {media}")),
            _ => &json!({ "$ref": "#/components/schemas/Problem" }),
        };
        let mut schema = schema.clone();
        schema["components"] = document["components"].clone();
        let validator = jsonschema::draft202012::new(&schema).unwrap();
        let mistakes: Vec<String> =
            validator.iter_errors(value).map(|one| one.to_string()).collect();
        assert!(mistakes.is_empty(), "{path}: {mistakes:#?}");
    };
    let mut questions = vec![
        ("explain", "thing=vision/train&field=name".to_owned()),
        ("reproduce", "thing=vision/train".to_owned()),
        ("diff", "one=run:c1/run-1&other=run:c1/run-2&atLeast=claimed".to_owned()),
        ("gaps", String::new()),
        ("verify", String::new()),
    ];
    for (name, _) in api::DRAWN {
        for (word, ..) in api::FORMS {
            questions.push((name, format!("thing=vision/train&form={word}")));
        }
    }
    for (name, query) in &questions {
        let path = format!("{}/{name}", api::QUESTIONS);
        let reply = served.get(&format!("{path}?{query}"), Some("all")).await;
        assert_eq!(reply.status, 200, "{name}?{query}: {}", reply.text());
        assert_eq!(reply.headers["cache-control"], "private, no-store");
        let media = reply.headers["content-type"].clone();
        let value = serde_json::from_slice(&reply.body).unwrap_or_else(|_| json!(reply.text()));
        check(&path, &media, "200", &value);
        // and something that is wrong is noticed
        for wrong in [format!("{query}&surprise=1"), "atLeast=best".to_owned()] {
            let reply = served.get(&format!("{path}?{wrong}"), Some("all")).await;
            assert_eq!(reply.status, 400, "{name}?{wrong}");
            check(&path, api::PROBLEM, "400", &reply.json());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_sees_everything_where_something_else_knows_them_and_an_export_answers_as_the_log_does()
 {
    let dir = tempfile::tempdir().unwrap();
    record(dir.path());
    let export = tempfile::tempdir().unwrap();
    let reading = sitewright_ledger::Reading::open(dir.path()).unwrap();
    assert_eq!(copy(&reading, None, export.path()).unwrap(), 5);
    let mut answers = Vec::new();
    for folder in [dir.path(), export.path()] {
        let api = Api::new(folder.to_owned(), false, Access::Everybody);
        let (address, stop) = listening(api.routes()).await;
        let served = Served {
            address,
            asked: Asked::default(),
            dir: tempfile::tempdir().unwrap(),
            _stops: vec![stop],
        };
        let reply = served.get(&format!("/lineage/v1/impact?thing={DATA}"), None).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        let log = served.get("/lineage/log/tile/entries/000.p/5", None).await;
        assert_eq!(log.status, 200);
        answers.push((reply.body, log.body));
    }
    assert_eq!(answers[0], answers[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_is_not_there_yet_is_asked_again_later() {
    let served = served(None).await;
    for file in ["log.db", "index.db"] {
        std::fs::remove_file(served.dir.path().join(file)).unwrap();
    }
    let reply = served.of("all", "vision/train").await;
    assert_eq!(reply.status, 503, "{}", reply.text());
    assert!(!reply.text().contains(&served.dir.path().display().to_string()));
}

// === witnesses ===

/// A log that answers and witnesses, and the keys of it.
struct Party {
    dir: tempfile::TempDir,
    log: Log,
    key: PublicKey,
    url: sitewright_source::Url,
    _stop: DropGuard,
}

fn append(log: &mut Log, what: &str) {
    let node = EntityId::node(&ClusterId::new("c1"), what);
    let said = vec![Statement::fact(&node, "name", what, Grade::Observed, &Source::rule("test"))];
    log.append(&[Record::new(
        RecordKind::Node,
        "2026-11-26T08:00:00Z".parse().unwrap(),
        node,
        said,
    )])
    .unwrap();
}

async fn party(key: SecretKey, logs: Vec<PublicKey>) -> Party {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("lineage.key");
    std::fs::write(&file, key.to_text()).unwrap();
    let public = key.public();
    let mut log = Log::open(dir.path(), key).unwrap();
    append(&mut log, "one");
    let witnessing = crate::lineage::Witnessing { witnesses: Vec::new(), logs };
    let stand = Stand::new(dir.path().to_owned(), file, witnessing);
    let api = Api::new(dir.path().to_owned(), true, Access::Everybody).witnessing(stand);
    let (address, stop) = listening(api.routes()).await;
    let url = sitewright_source::Url::parse(&format!("http://{address}/lineage/witness/")).unwrap();
    Party { dir, log, key: public, url, _stop: stop }
}

async fn go(
    mut round: crate::lineage::witnesses::Round,
) -> (crate::lineage::witnesses::Round, usize) {
    tokio::task::spawn_blocking(move || {
        let signed = round.go();
        (round, signed)
    })
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_logs_witness_each_other_and_neither_another_history() {
    use crate::lineage::witnesses::Round;
    let keys = ["a.example.org", "b.example.org"].map(|name| SecretKey::generate(name).unwrap());
    let [of_a, of_b] = [keys[0].public(), keys[1].public()];
    let secret = keys[0].to_text();
    let [one, two] = keys;
    let mut a = party(one, vec![of_b.clone()]).await;
    let b = party(two, vec![of_a.clone()]).await;
    let cosigned = |party: &Party, by: &PublicKey| {
        let note = party.log.reading().cosigned().unwrap()?;
        by.witnessed(&note)?;
        Some(sitewright_ledger::Checkpoint::parse(&note.text).unwrap().size)
    };
    let round = Round::new(a.dir.path().to_owned(), vec![(b.url.clone(), of_b.clone())]);
    let (round, signed) = go(round).await;
    assert_eq!((signed, cosigned(&a, &of_b)), (1, Some(1)));
    append(&mut a.log, "two");
    let (round, signed) = go(round).await;
    assert_eq!((signed, cosigned(&a, &of_b)), (1, Some(2)));
    // a process that begins anew is told from where to prove
    drop(round);
    append(&mut a.log, "three");
    let witnesses = vec![(b.url.clone(), of_b.clone())];
    let (_, signed) = go(Round::new(a.dir.path().to_owned(), witnesses.clone())).await;
    assert_eq!((signed, cosigned(&a, &of_b)), (1, Some(3)));
    let other_way = Round::new(b.dir.path().to_owned(), vec![(a.url.clone(), of_a.clone())]);
    assert_eq!(go(other_way).await.1, 1);
    assert_eq!(cosigned(&b, &of_a), Some(1));

    // whoever holds the key of a log and goes back, or another way, finds no witness
    for records in [["one", "two"].as_slice(), &["x", "y", "z"], &["x", "y", "z", "more"]] {
        let dir = tempfile::tempdir().unwrap();
        let mut forged = Log::open(dir.path(), SecretKey::parse(&secret).unwrap()).unwrap();
        records.iter().for_each(|what| append(&mut forged, what));
        let (_, signed) = go(Round::new(dir.path().to_owned(), witnesses.clone())).await;
        assert_eq!((signed, forged.reading().cosigned().unwrap()), (0, None), "{records:?}");
    }
    // and a witness with another key is none
    let wrong = Round::new(a.dir.path().to_owned(), vec![(b.url.clone(), of_a.clone())]);
    assert_eq!(go(wrong).await.1, 0);
    let verified = sitewright_ledger::verify(a.dir.path(), &a.key, &[of_b]).unwrap();
    assert!(verified.is_whole(), "{:?}", verified.faults);
}
