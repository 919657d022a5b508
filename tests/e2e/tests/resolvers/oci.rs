//! Images in a real registry: what they consist of, what they claim, and what is attested.

use std::process::Command;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use serde_json::{Value, json};
use sitewright_model::{
    digest::Digest,
    lineage::{Grade, Relation, Statement},
};
use sitewright_source::{
    Settings,
    outbound::Reach,
    resolve::{
        Resolving, Unresolved,
        dsse::{Envelope, TrustedKey},
        push_envelope, resolve,
    },
};
use sitewright_testbed::{Registry, tools::PythonTools};

use crate::bench::{check, edges, fact};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";

struct Images {
    registry: Registry,
    settings: Settings,
    keys: Vec<TrustedKey>,
}

impl Images {
    fn new() -> Self {
        let settings = Settings::new("/nonexistent");
        Self { registry: Registry::start().unwrap(), settings, keys: Vec::new() }
    }

    fn uri(&self) -> String {
        format!("oci://{}/team/train", self.registry.address())
    }

    fn url(&self, rest: &str) -> String {
        format!("http://{}/v2/team/train/{rest}", self.registry.address())
    }

    fn blob(&self, bytes: &[u8]) -> Value {
        let started = ureq::post(self.url("blobs/uploads/")).send_empty().unwrap();
        let location = started.headers()["location"].to_str().unwrap().to_owned();
        let digest = Digest::of(bytes);
        ureq::put(format!("{location}&digest={digest}")).send(bytes).unwrap();
        json!({ "digest": digest.to_string(), "size": bytes.len() })
    }

    fn manifest(&self, kind: &str, manifest: &Value, tag: Option<&str>) -> Digest {
        let bytes = manifest.to_string();
        let digest = Digest::of(&bytes);
        let reference = tag.map_or_else(|| digest.to_string(), str::to_owned);
        let url = self.url(&format!("manifests/{reference}"));
        ureq::put(url).header("Content-Type", kind).send(bytes.as_bytes()).unwrap();
        digest
    }

    /// Pushes an image of two platforms with `labels`; returns its index, first manifest and first config.
    fn image(&self, labels: &Value) -> (Digest, Digest, Digest) {
        let layer = with_kind(self.blob(b"layer"), "application/vnd.oci.image.layer.v1.tar+gzip");
        let mut made = Vec::new();
        for architecture in ["amd64", "arm64"] {
            let config = json!({ "architecture": architecture, "os": "linux",
                "created": "2026-01-01T00:00:00Z", "config": { "Labels": labels } });
            let config = with_kind(self.blob(config.to_string().as_bytes()), CONFIG);
            let digest: Digest = config["digest"].as_str().unwrap().parse().unwrap();
            let manifest = json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer] });
            made.push((
                self.manifest(MANIFEST, &manifest, None),
                manifest.to_string().len(),
                digest,
                architecture,
            ));
        }
        let manifests: Vec<Value> = made
            .iter()
            .map(|(digest, size, _, architecture)| {
                json!({ "mediaType": MANIFEST, "digest": digest.to_string(),
                "size": size, "platform": { "os": "linux", "architecture": architecture } })
            })
            .collect();
        let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": manifests });
        (self.manifest(INDEX, &index, Some("v1")), made[0].0, made[0].2)
    }

    fn resolving(&self) -> Resolving<'_> {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let (reach, keys) = (Reach::Anybody, &self.keys[..]);
        Resolving { reach, keys, ..Resolving::new(&self.settings, now) }
    }

    fn resolve(&self, digest: Digest, uri: &str) -> Result<Vec<Statement>, Unresolved> {
        resolve(&format!("image:{digest}").parse().unwrap(), Some(uri), &self.resolving())
    }
}

fn with_kind(mut descriptor: Value, kind: &str) -> Value {
    descriptor["mediaType"] = json!(kind);
    descriptor
}

fn id(digest: Digest) -> String {
    format!("image:{digest}")
}

