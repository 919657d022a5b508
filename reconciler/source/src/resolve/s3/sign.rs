//! Signatures of requests to S3 (AWS Signature Version 4), over a header.
//!
//! Written here because the crates for it bring an SDK, or sign addresses alone; the test holds it to the examples that
//! are published with the specification.

use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::Timestamp;
use sha2::Sha256;
use sitewright_model::digest::Digest;

use crate::{resolve::store::S3Login, url::Secret};

/// What is signed.
pub(super) struct ToSign<'r> {
    pub(super) verb: &'r str,
    pub(super) host: &'r str,
    /// Escaped, as it is sent.
    pub(super) path: &'r str,
    /// Names and values, escaped and in order.
    pub(super) query: &'r str,
    /// Further headers, in lower case.
    pub(super) headers: &'r [(&'static str, String)],
    pub(super) region: &'r str,
    pub(super) at: Timestamp,
}

/// Returns every header to send, and the one that holds the signature.
pub(super) fn headers(
    to_sign: &ToSign<'_>,
    login: &S3Login,
) -> (Vec<(&'static str, String)>, Secret) {
    let time = to_sign.at.strftime("%Y%m%dT%H%M%SZ").to_string();
    let day = time.get(..8).unwrap_or_default().to_owned();
    let empty = Digest::of("").hex();
    let mut sent = to_sign.headers.to_vec();
    sent.push(("x-amz-content-sha256", empty.clone()));
    sent.push(("x-amz-date", time.clone()));
    if let Some(session) = &login.session {
        sent.push(("x-amz-security-token", session.expose().to_owned()));
    }
    let mut signed = sent.clone();
    signed.push(("host", to_sign.host.to_owned()));
    signed.sort();
    let names: Vec<&str> = signed.iter().map(|(name, _)| *name).collect();
    let names = names.join(";");
    let lines: String =
        signed.iter().map(|(name, value)| format!("{name}:{}\n", value.trim())).collect();
    let ToSign { verb, path, query, region, .. } = to_sign;
    let canonical = format!("{verb}\n{path}\n{query}\n{lines}\n{names}\n{empty}");
    let scope = format!("{day}/{region}/s3/aws4_request");
    let text = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", Digest::of(canonical).hex());
    let first = format!("AWS4{}", login.secret_key.expose());
    let key = [day.as_str(), region, "s3", "aws4_request"]
        .iter()
        .fold(first.into_bytes(), |key, part| hmac(&key, part.as_bytes()));
    let signature: String =
        hmac(&key, text.as_bytes()).iter().map(|b| format!("{b:02x}")).collect();
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential={}/{scope},SignedHeaders={names},Signature={signature}",
        login.access_key
    );
    (sent, Secret::new(authorization))
}

fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(message);
    mac.finalize().into_bytes().to_vec()
}

/// Escapes as the specification has it: everything but unreserved characters, and in a path the slash.
pub(super) fn escaped(text: &str, is_path: bool) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || (is_path && byte == b'/') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login() -> S3Login {
        S3Login {
            access_key: "AKIAIOSFODNN7EXAMPLE".into(),
            secret_key: Secret::new("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
            session: None,
        }
    }

    fn signature(path: &str, query: &str, headers: &[(&'static str, String)]) -> String {
        let to_sign = ToSign {
            verb: "GET",
            host: "examplebucket.s3.amazonaws.com",
            path,
            query,
            headers,
            region: "us-east-1",
            at: "2013-05-24T00:00:00Z".parse().unwrap(),
        };
        let (_, authorization) = super::headers(&to_sign, &login());
        authorization.expose().rsplit('=').next().unwrap().to_owned()
    }

    /// The examples of "Authenticating Requests: Using the Authorization Header" in the reference of S3.
    #[test]
    fn the_published_examples_have_the_published_signatures() {
        let range = [("range", "bytes=0-9".to_owned())];
        assert_eq!(
            signature("/test.txt", "", &range),
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
        );
        assert_eq!(
            signature("/", "lifecycle=", &[]),
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"
        );
        assert_eq!(
            signature("/", "max-keys=2&prefix=J", &[]),
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"
        );
    }

    #[test]
    fn keys_are_escaped_byte_by_byte() {
        assert_eq!(escaped("a b/ä+~", true), "a%20b/%C3%A4%2B~");
        assert_eq!(escaped("a/b", false), "a%2Fb");
    }
}
