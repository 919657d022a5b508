//! The released envtest archives, for a machine without Go.
//!
//! They hold `etcd`, `kube-apiserver` and `kubectl` only, and lag behind the newest Kubernetes, so
//! they come last. The checksums are those of `envtest-releases.yaml` in
//! kubernetes-sigs/controller-tools.

use std::{
    fs,
    io::{Read, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use flate2::read::GzDecoder;
use sha2::{Digest, Sha512};

use super::{
    Tool,
    cache::{Home, Locked, progress},
};
use crate::hex;

/// Where the archives are released.
pub(super) const RELEASES: &str =
    "https://github.com/kubernetes-sigs/controller-tools/releases/download";

/// The listed version nearest to the one that `tests/tools/kubernetes` pins.
const VERSION: &str = "v1.36.2";

/// SHA-512 of the archive by operating system and architecture, in Go's words.
const CHECKSUMS: [(&str, &str); 4] = [
    (
        "linux-amd64",
        "ea743186c8a799f5cf8faf16969f86189d003cb7d130e0ac4b58789f1e5748dcf30ebe91c837a10d5ac415383da3e10b9e64d65785c938c23e739781cfb76f08",
    ),
    (
        "linux-arm64",
        "2d72ee985a8e262a3c57dc9f7f0fd891f6a8c7bf7ebaa2db6dc6d8eac8ae28181afe51c1f368b67756cdb40b10de9b205609e1726e5f27f7c6d824dd9c6649ac",
    ),
    (
        "darwin-amd64",
        "b4fe9f973cd1992e3880f8b230ed32c0c243b83371591e3e3315f4404df2cdbef8ee94eeb9bb245b7e5feb987d5c4a76c43e0877654ab73f00d7bbc2b9984514",
    ),
    (
        "darwin-arm64",
        "9278f9e5af556b2f1f2d139769c1f0d717c7b4426917fdebdba898bcb725a916e4910d6160886194ff9be9589ea7c5c32c2b8ae0754703874b7c8ba8ddfc41ce",
    ),
];

/// Larger than any envtest archive so far (about 100 MB): a bound on what is read.
const LARGEST_ARCHIVE: u64 = 400 << 20;

/// The released program, downloaded on the first call ever.
///
/// It has a place of its own in the cache: its version is not the pinned one.
pub(super) fn find(tool: Tool, releases: &str) -> Result<PathBuf> {
    ensure!(
        matches!(tool, Tool::Etcd | Tool::KubeApiserver | Tool::Kubectl),
        "the archive holds etcd, kube-apiserver and kubectl only"
    );
    Home::of_release(tool, VERSION)?.fill(|locked| download(tool, locked, releases))
}

/// Downloads the archive for this machine, checks it, and keeps `tool` from it.
fn download(tool: Tool, locked: &Locked, releases: &str) -> Result<()> {
    let platform = platform()?;
    let checksum = CHECKSUMS
        .iter()
        .find(|(name, _)| *name == platform)
        .map(|(_, sum)| *sum)
        .with_context(|| format!("no checksum is pinned for {platform}"))?;
    let url = format!("{releases}/envtest-{VERSION}/envtest-{VERSION}-{platform}.tar.gz");
    progress(&format!("downloading {url}"));
    let archive = fetch(&url)?;
    let scratch = locked.scratch();
    unpack(&archive, checksum, tool, &scratch)?;
    locked.keep(&scratch)
}

fn platform() -> Result<String> {
    let os = match std::env::consts::OS {
        "macos" => "darwin",
        other => other,
    };
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => anyhow::bail!("there is no envtest archive for {other}"),
    };
    Ok(format!("{os}-{arch}"))
}

fn fetch(url: &str) -> Result<Vec<u8>> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_connect(Some(Duration::from_secs(10)))
        .timeout_global(Some(Duration::from_secs(600)))
        .build()
        .into();
    let response = agent.get(url).call().with_context(|| format!("cannot download {url}"))?;
    let body = response.into_body().into_with_config().limit(LARGEST_ARCHIVE).read_to_vec();
    body.with_context(|| format!("{url} broke off"))
}

/// Writes the program `tool` of a checked archive to `to`.
fn unpack(archive: &[u8], checksum: &str, tool: Tool, to: &Path) -> Result<()> {
    let found = hex(&Sha512::digest(archive));
    ensure!(found == checksum, "the archive has SHA-512 {found}, but {checksum} is pinned");
    let mut tar = tar::Archive::new(GzDecoder::new(archive));
    for entry in tar.entries()? {
        let mut entry = entry?;
        if entry.path()?.file_name().is_some_and(|name| name == tool.name()) {
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes)?;
            return write_program(to, &bytes);
        }
    }
    anyhow::bail!("the archive has no {tool}")
}

fn write_program(to: &Path, bytes: &[u8]) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let mut file = fs::File::create(to)?;
    file.write_all(bytes)?;
    file.set_permissions(fs::Permissions::from_mode(0o755))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read as _, Write as _},
        net::TcpListener,
        thread,
    };

    use super::*;

    fn archive() -> Vec<u8> {
        let mut tar = tar::Builder::new(flate2::write::GzEncoder::new(
            Vec::new(),
            flate2::Compression::fast(),
        ));
        let mut header = tar::Header::new_gnu();
        header.set_size(4);
        header.set_mode(0o755);
        tar.append_data(&mut header, "controller-tools/envtest/etcd", &b"etcd"[..]).unwrap();
        tar.into_inner().unwrap().finish().unwrap()
    }

    #[test]
    fn a_program_is_unpacked_from_a_checked_archive() {
        let folder = tempfile::tempdir().unwrap();
        let to = folder.path().join("etcd");
        let archive = archive();
        unpack(&archive, &hex(&Sha512::digest(&archive)), Tool::Etcd, &to).unwrap();
        assert_eq!(fs::read(&to).unwrap(), b"etcd");
    }

    #[test]
    fn an_archive_with_another_checksum_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let to = folder.path().join("etcd");
        let error = unpack(&archive(), "00", Tool::Etcd, &to).unwrap_err();
        assert!(error.to_string().contains("is pinned"), "{error}");
        assert!(!to.exists());
    }

    #[test]
    fn an_archive_is_fetched_over_http() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/a.tar.gz", listener.local_addr().unwrap());
        let body = archive();
        let served = body.clone();
        let server = thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            let _ = socket.read(&mut [0; 4096]).unwrap();
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", served.len());
            socket.write_all(head.as_bytes()).unwrap();
            socket.write_all(&served).unwrap();
        });
        assert_eq!(fetch(&url).unwrap(), body);
        server.join().unwrap();
    }
}
