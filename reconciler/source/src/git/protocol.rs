//! Git's protocol, the half of it that reads: which references a server has, and their objects.
//!
//! Version 2 (gitprotocol-v2) with version 0 (gitprotocol-pack) as the fallback. One round trip a
//! fetch: what is wanted, what is here, `done`. Sending everything at once gives up negotiation
//! over several rounds, which single commits do not need.

use std::{
    fmt,
    io::{self, Read, Write},
};

use git2::Oid;
use sitewright_model::terminal::clean;

use super::{
    GitError,
    pack::Refused,
    packet::{self, Message, Packet},
};
use crate::url::Url;

/// References of one repository; the largest public repositories have some 500,000.
const MOST_REFERENCES: usize = 1_000_000;

/// Capabilities that a server may announce.
const MOST_CAPABILITIES: usize = 1_000;

/// Characters of a message from a server that are shown.
const SHOWN_MESSAGE: usize = 300;

/// A way to a server.
pub(super) trait Wire {
    /// Returns what the server says first.
    fn greeting(&mut self) -> Result<Box<dyn Read + '_>, GitError>;

    /// Sends a message and returns the answer.
    fn ask(&mut self, message: Vec<u8>) -> Result<Box<dyn Read + '_>, GitError>;

    /// Says goodbye where nothing more is asked.
    fn close(&mut self);

    /// Returns what is known about a connection that broke: the last words of a program, the status.
    fn broken(&mut self, error: &io::Error) -> GitError;
}

/// The id of an object as one side or the other writes it.
pub(crate) trait ObjectName: Clone + fmt::Display {
    /// Reads an id, written in full.
    fn read(text: &str) -> Option<Self>;

    /// Returns whether ids of repositories in this format are of this kind.
    fn is_of(format: &str) -> bool;
}

/// libgit2 knows SHA-1 alone. Git writes ids in full; libgit2 would take a shorter one for a longer one.
impl ObjectName for Oid {
    fn read(text: &str) -> Option<Self> {
        (text.len() == 40).then(|| text.parse().ok()).flatten()
    }

    fn is_of(format: &str) -> bool {
        format == SHA1
    }
}

/// What a server that says nothing of it has.
pub(super) const SHA1: &str = "sha1";

/// A reference of a repository on a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RemoteReference<I = Oid> {
    /// The full name.
    pub(super) name: String,
    /// What it points at; a server of version 0 gives out this alone.
    pub(super) id: I,
    /// The same, but for an annotated tag what that points at.
    pub(super) commit: I,
}

/// What to fetch.
pub(super) struct Wish<I = Oid> {
    /// Commits that are wanted.
    pub(super) wants: Vec<I>,
    /// Commits that are here, without what is before them.
    pub(super) haves: Vec<I>,
    /// Commits that are left out with all that is before them; what comes then has no need of anything that is here.
    pub(super) except: Vec<I>,
    /// How many commits deep; none for everything.
    pub(super) depth: Option<u32>,
    /// What is left out, where the server can: `tree:0` for trees and files.
    pub(super) filter: Option<&'static str>,
}

impl<I> Default for Wish<I> {
    fn default() -> Self {
        let (wants, haves, except) = (Vec::new(), Vec::new(), Vec::new());
        Self { wants, haves, except, depth: None, filter: None }
    }
}

/// A conversation with a server.
pub(super) struct Session<'a, I = Oid> {
    wire: Box<dyn Wire + 'a>,
    repository: &'a Url,
    version: Version<I>,
    /// What its ids are digests of.
    format: String,
}

enum Version<I> {
    /// Everything was said in the greeting.
    Zero { capabilities: Vec<String>, references: Vec<RemoteReference<I>> },
    /// Lines such as `fetch=shallow wait-for-done`.
    Two { capabilities: Vec<String> },
}

impl<'a, I: ObjectName> Session<'a, I> {
    /// Hears the greeting.
    pub(super) fn start(
        mut wire: Box<dyn Wire + 'a>,
        repository: &'a Url,
    ) -> Result<Self, GitError> {
        let greeting = match wire.greeting() {
            Ok(mut stream) => read_greeting(&mut *stream),
            Err(error) => return Err(error),
        };
        let version = greeting.map_err(|error| failure(repository, &mut *wire, error))?;
        let format = version
            .capabilities()
            .iter()
            .find_map(|capability| capability.strip_prefix("object-format="))
            .unwrap_or(SHA1)
            .to_owned();
        if !I::is_of(&format) {
            let problem = "it uses SHA-256 object ids, which are not supported yet".to_owned();
            return Err(GitError::Protocol { repository: repository.clone(), problem });
        }
        Ok(Self { wire, repository, version, format })
    }

    /// Returns what its ids are digests of: `sha1` or `sha256`.
    pub(super) fn format(&self) -> &str {
        &self.format
    }

