//! What helm says of a chart that it cannot render.
//!
//! Never: shows what helm says where the values hold secrets. A chart may quote a value, or encode or
//! cut it, so no search for the secret would find all of it (law 10).

use std::path::Path;

use sitewright_model::terminal::clean;

use super::{HelmError, Request};
use crate::process::Finished;

/// Characters of a line that are shown.
const LINE: usize = 2000;

/// Lines besides the error.
const LINES: usize = 10;

/// Returns the error for what helm said.
pub(super) fn failed(finished: &Finished, folder: &Path, request: &Request<'_>) -> HelmError {
    let chart = request.chart.label.clone();
    if request.hide.iter().any(|secret| !secret.is_empty()) {
        let place = place(&finished.stderr, request);
        return HelmError::Withheld { chart, place };
    }
    let said = finished.stderr.replace(&format!("{}/chart", folder.display()), &chart);
    let lines = said.lines().map(str::trim).filter(|line| {
        !line.is_empty() && !line.starts_with("WARNING:") && !line.starts_with("Use --debug")
    });
    let mut lines: Vec<String> =
        lines.map(|line| clean(&line.replace('\t', " ")).chars().take(LINE).collect()).collect();
    let problem = match lines.iter().position(|line| line.starts_with("Error:")) {
        Some(at) => lines.remove(at).trim_start_matches("Error:").trim().to_owned(),
        None => format!("it ended with {}", finished.status),
    };
    lines.truncate(LINES);
    HelmError::Failed { chart, problem, facts: lines }
}

/// Returns the first `chart/templates/file.yaml:LINE:COLUMN` that is of a file of the chart, without the chart.
pub(super) fn place(said: &str, request: &Request<'_>) -> Option<String> {
    let words = said.split(|c: char| c.is_whitespace() || "()<>\"'".contains(c));
    words.map(|word| word.trim_end_matches(':')).find_map(|word| {
        let (path, numbers) = word.split_once(':')?;
        let (_, file) = path.split_once('/')?;
        let is_of_chart = request.chart.entries.contains_key(file);
        let is_place = numbers.split(':').all(|n| n.len() < 9 && n.parse::<u32>().is_ok());
        (is_of_chart && is_place).then(|| format!("{file}:{numbers}"))
    })
}
