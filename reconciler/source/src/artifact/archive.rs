//! Archives, unpacked in memory: files alone, within bounds, with paths that stay inside.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Read},
    sync::Arc,
};

use flate2::read::MultiGzDecoder;
use tar::EntryType;

use crate::{settings::Limits, snapshot::check_name};

/// What the files of an archive are, by path.
pub(crate) type Entries = BTreeMap<String, Arc<[u8]>>;

/// Bytes that tar needs for a file besides its content: headers, long names, padding.
const TAR_BYTES_PER_FILE: u64 = 4096;

/// What can be wrong with an archive.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ArchiveProblem {
    #[error("it cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    #[error("it unpacks to more than {0} bytes")]
    TooLarge(u64),
    #[error("it holds more than {0} files")]
    TooMany(usize),
    #[error("`{path}` in it is {kind}")]
    Kind { path: String, kind: &'static str },
    #[error("the path `{0}` in it leads out of it, or no file may have it")]
    Path(String),
    #[error("`{0}` is in it twice, or again in other upper and lower case")]
    Twice(String),
    #[error("it holds `{0}` beside the chart's own folder")]
    NoSingleFolder(String),
    #[error("it holds no file")]
    Empty,
}

/// Unpacks a tar archive, compressed by gzip or not.
///
/// The bound on what comes out bounds the ratio too: a bomb is stopped at that many bytes.
pub(crate) fn unpack(bytes: &[u8], limits: &Limits) -> Result<Entries, ArchiveProblem> {
    let most = limits.folder_bytes + TAR_BYTES_PER_FILE * limits.folder_files as u64;
    let stream: Box<dyn Read + '_> = if bytes.starts_with(&[0x1f, 0x8b]) {
        Box::new(MultiGzDecoder::new(bytes))
    } else {
        Box::new(bytes)
    };
    let mut archive = tar::Archive::new(stream.take(most));
    let mut reader = Unpacker { limits, entries: Entries::new(), bytes: 0, seen: BTreeSet::new() };
    for (number, entry) in archive.entries()?.enumerate() {
        if number >= limits.folder_files {
            return Err(ArchiveProblem::TooMany(limits.folder_files));
        }
        reader.add(entry?)?;
    }
    if reader.entries.is_empty() {
        return Err(ArchiveProblem::Empty);
    }
    Ok(reader.entries)
}

/// Takes away the one folder at the top that chart archives have.
pub(super) fn strip_top(entries: Entries) -> Result<Entries, ArchiveProblem> {
    let mut top: Option<String> = None;
    let mut stripped = Entries::new();
    for (path, content) in entries {
        let (folder, rest) =
            path.split_once('/').ok_or_else(|| ArchiveProblem::NoSingleFolder(path.clone()))?;
        if top.get_or_insert_with(|| folder.to_owned()) != folder {
            return Err(ArchiveProblem::NoSingleFolder(path));
        }
        stripped.insert(rest.to_owned(), content);
    }
    Ok(stripped)
}

struct Unpacker<'a> {
    limits: &'a Limits,
    entries: Entries,
    bytes: u64,
    /// Paths in lower case: what is read must not depend on the system that it is read on.
    seen: BTreeSet<String>,
}

impl Unpacker<'_> {
    fn add<R: Read>(&mut self, mut entry: tar::Entry<'_, R>) -> Result<(), ArchiveProblem> {
        let raw = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let kind = match entry.header().entry_type() {
            EntryType::Regular | EntryType::Continuous => None,
            EntryType::Directory | EntryType::XGlobalHeader => return Ok(()),
            EntryType::Symlink | EntryType::Link => Some("a link; pack what it leads to"),
            _ => Some("neither a file nor a folder"),
        };
        let path = clean(&raw).ok_or_else(|| shown_path(&raw))?;
        if let Some(kind) = kind {
            return Err(ArchiveProblem::Kind { path, kind });
        }
        if !self.seen.insert(path.to_lowercase()) {
            return Err(ArchiveProblem::Twice(path));
        }
        let left = self.limits.folder_bytes - self.bytes;
        // The size in the header is a claim: what comes is counted.
        if entry.size() > left {
            return Err(ArchiveProblem::TooLarge(self.limits.folder_bytes));
        }
        let mut content = Vec::new();
        (&mut entry).take(left).read_to_end(&mut content)?;
        self.bytes += content.len() as u64;
        self.entries.insert(path, content.into());
        Ok(())
    }
}

