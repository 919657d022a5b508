//! Files in the cache: paths and contents one after the other, each led by its length.

use std::collections::BTreeMap;

use sitewright_model::{digest::Digest, files::Files};

use crate::cache::{Cache, Kind};

/// Returns the files whose digest is `digest`, if they are kept.
pub(super) fn get(cache: &Cache, digest: &Digest, label: &str) -> Option<Files> {
    let bytes = cache.get(Kind::Artifact, digest)?;
    let files = decode(&bytes, label).filter(|files| digest_fits(files, digest));
    if files.is_none() {
        cache.remove(Kind::Artifact, digest);
    }
    files
}

/// Keeps files under `digest`.
pub(super) fn put(cache: &Cache, digest: &Digest, files: &Files) {
    let mut bytes = Vec::new();
    for part in files.entries.iter().flat_map(|(path, content)| [path.as_bytes(), content]) {
        bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
        bytes.extend_from_slice(part);
    }
    cache.put(Kind::Artifact, digest, &bytes);
}

/// One file from a URL is pinned by the digest of its bytes, everything else by that of the files.
fn digest_fits(files: &Files, digest: &Digest) -> bool {
    let mut contents = files.entries.values();
    let is_the_file = match (contents.next(), contents.next()) {
        (Some(only), None) => Digest::of(only) == *digest,
        _ => false,
    };
    is_the_file || files.digest() == *digest
}

fn decode(mut bytes: &[u8], label: &str) -> Option<Files> {
    let mut entries = BTreeMap::new();
    while !bytes.is_empty() {
        let path = String::from_utf8(part(&mut bytes)?.to_vec()).ok()?;
        entries.insert(path, part(&mut bytes)?.into());
    }
    Some(Files { label: label.to_owned(), entries })
}

fn part<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, rest) = bytes.split_first_chunk::<8>()?;
    let (part, rest) = rest.split_at_checked(usize::try_from(u64::from_be_bytes(*length)).ok()?)?;
    *bytes = rest;
    Some(part)
}
