//! Messages to others: forges, webhooks, chats, collectors of traces.
//!
//! Comes in: an address, a body, and what proves who we are. Goes out: the answer, within bounds, or why there is
//! none. Never: follows a redirect, since a token is for one server; sends anything twice; shows more of an address
//! than its host, since the path of a chat's webhook is its secret. Blocks, for as long as the deadline says.

use std::{
    borrow::Cow,
    collections::BTreeSet,
    io::Read as _,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{Arc, OnceLock},
    time::Duration,
};

use ureq::{
    Agent,
    config::Config,
    http::{HeaderMap, Response, Uri},
    unversioned::{
        resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver},
        transport::{DefaultConnector, NextTimeout},
    },
};

use crate::{
    http::{agent, config, in_words, reason},
    url::{Secret, Url},
};

/// Bytes of an answer that are read, unless the message says otherwise: forges answer with one object.
const ANSWER: u64 = 1024 * 1024;

/// What is sent.
#[derive(Clone)]
pub struct Outgoing {
    method: Method,
    url: Url,
    /// Whether who knows the address may send to it: it crosses the network encrypted or not at all.
    is_secret: bool,
    headers: Vec<(Cow<'static, str>, String)>,
    secrets: Vec<(&'static str, Secret)>,
    body: Vec<u8>,
    deadline: Duration,
    answer: u64,
}

/// How it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Asks for something.
    Get,
    /// Adds something.
    Post,
    /// Replaces something.
    Put,
    /// Changes something.
    Patch,
}

/// What was answered; also where it is a refusal.
pub struct Reply {
    /// The code of HTTP.
    pub status: u16,
    /// The body, up to the bound.
    pub body: Vec<u8>,
    headers: HeaderMap,
}

/// Who may be spoken to.
#[derive(Clone, Debug, Default)]
pub enum Reach {
    /// Anybody: who runs the program chose the address.
    Anybody,
    /// Anybody but this machine and what only this machine reaches, such as the metadata service of a cloud: somebody
    /// else chose the address. What a name resolves to counts, not the name.
    #[default]
    Others,
    /// These hosts alone, `HOST` or `HOST:PORT`, wherever they are.
    Only(Arc<BTreeSet<String>>),
}

/// Why there is no answer. Shows the host alone.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// No connection, it broke, or it took too long.
    #[error("`{host}` does not answer: {reason}")]
    Unreachable {
        /// Who.
        host: String,
        /// Why.
        reason: String,
    },
    /// The host may not be spoken to.
    #[error("`{host}` may not be spoken to: {reason}")]
    Forbidden {
        /// Who.
        host: String,
        /// Why.
        reason: &'static str,
    },
    /// A secret would cross the network unencrypted.
    #[error("a secret would be sent to `{host}` without encryption")]
    Plaintext {
        /// Who.
        host: String,
    },
    /// The answer is larger than its bound.
    #[error("`{host}` answers with more than {limit} bytes")]
    TooLarge {
        /// Who.
        host: String,
        /// The bound.
        limit: u64,
    },
}

// === impl Outgoing ===

impl Outgoing {
    /// Makes a message that takes at most `deadline`, from the name's resolution to the last byte.
    pub fn new(method: Method, url: Url, deadline: Duration) -> Self {
        let (headers, secrets, body) = (Vec::new(), Vec::new(), Vec::new());
        Self { method, url, is_secret: false, headers, secrets, body, deadline, answer: ANSWER }
    }

