//! `cargo xtask controlplane`

use std::{thread, time::Instant};

use anyhow::Result;
use sitewright_testbed::{ControlPlane, Kueue, Nodes, Options, tools::Tool};

/// Starts a real control plane on loopback and keeps it until Ctrl-C.
///
/// etcd, kube-apiserver and kube-controller-manager, with RBAC and an audit log. Nothing is left
/// behind when it ends.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Fake nodes of 64 CPUs and 8 GPUs each, on which pods become ready without running.
    #[arg(long, value_name = "N", default_value_t = 0)]
    kwok_nodes: u32,
    /// Run kube-scheduler too, so that pods land on nodes.
    #[arg(long)]
    scheduler: bool,
    /// Install Kueue by its chart and run its manager.
    #[arg(long)]
    kueue: bool,
}

pub(crate) fn run(arguments: Arguments) -> Result<()> {
    let started = Instant::now();
    let mut options = Options::new();
    if arguments.scheduler {
        options = options.scheduler();
    }
    if arguments.kwok_nodes > 0 {
        let nodes = Nodes::named("node").count(arguments.kwok_nodes);
        options = options.nodes(nodes.capacity("nvidia.com/gpu", "8"));
    }
    let control_plane = ControlPlane::start(options)?;
    let _kueue = arguments.kueue.then(|| Kueue::install(&control_plane)).transpose()?;
    describe(&control_plane, started)?;
    // Ctrl-C ends this process, and with it everything that it started.
    loop {
        thread::park();
    }
}

#[expect(clippy::print_stdout, reason = "the address is what the command is for")]
fn describe(control_plane: &ControlPlane, started: Instant) -> Result<()> {
    let seconds = started.elapsed().as_secs_f32();
    let (kubernetes, etcd) = (Tool::KubeApiserver.version()?, Tool::Etcd.version()?);
    println!(
        "Kubernetes {kubernetes}, etcd {etcd}, ready in {seconds:.1} s: {}",
        control_plane.url()
    );
    println!();
    println!("  export KUBECONFIG={}", control_plane.kubeconfig().display());
    println!("  export PATH={}:$PATH", kubectl_folder()?);
    println!();
    println!("Logs and the audit log: {}", control_plane.folder().display());
    println!("Ctrl-C ends it and removes everything.");
    Ok(())
}

fn kubectl_folder() -> Result<String> {
    let kubectl = Tool::Kubectl.find()?;
    Ok(kubectl.parent().map(|folder| folder.display().to_string()).unwrap_or_default())
}
