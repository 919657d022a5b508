//! A pack, looked through on its way to libgit2 (gitformat-pack).
//!
//! Comes in: the bytes of a pack from a server. Goes out: the same bytes, as far as every object in
//! them is within the bounds. Never: keeps an object or resolves a delta.
//!
//! The bytes on the wire bound nothing: a delta of thirty bytes may declare a result of gigabytes,
//! and libgit2 allocates what it declares.

use std::io::{self, Write};

use flate2::{Decompress, FlushDecompress, Status};

/// Objects of one pack; libgit2 makes room for the number that the header claims. The history of
/// Linux has some ten million.
const MOST_OBJECTS: u32 = 20_000_000;

/// Bytes of the checksum at the end, and of the id of a base.
const ID_BYTES: usize = 20;

/// Bytes of the largest variable-length number that fits 64 bits.
const NUMBER_BYTES: usize = 10;

/// Bytes that a delta starts with: the sizes of what it is made from and of what it makes.
const DELTA_SIZES: usize = 2 * NUMBER_BYTES;

/// How much is inflated at a time.
const STEP_BYTES: usize = 64 * 1024;

const OFFSET_DELTA: u8 = 6;
const REFERENCE_DELTA: u8 = 7;

/// What may come out of a pack.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Bytes of one object.
    pub(super) object: u64,
    /// Bytes of all objects together.
    pub(super) total: u64,
}

/// Why a pack is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    /// One object is beyond the bound.
    #[error("an object of more than {0} bytes")]
    Object(u64),
    /// All objects together are beyond the bound.
    #[error("objects of more than {0} bytes together")]
    Total(u64),
    /// It is no pack.
    #[error("what it sends is no pack: {0}")]
    Malformed(&'static str),
}

impl From<Refused> for io::Error {
    fn from(refused: Refused) -> Self {
        Self::other(refused)
    }
}

/// Passes a pack on, until an object in it is beyond the bounds.
pub(super) struct Checked<W> {
    inner: W,
    scan: Scan,
}

impl<W: Write> Checked<W> {
    pub(super) fn new(inner: W, bounds: Bounds) -> Self {
        Self { inner, scan: Scan::new(bounds) }
    }

    /// Returns the writer, if the pack is whole.
    pub(super) fn finish(self) -> Result<W, Refused> {
        match self.scan.state {
            State::Done => Ok(self.inner),
            _ => Err(Refused::Malformed("it breaks off")),
        }
    }
}

impl<W: Write> Write for Checked<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.scan.take(bytes)?;
        self.inner.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Where in the pack the next byte is.
enum State {
    /// In the header: `PACK`, the version, the number of objects.
    Header,
    /// In the kind and size of an object.
    Entry,
    /// In the name of the base of a delta.
    Base { kind: u8, size: u64 },
    /// In the compressed content.
    Content(Content),
    /// In the checksum at the end.
    Checksum,
    /// Behind the end.
    Done,
}

struct Content {
    inflate: Decompress,
    size: u64,
    is_delta: bool,
    /// The first bytes of a delta, until its sizes are read.
    start: Vec<u8>,
}

struct Scan {
    bounds: Bounds,
    state: State,
    /// Bytes of a part that is read as a whole.
    part: Vec<u8>,
    objects_left: u32,
    total: u64,
    scratch: Vec<u8>,
}

impl Scan {
    fn new(bounds: Bounds) -> Self {
        let scratch = vec![0; STEP_BYTES];
        Self { bounds, state: State::Header, part: Vec::new(), objects_left: 0, total: 0, scratch }
    }

    fn take(&mut self, mut bytes: &[u8]) -> Result<(), Refused> {
        while let Some((&byte, rest)) = bytes.split_first() {
            match &mut self.state {
                State::Header => self.header(byte)?,
                State::Entry => self.entry(byte)?,
                State::Base { .. } => self.base(byte),
                State::Content(content) => {
                    let (used, is_over) = content.inflate(bytes, &mut self.scratch)?;
                    let made = content.made(is_over)?;
                    self.count(made)?;
                    if is_over {
                        self.next();
                    }
                    bytes = bytes.get(used..).unwrap_or_default();
                    continue;
                }
                State::Checksum => self.checksum(byte),
                State::Done => return Err(Refused::Malformed("it goes on behind its end")),
            }
            bytes = rest;
        }
        Ok(())
    }

    fn header(&mut self, byte: u8) -> Result<(), Refused> {
        self.part.push(byte);
        let [magic @ .., a, b, c, d] = &self.part[..] else { return Ok(()) };
        if magic.len() < 8 {
            return Ok(());
        }
        if magic != b"PACK\0\0\0\x02" && magic != b"PACK\0\0\0\x03" {
            return Err(Refused::Malformed("it does not start as one"));
        }
        self.objects_left = u32::from_be_bytes([*a, *b, *c, *d]);
        if self.objects_left > MOST_OBJECTS {
            return Err(Refused::Malformed("it claims more objects than any repository has"));
        }
        self.objects_left += 1;
        self.next();
        Ok(())
    }

