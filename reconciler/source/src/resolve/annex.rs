//! Files that git holds a pointer to: git-annex (and so DataLad), and Git LFS.

use sitewright_model::digest::Digest;

/// Bytes of a pointer file of git-annex that are looked at (its `maxPointerSz` is 32 KiB; a key is shorter).
const POINTER: usize = 4096;

/// A pointer of Git LFS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LfsPointer {
    /// The digest of the content.
    pub(crate) digest: Digest,
    /// Its size in bytes.
    pub(crate) size: u64,
}

/// Returns the key that a link leads to: `../.git/annex/objects/xx/yy/KEY/KEY`.
pub(crate) fn key_of_link(target: &[u8]) -> Option<String> {
    let target = std::str::from_utf8(target).ok()?;
    let (_, within) = target.split_once("annex/objects/")?;
    let key = within.rsplit('/').next()?;
    unescaped(key)
}

/// Returns the key in a pointer file: `/annex/objects/KEY` on the first line.
pub(crate) fn key_of_pointer(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes.get(..bytes.len().min(POINTER))?).ok()?;
    unescaped(text.strip_prefix("/annex/objects/")?.lines().next()?)
}

/// Returns the size in a key: `SHA256E-s30--HEX.dat`.
pub(crate) fn size_of(key: &str) -> Option<u64> {
    let (fields, _) = key.split_once("--")?;
    fields.split('-').skip(1).find_map(|field| field.strip_prefix('s')?.parse().ok())
}

/// Turns the name of a file back into the key (git-annex: `fileKey`).
fn unescaped(name: &str) -> Option<String> {
    if !is_key(name) {
        return None;
    }
    let mut key = String::new();
    let mut chars = name.chars();
    while let Some(c) = chars.next() {
        key.push(match c {
            '%' => '/',
            '&' => match chars.next()? {
                's' => '%',
                'c' => ':',
                'a' => '&',
                _ => return None,
            },
            other => other,
        });
    }
    Some(key)
}

/// Returns whether `name` has the form of a key: `BACKEND[-sSIZE…]--NAME`.
fn is_key(name: &str) -> bool {
    let Some((fields, rest)) = name.split_once("--") else { return false };
    let backend = fields.split('-').next().unwrap_or_default();
    !rest.is_empty()
        && !backend.is_empty()
        && backend
            .bytes()
            .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
}

/// Reads a pointer of Git LFS.
pub(crate) fn lfs_pointer(bytes: &[u8]) -> Option<LfsPointer> {
    // the specification: less than 1024 bytes
    let text = std::str::from_utf8(bytes).ok().filter(|text| text.len() < 1024)?;
    let mut lines = text.lines();
    (lines.next()? == "version https://git-lfs.github.com/spec/v1").then_some(())?;
    let (mut digest, mut size) = (None, None);
    for line in lines {
        match line.split_once(' ') {
            Some(("oid", oid)) => digest = oid.parse().ok(),
            Some(("size", bytes)) => size = bytes.parse().ok(),
            _ => {}
        }
    }
    Some(LfsPointer { digest: digest?, size: size? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_as_git_annex_writes_them() {
        let link = b"../.git/annex/objects/Xk/8w/SHA256E-s5--ab.dat/SHA256E-s5--ab.dat";
        assert_eq!(key_of_link(link).unwrap(), "SHA256E-s5--ab.dat");
        assert_eq!(size_of("SHA256E-s5--ab.dat"), Some(5));
        let pointer = b"/annex/objects/URL--http&c%%h%a&sb\nmore\n";
        assert_eq!(key_of_pointer(pointer).unwrap(), "URL--http://h/a%b");
        for other in ["../data/x", "../.git/annex/objects/readme", "/annex/objects/../../etc"] {
            assert_eq!(key_of_link(other.as_bytes()), None, "{other}");
        }
        assert_eq!(key_of_pointer(b"/annex/objects/\n"), None);
    }

    #[test]
    fn a_pointer_of_lfs_names_the_digest_of_the_content() {
        let hex = "a".repeat(64);
        let text =
            format!("version https://git-lfs.github.com/spec/v1\noid sha256:{hex}\nsize 12\n");
        let pointer = lfs_pointer(text.as_bytes()).unwrap();
        assert_eq!((pointer.digest.hex(), pointer.size), (hex, 12));
        assert!(lfs_pointer(b"version 1\n").is_none());
    }
}