    /// Begins a message of version 2.
    fn command(&self, name: &str) -> Message {
        let mut message = Message::default();
        message.line(&format!("command={name}")).line(&agent());
        if self.format != SHA1 {
            message.line(&format!("object-format={}", self.format));
        }
        message.delimiter();
        message
    }

    /// Returns the references that begin with any of `prefixes`; a server of version 0 tells all.
    pub(super) fn references(
        &mut self,
        prefixes: &[&str],
    ) -> Result<Vec<RemoteReference<I>>, GitError> {
        if let Version::Zero { references, .. } = &self.version {
            let fits = |name: &str| prefixes.iter().any(|prefix| name.starts_with(prefix));
            return Ok(references.iter().filter(|found| fits(&found.name)).cloned().collect());
        }
        let mut message = self.command("ls-refs");
        message.line("peel");
        for prefix in prefixes {
            message.line(&format!("ref-prefix {prefix}"));
        }
        let answer = match self.wire.ask(message.flush().take()) {
            Ok(mut stream) => read_references(&mut *stream),
            Err(error) => return Err(error),
        };
        answer.map_err(|error| failure(self.repository, &mut *self.wire, error))
    }

    /// Fetches objects: writes one pack to `pack`.
    pub(super) fn fetch(&mut self, wish: &Wish<I>, pack: &mut dyn Write) -> Result<(), GitError> {
        let message = match &self.version {
            Version::Two { capabilities } => {
                wish.in_version_two(self.command("fetch"), capabilities)
            }
            Version::Zero { capabilities, .. } => wish.in_version_zero(capabilities),
        };
        let is_two = matches!(self.version, Version::Two { .. });
        let answer = match self.wire.ask(message) {
            Ok(mut stream) if is_two => read_pack_two(&mut *stream, pack),
            Ok(mut stream) => read_pack_zero(&mut *stream, wish.depth.is_some(), pack),
            Err(error) => return Err(error),
        };
        answer.map_err(|error| failure(self.repository, &mut *self.wire, error))
    }
}

impl<I> Drop for Session<'_, I> {
    fn drop(&mut self) {
        self.wire.close();
    }
}

impl<I> Version<I> {
    fn capabilities(&self) -> &[String] {
        match self {
            Self::Zero { capabilities, .. } | Self::Two { capabilities } => capabilities,
        }
    }
}

impl<I: ObjectName> Wish<I> {
    fn in_version_two(&self, mut message: Message, capabilities: &[String]) -> Vec<u8> {
        let fetch = capabilities.iter().find_map(|capability| capability.strip_prefix("fetch="));
        let can_deepen = fetch.is_some_and(|list| list.split(' ').any(|name| name == "shallow"));
        // Without thin-pack, git does not look at what is here when a history is cut short.
        if self.except.is_empty() {
            message.line("thin-pack");
        }
        message.line("no-progress").line("ofs-delta");
        self.add_ids(&mut message, can_deepen, "");
        let can_filter = fetch.is_some_and(|list| list.split(' ').any(|name| name == "filter"));
        if let Some(filter) = self.filter.filter(|_| can_filter) {
            message.line(&format!("filter {filter}"));
        }
        message.line("done").flush().take()
    }

    fn in_version_zero(&self, capabilities: &[String]) -> Vec<u8> {
        const USED: [&str; 7] = [
            "multi_ack_detailed",
            "side-band-64k",
            "thin-pack",
            "ofs-delta",
            "no-progress",
            "shallow",
            "agent",
        ];
        let known = |name: &str| {
            capabilities.iter().any(|capability| capability.split('=').next() == Some(name))
        };
        let used: Vec<String> = USED
            .iter()
            .filter(|name| known(name) && (**name != "thin-pack" || self.except.is_empty()))
            .map(|name| if *name == "agent" { agent() } else { (*name).to_owned() })
            .collect();
        let mut message = Message::default();
        self.add_ids(&mut message, known("shallow"), &format!(" {}", used.join(" ")));
        message.line("done").take()
    }

    /// Adds wants, shallow ids, depth and haves. Version 0 wants its capabilities on the first line
    /// and a flush before the haves; version 2 has neither.
    fn add_ids(&self, message: &mut Message, can_deepen: bool, capabilities: &str) {
        for (index, id) in self.wants.iter().enumerate() {
            let suffix = if index == 0 { capabilities } else { "" };
            message.line(&format!("want {id}{suffix}"));
        }
        if let (Some(depth), true) = (self.depth, can_deepen) {
            for id in &self.haves {
                message.line(&format!("shallow {id}"));
            }
            message.line(&format!("deepen {depth}"));
        }
        if !capabilities.is_empty() {
            message.flush();
        }
        // Without depth the server would take a commit that is here to mean its whole history.
        if can_deepen && self.depth.is_some() {
            for id in &self.haves {
                message.line(&format!("have {id}"));
            }
        }
        for id in &self.except {
            message.line(&format!("have {id}"));
        }
    }
}

