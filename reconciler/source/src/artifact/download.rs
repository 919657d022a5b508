//! One file from an address, within bounds.

use std::{
    fs,
    io::{self, Read as _},
    time::Duration,
};

use super::ArtifactError;
use crate::{
    http::{self, Request},
    settings::Settings,
    url::{Url, public},
};

/// Returns the address in `text`, or its mirror.
pub(super) fn address(
    text: &str,
    settings: &Settings,
) -> Result<Url, sitewright_model::diagnostic::Diagnostics> {
    let bad = || ArtifactError::Address { text: public(text) };
    let url = Url::parse(text).map_err(|_| bad())?;
    let mirrored = settings.mirrored(&url)?;
    match mirrored.scheme() {
        "https" | "http" | "oci" | "file" => Ok(mirrored),
        _ => Err(bad().into()),
    }
}

/// Returns the bytes at `url`; `from` is what people know it by.
pub(super) fn bytes(url: &Url, from: &str, settings: &Settings) -> Result<Vec<u8>, ArtifactError> {
    let limit = settings.limits.download_bytes;
    if url.scheme() == "file" {
        return read_file(url, from, limit);
    }
    if settings.offline {
        return Err(ArtifactError::Offline { from: from.to_owned() });
    }
    let deadline = Duration::from_secs(settings.limits.download_seconds);
    http::send(&Request::get(url, deadline))
        .and_then(|answer| answer.bytes(limit))
        .map_err(|error| ArtifactError::http(from, &error))
}

fn read_file(url: &Url, from: &str, limit: u64) -> Result<Vec<u8>, ArtifactError> {
    let mut bytes = Vec::new();
    // Opening a pipe waits until somebody writes into it.
    let is_file = fs::metadata(url.path()).map(|metadata| metadata.is_file());
    let read = is_file
        .and_then(|is_file| {
            is_file.then_some(()).ok_or_else(|| io::Error::other("it is not a file"))
        })
        .and_then(|()| fs::File::open(url.path()))
        .and_then(|file| file.take(limit.saturating_add(1)).read_to_end(&mut bytes));
    match read {
        Ok(_) if bytes.len() as u64 > limit => {
            Err(ArtifactError::TooLarge { from: from.to_owned(), limit })
        }
        Ok(_) => Ok(bytes),
        Err(error) => {
            let fact = format!("{url}: {error}");
            Err(ArtifactError::Download { from: from.to_owned(), fact })
        }
    }
}