    /// Says that the address itself is a secret.
    #[must_use]
    pub fn to_secret_address(mut self) -> Self {
        self.is_secret = true;
        self
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: impl Into<Cow<'static, str>>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Adds a header that proves who we are, with `prefix` before the secret.
    #[must_use]
    pub fn secret(mut self, name: &'static str, prefix: &str, secret: &Secret) -> Self {
        self.secrets.push((name, Secret::new(format!("{prefix}{}", secret.expose()))));
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        self.headers.push(("Content-Type".into(), content_type.to_owned()));
        self.body = body.into();
        self
    }

    /// Sets how many bytes of the answer are read.
    #[must_use]
    pub fn answer_of(mut self, bytes: u64) -> Self {
        self.answer = bytes;
        self
    }

    /// Returns how it is sent, its address without credentials, and its body: for tests of what is sent.
    pub fn shown(&self) -> (Method, String, &[u8]) {
        (self.method, self.url.address(), &self.body)
    }

    /// Returns whom it is for.
    pub fn host(&self) -> &str {
        self.url.authority()
    }
}

impl Reply {
    /// Returns a header, if it is there and readable.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Returns whether it was taken.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

// === impl Reach ===

impl Reach {
    /// Reads a list of hosts, set apart by commas.
    pub fn only(hosts: &str) -> Self {
        let hosts = hosts.split(',').map(|host| host.trim().to_ascii_lowercase());
        Self::Only(Arc::new(hosts.filter(|host| !host.is_empty()).collect()))
    }

    /// Says whether `url` may be spoken to, as far as its text tells.
    pub(crate) fn permits(&self, url: &Url) -> Result<(), &'static str> {
        match self {
            Self::Anybody => Ok(()),
            Self::Only(hosts)
                if [url.host(), url.authority()].iter().any(|h| hosts.contains(*h)) =>
            {
                Ok(())
            }
            Self::Only(_) => Err("it is none of those that the agent is told to speak to"),
            Self::Others => {
                let host = url.host().trim_matches(['[', ']']);
                let is_here = host == "localhost" || host.ends_with(".localhost");
                let address = host.parse::<IpAddr>().ok();
                if is_here || address.is_some_and(is_local) { Err(LOCAL) } else { Ok(()) }
            }
        }
    }
}

/// Why [`Reach::Others`] refuses.
pub(crate) const LOCAL: &str = "it is this machine, or what this machine alone reaches";

/// Sends a message, once.
///
/// # Errors
/// There is no answer: the host may not be spoken to, cannot be reached, or says too much.
pub fn send(outgoing: &Outgoing, reach: &Reach) -> Result<Reply, SendError> {
    let host = || outgoing.host().to_owned();
    if !matches!(outgoing.url.scheme(), "http" | "https") {
        return Err(SendError::Forbidden { host: host(), reason: "it is no address of HTTP" });
    }
    reach.permits(&outgoing.url).map_err(|reason| SendError::Forbidden { host: host(), reason })?;
    let has_secret = outgoing.is_secret || !outgoing.secrets.is_empty();
    if has_secret && !outgoing.url.is_private() {
        return Err(SendError::Plaintext { host: host() });
    }
    let response = send_by(agent_for(reach), outgoing).map_err(|error| match error {
        error if is_forbidden(&error) => SendError::Forbidden { host: host(), reason: LOCAL },
        other => SendError::Unreachable { host: host(), reason: in_words(&other) },
    })?;
    let (head, body) = response.into_parts();
    let mut bytes = Vec::new();
    body.into_reader()
        .take(outgoing.answer.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(|error| SendError::Unreachable { host: host(), reason: reason(&error) })?;
    if bytes.len() as u64 > outgoing.answer {
        return Err(SendError::TooLarge { host: host(), limit: outgoing.answer });
    }
    Ok(Reply { status: head.status.as_u16(), body: bytes, headers: head.headers })
}

fn send_by(agent: &Agent, outgoing: &Outgoing) -> Result<Response<ureq::Body>, ureq::Error> {
    let address = outgoing.url.address();
    let plain = outgoing.headers.iter().map(|(name, value)| (&**name, value.as_str()));
    let secret = outgoing.secrets.iter().map(|(name, value)| (*name, value.expose()));
    let headers = plain.chain(secret);
    let deadline = Some(outgoing.deadline);
    let mut builder = match outgoing.method {
        Method::Get => {
            let mut builder = agent.get(&address);
            for (name, value) in headers {
                builder = builder.header(name, value);
            }
            return builder.config().timeout_global(deadline).build().call();
        }
        Method::Post => agent.post(&address),
        Method::Put => agent.put(&address),
        Method::Patch => agent.patch(&address),
    };
    for (name, value) in headers {
        builder = builder.header(name, value);
    }
    builder.config().timeout_global(deadline).build().send(&outgoing.body[..])
}

// === who may be reached ===

/// Returns the agent that reaches no further than `reach`.
pub(crate) fn agent_for(reach: &Reach) -> &'static Agent {
    if matches!(reach, Reach::Others) { guarded() } else { agent() }
}

/// Returns whether a request failed because its name leads to this machine.
pub(crate) fn is_forbidden(error: &ureq::Error) -> bool {
    matches!(error, ureq::Error::Other(other) if other.is::<Local>())
}

/// Returns the agent for addresses that somebody else chose.
fn guarded() -> &'static Agent {
    static AGENT: OnceLock<Agent> = OnceLock::new();
    AGENT.get_or_init(|| Agent::with_parts(config(), DefaultConnector::new(), Guarded::default()))
}