fn agent() -> String {
    concat!("agent=git/sitewright-", env!("CARGO_PKG_VERSION")).to_owned()
}

/// Why reading an answer failed.
enum Failure {
    /// The stream broke or is no packets.
    Stream(io::Error),
    /// It is packets, but not what should come here.
    Unexpected(String),
    /// The server says what is wrong.
    Server(String),
    /// The pack could not be stored.
    Store(io::Error),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Stream(error)
    }
}

/// Returns what a failure means; asks the wire what it knows.
fn failure(repository: &Url, wire: &mut dyn Wire, failure: Failure) -> GitError {
    let repository = repository.clone();
    match failure {
        Failure::Stream(error) if error.kind() == io::ErrorKind::InvalidData => {
            GitError::Protocol { repository, problem: error.to_string() }
        }
        Failure::Stream(error) => wire.broken(&error),
        Failure::Unexpected(problem) => GitError::Protocol { repository, problem },
        Failure::Server(message) => GitError::Server { repository, message },
        Failure::Store(error) => {
            if let Some(refused) = error.get_ref().and_then(|inner| inner.downcast_ref()) {
                return refused_pack(repository, *refused);
            }
            let source = git2::Error::from_str(&error.to_string());
            GitError::Store { repository, source }
        }
    }
}

/// Returns what a pack that is not taken means.
pub(super) fn refused_pack(repository: Url, refused: Refused) -> GitError {
    match refused {
        Refused::Object(_) | Refused::Total(_) => {
            GitError::TooLargeInside { repository, what: refused.to_string() }
        }
        Refused::Malformed(_) => GitError::Protocol { repository, problem: refused.to_string() },
    }
}

/// Returns text from a server as it may be shown.
pub(super) fn shown(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    clean(&text.trim().chars().take(SHOWN_MESSAGE).collect::<String>())
}

/// Reads the next packet; an error that the server reports is an error.
fn next(stream: &mut dyn Read) -> Result<Packet, Failure> {
    let packet =
        packet::read(stream)?.ok_or(io::ErrorKind::UnexpectedEof).map_err(io::Error::from)?;
    match packet.line().and_then(|line| line.strip_prefix(b"ERR ")) {
        Some(message) => Err(Failure::Server(shown(message))),
        None => Ok(packet),
    }
}

fn unexpected(packet: &Packet) -> Failure {
    Failure::Unexpected(match packet.line() {
        Some(line) => format!("`{}` where something else should be", shown(line)),
        None => "a message that is too short".to_owned(),
    })
}

fn read_greeting<I: ObjectName>(stream: &mut dyn Read) -> Result<Version<I>, Failure> {
    let mut packet = next(stream)?;
    // Over HTTP a line names the service, and a flush ends it.
    if packet.line().is_some_and(|line| line.starts_with(b"# service=")) {
        packet = next(stream)?;
        if packet == Packet::Flush {
            packet = next(stream)?;
        }
    }
    match packet.line() {
        Some(b"version 2") => read_capabilities(stream),
        Some(b"version 1") => {
            let first = next(stream)?;
            read_advertisement(stream, first)
        }
        _ => read_advertisement(stream, packet),
    }
}

fn read_capabilities<I>(stream: &mut dyn Read) -> Result<Version<I>, Failure> {
    let mut capabilities = Vec::new();
    loop {
        let packet = next(stream)?;
        match packet.line() {
            Some(line) if capabilities.len() < MOST_CAPABILITIES => {
                capabilities.push(String::from_utf8_lossy(line).into_owned());
            }
            None if packet == Packet::Flush => return Ok(Version::Two { capabilities }),
            _ => return Err(unexpected(&packet)),
        }
    }
}

/// Reads what version 0 starts with: every reference, and on the first line the capabilities.
fn read_advertisement<I: ObjectName>(
    stream: &mut dyn Read,
    first: Packet,
) -> Result<Version<I>, Failure> {
    let Some(line) = first.line() else {
        // An empty repository of an old server: nothing but a flush.
        return Ok(Version::Zero { capabilities: Vec::new(), references: Vec::new() });
    };
    let mut halves = line.splitn(2, |&byte| byte == 0);
    let (reference, capabilities) = (halves.next().unwrap_or_default(), halves.next());
    let capabilities = String::from_utf8_lossy(capabilities.unwrap_or_default());
    let capabilities = capabilities.split(' ').filter(|name| !name.is_empty()).map(str::to_owned);
    let capabilities: Vec<String> = capabilities.take(MOST_CAPABILITIES).collect();
    let mut references = Vec::new();
    let mut packet = Packet::Data(reference.to_vec());
    while let Some(line) = packet.line() {
        // A shallow repository ends with lines that say where it is cut off.
        if !line.starts_with(b"shallow ") {
            let found = parse_reference(line).ok_or_else(|| unexpected(&packet))?;
            add_reference(&mut references, found);
        }
        if references.len() > MOST_REFERENCES {
            return Err(unexpected(&packet));
        }
        packet = next(stream)?;
    }
    Ok(Version::Zero { capabilities, references })
}

