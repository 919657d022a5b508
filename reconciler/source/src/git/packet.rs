//! Packets, the framing of git's protocol (gitprotocol-common, "pkt-line Format").

use std::io::{self, Read};

/// Bytes of the largest packet, its length of four digits included.
const LARGEST: usize = 65_520;

/// One packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Packet {
    /// Bytes.
    Data(Vec<u8>),
    /// `0000`: the end of a message.
    Flush,
    /// `0001`: the end of a section.
    Delimiter,
    /// `0002`: the end of a response over a connection that stays open.
    End,
}

impl Packet {
    /// Returns the bytes as a line, without its line feed; none if it is no data.
    pub(super) fn line(&self) -> Option<&[u8]> {
        match self {
            Self::Data(bytes) => Some(bytes.strip_suffix(b"\n").unwrap_or(bytes)),
            Self::Flush | Self::Delimiter | Self::End => None,
        }
    }
}

/// Reads the next packet; none at the end of the stream.
pub(super) fn read(stream: &mut dyn Read) -> io::Result<Option<Packet>> {
    let mut digits = [0; 4];
    if !fill(stream, &mut digits)? {
        return Ok(None);
    }
    let length = std::str::from_utf8(&digits)
        .ok()
        .filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
        .and_then(|digits| usize::from_str_radix(digits, 16).ok());
    let length = match length {
        Some(0) => return Ok(Some(Packet::Flush)),
        Some(1) => return Ok(Some(Packet::Delimiter)),
        Some(2) => return Ok(Some(Packet::End)),
        Some(length) if (4..=LARGEST).contains(&length) => length - 4,
        _ => {
            let start = String::from_utf8_lossy(&digits).escape_debug().to_string();
            return Err(invalid(format!("a packet starts with `{start}`")));
        }
    };
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes)?;
    Ok(Some(Packet::Data(bytes)))
}

/// Fills `buffer`; returns whether there was anything before the end of the stream.
fn fill(stream: &mut dyn Read, buffer: &mut [u8]) -> io::Result<bool> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match stream.read(rest) {
            Ok(0) if filled == 0 => return Ok(false),
            Ok(0) => return Err(invalid("a packet breaks off".to_owned())),
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

fn invalid(problem: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, problem)
}

/// Packets to be sent.
#[derive(Default)]
pub(super) struct Message(Vec<u8>);

impl Message {
    /// Adds a line. Lines are built here from ids, names that git allows and constants: far below the largest packet.
    pub(super) fn line(&mut self, line: &str) -> &mut Self {
        self.0.extend_from_slice(format!("{:04x}{line}\n", line.len() + 5).as_bytes());
        self
    }

    pub(super) fn flush(&mut self) -> &mut Self {
        self.0.extend_from_slice(b"0000");
        self
    }

    pub(super) fn delimiter(&mut self) -> &mut Self {
        self.0.extend_from_slice(b"0001");
        self
    }

    pub(super) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let bytes = Message::default().line("want x").delimiter().flush().take();
        assert_eq!(bytes, b"000bwant x\n00010000");
        let mut stream = &bytes[..];
        let first = read(&mut stream).unwrap().unwrap();
        assert_eq!(first.line(), Some(&b"want x"[..]));
        assert_eq!(read(&mut stream).unwrap(), Some(Packet::Delimiter));
        assert_eq!(read(&mut stream).unwrap(), Some(Packet::Flush));
        assert_eq!(read(&mut stream).unwrap(), None);
    }

    #[test]
    fn what_is_no_packet_is_an_error() {
        for bytes in [&b"<htm"[..], b"00", b"0003", b"+00a", b"ffff", b"000ahi"] {
            assert!(read(&mut &bytes[..]).is_err(), "{bytes:?}");
        }
    }
}
