//! The ledger: durable appends, questions among many edges, and proofs.

use std::{collections::BTreeMap, path::Path, process::Command};

use anyhow::{Context as _, Result, ensure};

use super::{
    Figures,
    figure::{Figure, Reach},
};

/// Edges and leaves: those of the design, and few to see that everything runs.
const FULL: (usize, usize) = (10_000_000, 10_000_000);
const QUICK: (usize, usize) = (50_000, 20_000);

/// Builds the load of the ledger with optimisation, and runs it in a folder of its own.
///
/// It needs some 15 GB of disk and a quarter of an hour with the figures of the design.
pub(super) fn measure(quick: bool) -> Result<Figures> {
    let (edges, leaves) = if quick { QUICK } else { FULL };
    super::say(&format!("the ledger: {edges} edges, {leaves} leaves"));
    let built = Command::new(env!("CARGO"))
        .args(["build", "--release", "--package", "sitewright-ledger", "--example", "load"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()?;
    ensure!(built.success(), "the load does not build");
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or(target, Into::into);
    let folder = tempfile::Builder::new().prefix("ledger-").tempdir_in(&target)?;
    let output = Command::new(target.join("release/examples/load"))
        .arg(folder.path())
        .args([edges.to_string(), leaves.to_string()])
        .output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let found: BTreeMap<String, f64> = serde_json::from_slice(&output.stdout)?;
    let of = |name: &str| found.get(name).copied().with_context(|| format!("no figure {name}"));
    let edges = of("edges")?;
    Ok(vec![
        Figure::new("durable appends, each by itself", of("appends, each by itself")?, "/s"),
        Figure::new("durable appends, 256 together", of("appends, together")?, "/s")
            .reach(Reach::AtLeast(5_000.0)),
        Figure::new("the same by the writer, with the index", of("appends, with the index")?, "/s"),
        Figure::new("index folded anew", of("index, folded anew: edges")?, "edges/s"),
        Figure::new(format!("ancestry among {edges} edges, p95"), of("ancestry, p95")?, "ms")
            .reach(Reach::AtMost(100.0)),
        Figure::new("of how many things, at most", of("ancestry, most things")?, ""),
        Figure::new(
            "with all facts and sources, p95",
            of("answer with all facts and sources, p95")?,
            "ms",
        ),
        Figure::new("impact of a piece of data", of("impact")?, "ms").reach(Reach::AtMost(1_000.0)),
        Figure::new("of how many things", of("impact, things")?, ""),
        Figure::new("proof of inclusion, p95", of("proof of inclusion, p95")?, "ms")
            .reach(Reach::AtMost(5.0)),
        Figure::new(format!("verify {} leaves", of("leaves")?), of("verify")?, "s")
            .reach(Reach::AtMost(60.0)),
    ])
}