/// Resolves names to addresses of others alone.
#[derive(Debug, Default)]
struct Guarded(DefaultResolver);

/// A name leads to this machine.
#[derive(Debug, thiserror::Error)]
#[error("{LOCAL}")]
struct Local;

impl Resolver for Guarded {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let found = self.0.resolve(uri, config, timeout)?;
        // who runs the program chose its proxy, and the proxy decides whom it reaches
        if config.proxy().is_some_and(|proxy| uri.host() == Some(proxy.host())) {
            return Ok(found);
        }
        let mut others = self.empty();
        found.iter().filter(|address| !is_local(address.ip())).for_each(|a| others.push(*a));
        if others.is_empty() { Err(ureq::Error::Other(Box::new(Local))) } else { Ok(others) }
    }

    fn empty(&self) -> ResolvedSocketAddrs {
        ResolvedSocketAddrs::from_fn(|_| SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)))
    }
}

/// Returns whether an address is this machine's own, or one that means something else on each machine: loopback
/// (another container of the pod), link-local (169.254.169.254, where clouds hand out credentials), none, many.
///
/// Private networks are others: forges and chats of a university are there.
fn is_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_local_v4(v4),
        IpAddr::V6(v6) => {
            let embedded = v6.to_ipv4_mapped().or_else(|| nat64(v6.segments()));
            // the metadata service of EC2, which is no link-local address with IPv6
            let is_metadata = v6.segments() == [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254];
            embedded.is_some_and(is_local_v4)
                || v6.is_loopback()
                || v6.is_unspecified()
                || v6.is_multicast()
                || v6.is_unicast_link_local()
                || is_metadata
        }
    }
}

fn is_local_v4(address: Ipv4Addr) -> bool {
    let [first, ..] = address.octets();
    // 0.0.0.0/8 is "this host" (RFC 1122, 3.2.1.3), and connects to loopback on Linux
    first == 0
        || address.is_loopback()
        || address.is_link_local()
        || address.is_broadcast()
        || address.is_multicast()
}

