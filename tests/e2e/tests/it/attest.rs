//! `lineage attest` of a model that a real run made: as files, and beside the model in a real registry, where others
//! read it.

use std::fs;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use sitewright_testbed::Registry;

use super::lineage::Recorded;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

fn sha256(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

fn blob(repository: &str, bytes: &[u8]) -> Value {
    let started = ureq::post(format!("{repository}/blobs/uploads/")).send_empty().unwrap();
    let location = started.headers()["location"].to_str().unwrap().to_owned();
    ureq::put(format!("{location}&digest={}", sha256(bytes))).send(bytes).unwrap();
    json!({ "mediaType": "application/octet-stream", "digest": sha256(bytes), "size": bytes.len() })
}

/// Pushes a model, and returns the digest of its manifest.
fn model(repository: &str) -> String {
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "config": blob(repository, b"{}"), "layers": [blob(repository, b"weights")],
    });
    let bytes = manifest.to_string().into_bytes();
    let digest = sha256(&bytes);
    let to = format!("{repository}/manifests/{digest}");
    ureq::put(to).header("Content-Type", MANIFEST).send(bytes).unwrap();
    digest
}

fn get(url: &str) -> Vec<u8> {
    ureq::get(url)
        .header("Accept", format!("{MANIFEST}, {INDEX}"))
        .call()
        .unwrap()
        .body_mut()
        .read_to_vec()
        .unwrap()
}

#[test]
fn a_statement_is_pushed_beside_its_model_and_read_by_others() {
    let site = Recorded::new("attest-push");
    let registry = Registry::start().unwrap();
    let repository = format!("http://{}/v2/models/r", registry.address());
    let place = format!("oci://{}/models/r", registry.address());
    let digest = model(&repository);
    let running = site.agent();
    let claim = format!(
        "        testbed.sitewright.dev/run-for: 1s\n        lineage.sitewright.dev/model: {place}@{digest}"
    );
    site.submit("made", "", &claim);
    site.until_answered(&["of", &site.thing("made")], "succeeded");
    running.handle().signal("TERM");
    running.end();

    let (ledger, key) = (site.ledger.display().to_string(), site.key.display().to_string());
    let thing = site.thing("made");
    let attest = |more: &[&str]| {
        let flags = ["lineage", "attest", &thing, "--ledger", &ledger, "--key", &key];
        site.lab.run(&[&flags[..], more].concat())
    };
    // the run chose the address, and that is one of this machine
    let refused = attest(&["--push"]);
    assert!(refused.code == 1 && refused.says("SW1040"), "{refused}");
    let push = format!("--push={place}");
    let (first, again) = (attest(&[&push]), attest(&[&push]));
    assert!(first.code == 0 && first.says(&digest), "{first}");
    assert_eq!(first.stdout, again.stdout, "pushing it again changes nothing");

    // this registry has no API of referrers: the specification has a tag in its place
    let tag = digest.replace(':', "-");
    let index = get(&format!("{repository}/manifests/{tag}"));
    let index: Value = serde_json::from_slice(&index).unwrap();
    let referrers = index["manifests"].as_array().unwrap();
    assert_eq!(referrers.len(), 1, "{index:#}");
    assert_eq!(referrers[0]["artifactType"], "application/vnd.dsse.envelope.v1+json");
    let at = referrers[0]["digest"].as_str().unwrap();
    let manifest: Value =
        serde_json::from_slice(&get(&format!("{repository}/manifests/{at}"))).unwrap();
    assert_eq!(manifest["subject"]["digest"], digest.as_str());
    let layer = manifest["layers"][0]["digest"].as_str().unwrap();
    let pushed = site.lab.folder().join("pushed.json");
    fs::write(&pushed, get(&format!("{repository}/blobs/{layer}"))).unwrap();

    // as files too, and both are what others take for a signed statement about this model
    let out = site.lab.folder().join("out").display().to_string();
    let run = attest(&["-o", &out]);
    assert_eq!(run.code, 0, "{run}");
    let files: Vec<_> = run.stdout.lines().map(std::path::PathBuf::from).collect();
    let public = fs::read_to_string(site.key.with_extension("pub")).unwrap();
    // NAME+HASH+BASE64, of a byte for the kind and the key
    let keyid = public.trim().to_owned();
    let public = STANDARD.decode(public.trim().splitn(3, '+').nth(2).unwrap()).unwrap();
    let public: String = public[1..].iter().map(|byte| format!("{byte:02x}")).collect();
    let all = [&files[..], std::slice::from_ref(&pushed)].concat();
    assert!(files.len() == 1 && all.len() == 2, "{run}");
    let said = sitewright_judges::complaints("dsse-verify", &[&public, &keyid], &all).unwrap();
    assert!(said.iter().all(Vec::is_empty), "{said:?}");
    let envelope: Value = serde_json::from_slice(&fs::read(&pushed).unwrap()).unwrap();
    let statement = STANDARD.decode(envelope["payload"].as_str().unwrap()).unwrap();
    let statement: Value = serde_json::from_slice(&statement).unwrap();
    assert_eq!(
        format!("sha256:{}", statement["subject"][0]["digest"]["sha256"].as_str().unwrap()),
        digest
    );
}

#[test]
fn what_is_erased_is_shown_first_and_then_nowhere_to_be_found() {
    let site = Recorded::new("lineage-erase");
    let running = site.agent();
    site.submit("forgotten", "", "        testbed.sitewright.dev/run-for: 1s");
    site.until_answered(&["of", &site.thing("forgotten")], "succeeded");
    let (ledger, key) = (site.ledger.display().to_string(), site.key.display().to_string());
    let erase = |more: &[&str]| {
        let flags = ["lineage", "erase", "--ledger", &ledger, "--key", &key];
        site.lab.run(&[&flags[..], more].concat())
    };
    let thing = site.thing("forgotten");
    let busy = erase(&[&thing]);
    assert!(busy.code == 1 && busy.says("SW1004") && busy.says("stop the agent"), "{busy}");
    running.handle().signal("TERM");
    running.end();
    let holds = || {
        let files = fs::read_dir(&site.ledger)
            .unwrap()
            .map(|entry| fs::read(entry.unwrap().path()).unwrap());
        files.into_iter().any(|bytes| bytes.windows(9).any(|window| window == b"forgotten"))
    };
    let shown = erase(&[&thing]);
    assert!(shown.code == 2 && shown.says("nothing was erased yet") && holds(), "{shown}");
    let erased = erase(&[&thing, "--reason", "asked for", "--yes"]);
    assert!(erased.code == 0 && !holds(), "{erased}");
    let gone = site.lab.run(&["lineage", "of", &thing, "--ledger", &ledger]);
    assert!(gone.code == 1 && gone.says("SW1007"), "{gone}");
    site.verify();
    // the agent goes on with what is left
    let running = site.agent();
    site.submit("kept", "", "        testbed.sitewright.dev/run-for: 1s");
    site.until_answered(&["of", &site.thing("kept")], "succeeded");
    running.handle().signal("TERM");
    running.end();
    site.verify();
}
