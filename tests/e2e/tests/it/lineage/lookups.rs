//! What the recorder finds out by itself: commits on a server, images in a registry, models and data in buckets.

use std::{fs, path::Path, process::Command, thread, time::Duration};

use serde_json::{Value, json};
use sitewright_e2e::git;
use sitewright_model::digest::Digest;
use sitewright_testbed::{GitHttp, Registry, S3Server, tools::PythonTools};

use super::{Recorded, edge};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";

/// Runs a script with a client of S3.
fn s3(server: &S3Server, script: &str) {
    let client = "
import sys, boto3
from botocore.config import Config
s3 = boto3.client('s3', endpoint_url=sys.argv[1], aws_access_key_id=sys.argv[2],
    aws_secret_access_key=sys.argv[3], region_name='us-east-1', config=Config(s3={'addressing_style': 'path'}))
";
    let python = PythonTools::Stores.find().unwrap().join("python");
    let output = Command::new(python)
        .args(["-c", &format!("{client}{script}"), &server.url()])
        .args([S3Server::ACCESS_KEY, S3Server::SECRET_KEY])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Makes a repository with one commit in `served`; returns the commit.
fn repository(served: &Path, name: &str) -> String {
    let folder = served.join(name);
    fs::create_dir_all(&folder).unwrap();
    git(&folder, &["init", "-q", "-b", "main"]);
    fs::write(folder.join("train.py"), name).unwrap();
    git(&folder, &["add", "-A"]);
    git(&folder, &["commit", "-q", "-m", "first"]);
    let head = fs::read_to_string(folder.join(".git/refs/heads/main")).unwrap();
    head.trim().to_owned()
}

/// Pushes an image with labels; returns its digest and that of its config.
fn image(registry: &Registry, revision: &str) -> (Digest, Digest) {
    let url = |rest: &str| format!("http://{}/v2/team/train/{rest}", registry.address());
    let blob = |bytes: &[u8], kind: &str| {
        let started = ureq::post(url("blobs/uploads/")).send_empty().unwrap();
        let location = started.headers()["location"].to_str().unwrap().to_owned();
        let digest = Digest::of(bytes);
        ureq::put(format!("{location}&digest={digest}")).send(bytes).unwrap();
        json!({ "digest": digest.to_string(), "size": bytes.len(), "mediaType": kind })
    };
    let config = json!({ "architecture": "amd64", "os": "linux", "config": { "Labels": {
        "org.opencontainers.image.revision": revision,
        "org.opencontainers.image.source": "https://git.example.edu/vision/image" } } });
    let config = blob(config.to_string().as_bytes(), CONFIG);
    let layer = blob(b"layer", "application/vnd.oci.image.layer.v1.tar+gzip");
    let manifest =
        json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer] });
    let bytes = manifest.to_string();
    let digest = Digest::of(&bytes);
    let put = ureq::put(url(&format!("manifests/{digest}")));
    put.header("Content-Type", MANIFEST).send(bytes.as_bytes()).unwrap();
    (digest, config["digest"].as_str().unwrap().parse().unwrap())
}

/// Returns value and grade of a fact of the thing with `id`.
fn fact<'g>(graph: &'g Value, id: &str, field: &str) -> (&'g str, &'g str) {
    let mut nodes = graph["nodes"].as_array().unwrap().iter();
    let node = nodes.find(|node| node["id"].as_str().unwrap().contains(id));
    let node = node.unwrap_or_else(|| panic!("no {id} in {graph:#}"));
    let mut facts = node["facts"].as_array().unwrap().iter();
    let fact = facts.rfind(|fact| fact["field"] == field);
    let fact = fact.unwrap_or_else(|| panic!("no {field} of {id} in {graph:#}"));
    (fact["value"].as_str().unwrap(), fact["grade"].as_str().unwrap())
}