    /// Goes on to the next object, or to the end.
    fn next(&mut self) {
        self.part.clear();
        self.objects_left -= 1;
        self.state = if self.objects_left == 0 { State::Checksum } else { State::Entry };
    }

    fn entry(&mut self, byte: u8) -> Result<(), Refused> {
        self.part.push(byte);
        if byte & 0x80 != 0 {
            return if self.part.len() < NUMBER_BYTES { Ok(()) } else { Err(too_long()) };
        }
        let (first, rest) = self.part.split_first().ok_or_else(too_long)?;
        let high = number(rest).map_or(0, |(number, _)| number);
        let size = high.checked_mul(16).ok_or_else(too_long)? | u64::from(first & 0x0f);
        let kind = first >> 4 & 0x07;
        if size > self.bounds.object {
            return Err(Refused::Object(self.bounds.object));
        }
        self.part.clear();
        self.state = match kind {
            1..=4 => {
                self.count(size)?;
                State::Content(Content::new(size, false))
            }
            OFFSET_DELTA | REFERENCE_DELTA => State::Base { kind, size },
            _ => return Err(Refused::Malformed("it holds an object of an unknown kind")),
        };
        Ok(())
    }

    fn base(&mut self, byte: u8) {
        let State::Base { kind, size } = self.state else { return };
        self.part.push(byte);
        let is_over = match kind {
            OFFSET_DELTA => byte & 0x80 == 0,
            _ => self.part.len() == ID_BYTES,
        };
        if is_over {
            self.part.clear();
            self.state = State::Content(Content::new(size, true));
        }
    }

    /// Counts an object that a delta makes, or one that stands here as it is.
    fn count(&mut self, bytes: u64) -> Result<(), Refused> {
        if bytes > self.bounds.object {
            return Err(Refused::Object(self.bounds.object));
        }
        self.total = self.total.saturating_add(bytes);
        if self.total > self.bounds.total {
            return Err(Refused::Total(self.bounds.total));
        }
        Ok(())
    }

    fn checksum(&mut self, byte: u8) {
        self.part.push(byte);
        if self.part.len() == ID_BYTES {
            self.state = State::Done;
        }
    }
}

impl Content {
    fn new(size: u64, is_delta: bool) -> Self {
        Self { inflate: Decompress::new(true), size, is_delta, start: Vec::new() }
    }

    /// Inflates some of `bytes`; returns how many were used, and whether this was the end.
    fn inflate(&mut self, bytes: &[u8], scratch: &mut [u8]) -> Result<(usize, bool), Refused> {
        let (used_before, out_before) = (self.inflate.total_in(), self.inflate.total_out());
        let status = self
            .inflate
            .decompress(bytes, scratch, FlushDecompress::None)
            .map_err(|_| Refused::Malformed("an object cannot be inflated"))?;
        let used = usize::try_from(self.inflate.total_in() - used_before).unwrap_or(bytes.len());
        let made = usize::try_from(self.inflate.total_out() - out_before).unwrap_or_default();
        let is_over = status == Status::StreamEnd;
        let out = self.inflate.total_out();
        if out > self.size || (is_over && out != self.size) {
            return Err(Refused::Malformed("an object does not have the size that it claims"));
        }
        if used == 0 && made == 0 && !is_over {
            return Err(Refused::Malformed("an object cannot be inflated"));
        }
        if self.is_delta {
            let room = DELTA_SIZES - self.start.len();
            self.start.extend(scratch.iter().take(made).take(room));
        }
        Ok((used, is_over))
    }

    /// Returns the bytes that a delta says it is made from and makes, once, when it has said so.
    fn made(&mut self, is_over: bool) -> Result<u64, Refused> {
        if !self.is_delta || (self.start.len() < DELTA_SIZES && !is_over) {
            return Ok(0);
        }
        let sizes = number(&self.start)
            .and_then(|(from, rest)| Some((from, number(rest)?.0)))
            .ok_or(Refused::Malformed("a delta does not say its sizes"))?;
        self.is_delta = false;
        Ok(sizes.0.max(sizes.1))
    }
}

fn too_long() -> Refused {
    Refused::Malformed("the size of an object has too many digits")
}

/// Reads a number of seven bits a byte, the lowest first; returns it and what is behind it.
fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value: u64 = 0;
    for (index, &byte) in bytes.iter().enumerate().take(NUMBER_BYTES) {
        let digits = u64::from(byte & 0x7f);
        let shift = 7 * u32::try_from(index).ok()?;
        let shifted = digits.checked_shl(shift).filter(|shifted| shifted >> shift == digits)?;
        value |= shifted;
        if byte & 0x80 == 0 {
            return Some((value, bytes.get(index + 1..)?));
        }
    }
    None
}

/// Takes `data` for a pack.
pub(crate) fn fuzz_pack(data: &[u8]) {
    let bounds = Bounds { object: 4096, total: 65_536 };
    let mut checked = Checked::new(Vec::new(), bounds);
    if checked.write_all(data).is_ok()
        && let Ok(passed) = checked.finish()
    {
        assert_eq!(passed, data);
    }
}

