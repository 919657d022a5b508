//! Git repositories on servers: their references, and their objects in a mirror on disk.
//!
//! This speaks git's own protocol (version 2, or 0 where a server knows no other) over HTTP and ssh,
//! and hands the packs to libgit2. Not libgit2's transports: those need OpenSSL and libssh2, or
//! `unsafe` to replace them, list every reference of a repository to find one, and lose the reason
//! of a failure on the way. See the book, Decisions.

mod error;
mod http;
mod mirror;
mod objects;
mod pack;
mod packet;
mod protocol;
pub(crate) mod refs;
mod remote;
mod room;
mod ssh;

pub use error::GitError;
pub(crate) use mirror::{InUse, Mirrored, moved, open};
pub(crate) use objects::{
    MODE_COMMIT, MODE_FOLDER, MODE_LINK, Name, ObjectKind, Objects, Room, TreeEntry, fuzz_objects,
};
pub(crate) use pack::fuzz_pack;
pub(crate) use protocol::fuzz_protocol;
pub(crate) use remote::{Remote, Tip, Want};

/// Takes `text` for an address, and walks through all that is asked of one.
pub(crate) fn fuzz_url(text: &str) {
    let Ok(url) = crate::Url::parse(text) else { return };
    let again = crate::Url::parse(&url.public());
    assert!(
        again.is_ok_and(|again| again.public() == url.public()),
        "{url} is not read as it is shown"
    );
    let _ = (url.host(), url.port(), url.join("../x"), url.is_private());
}
