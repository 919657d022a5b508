//! Directories of models, beside what OpenSSF model signing and the shell say of them.

use std::{fs, path::Path, process::Command, sync::atomic::AtomicBool, time::Instant};

use serde_json::Value;
use sitewright_model::lineage::Statement;
use sitewright_source::resolve::tree::{Gently, Hashed, hash};
use sitewright_testbed::tools::PythonTools;

fn hashed(folder: &Path) -> Hashed {
    hash(folder, &Gently { threads: 2, ..Gently::new(&AtomicBool::new(false)) }).unwrap()
}

fn model(folder: &Path) {
    for (path, size) in [
        ("model.safetensors", 3_000_000),
        ("b/c.bin", 1),
        ("b.txt", 2),
        ("b/ä.bin", 3),
        ("b-c/x", 4),
        ("empty", 0),
        (".gitignore", 5),
        (".git/config", 6),
        (".gitkeep", 7),
        ("b/.gitignore", 8),
    ] {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let byte = |at: usize| u8::try_from((at * 7 + size) % 251).unwrap();
        fs::write(path, (0..size).map(byte).collect::<Vec<u8>>()).unwrap();
    }
    fs::create_dir(folder.join("nothing")).unwrap();
}

fn said(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_model_has_the_digests_that_model_signing_and_the_shell_give_it() {
    let folder = tempfile::tempdir().unwrap();
    let model_folder = folder.path().join("model");
    model(&model_folder);
    let ours = hashed(&model_folder);

    // the signature itself, which holds the root and the list of files
    let programs = PythonTools::Signing.find().unwrap();
    let key = folder.path().join("key.pem");
    let script = "
import sys, json, base64
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives import serialization as s
open(sys.argv[2], 'wb').write(ec.generate_private_key(ec.SECP256R1()).private_bytes(
    s.Encoding.PEM, s.PrivateFormat.PKCS8, s.NoEncryption()))
import model_signing
signature = sys.argv[1] + '/model.sig'
model_signing.signing.Config().use_elliptic_key_signer(private_key=sys.argv[2]).set_hashing_config(
    model_signing.hashing.Config().set_ignored_paths(paths=['model.sig'])).sign(sys.argv[1], signature)
bundle = json.load(open(signature))
print(base64.b64decode(bundle['dsseEnvelope']['payload']).decode())";
    let mut python = Command::new(programs.join("python"));
    let statement = said(python.args(["-c", script]).arg(&model_folder).arg(&key));
    let statement: Value = serde_json::from_str(&statement).unwrap();
    assert_eq!(statement["subject"][0]["digest"]["sha256"], ours.oms.hex());
    let resources = statement["predicate"]["resources"].as_array().unwrap();
    let theirs: Vec<(&str, &str)> = resources
        .iter()
        .map(|one| (one["name"].as_str().unwrap(), one["digest"].as_str().unwrap()))
        .collect();
    assert_eq!(theirs.len(), ours.files.len());
    for (name, digest) in theirs {
        assert_eq!(ours.files[name].0.hex(), digest, "{name}");
    }
    // the signature lies beside the model now, and changes nothing
    assert_eq!(hashed(&model_folder), ours);

    let line = "find . -type f | cut -c3- | grep -v -E '^(\\.git/.*|\\.gitignore|model\\.sig)$' \
        | LC_ALL=C sort | tr '\\n' '\\0' | xargs -0 sha256sum | sha256sum";
    let shell = said(Command::new("sh").args(["-c", line]).current_dir(&model_folder));
    assert_eq!(shell.split(' ').next(), Some(ours.dir_hash.hex().as_str()));
    fs::write(folder.path().join("list"), ours.manifest()).unwrap();
    said(
        Command::new("sha256sum")
            .args(["--check", "--quiet", "../list"])
            .current_dir(&model_folder),
    );

    let name = sitewright_model::lineage::EntityId::reference("s3://models/m").unwrap();
    let statements = ours.statements(&name, jiff::Timestamp::now());
    assert!(statements.iter().any(|one| matches!(one, Statement::Fact { field, value, .. }
        if field == "oms" && *value == ours.oms.to_string())));
}

/// Prints how fast a model is hashed: `cargo test --release … -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement, not a check"]
fn throughput() {
    let folder = tempfile::tempdir().unwrap();
    for index in 0..4 {
        fs::write(folder.path().join(index.to_string()), vec![index; 256 << 20]).unwrap();
    }
    for threads in [1, 2] {
        let stop = AtomicBool::new(false);
        let started = Instant::now();
        let hashed = hash(folder.path(), &Gently { threads, ..Gently::new(&stop) }).unwrap();
        let rate = hashed.bytes() as f64 / started.elapsed().as_secs_f64() / 1e9;
        println!("{threads} threads: {rate:.2} GB/s");
    }
}
