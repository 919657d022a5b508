//! The shared secrets, in a form that cannot be printed.

use base64::{Engine, prelude::BASE64_STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// HMAC with SHA-256 (RFC 2104).
pub(super) type HmacSha256 = Hmac<Sha256>;

/// What a key in the form of Standard Webhooks begins with; base64 follows.
const STANDARD: &str = "whsec_";

/// Secrets that are tried for each message, whether a target has so many or none: the time that it takes tells
/// nobody which one.
const TRIED: usize = 2;

/// The shortest secret, in bytes. Whoever sees one signed message can try secrets at leisure, billions a second: 128 bits
/// of randomness are out of reach, a word is not (RFC 2104, 3).
const SHORTEST: usize = 16;

/// A secret that a forge and the agent share: no Display, no Debug, no Serialize (law 10).
#[derive(Clone)]
pub(crate) struct HookSecret {
    text: Vec<u8>,
    /// The key of a signature by Standard Webhooks.
    standard: Vec<u8>,
}

/// Why a text is no secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RefusedSecret {
    /// It is empty: everybody knows that one.
    #[error("it is empty")]
    Empty,
    /// It begins with `whsec_`, and no base64 follows.
    #[error("after `whsec_` comes no base64")]
    NoBase64,
    /// Somebody could find it by trying.
    #[error(
        "it is shorter than {SHORTEST} bytes, so who sees one message can find it by trying; `openssl rand -hex 32` makes one"
    )]
    TooShort,
    /// Some of them would not be tried.
    #[error("it has more than {TRIED} lines, and each is a secret")]
    TooMany,
}

/// The secrets that a message is judged by, filled up with ones that nobody knows.
#[derive(Clone)]
pub(super) struct Tried([HookSecret; TRIED]);

// === impl HookSecret ===

impl HookSecret {
    /// Takes a secret: any text, or `whsec_` and base64, as GitLab and Standard Webhooks give out.
    ///
    /// # Errors
    /// It is empty, or no base64 follows `whsec_`.
    pub(crate) fn new(text: &str) -> Result<Self, RefusedSecret> {
        let standard = match text.strip_prefix(STANDARD) {
            None => text.as_bytes().to_vec(),
            Some(key) => BASE64_STANDARD.decode(key).map_err(|_| RefusedSecret::NoBase64)?,
        };
        if standard.is_empty() {
            return Err(RefusedSecret::Empty);
        }
        Ok(Self { text: text.as_bytes().to_vec(), standard })
    }

    /// Takes the secrets in a text, one a line.
    ///
    /// # Errors
    /// There is none, there are more than are tried, or one of them is none or too short.
    pub(crate) fn lines(text: &str) -> Result<Vec<Self>, RefusedSecret> {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let secrets: Vec<Self> = lines.map(Self::new).collect::<Result<_, _>>()?;
        if secrets.iter().any(|secret| secret.standard.len() < SHORTEST) {
            return Err(RefusedSecret::TooShort);
        }
        match secrets.len() {
            0 => Err(RefusedSecret::Empty),
            1..=TRIED => Ok(secrets),
            _ => Err(RefusedSecret::TooMany),
        }
    }

    /// Signs a message of our own by Standard Webhooks.
    pub(crate) fn sign_standard(&self, id: &str, time: &str, body: &[u8]) -> String {
        let mac = self.standard().chain_update(id).chain_update(".").chain_update(time);
        let signature = mac.chain_update(".").chain_update(body).finalize().into_bytes();
        format!("v1,{}", BASE64_STANDARD.encode(signature))
    }

    /// Makes a secret that nobody knows.
    fn of_nobody() -> Self {
        let key: [u8; 32] = rand::random();
        Self { text: key.to_vec(), standard: key.to_vec() }
    }

    /// Begins a signature with the text as its key.
    pub(super) fn plain(&self) -> HmacSha256 {
        keyed(&self.text)
    }

    /// Begins a signature by Standard Webhooks.
    pub(super) fn standard(&self) -> HmacSha256 {
        keyed(&self.standard)
    }

    /// Returns whether `token` is the secret. What is compared is their signatures, so that the time tells neither
    /// a common beginning nor a length.
    pub(super) fn is(&self, token: &[u8]) -> bool {
        let sign = |text: &[u8]| self.plain().chain_update(text);
        sign(&self.text).verify_slice(&sign(token).finalize().into_bytes()).is_ok()
    }
}

fn keyed(key: &[u8]) -> HmacSha256 {
    HmacSha256::new_from_slice(key).expect("HMAC takes a key of any length (RFC 2104, 3)")
}

// === impl Tried ===

impl Tried {
    /// Takes the first secrets, as many as are tried.
    pub(super) fn of(secrets: &[HookSecret]) -> Self {
        let secret = |index| secrets.get(index).cloned().unwrap_or_else(HookSecret::of_nobody);
        Self(std::array::from_fn(secret))
    }

    /// Returns whether any of them passes; asks all of them, so that the time does not tell which one.
    pub(super) fn any(&self, passes: impl Fn(&HookSecret) -> bool) -> bool {
        self.0.iter().fold(false, |any, secret| any | passes(secret))
    }
}