#[test]
fn an_image_is_known_by_its_index_its_manifest_and_its_config_and_its_labels_are_claims() {
    let images = Images::new();
    let base = Digest::of("base");
    let (index, manifest, config) = images.image(&json!({
        "org.opencontainers.image.revision": COMMIT,
        "org.opencontainers.image.source": "https://me:canary@git.example.org/train",
        "org.opencontainers.image.base.digest": base.to_string(),
        "io.openshift.build.commit.id": COMMIT,
        "maintainer": "a person",
    }));
    let said = images.resolve(index, &images.uri()).unwrap();
    check(&said);
    assert_eq!(edges(&said, &id(manifest), Relation::PartOf, Grade::Resolved), [id(index)]);
    assert_eq!(edges(&said, &id(config), Relation::PartOf, Grade::Resolved), [id(manifest)]);
    assert_eq!(fact(&said, &id(manifest), "platform"), Some("linux/amd64"));
    let code = format!("commit:{COMMIT}");
    for of in [index, config] {
        let mut found = edges(&said, &id(of), Relation::RanCode, Grade::Claimed);
        found.dedup();
        assert_eq!(found, std::slice::from_ref(&code));
        assert!(edges(&said, &id(of), Relation::RanCode, Grade::Resolved).is_empty());
    }
    assert_eq!(fact(&said, &code, "uri"), Some("git+https://git.example.org/train"));
    let derived = edges(&said, &id(config), Relation::DerivedFrom, Grade::Claimed);
    assert_eq!(derived, [id(base)]);
    assert!(!format!("{said:?}").contains("canary") && !format!("{said:?}").contains("a person"));

    // a runtime may report the digest of the config: the tag leads to it
    let through = images.resolve(config, &format!("{}:v1", images.uri())).unwrap();
    assert_eq!(edges(&through, &id(config), Relation::PartOf, Grade::Resolved), [id(manifest)]);
    let other = images.resolve(base, &format!("{}:v1", images.uri())).unwrap_err();
    assert!(matches!(other, Unresolved::Gone(_)), "{other}");
    // and a tag leads to the index, at a time
    let name = format!("{}:v1", images.uri());
    let led = resolve(&format!("ref:{name}").parse().unwrap(), None, &images.resolving()).unwrap();
    assert_eq!(edges(&led, &format!("ref:{name}"), Relation::LedTo, Grade::Inferred), [id(index)]);

    let others = Resolving { reach: Reach::Others, ..images.resolving() };
    let refused = resolve(&id(index).parse().unwrap(), Some(&images.uri()), &others).unwrap_err();
    assert!(matches!(refused, Unresolved::Refused(_)), "{refused}");
}

#[test]
fn the_descriptor_of_a_model_is_a_claim() {
    let images = Images::new();
    let config = json!({ "descriptor": { "name": "resnet", "revision": COMMIT,
        "sourceURL": "https://git.example.org/resnet" }, "modelfs": { "type": "layers", "diffIds": [] } });
    let kind = "application/vnd.cnai.model.config.v1+json";
    let config = with_kind(images.blob(config.to_string().as_bytes()), kind);
    let manifest = json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [],
        "artifactType": "application/vnd.cnai.model.manifest.v1+json" });
    let digest = images.manifest(MANIFEST, &manifest, None);
    let said = images.resolve(digest, &images.uri()).unwrap();
    assert_eq!(
        edges(&said, &id(digest), Relation::RanCode, Grade::Claimed),
        [format!("commit:{COMMIT}")]
    );
    let config = format!("image:{}", config["digest"].as_str().unwrap());
    assert_eq!(fact(&said, &config, "model.name"), Some("resnet"));
}

fn provenance(digest: Digest) -> String {
    json!({
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{ "name": "train", "digest": { "sha256": digest.hex() } }],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": { "buildType": "https://example.org/build", "externalParameters": {},
                "resolvedDependencies": [
                    { "uri": "git+https://git.example.org/train@refs/heads/main", "digest": { "gitCommit": COMMIT } },
                    { "uri": "oci://registry.example.org/base", "digest": { "sha256": "ab" } },
                ] },
            "runDetails": { "builder": { "id": "https://builder.example.org" } },
        },
    })
    .to_string()
}

