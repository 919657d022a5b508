//! Rendering 10,000 objects from 50 components: cold, and unchanged.

use anyhow::Result;

use super::{
    Figures,
    figure::{Figure, Reach},
    program::Program,
    site,
};

const COMPONENTS: usize = 50;
/// Runs that are over in milliseconds are made so often, and the best counts: the others tell of the machine.
const RUNS: usize = 10;

/// `validate` renders everything and prints next to nothing, so it is what is timed.
pub(super) fn measure(program: &Program, objects: usize) -> Result<Figures> {
    super::say(&format!("rendering {objects} objects from {COMPONENTS} components"));
    let folder = tempfile::tempdir()?;
    site::write(folder.path(), COMPONENTS, objects)?;
    let cold = program.run(folder.path(), &["validate"], None, &[0])?;
    let best = |arguments: &[&str]| -> Result<f64> {
        let mut best = f64::MAX;
        for _ in 0..RUNS {
            best = best.min(program.time(folder.path(), arguments)?.as_secs_f64() * 1e3);
        }
        Ok(best)
    };
    let unchanged = best(&["validate"])?;
    let start_ms = best(&["--version"])?;
    Ok(vec![
        Figure::new(format!("render {objects} objects, cold"), cold.wall.as_secs_f64() * 1e3, "ms")
            .reach(Reach::AtMost(1_000.0)),
        Figure::new(
            format!("render {objects} objects, unchanged (best of {RUNS})"),
            unchanged,
            "ms",
        )
        .reach(Reach::AtMost(20.0)),
        Figure::new("of which starting the process", start_ms, "ms"),
        Figure::new(format!("render {objects} objects, cold: peak memory"), cold.peak_mib, "MiB"),
    ])
}
