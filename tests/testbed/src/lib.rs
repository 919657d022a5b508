//! A real Kubernetes control plane, mirrors, proxies and servers for tests and the demo.
//!
//! Everything runs as local processes on loopback, and goes away when the value is dropped or the
//! program dies, by whatever signal. The programs come from [`tools`].
//!
//! ```no_run
//! use sitewright_testbed::{ControlPlane, Nodes, Options};
//!
//! # fn main() -> anyhow::Result<()> {
//! let gpus = Nodes::named("gpu").count(4).capacity("nvidia.com/gpu", "8");
//! let control_plane = ControlPlane::start(Options::new().scheduler().nodes(gpus))?;
//! let before = control_plane.audit().mark()?;
//! control_plane.kubectl(&["create", "namespace", "vision"])?;
//! for event in control_plane.audit().since(before)? {
//!     assert_eq!((event.verb.as_str(), event.resource.as_str()), ("create", "namespaces"));
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Besides it: [`FaultProxy`] in front of the API server, for kills and failures at a chosen request;
//! [`Kueue`], the real manager behind its chart; [`mirror`], upstream's charts as git repositories;
//! [`GitHttp`], [`HttpFiles`], [`Registry`] and [`S3Server`], to fetch from.

mod api;
mod controlplane;
mod kubeconfig;
mod kueue;
pub mod mirror;
mod pki;
mod port;
mod process;
mod proxy;
mod server;
pub mod tools;

pub use self::{
    controlplane::{Audit, AuditEvent, ControlPlane, Mark, Mode, Nodes, Options},
    kueue::Kueue,
    pki::{Authority, Certificate},
    process::Process,
    proxy::{Fault, FaultProxy, Request},
    server::{GitHttp, GitTrouble, HttpFiles, Registry, S3Server},
};

/// Lower-case hexadecimal, as every digest is written.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
