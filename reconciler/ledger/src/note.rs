//! Signed notes and checkpoints, as C2SP signed-note, tlog-checkpoint and tlog-cosignature have them.

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD};
use ring::{
    rand::{SecureRandom, SystemRandom},
    signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey},
};
use sha2::{Digest as _, Sha256};

use crate::{Error, Hash};

/// The kind of a key that signs notes, and of one that witnesses checkpoints.
const ED25519_NOTE: u8 = 1;
const ED25519_COSIGNATURE: u8 = 4;

/// The longest note that is read, in bytes: a checkpoint with some hundred witnesses.
const LONGEST: usize = 64 * 1024;

/// A key that signs. It has no form that can be printed but [`SecretKey::to_text`].
pub struct SecretKey {
    name: String,
    seed: [u8; 32],
    pair: Ed25519KeyPair,
}

/// A key that signatures are checked with.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey {
    name: String,
    key: [u8; 32],
}

/// A note: text, and signatures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The text; it ends with a new line.
    pub text: String,
    /// The signatures.
    pub signatures: Vec<Signature>,
}

/// A signature line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// Who signed.
    pub name: String,
    /// The key's id.
    pub id: [u8; 4],
    /// The signature.
    pub bytes: Vec<u8>,
}

/// What a log signs: how large it is, and its root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log.
    pub origin: String,
    /// How many leaves.
    pub size: u64,
    /// The root of the tree over them.
    pub root: Hash,
}

/// A signature of a witness, and when it was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cosigned {
    /// Who witnessed.
    pub name: String,
    /// When, in seconds since 1970.
    pub at: u64,
}

impl Signature {
    /// Returns it as the line of a note.
    pub(crate) fn line(&self) -> String {
        let Self { name, id, bytes } = self;
        format!("\u{2014} {name} {}\n", STANDARD.encode([id, bytes.as_slice()].concat()))
    }
}

fn bad(why: impl Into<String>) -> Error {
    Error::Key { why: why.into() }
}

fn key_id(name: &str, kind: u8, key: &[u8; 32]) -> [u8; 4] {
    let mut hasher = Sha256::new();
    hasher.update(name);
    hasher.update([b'\n', kind]);
    hasher.update(key);
    let hash: [u8; 32] = hasher.finalize().into();
    [hash[0], hash[1], hash[2], hash[3]]
}

fn hex(id: [u8; 4]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads the parts of a key: its name, its id, its kind, and 32 bytes.
fn parts(text: &str) -> Result<(String, String, u8, [u8; 32]), Error> {
    let mut parts = text.splitn(3, '+');
    let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(bad("it has not the form NAME+ID+KEY"));
    };
    if name.is_empty() || name.chars().any(char::is_whitespace) {
        return Err(bad("its name is empty or has white space"));
    }
    let bytes = STANDARD.decode(key).map_err(|_| bad("it is not base64"))?;
    match bytes.split_first() {
        Some((kind @ (&ED25519_NOTE | &ED25519_COSIGNATURE), key)) => {
            let key = key.try_into().map_err(|_| bad("it has not 32 bytes"))?;
            Ok((name.to_owned(), id.to_owned(), *kind, key))
        }
        _ => Err(bad("it is no Ed25519 key")),
    }
}

// === impl SecretKey ===

impl SecretKey {
    /// Makes a new key.
    ///
    /// # Errors
    /// The name cannot be that of a key, or the system gives no random bytes.
    pub fn generate(name: &str) -> Result<Self, Error> {
        let mut seed = [0; 32];
        SystemRandom::new().fill(&mut seed).map_err(|_| bad("the system gives no random bytes"))?;
        Self::of(name, seed)
    }