/// Signs with securesystemslib, and returns the public key in PEM and the envelope.
fn signed(payload: &str, scheme: &str) -> (String, Vec<u8>) {
    let script = "
import sys, json
from securesystemslib.signer import CryptoSigner
from securesystemslib.dsse import Envelope
signer = getattr(CryptoSigner, 'generate_' + sys.argv[2])()
envelope = Envelope(sys.argv[1].encode(), 'application/vnd.in-toto+json', {})
envelope.sign(signer)
public = signer.public_key.keyval['public']
if 'BEGIN' not in public:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
    public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(public)).public_bytes(
        Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
print(json.dumps({'public': public, 'envelope': envelope.to_dict()}))";
    let python = PythonTools::Signing.find().unwrap().join("python");
    let output = Command::new(python).args(["-c", script, payload, scheme]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    (answer["public"].as_str().unwrap().to_owned(), answer["envelope"].to_string().into_bytes())
}

#[test]
fn provenance_is_attested_by_a_known_key_and_claimed_by_any_other() {
    let mut images = Images::new();
    let code = format!("commit:{COMMIT}");
    for scheme in ["ed25519", "ecdsa"] {
        let (index, manifest, _) =
            images.image(&json!({ "org.opencontainers.image.version": scheme }));
        let (public, envelope) = signed(&provenance(manifest), scheme);
        images.keys.clear();
        let artifact = format!("{}@{manifest}", images.uri());
        let push = || {
            push_envelope(
                &artifact,
                &envelope,
                "https://slsa.dev/provenance/v1",
                &images.resolving(),
            )
        };
        let pushed = push().unwrap();
        assert_eq!(push().unwrap(), pushed, "pushing it again changes nothing");

        let said = images.resolve(index, &images.uri()).unwrap();
        assert_eq!(
            edges(&said, &id(manifest), Relation::RanCode, Grade::Claimed),
            std::slice::from_ref(&code)
        );
        assert!(edges(&said, &id(manifest), Relation::RanCode, Grade::Attested).is_empty());

        images.keys.push(TrustedKey::from_pem("release", &public).unwrap());
        let said = images.resolve(index, &images.uri()).unwrap();
        check(&said);
        assert_eq!(
            edges(&said, &id(manifest), Relation::RanCode, Grade::Attested),
            std::slice::from_ref(&code)
        );
        assert_eq!(fact(&said, &code, "uri"), Some("git+https://git.example.org/train"));
        assert_eq!(fact(&said, &id(manifest), "builder"), Some("https://builder.example.org"));
        let attestation = fact(&said, &id(manifest), "attestation").unwrap();
        assert!(attestation.ends_with("signed by release"), "{attestation}");

        // changed by one byte, the same signature proves nothing
        let mut changed: Value = serde_json::from_slice(&envelope).unwrap();
        let payload = provenance(manifest).replace("builder.example.org", "builder.example.com");
        changed["payload"] = json!(STANDARD.encode(payload));
        let changed = Envelope::parse(changed.to_string().as_bytes()).unwrap();
        assert!(changed.signed_by(&images.keys).is_none());
    }
}

#[test]
fn attestations_are_found_by_the_tag_of_cosign_and_must_be_about_the_image() {
    let mut images = Images::new();
    let (index, manifest, _) = images.image(&json!({}));
    for (about, expected) in [(Digest::of("another"), 0), (index, 1)] {
        let (public, envelope) = signed(&provenance(about), "ecdsa");
        images.keys = vec![TrustedKey::from_pem("cosign", &public).unwrap()];
        let layer = with_kind(images.blob(&envelope), "application/vnd.dsse.envelope.v1+json");
        let config = with_kind(images.blob(b"{}"), CONFIG);
        let attestation = json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer] });
        images.manifest(MANIFEST, &attestation, Some(&format!("sha256-{}.att", index.hex())));
        let said = images.resolve(index, &images.uri()).unwrap();
        let found = edges(&said, &id(index), Relation::RanCode, Grade::Attested);
        assert_eq!(found.len(), expected, "{manifest}");
    }
}

#[test]
fn what_buildkit_puts_beside_an_image_is_a_claim_as_long_as_nobody_signed_it() {
    let images = Images::new();
    let (_, manifest, _) = images.image(&json!({}));
    let statement = json!({
        "_type": "https://in-toto.io/Statement/v0.1",
        "subject": [{ "name": "pkg:docker/train@v1", "digest": { "sha256": manifest.hex() } }],
        "predicateType": "https://slsa.dev/provenance/v0.2",
        "predicate": { "builder": { "id": "" }, "materials": [
            { "uri": "pkg:docker/base@3", "digest": { "sha256": "ab" } },
            { "uri": "https://git.example.org/train.git#refs/heads/main", "digest": { "sha1": COMMIT } },
        ] },
    });
    let layer =
        with_kind(images.blob(statement.to_string().as_bytes()), "application/vnd.in-toto+json");
    let config = with_kind(images.blob(b"{}"), CONFIG);
    let beside =
        json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer] });
    let digest = images.manifest(MANIFEST, &beside, None);
    let entry = |digest: Digest, annotations: Value| json!({ "mediaType": MANIFEST, "digest": digest.to_string(), "size": 1, "annotations": annotations });
    let annotations = json!({ "vnd.docker.reference.type": "attestation-manifest",
        "vnd.docker.reference.digest": manifest.to_string() });
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX,
        "manifests": [entry(manifest, json!({})), entry(digest, annotations)] });
    let index = images.manifest(INDEX, &index, None);
    let said = images.resolve(index, &images.uri()).unwrap();
    let code = format!("commit:{COMMIT}");
    let found = edges(&said, &id(manifest), Relation::RanCode, Grade::Claimed);
    assert_eq!(found, std::slice::from_ref(&code));
    assert_eq!(fact(&said, &code, "uri"), Some("git+https://git.example.org/train.git"));
    assert!(edges(&said, &id(digest), Relation::PartOf, Grade::Resolved).is_empty());
}