#[cfg(test)]
mod tests {
    use flate2::{Compression, write::ZlibEncoder};

    use super::*;

    const BOUNDS: Bounds = Bounds { object: 1000, total: 5000 };

    fn sized(mut value: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        loop {
            let digits = u8::try_from(value & 0x7f).unwrap();
            value >>= 7;
            bytes.push(if value == 0 { digits } else { digits | 0x80 });
            if value == 0 {
                return bytes;
            }
        }
    }

    /// Kind and size of an object, and its content, compressed.
    fn entry(kind: u8, claimed: u64, base: &[u8], content: &[u8]) -> Vec<u8> {
        let first = kind << 4 | u8::try_from(claimed & 0x0f).unwrap();
        let mut bytes = match claimed >> 4 {
            0 => vec![first],
            rest => [vec![first | 0x80], sized(rest)].concat(),
        };
        bytes.extend_from_slice(base);
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(content).unwrap();
        bytes.extend(encoder.finish().unwrap());
        bytes
    }

    fn blob(content: &[u8]) -> Vec<u8> {
        entry(3, content.len() as u64, &[], content)
    }

    /// A delta that copies its base of `from` bytes again and again.
    fn delta(from: u64, to: u64) -> Vec<u8> {
        let content = [sized(from), sized(to), vec![0x90, 16]].concat();
        entry(7, content.len() as u64, &[1; 20], &content)
    }

    fn pack(entries: &[Vec<u8>]) -> Vec<u8> {
        let count = u32::try_from(entries.len()).unwrap();
        let header = [b"PACK\0\0\0\x02".to_vec(), count.to_be_bytes().to_vec()].concat();
        [header, entries.concat(), vec![0; 20]].concat()
    }

    fn check(pack: &[u8]) -> Result<Vec<u8>, Refused> {
        // In one piece and byte by byte: where packets end says nothing.
        let mut results = [pack.len().max(1), 1].map(|size| {
            let mut checked = Checked::new(Vec::new(), BOUNDS);
            for part in pack.chunks(size) {
                checked.write_all(part).map_err(|error| *error.downcast_ref().unwrap())?;
            }
            checked.finish()
        });
        assert_eq!(results[0], results[1]);
        std::mem::replace(&mut results[0], Ok(Vec::new()))
    }

    trait Inner {
        fn downcast_ref(&self) -> Option<&Refused>;
    }

    impl Inner for io::Error {
        fn downcast_ref(&self) -> Option<&Refused> {
            self.get_ref()?.downcast_ref()
        }
    }

    #[test]
    fn a_pack_within_the_bounds_passes_unchanged() {
        let offset = entry(6, 4, &[0x81, 0x02], &[10, 10, 0x90, 10]);
        let good = pack(&[blob(&[7; 900]), blob(b""), delta(1000, 1000), offset]);
        assert_eq!(check(&good).unwrap(), good);
        assert!(check(&pack(&[])).is_ok());
    }

    #[test]
    fn a_delta_that_declares_a_large_result_is_refused() {
        for (from, to) in [(16, 1001), (1001, 16), (16, 1 << 40), (16, u64::MAX)] {
            assert_eq!(check(&pack(&[delta(from, to)])), Err(Refused::Object(1000)), "{from} {to}");
        }
    }

    #[test]
    fn objects_are_as_large_as_they_claim_and_no_larger_than_the_bound() {
        assert_eq!(check(&pack(&[blob(&[7; 1001])])), Err(Refused::Object(1000)));
        for claimed in [0, 10, 501] {
            let lies = pack(&[entry(3, claimed, &[], &[7; 500])]);
            assert!(matches!(check(&lies), Err(Refused::Malformed(_))), "{claimed}");
        }
        let many: Vec<_> = (0..6).map(|_| blob(&[7; 900])).collect();
        assert_eq!(check(&pack(&many)), Err(Refused::Total(5000)));
        let deltas: Vec<_> = (0..6).map(|_| delta(16, 900)).collect();
        assert_eq!(check(&pack(&deltas)), Err(Refused::Total(5000)));
    }

    #[test]
    fn what_is_no_pack_is_refused() {
        let good = pack(&[blob(b"hello"), delta(5, 9)]);
        for end in 0..good.len() {
            assert!(check(&good[..end]).is_err(), "{end}");
        }
        let longer = [good.clone(), vec![0]].concat();
        let many = b"PACK\0\0\0\x02\xff\xff\xff\xff".to_vec();
        let unknown = pack(&[entry(5, 1, &[], b"x")]);
        let endless = [b"PACK\0\0\0\x02\0\0\0\x01".to_vec(), vec![0xff; 30]].concat();
        let no_sizes = pack(&[entry(7, 1, &[1; 20], &[0x80])]);
        for wrong in [longer, many, unknown, endless, no_sizes, b"<html>hello</html>".to_vec()] {
            assert!(matches!(check(&wrong), Err(Refused::Malformed(_))), "{wrong:?}");
        }
    }
}