    fn of(name: &str, seed: [u8; 32]) -> Result<Self, Error> {
        if name.is_empty() || name.contains('+') || name.chars().any(char::is_whitespace) {
            return Err(bad("a name has no white space and no `+`"));
        }
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|_| bad("it is no seed"))?;
        Ok(Self { name: name.to_owned(), seed, pair })
    }

    /// Reads a key as [`SecretKey::to_text`] writes it.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let rest = text.trim().strip_prefix("PRIVATE+KEY+");
        let rest = rest.ok_or_else(|| bad("a private key begins with PRIVATE+KEY+"))?;
        let (name, id, kind, seed) = parts(rest)?;
        if kind != ED25519_NOTE {
            return Err(bad("it is no key that signs notes"));
        }
        let key = Self::of(&name, seed)?;
        if hex(key.public().id()) != id {
            return Err(bad("its id is not that of its name and key"));
        }
        Ok(key)
    }

    /// Returns the key as text that is to be kept secret.
    pub fn to_text(&self) -> String {
        let bytes: Vec<u8> = [&[ED25519_NOTE], self.seed.as_slice()].concat();
        format!("PRIVATE+KEY+{}+{}+{}", self.name, hex(self.public().id()), STANDARD.encode(bytes))
    }

    /// Returns the key that signatures of it are checked with.
    pub fn public(&self) -> PublicKey {
        let mut key = [0; 32];
        key.copy_from_slice(self.pair.public_key().as_ref());
        PublicKey { name: self.name.clone(), key }
    }

    /// Signs bytes, for proofs that are not notes: a DSSE envelope.
    pub fn sign_bytes(&self, bytes: &[u8]) -> Vec<u8> {
        self.pair.sign(bytes).as_ref().to_vec()
    }

    /// Returns a secret that is derived from the key and from nothing else, for pseudonyms.
    pub fn secret_for(&self, purpose: &str) -> [u8; 32] {
        let mut hasher = Sha256::new();
        hasher.update(b"sitewright.dev/lineage/");
        hasher.update(purpose);
        hasher.update([0]);
        hasher.update(self.seed);
        hasher.finalize().into()
    }

    /// Signs a note.
    pub fn sign(&self, text: &str) -> Note {
        let signature = Signature {
            name: self.name.clone(),
            id: self.public().id(),
            bytes: self.sign_bytes(text.as_bytes()),
        };
        Note { text: text.to_owned(), signatures: vec![signature] }
    }

    /// Adds that this witness saw a checkpoint at `at`, in seconds since 1970 (C2SP tlog-cosignature).
    pub fn cosign(&self, note: &mut Note, at: u64) {
        let message = format!("cosignature/v1\ntime {at}\n{}", note.text);
        let bytes = [&at.to_be_bytes(), self.sign_bytes(message.as_bytes()).as_slice()].concat();
        let public = self.public();
        let id = key_id(&public.name, ED25519_COSIGNATURE, &public.key);
        note.signatures.retain(|one| !(one.name == self.name && one.id == id));
        note.signatures.push(Signature { name: public.name, id, bytes });
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey({})", self.name)
    }
}

// === impl PublicKey ===

impl PublicKey {
    /// Reads a key in the form `NAME+ID+KEY`: of a log, or of a witness.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let (name, id, kind, key) = parts(text.trim())?;
        let key = Self { name, key };
        if hex(key_id(&key.name, kind, &key.key)) == id {
            Ok(key)
        } else {
            Err(bad("its id is not that of its name and key"))
        }
    }

    fn id(&self) -> [u8; 4] {
        key_id(&self.name, ED25519_NOTE, &self.key)
    }

    /// Returns the key as others know it that ask it to witness (C2SP tlog-cosignature).
    pub fn as_witness(&self) -> String {
        let id = hex(key_id(&self.name, ED25519_COSIGNATURE, &self.key));
        let bytes = [&[ED25519_COSIGNATURE], self.key.as_slice()].concat();
        format!("{}+{id}+{}", self.name, STANDARD.encode(bytes))
    }

    /// Returns the name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the 32 bytes of the key.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.key
    }

    /// Returns whether `signature` is this key's over `bytes`.
    pub fn verifies(&self, bytes: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.key).verify(bytes, signature).is_ok()
    }

    /// Returns whether it signed the note.
    pub fn signed(&self, note: &Note) -> bool {
        let id = self.id();
        let ours = |one: &&Signature| one.name == self.name && one.id == id;
        let mut signatures = note.signatures.iter().filter(ours);
        signatures.any(|one| self.verifies(note.text.as_bytes(), &one.bytes))
    }

    /// Returns when it witnessed the note, if it did.
    pub fn witnessed(&self, note: &Note) -> Option<Cosigned> {
        let id = key_id(&self.name, ED25519_COSIGNATURE, &self.key);
        let ours = note.signatures.iter().filter(|one| one.name == self.name && one.id == id);
        ours.filter_map(|one| {
            let (at, signature) = one.bytes.split_at_checked(8)?;
            let at = u64::from_be_bytes(at.try_into().ok()?);
            let message = format!("cosignature/v1\ntime {at}\n{}", note.text);
            let name = self.name.clone();
            self.verifies(message.as_bytes(), signature).then_some(Cosigned { name, at })
        })
        .next()
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [&[ED25519_NOTE], self.key.as_slice()].concat();
        write!(f, "{}+{}+{}", self.name, hex(self.id()), STANDARD.encode(bytes))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

// === impl Note ===

impl Note {
    /// Reads a note.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let no = |why: &str| Error::Tampered { why: format!("this is no signed note: {why}") };
        if text.len() > LONGEST {
            return Err(no("it is too long"));
        }
        let at = text.rfind("\n\n").ok_or_else(|| no("it has no signatures"))?;
        if !text.ends_with('\n') {
            return Err(no("it does not end with a new line"));
        }
        let (text, lines) = text.split_at(at + 1);
        let signatures = lines.trim_start_matches('\n').lines().map(|line| {
            let rest =
                line.strip_prefix("\u{2014} ").ok_or_else(|| no("a line is no signature"))?;
            let (name, bytes) = rest.split_once(' ').ok_or_else(|| no("a line is no signature"))?;
            let bytes = STANDARD.decode(bytes).map_err(|_| no("a signature is no base64"))?;
            let (id, bytes) =
                bytes.split_at_checked(4).ok_or_else(|| no("a signature is too short"))?;
            let id = id.try_into().map_err(|_| no("a signature is too short"))?;
            Ok(Signature { name: name.to_owned(), id, bytes: bytes.to_vec() })
        });
        let signatures = signatures.collect::<Result<Vec<_>, Error>>()?;
        if signatures.is_empty() {
            return Err(no("it has no signatures"));
        }
        Ok(Self { text: text.to_owned(), signatures })
    }

    /// Returns who says that they witnessed it, and when. Nobody has checked that they did: [`PublicKey::witnessed`] does.
    pub fn cosignatures(&self) -> Vec<Cosigned> {
        let is_timed = |one: &&Signature| one.bytes.len() == 8 + 64;
        let of = |one: &Signature| {
            let at = one.bytes.first_chunk::<8>().map_or(0, |at| u64::from_be_bytes(*at));
            Cosigned { name: one.name.clone(), at }
        };
        self.signatures.iter().filter(is_timed).map(of).collect()
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures.iter().try_for_each(|signature| f.write_str(&signature.line()))
    }
}

