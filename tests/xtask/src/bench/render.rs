//! Rendering 10,000 objects from 50 components: cold, and unchanged.

use anyhow::Result;

use super::{
    Figures,
    figure::{Figure, Reach},
    program::Program,
    site,
};

const COMPONENTS: usize = 50;

/// `validate` renders everything and prints next to nothing, so it is what is timed.
pub(super) fn measure(program: &Program, objects: usize) -> Result<Figures> {
    super::say(&format!("rendering {objects} objects from {COMPONENTS} components"));
    let folder = tempfile::tempdir()?;
    site::write(folder.path(), COMPONENTS, objects)?;
    let start = program.run(folder.path(), &["--version"], None, &[0])?;
    let cold = program.run(folder.path(), &["validate"], None, &[0])?;
    let mut unchanged = f64::MAX;
    for _ in 0..5 {
        let run = program.run(folder.path(), &["validate"], None, &[0])?;
        unchanged = unchanged.min(run.wall.as_secs_f64() * 1e3);
    }
    let start_ms = start.wall.as_secs_f64() * 1e3;
    Ok(vec![
        Figure::new(format!("render {objects} objects, cold"), cold.wall.as_secs_f64() * 1e3, "ms")
            .reach(Reach::AtMost(1_000.0)),
        Figure::new(format!("render {objects} objects, unchanged (best of 5)"), unchanged, "ms")
            .reach(Reach::AtMost(20.0)),
        Figure::new("of which starting the process", start_ms, "ms"),
        Figure::new(format!("render {objects} objects, cold: peak memory"), cold.peak_mib, "MiB"),
    ])
}