fn add_reference<I>(references: &mut Vec<RemoteReference<I>>, found: RemoteReference<I>) {
    match found.name.strip_suffix("^{}") {
        // An empty repository has capabilities to tell, but nothing to tell them with.
        Some("capabilities") => {}
        // What an annotated tag points at comes right after the tag.
        Some(tag) => {
            if let Some(known) = references.last_mut().filter(|known| known.name == tag) {
                known.commit = found.id;
            }
        }
        None => references.push(found),
    }
}

fn parse_reference<I: ObjectName>(line: &[u8]) -> Option<RemoteReference<I>> {
    let line = std::str::from_utf8(line).ok()?;
    let (id, name) = line.split_once(' ')?;
    let id = I::read(id).filter(|_| is_name(name))?;
    Some(RemoteReference { name: name.to_owned(), id: id.clone(), commit: id })
}

/// Returns whether git would take this for the name of a reference: it allows no control character.
fn is_name(name: &str) -> bool {
    !name.chars().any(char::is_control)
}

/// Reads lines such as `ID refs/tags/v1 peeled:ID`.
fn read_references<I: ObjectName>(
    stream: &mut dyn Read,
) -> Result<Vec<RemoteReference<I>>, Failure> {
    let mut references = Vec::new();
    loop {
        let packet = next(stream)?;
        let Some(line) = packet.line() else { return Ok(references) };
        if references.len() >= MOST_REFERENCES {
            return Err(unexpected(&packet));
        }
        let Some(text) = std::str::from_utf8(line).ok() else { continue };
        let mut words = text.split(' ');
        let (id, name) = (words.next().and_then(I::read), words.next());
        let (Some(id), Some(name)) = (id, name.filter(|name| is_name(name))) else {
            return Err(unexpected(&packet));
        };
        let peeled = words.find_map(|word| I::read(word.strip_prefix("peeled:")?));
        let commit = peeled.unwrap_or_else(|| id.clone());
        references.push(RemoteReference { name: name.to_owned(), id, commit });
    }
}

fn read_pack_two(stream: &mut dyn Read, pack: &mut dyn Write) -> Result<(), Failure> {
    loop {
        let packet = next(stream)?;
        match packet.line() {
            Some(b"packfile") => return read_side_band(stream, pack),
            // Other sections tell what we do not need: they end with a delimiter.
            Some(_) => while next(stream)?.line().is_some() {},
            None => return Err(unexpected(&packet)),
        }
    }
}

fn read_pack_zero(
    stream: &mut dyn Read,
    with_depth: bool,
    pack: &mut dyn Write,
) -> Result<(), Failure> {
    if with_depth {
        // `shallow` lines up to a flush; a server that cannot deepen starts with NAK at once.
        loop {
            let packet = next(stream)?;
            match packet.line() {
                None => break,
                Some(line) if line.starts_with(b"shallow ") || line.starts_with(b"unshallow ") => {}
                Some(line) if is_acknowledgement(line) => break,
                Some(_) => return Err(unexpected(&packet)),
            }
        }
    }
    read_side_band(stream, pack)
}

fn is_acknowledgement(line: &[u8]) -> bool {
    line == b"NAK" || line.starts_with(b"ACK ")
}

/// Reads packets whose first byte says what they carry (gitprotocol-pack, "Packfile Data").
fn read_side_band(stream: &mut dyn Read, pack: &mut dyn Write) -> Result<(), Failure> {
    loop {
        let packet = next(stream)?;
        let Packet::Data(bytes) = &packet else { return Ok(()) };
        match bytes.split_first() {
            Some((1, data)) => pack.write_all(data).map_err(Failure::Store)?,
            Some((2, _)) => {}
            Some((3, message)) => return Err(Failure::Server(shown(message))),
            Some(_) if packet.line().is_some_and(is_acknowledgement) => {}
            _ => return Err(unexpected(&packet)),
        }
    }
}

/// Takes `data` for everything that a server may say.
pub(crate) fn fuzz_protocol(data: &[u8]) {
    use crate::fuzz::Bytes;
    let _ = read_greeting::<Oid>(&mut Bytes(data));
    let _ = read_references::<Oid>(&mut Bytes(data));
    let _ = read_pack_two(&mut Bytes(data), &mut io::sink());
    let _ = read_pack_zero(&mut Bytes(data), true, &mut io::sink());
}