/// Returns the path without `.` parts; none if it leads out or holds a name that no file may have.
fn clean(raw: &str) -> Option<String> {
    if raw.starts_with('/') {
        return None;
    }
    let parts: Vec<&str> = raw.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    let is_fine = !parts.is_empty() && parts.iter().all(|part| check_name("", part).is_ok());
    is_fine.then(|| parts.join("/"))
}

fn shown_path(raw: &str) -> ArchiveProblem {
    ArchiveProblem::Path(raw.escape_debug().take(300).collect())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn header(kind: EntryType, path: &str, size: u64) -> tar::Header {
        let mut header = tar::Header::new_gnu();
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_entry_type(kind);
        header.set_size(size);
        header.set_cksum();
        header
    }

    fn packed(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (path, content) in files {
            let header = header(EntryType::Regular, path, content.len() as u64);
            builder.append(&header, *content).unwrap();
        }
        builder.into_inner().unwrap()
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn files_come_out_with_or_without_compression() {
        let tar = packed(&[("./chart/Chart.yaml", b"name: a"), ("chart/templates/x.yaml", b"x")]);
        for bytes in [tar.clone(), gzip(&tar)] {
            let entries = unpack(&bytes, &Limits::default()).unwrap();
            assert_eq!(
                entries.keys().collect::<Vec<_>>(),
                ["chart/Chart.yaml", "chart/templates/x.yaml"]
            );
            let stripped = strip_top(entries).unwrap();
            assert_eq!(&*stripped["Chart.yaml"], b"name: a");
        }
        let beside = packed(&[("chart/Chart.yaml", b"x"), ("other/x", b"x")]);
        let entries = unpack(&beside, &Limits::default()).unwrap();
        assert!(matches!(strip_top(entries), Err(ArchiveProblem::NoSingleFolder(_))));
    }

    #[test]
    fn paths_that_lead_out_are_refused() {
        for path in ["../x", "a/../../x", "/etc/passwd", "a\\..\\x", "a/.git/config", "a\nb", "."] {
            let result = unpack(&packed(&[(path, b"x")]), &Limits::default());
            assert!(matches!(result, Err(ArchiveProblem::Path(_))), "{path}: {result:?}");
        }
    }

    #[test]
    fn links_devices_and_doubles_are_refused() {
        for kind in [EntryType::Symlink, EntryType::Link, EntryType::Char, EntryType::Fifo] {
            let mut builder = tar::Builder::new(Vec::new());
            builder.append(&header(kind, "a/x", 0), &b""[..]).unwrap();
            let result = unpack(&builder.into_inner().unwrap(), &Limits::default());
            assert!(matches!(result, Err(ArchiveProblem::Kind { .. })), "{kind:?}: {result:?}");
        }
        for second in ["a/x", "a/X", "./a/x"] {
            let result = unpack(&packed(&[("a/x", b"1"), (second, b"2")]), &Limits::default());
            assert!(matches!(result, Err(ArchiveProblem::Twice(_))), "{result:?}");
        }
    }

    #[test]
    fn bombs_are_stopped_at_the_bound() {
        let limits = Limits { folder_bytes: 100_000, folder_files: 10, ..Limits::default() };
        let zeros = vec![0; 50_000_000];
        let bomb = gzip(&packed(&[("a/zeros", &zeros)]));
        assert!(bomb.len() < 100_000);
        assert!(matches!(unpack(&bomb, &limits), Err(ArchiveProblem::TooLarge(_))));
        let half = vec![0; 60_000];
        let two = packed(&[("a/1", &half), ("a/2", &half)]);
        assert!(matches!(unpack(&two, &limits), Err(ArchiveProblem::TooLarge(_))));
        let names: Vec<String> = (0..11).map(|number| format!("a/{number}")).collect();
        let many: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), &b""[..])).collect();
        assert!(matches!(unpack(&packed(&many), &limits), Err(ArchiveProblem::TooMany(10))));
    }

    #[test]
    fn what_is_no_archive_is_said() {
        for bytes in [&b""[..], b"<html>not found</html>", &gzip(b"hello"), b"\x1f\x8b\x08"] {
            assert!(unpack(bytes, &Limits::default()).is_err());
        }
        let whole = gzip(&packed(&[("a/x", &[7; 5000])]));
        assert!(unpack(&whole[..whole.len() / 2], &Limits::default()).is_err());
    }
}
