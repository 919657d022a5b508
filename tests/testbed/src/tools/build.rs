//! Building a program from its pinned Go module.

use std::{fs, process::Command, time::Instant};

use anyhow::{Context, Result, bail, ensure};

use super::{
    Tool,
    cache::{Locked, progress},
};

/// The flags of `go build` that change the program.
pub(super) fn flags(tool: Tool) -> Result<Vec<String>> {
    Ok(vec!["-trimpath".into(), "-ldflags".into(), linker_flags(tool)?])
}

/// Stripped, and with the version that the program reports: a release sets it at link time.
fn linker_flags(tool: Tool) -> Result<String> {
    let version = tool.version()?;
    let number = version.trim_start_matches('v');
    let set = match tool {
        Tool::KubeApiserver | Tool::KubeControllerManager | Tool::KubeScheduler | Tool::Kubectl => {
            let mut parts = number.split('.');
            let (major, minor) = (parts.next().unwrap_or("0"), parts.next().unwrap_or("0"));
            let package = "k8s.io/component-base/version";
            format!(
                " -X {package}.gitVersion={version} -X {package}.gitMajor={major} -X {package}.gitMinor={minor}"
            )
        }
        Tool::Helm => format!(" -X helm.sh/helm/v4/internal/version.version={version}"),
        // Its second certificate folder is `/visibility`, which only a container may use.
        Tool::Kueue => format!(
            " -X sigs.k8s.io/kueue/pkg/version.GitVersion={version} -X sigs.k8s.io/kueue/pkg/visibility.certDir=visibility"
        ),
        // These carry their version in the source.
        Tool::Etcd | Tool::Kwok | Tool::Registry | Tool::VersityGw => String::new(),
    };
    Ok(format!("-s -w{set}"))
}

/// Builds `tool` into the locked cache folder.
pub(super) fn with_go(tool: Tool, locked: &Locked) -> Result<()> {
    let version = tool.version()?;
    let minutes = tool.minutes();
    let unit = if minutes == 1 { "minute" } else { "minutes" };
    ensure!(go_is_here(), "the Go toolchain (`go`) is not on PATH");
    progress(&format!("building {tool} {version} with Go, once; about {minutes} {unit}"));

    let started = Instant::now();
    let scratch = locked.scratch();
    let output = Command::new("go")
        .arg("build")
        .args(flags(tool)?)
        .arg("-o")
        .arg(&scratch)
        .arg(tool.package())
        .current_dir(tool.module().dir())
        .env("CGO_ENABLED", "0")
        .env("GOWORK", "off")
        .env("GOFLAGS", "-mod=readonly -buildvcs=false")
        .output()
        .context("cannot run go")?;
    if !output.status.success() {
        let _ = fs::remove_file(&scratch);
        bail!("go build {} failed:\n{}", tool.package(), String::from_utf8_lossy(&output.stderr));
    }
    locked.keep(&scratch)?;
    progress(&format!("built {tool} in {} s", started.elapsed().as_secs()));
    Ok(())
}

fn go_is_here() -> bool {
    Command::new("go").arg("version").output().is_ok_and(|output| output.status.success())
}
