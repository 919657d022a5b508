//! `cargo xtask fuzz`

use std::{
    fs::{self, File},
    path::Path,
    process::Command,
};

use anyhow::{Context, Result, ensure};
use rayon::prelude::*;

/// The targets, each a program in `tests/fuzz/targets`.
const TARGETS: [&str; 8] =
    ["yaml", "site", "blueprint", "values", "git-tree", "git-answer", "archive", "location"];

/// What libFuzzer needs of the compiler; these are flags of LLVM, so a stable toolchain takes them.
const FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=3 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table";

/// Feeds broken input to the readers for a bounded time.
///
/// What is found to be interesting is kept in target/fuzz/corpus, and what crashed in
/// target/fuzz/artifacts.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The targets; all of them where none is named.
    #[arg(value_parser = TARGETS)]
    targets: Vec<String>,
    /// How long each target runs.
    #[arg(long, value_name = "N", default_value_t = 60)]
    seconds: u32,
    /// Where chance begins: the same number tries the same inputs. 0 takes another one each time.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u32,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let folder = super::top().join("target/fuzz");
    let host = host()?;
    let built = Command::new("cargo")
        .args(["build", "--release", "--bins", "--target", &host, "--target-dir"])
        .arg(&folder)
        .arg("--manifest-path")
        .arg(super::top().join("tests/fuzz/Cargo.toml"))
        .env("RUSTFLAGS", FLAGS)
        .status()?;
    ensure!(built.success(), "the fuzz targets do not build");
    let all: Vec<String> = TARGETS.map(str::to_owned).to_vec();
    let targets = if arguments.targets.is_empty() { &all } else { &arguments.targets };
    // Side by side, one for each core.
    targets.par_iter().try_for_each(|target| {
        let program = folder.join(&host).join("release").join(target);
        fuzz(&program, target, &folder, arguments)
    })
}

fn fuzz(program: &Path, target: &str, folder: &Path, arguments: &Arguments) -> Result<()> {
    let corpus = folder.join("corpus").join(target);
    let artifacts = folder.join("artifacts");
    fs::create_dir_all(&corpus)?;
    fs::create_dir_all(&artifacts)?;
    let log = folder.join(target).with_extension("log");
    anstream::eprintln!("{target}: {} s, told in {}", arguments.seconds, log.display());
    let status = Command::new(program)
        .args([corpus, super::top().join("tests/fuzz/seeds").join(target)])
        .arg(format!("-max_total_time={}", arguments.seconds))
        .arg(format!("-seed={}", arguments.seed))
        .arg(format!("-artifact_prefix={}/{target}-", artifacts.display()))
        // A reader that needs ten seconds for four kilobytes hangs, for a person who waits.
        .args(["-max_len=4096", "-timeout=10", "-rss_limit_mb=2048", "-print_final_stats=1"])
        .stderr(File::create(&log)?)
        .status()
        .with_context(|| format!("cannot run {}", program.display()))?;
    let told = fs::read_to_string(&log)?;
    let last = |lines: usize| {
        let skipped = told.lines().count().saturating_sub(lines);
        told.lines().skip(skipped).collect::<Vec<_>>().join("\n")
    };
    ensure!(status.success(), "{}\n{target}: a crash, kept in {}", last(100), artifacts.display());
    anstream::eprintln!("{target}: no crash\n{}", last(5));
    Ok(())
}

/// The host triple: with `--target`, the flags do not reach build scripts.
fn host() -> Result<String> {
    let output = Command::new("rustc").args(["--print", "host-tuple"]).output()?;
    ensure!(output.status.success(), "rustc does not say what it builds for");
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}
