//! A folder of a bucket by what it holds, as [`tree::hash`](crate::resolve::tree::hash) has it of a folder on a disk.
//!
//! An object whose SHA-256 the store keeps is not read. All others are, as streams: nothing is kept of them.

use std::{collections::BTreeMap, io::Read as _, sync::atomic::Ordering, time::Duration};

use sha2::{Digest as _, Sha256};
use sitewright_model::{digest::Digest, lineage::Grade};

use super::{Listed, PrefixManifest, S3, prefix_manifest, send, sign, store};
use crate::{
    http::Verb,
    resolve::{
        Resolving, Unresolved, is_plain_path, shown,
        tree::{Gently, Hashed, STEP, is_left_out},
    },
};

/// Bytes in a second below which a store is taken for one that does not answer.
const SLOWEST: u64 = 1_000_000;

/// Hashes what lies below `s3://BUCKET/FOLDER` now.
///
/// It is graded resolved where the store's word was taken for an object, else observed.
///
/// # Errors
/// There is nothing, it cannot be read, or it was changed meanwhile.
pub fn hash_prefix(
    uri: &str,
    gently: &Gently<'_>,
    with: &Resolving<'_>,
) -> Result<Hashed, Unresolved> {
    let folder = format!("{}/", uri.trim_end_matches('/'));
    let before = prefix_manifest(&folder, true, with)?;
    if before.objects.is_empty() {
        return Err(Unresolved::Gone(format!("nothing lies below `{}`", shown(&folder))));
    }
    let store = store(&before.bucket, with)?;
    let (mut files, mut grade) = (BTreeMap::new(), Grade::Observed);
    for (key, listed) in &before.objects {
        let Some(name) = key.strip_prefix(&before.prefix).filter(|name| !name.is_empty()) else {
            continue;
        };
        // what some tools write to show a folder holds nothing
        if name.ends_with('/') && listed.size == 0 {
            continue;
        }
        let is_name =
            is_plain_path(name) && !name.split('/').any(str::is_empty) && !name.contains('\n');
        if !is_name {
            return Err(Unresolved::Broken(format!("`{}` is no name of a file", shown(name))));
        }
        if is_left_out(name, gently) {
            continue;
        }
        let known = listed.sha256.as_ref().and_then(|hex| format!("sha256:{hex}").parse().ok());
        let digest = match known {
            Some(digest) => {
                grade = Grade::Resolved;
                digest
            }
            None => read(store, &before.bucket, key, listed, gently, with)?,
        };
        files.insert(name.to_owned(), (digest, listed.size));
    }
    let mut after = prefix_manifest(&folder, false, with)?;
    forget_digests(&mut after, &before);
    if let Some(key) = before.differences(&after).first() {
        return Err(Unresolved::Broken(format!("`{}` was changed while it was read", shown(key))));
    }
    Ok(Hashed::of(files, grade))
}

/// Makes two lists comparable, of which only one was asked for digests.
fn forget_digests(after: &mut PrefixManifest, before: &PrefixManifest) {
    for (key, listed) in &mut after.objects {
        listed.sha256 = before.objects.get(key).and_then(|before| before.sha256.clone());
    }
}

/// Returns the digest of an object.
fn read(
    store: &S3,
    bucket: &str,
    key: &str,
    listed: &Listed,
    gently: &Gently<'_>,
    with: &Resolving<'_>,
) -> Result<Digest, Unresolved> {
    let deadline = with.deadline + Duration::from_secs(listed.size / SLOWEST);
    let with = Resolving { deadline, ..with.clone() };
    let path = format!("/{}/{}", sign::escaped(bucket, false), sign::escaped(key, true));
    let version = listed.version.as_deref();
    let query = version.map(|version| format!("versionId={}", sign::escaped(version, false)));
    let answer = send(store, Verb::Get, &path, &query.unwrap_or_default(), &[], &with)?;
    if answer.status != 200 {
        return Err(Unresolved::Gone(format!("`{}` cannot be read any more", shown(key))));
    }
    let mut bytes = answer.into_reader();
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; STEP];
    let mut size = 0;
    loop {
        if gently.stop.load(Ordering::Relaxed) {
            return Err(Unresolved::Away("it was stopped".to_owned()));
        }
        let count = bytes.read(&mut buffer).map_err(|error| {
            Unresolved::Away(format!("`{}`: {}", shown(key), crate::http::reason(&error)))
        })?;
        if count == 0 {
            break;
        }
        hasher.update(buffer.get(..count).unwrap_or_default());
        size += count as u64;
        if size > listed.size {
            break;
        }
        (gently.pace)(count);
    }
    if size != listed.size {
        return Err(Unresolved::Broken(format!("`{}` was changed while it was read", shown(key))));
    }
    Ok(Digest::from_bytes(hasher.finalize().into()))
}