#[test]
fn what_runs_name_is_looked_up_and_models_are_hashed_while_claims_stay_claims() {
    let mut site = Recorded::new("lineage-lookups");
    let folder = tempfile::tempdir().unwrap();
    let served = folder.path().join("served");
    let (code, data) = (repository(&served, "train"), repository(&served, "data"));
    let server = GitHttp::serve(&served).unwrap();
    let registry = Registry::start().unwrap();
    let (manifest, config) = image(&registry, &"c".repeat(40));
    let buckets = S3Server::start().unwrap();
    s3(
        &buckets,
        "
for bucket in ('models', 'data'): s3.create_bucket(Bucket=bucket)
s3.put_object(Bucket='data', Key='set/one.csv', Body=b'1')
s3.put_object(Bucket='data', Key='fixed/one.csv', Body=b'1')",
    );
    fs::write(folder.path().join("s3.key"), S3Server::SECRET_KEY).unwrap();
    let settings = folder.path().join("lineage.yaml");
    let hosts = [server.url().trim_start_matches("http://").to_owned(), registry.address().into()];
    let text = json!({
        "apiVersion": "sitewright.dev/v1alpha1", "kind": "LineageSettings",
        "spec": {
            "resolve": { "hosts": hosts, "s3": [{ "endpoint": buckets.url(), "list": true,
                "login": { "accessKey": S3Server::ACCESS_KEY, "secretKeyFile": "s3.key" } }] },
            "models": [{ "uri": "s3://models/" }],
        },
    });
    fs::write(&settings, text.to_string()).unwrap();
    site.settings = Some(settings);

    let running = site.agent();
    let place = format!("git+{}", server.url());
    let claims = |code: &str, model: &str| {
        format!(
            "    lineage.sitewright.dev/code: {place}/train@{code}
    lineage.sitewright.dev/data: {place}/data@main, s3://data/set/, s3://data/fixed/
    lineage.sitewright.dev/model: s3://models/{model}"
        )
    };
    let image = format!("{}/team/train@{manifest}", registry.address());
    site.submit_with("found", "", "", &claims(&code, "one"), &image);
    let thing = site.thing("found");
    // what it began with
    site.until_answered(&["of", &thing], "data:s3-prefix:data/fixed/");
    site.until_answered(&["of", &thing], "data:s3-prefix:data/set/");
    s3(
        &buckets,
        "
s3.put_object(Bucket='data', Key='set/two.csv', Body=b'2')
s3.put_object(Bucket='models', Key='one/weights/1.bin', Body=b'weights')
s3.put_object(Bucket='models', Key='one/config.json', Body=b'{}', ChecksumAlgorithm='SHA256')",
    );
    site.finish("found");
    site.until_answered(&["of", "s3://models/one"], "tree:sha256:");
    let of = site.until_answered(&["of", "s3://models/one"], "changedDuringRun");

    let line = |text: &str, path: &str| format!("{}  {path}\n", Digest::of(text).hex());
    let tree = Digest::of(line("{}", "config.json") + &line("weights", "weights/1.bin"));
    let led = edge(&of, "ledTo", &tree.to_string());
    // the store's word was taken for one of the two files
    assert_eq!(
        (led["from"].as_str(), led["grade"].as_str()),
        (Some("ref:s3://models/one"), Some("resolved"))
    );
    assert_eq!(fact(&of, &tree.to_string(), "bytes"), ("9", "resolved"));
    assert_eq!(fact(&of, "run:", "changedDuringRun"), ("s3://data/set/", "inferred"));

    assert_eq!(fact(&of, &code, "resolution"), ("found", "resolved"));
    assert_eq!(fact(&of, &code, "reachableFrom").1, "resolved");
    assert_eq!(edge(&of, "ledTo", &data)["grade"], "inferred");
    assert_eq!(fact(&of, &manifest.to_string(), "resolution"), ("found", "resolved"));
    let parts = site.ask(&["impact", &manifest.to_string()]);
    assert!(parts.to_string().contains(&config.to_string()), "{parts:#}");
    // that it exists makes nobody's word for it better
    for (relation, to) in
        [("ranCode", code.as_str()), ("used", "ref:git+"), ("generatedBy", "run:")]
    {
        assert_eq!(edge(&of, relation, to)["grade"], "claimed", "{relation} {to}");
    }
    assert_eq!(edge(&of, "ranCode", &"c".repeat(40))["grade"], "claimed");

    // what is not there is said, and stands in the way of doing it again
    let lost = "7777777777777777777777777777777777777777";
    site.submit_with("lost", "", super::QUICK, &claims(lost, "lost"), &image);
    site.until_answered(&["explain", lost], "gone");
    let again = site.ask(&["reproduce", &site.thing("lost")]);
    let doubts = again["doubts"].to_string();
    assert!(doubts.contains(&format!("commit:{lost} is no longer there")), "{again:#}");

    // the agent comes back: what was found is not found again
    thread::sleep(Duration::from_secs(3));
    running.handle().signal("TERM");
    running.end();
    let asked = server.requests().len();
    let running = site.agent();
    site.until_answered(&["explain", "gpu-0"], "stateOf");
    thread::sleep(Duration::from_secs(5));
    assert_eq!(server.requests().len(), asked);
    running.handle().signal("TERM");
    running.end();
    site.verify();
}
