//! Whether who sent a message knows a secret.
//!
//! Each forge proves it in its own way; all but GitLab's old one sign the body as it came, so nothing of it is
//! parsed before.

use axum::http::HeaderMap;
use base64::{Engine, prelude::BASE64_STANDARD};
use hmac::Mac;
use jiff::Timestamp;

use super::{Message, secret::Tried};
use crate::agent::web::metrics::Forge;

/// How far the time of a message may be from ours, both ways, in seconds, as Standard Webhooks has it.
const SKEW: i64 = 300;

/// Signatures of Standard Webhooks that one message may have: more than a change of keys needs.
const SIGNATURES: usize = 8;

/// Returns whether a message is signed with one of the secrets.
pub(super) fn is_signed(message: &Message<'_>, tried: &Tried, now: Timestamp) -> bool {
    let Message { forge, headers, body } = message;
    let hex = |header: &str, prefix: &str| {
        hex_of(text(headers, header), prefix)
            .is_some_and(|signature| signs(tried, body, &signature))
    };
    match forge {
        Forge::GitHub => hex("x-hub-signature-256", "sha256="),
        Forge::Gitea => hex("x-gitea-signature", ""),
        Forge::Forgejo => hex("x-forgejo-signature", ""),
        // who has the token could leave the signature out in any case
        Forge::GitLab => is_token(headers, tried) | is_standard(message, tried, now),
        Forge::Generic if headers.contains_key("webhook-signature") => {
            is_standard(message, tried, now)
        }
        Forge::Generic => hex("x-signature-256", "sha256="),
        Forge::Unknown => false,
    }
}

/// `X-Gitlab-Token`: the secret itself.
fn is_token(headers: &HeaderMap, tried: &Tried) -> bool {
    let token = headers.get("x-gitlab-token").map_or(&b""[..], |value| value.as_bytes());
    tried.any(|secret| secret.is(token))
}

/// Standard Webhooks: `webhook-signature: v1,BASE64 ...` over `ID.TIME.BODY`, with a time that is now.
fn is_standard(message: &Message<'_>, tried: &Tried, now: Timestamp) -> bool {
    let header = |name| text(message.headers, name);
    let parts = (header("webhook-id"), header("webhook-timestamp"), header("webhook-signature"));
    let (Some(id), Some(time), Some(signatures)) = parts else { return false };
    let is_now = time
        .parse::<i64>()
        .is_ok_and(|time| now.as_second().checked_sub(time).is_some_and(|age| age.abs() <= SKEW));
    let signatures: Vec<Vec<u8>> = signatures
        .split(' ')
        .take(SIGNATURES)
        .filter_map(|signature| BASE64_STANDARD.decode(signature.strip_prefix("v1,")?).ok())
        .collect();
    let is_right = tried.any(|secret| {
        let mac = secret.standard();
        let mac = mac.chain_update(id).chain_update(".").chain_update(time).chain_update(".");
        let mac = mac.chain_update(message.body);
        let is_it = |signature: &Vec<u8>| mac.clone().verify_slice(signature).is_ok();
        signatures.iter().fold(false, |any, signature| any | is_it(signature))
    });
    is_now & is_right
}

fn signs(tried: &Tried, body: &[u8], signature: &[u8]) -> bool {
    tried.any(|secret| secret.plain().chain_update(body).verify_slice(signature).is_ok())
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

/// Reads the 32 bytes of a signature in hexadecimal.
fn hex_of(header: Option<&str>, prefix: &str) -> Option<[u8; 32]> {
    let digits = header?.strip_prefix(prefix)?.as_bytes();
    let (pairs, []) = digits.as_chunks::<2>() else { return None };
    let byte = |pair: &[u8; 2]| {
        let [high, low] = pair.map(|digit| char::from(digit).to_digit(16));
        u8::try_from(high? * 16 + low?).ok()
    };
    let bytes: Option<Vec<u8>> = pairs.iter().map(byte).collect();
    bytes?.try_into().ok()
}