/// Returns the address that a translator of the network would send on to (RFC 6052, `64:ff9b::/96`).
fn nat64(segments: [u16; 8]) -> Option<Ipv4Addr> {
    match segments {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            Some(Ipv4Addr::from((u32::from(high) << 16) | u32::from(low)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead, BufReader, Write},
        net::TcpListener,
        thread,
    };

    use super::*;

    const SOON: Duration = Duration::from_secs(30);

    /// Answers one connection, and returns what it was asked.
    fn server(answer: &'static str) -> (Url, thread::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/services/canary-path", listener.local_addr().unwrap());
        let asked = thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            let mut reader = BufReader::new(socket.try_clone().unwrap());
            let (mut head, mut length) = (String::new(), 0);
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                if let Some((name, value)) = line.split_once(':')
                    && name.eq_ignore_ascii_case("content-length")
                {
                    length = value.trim().parse().unwrap();
                }
                head.push_str(&line);
                if line == "\r\n" {
                    break;
                }
            }
            let mut body = vec![0; length];
            std::io::Read::read_exact(&mut reader, &mut body).unwrap();
            socket.write_all(answer.as_bytes()).unwrap();
            head + &String::from_utf8(body).unwrap()
        });
        (Url::parse(&url).unwrap(), asked)
    }

    #[test]
    fn a_message_is_sent_once_with_its_secret_and_a_redirect_is_an_answer() {
        let (url, asked) = server(
            "HTTP/1.1 302 Found\r\nLocation: https://evil.example/\r\nRetry-After: 7\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno",
        );
        let outgoing = Outgoing::new(Method::Patch, url, SOON)
            .secret("Authorization", "Bearer ", &Secret::new("canary"))
            .body("application/json", "{}");
        let reply = send(&outgoing, &Reach::Anybody).unwrap();
        assert_eq!((reply.status, reply.body.as_slice()), (302, &b"no"[..]));
        assert_eq!(reply.header("retry-after"), Some("7"));
        assert!(!reply.is_success());
        let asked = asked.join().unwrap().to_ascii_lowercase();
        assert!(asked.starts_with("patch /services/canary-path http/1.1"), "{asked}");
        assert!(asked.contains("authorization: bearer canary"), "{asked}");
        assert!(asked.ends_with("\r\n\r\n{}"), "{asked}");
    }

    #[test]
    fn an_answer_is_read_up_to_its_bound() {
        let (url, asked) =
            server("HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nlong");
        let outgoing = Outgoing::new(Method::Get, url, SOON).answer_of(3);
        let error = send(&outgoing, &Reach::Anybody).err().unwrap();
        assert!(matches!(error, SendError::TooLarge { limit: 3, .. }), "{error}");
        asked.join().unwrap();
    }

    fn refusal(address: &str, reach: &Reach) -> String {
        let url = Url::parse(address).unwrap();
        let outgoing = Outgoing::new(Method::Post, url, SOON).to_secret_address();
        let error = send(&outgoing, reach).err().unwrap();
        format!("{error} {error:?}")
    }

    #[test]
    fn who_is_told_an_address_by_somebody_else_does_not_speak_to_this_machine() {
        for address in [
            "https://localhost/canary",
            "https://x.localhost/canary",
            "https://127.0.0.1:8080/canary",
            "https://[::1]/canary",
            "https://169.254.169.254/canary",
            "https://[::ffff:169.254.169.254]/canary",
            "https://[fd00:ec2::254]/canary",
            "https://[64:ff9b::7f00:1]/canary",
            "https://0.0.0.0/canary",
            // read as 127.0.0.1 by the system's resolver
            "https://2130706433/canary",
            "https://127.1/canary",
        ] {
            let said = refusal(address, &Reach::Others);
            assert!(said.contains("may not be spoken to"), "{address}: {said}");
            assert!(!said.contains("canary"), "{said}");
        }
        for address in ["10.0.0.7", "192.168.1.1", "172.16.0.1", "8.8.8.8", "fd12::1"] {
            assert!(!is_local(address.parse().unwrap()), "{address}");
        }
        let only = Reach::only("git.example.edu, chat.example.edu:8443");
        assert!(refusal("https://h.example/x", &only).contains("none of those"));
        assert!(refusal("https://chat.example.edu/x", &only).contains("none of those"));
    }

    #[test]
    fn a_secret_crosses_the_network_encrypted_or_not_at_all_and_is_never_shown() {
        let said = refusal("http://h.example/canary", &Reach::Anybody);
        assert!(said.contains("without encryption") && !said.contains("canary"), "{said}");
        let said = refusal("ftp://h.example/canary", &Reach::Anybody);
        assert!(said.contains("no address of HTTP") && !said.contains("canary"), "{said}");
    }

    #[test]
    fn a_server_that_says_nothing_is_left_at_the_deadline() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = Url::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
        let outgoing = Outgoing::new(Method::Post, url, Duration::from_millis(200));
        let error = send(&outgoing, &Reach::Anybody).err().unwrap();
        assert!(matches!(error, SendError::Unreachable { .. }), "{error}");
    }
}