// === impl Checkpoint ===

impl Checkpoint {
    /// Reads a checkpoint from the text of a note.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let no = || Error::Tampered { why: "the text of the note is no checkpoint".to_owned() };
        let mut lines = text.lines();
        let (origin, size, root) = (lines.next(), lines.next(), lines.next());
        let (Some(origin), Some(size), Some(root)) = (origin, size, root) else { return Err(no()) };
        let root = STANDARD.decode(root).map_err(|_| no())?.try_into().map_err(|_| no())?;
        let number: u64 = size.parse().map_err(|_| no())?;
        if origin.is_empty() || number.to_string() != size {
            return Err(no());
        }
        Ok(Self { origin: origin.to_owned(), size: number, root })
    }
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}\n{}\n", self.origin, self.size, STANDARD.encode(self.root))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // from the documentation of golang.org/x/mod/sumdb/note
    const SECRET: &str =
        "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
    const PUBLIC: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    const TEXT: &str = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
    const LINE: &str = "\u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

    #[test]
    fn notes_are_those_of_the_go_library() {
        let key = SecretKey::parse(SECRET).unwrap();
        assert_eq!(key.public().to_string(), PUBLIC);
        assert_eq!(key.to_text(), SECRET);
        let note = key.sign(TEXT);
        assert_eq!(note.to_string(), format!("{TEXT}\n{LINE}"));
        let read = Note::parse(&note.to_string()).unwrap();
        assert!(PublicKey::parse(PUBLIC).unwrap().signed(&read));
    }

    #[test]
    fn a_note_that_was_changed_is_not_signed() {
        let key = SecretKey::parse(SECRET).unwrap();
        let mut note = key.sign(TEXT);
        note.text = note.text.replace("problem", "answer");
        assert!(!key.public().signed(&note));
    }

    #[test]
    fn a_witness_says_when() {
        let (log, witness) =
            (SecretKey::generate("log").unwrap(), SecretKey::generate("other").unwrap());
        let checkpoint = Checkpoint { origin: "log".into(), size: 7, root: [1; 32] };
        let mut note = log.sign(&checkpoint.to_string());
        witness.cosign(&mut note, 1_700_000_000);
        let note = Note::parse(&note.to_string()).unwrap();
        assert_eq!(Checkpoint::parse(&note.text).unwrap(), checkpoint);
        assert_eq!(witness.public().witnessed(&note).unwrap().at, 1_700_000_000);
        assert!(log.public().signed(&note) && log.public().witnessed(&note).is_none());
    }

    #[test]
    fn a_key_is_read_as_that_of_a_log_and_as_that_of_a_witness() {
        let key = SecretKey::generate("a.example.org").unwrap().public();
        assert_eq!(PublicKey::parse(&key.to_string()).unwrap(), key);
        assert_eq!(PublicKey::parse(&key.as_witness()).unwrap(), key);
        assert_ne!(key.as_witness(), key.to_string());
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in ".{0,300}") {
            let _ = (Note::parse(&text), Checkpoint::parse(&text), PublicKey::parse(&text), SecretKey::parse(&text));
        }
    }
}
