//! DSSE envelopes (secure-systems-lab/dsse), and the keys that they are checked with.

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE},
};
use ring::signature::{ECDSA_P256_SHA256_ASN1, ED25519, UnparsedPublicKey};
use serde::Deserialize;

/// What the payload of an attestation is.
pub(super) const IN_TOTO: &str = "application/vnd.in-toto+json";

/// What a public key in PEM starts with, as DER (RFC 5480, RFC 8410), before its bytes.
const ED25519_DER: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0];
const P256_DER: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0,
];

/// A public key whose word counts, by the name that the site has for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedKey {
    name: String,
    kind: KeyKind,
    bytes: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum KeyKind {
    Ed25519,
    P256,
}

/// The text is no public key that is known here.
#[derive(Debug, thiserror::Error)]
#[error("key `{0}` is no public key of Ed25519 or ECDSA P-256 in PEM")]
pub struct NotAKey(String);

/// A signed message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// What the payload is.
    pub kind: String,
    /// The payload.
    pub payload: Vec<u8>,
    signatures: Vec<Vec<u8>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    payload_type: String,
    payload: String,
    signatures: Vec<WrittenSignature>,
}

#[derive(Deserialize)]
struct WrittenSignature {
    sig: String,
}

/// Signatures of one envelope that are tried.
const MOST_SIGNATURES: usize = 16;

// === impl TrustedKey ===

impl TrustedKey {
    /// Reads a public key in PEM (`SubjectPublicKeyInfo`).
    pub fn from_pem(name: &str, pem: &str) -> Result<Self, NotAKey> {
        let error = || NotAKey(name.to_owned());
        let base64: String =
            pem.lines().map(str::trim).filter(|line| !line.starts_with("-----")).collect();
        let der = STANDARD.decode(base64).map_err(|_| error())?;
        let (kind, bytes) = match (der.strip_prefix(&ED25519_DER), der.strip_prefix(&P256_DER)) {
            (Some(bytes), _) if bytes.len() == 32 => (KeyKind::Ed25519, bytes),
            (_, Some(bytes)) if bytes.len() == 65 => (KeyKind::P256, bytes),
            _ => return Err(error()),
        };
        Ok(Self { name: name.to_owned(), kind, bytes: bytes.to_vec() })
    }

    /// Returns the name that the site has for it.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn has_signed(&self, message: &[u8], signature: &[u8]) -> bool {
        let checked = match self.kind {
            KeyKind::Ed25519 => {
                UnparsedPublicKey::new(&ED25519, &self.bytes).verify(message, signature)
            }
            KeyKind::P256 => UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &self.bytes)
                .verify(message, signature),
        };
        checked.is_ok()
    }
}

// === impl Envelope ===

impl Envelope {
    /// Reads an envelope, or a bundle of Sigstore that holds one.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let value: serde_json::Value = serde_json::from_slice(bytes).ok()?;
        let envelope = value.get("dsseEnvelope").unwrap_or(&value);
        let written = Written::deserialize(envelope).ok()?;
        let signatures = written.signatures.iter().take(MOST_SIGNATURES);
        Some(Self {
            kind: written.payload_type,
            payload: decoded(&written.payload)?,
            signatures: signatures.map(|one| decoded(&one.sig)).collect::<Option<_>>()?,
        })
    }

    /// Returns the first of `keys` that has signed it.
    pub fn signed_by<'k>(&self, keys: &'k [TrustedKey]) -> Option<&'k TrustedKey> {
        let message = pae(&self.kind, &self.payload);
        keys.iter().find(|key| self.signatures.iter().any(|one| key.has_signed(&message, one)))
    }
}

/// Either alphabet is allowed (DSSE, "Protocol").
fn decoded(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).or_else(|_| URL_SAFE.decode(text)).ok()
}

/// Returns what is signed: the type and the payload, each led by its length, so that neither can pass for the other.
pub fn pae(kind: &str, payload: &[u8]) -> Vec<u8> {
    let mut message = format!("DSSEv1 {} {kind} {} ", kind.len(), payload.len()).into_bytes();
    message.extend_from_slice(payload);
    message
}

#[cfg(test)]
mod tests {
    use ring::signature::{Ed25519KeyPair, KeyPair as _};

    use super::*;

    #[test]
    fn what_is_signed_is_as_in_the_specification() {
        let message = pae("http://example.com/HelloWorld", b"hello world");
        assert_eq!(message, b"DSSEv1 29 http://example.com/HelloWorld 11 hello world");
    }

    #[test]
    fn the_word_of_a_known_key_counts_and_no_other() {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
        let der = [&ED25519_DER[..], pair.public_key().as_ref()].concat();
        let pem = format!(
            "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
            STANDARD.encode(der)
        );
        let key = TrustedKey::from_pem("release", &pem).unwrap();
        let signed = |kind: &str, payload: &[u8]| {
            let signature = STANDARD.encode(pair.sign(&pae(kind, payload)).as_ref());
            let envelope = serde_json::json!({
                "payloadType": IN_TOTO, "payload": STANDARD.encode("{}"), "signatures": [{ "sig": signature }],
            });
            Envelope::parse(envelope.to_string().as_bytes()).unwrap()
        };
        let keys = [key];
        assert_eq!(signed(IN_TOTO, b"{}").signed_by(&keys).unwrap().name(), "release");
        assert!(signed("text/plain", b"{}").signed_by(&keys).is_none());
        assert!(signed(IN_TOTO, b"{ }").signed_by(&keys).is_none());
        assert!(signed(IN_TOTO, b"{}").signed_by(&[]).is_none());
        assert!(TrustedKey::from_pem("x", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END").is_err());
    }
}
