//! A proxy in front of the API server that counts requests and lets them fail.

mod forward;
mod rules;

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Result;
use tokio::{net::TcpListener, runtime::Runtime};

pub(crate) use self::forward::acceptor;
pub use self::rules::{Fault, Request};
use self::{
    forward::Forwarder,
    rules::{Moment, Rules},
};
use crate::ControlPlane;

/// A TLS proxy that speaks HTTP/1.1, one upstream connection per client connection, and passes
/// bodies on as they come, so that watches work. Stops when dropped.
///
/// Requests are numbered from 1 in the order in which they arrive, see
/// [`count_only`](Self::count_only) and [`restart`](Self::restart). A request that is cut gets no
/// answer: its connection closes.
///
/// ```no_run
/// # use sitewright_testbed::{ControlPlane, FaultProxy, Options};
/// # fn main() -> anyhow::Result<()> {
/// let control_plane = ControlPlane::start(Options::new())?;
/// let proxy = FaultProxy::start(&control_plane)?;
/// let mut program = std::process::Command::new("sitewright")
///     .args(["apply", "site"])
///     .env("KUBECONFIG", proxy.kubeconfig())
///     .spawn()?;
/// // Killed when the server has done request 7 and the program does not know it yet.
/// proxy.call_after(7, move || program.kill().expect("it runs"));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct FaultProxy {
    rules: Arc<Rules>,
    forwarder: Arc<Forwarder>,
    address: SocketAddr,
    kubeconfig: PathBuf,
    runtime: Option<Runtime>,
}

impl FaultProxy {
    /// A proxy whose clients act as the administrator.
    ///
    /// # Errors
    /// No port is free.
    pub fn start(control_plane: &ControlPlane) -> Result<Self> {
        Self::start_as(control_plane, "kubernetes-admin", &["system:masters"])
    }

    /// A proxy whose clients act as `user`, so that the audit log tells them apart.
    ///
    /// # Errors
    /// No port is free, or more than two groups.
    pub fn start_as(control_plane: &ControlPlane, user: &str, groups: &[&str]) -> Result<Self> {
        let authority = control_plane.authority();
        let identity = authority.client(user, groups)?;
        let server = authority.server(&["127.0.0.1", "localhost"])?;
        let rules = Arc::new(Rules::default());
        let forwarder = Forwarder::new(
            control_plane.address(),
            &authority.certificate(),
            &identity,
            &server,
            Arc::clone(&rules),
        )?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("fault-proxy")
            .enable_all()
            .build()?;
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))?;
        let address = listener.local_addr()?;
        let kubeconfig = control_plane.write_kubeconfig(&format!("https://{address}"), None)?;
        let forwarder = Arc::new(forwarder);
        runtime.spawn(forward::accept(listener, Arc::clone(&forwarder)));
        Ok(Self { rules, forwarder, address, kubeconfig, runtime: Some(runtime) })
    }

    /// A kubeconfig that reaches the API server through this proxy. It holds no real identity:
    /// the proxy has one, and drops whatever `Authorization` a client sends.
    #[must_use]
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// The address of the proxy, such as `https://127.0.0.1:40124`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// Counts only requests like these from now on; the others pass without a number.
    pub fn count_only(&self, counts: impl Fn(&Request) -> bool + Send + Sync + 'static) {
        self.rules.count_only(Box::new(counts));
    }

    /// How many requests were counted since the start or the last [`restart`](Self::restart).
    #[must_use]
    pub fn count(&self) -> u64 {
        self.rules.count()
    }

    /// Every request since the start or the last [`restart`](Self::restart), in order of arrival.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        self.rules.requests()
    }

    /// Forgets all requests, cuts, calls and faults, and counts from 1 again. What to count stays.
    pub fn restart(&self) {
        self.rules.restart();
    }

    /// Closes every open connection, watches included; new ones are served as before.
    pub fn cut_all(&self) {
        self.forwarder.cut_all();
    }

    /// Lets all that is to come pass, and goes on counting: faults that were injected and are left are forgotten.
    pub fn heal(&self) {
        self.rules.heal();
    }

    /// Cuts request `number` off before it reaches the API server.
    pub fn cut_before(&self, number: u64) {
        self.call_before(number, || ());
    }

    /// Cuts request `number` off after the API server has done it, before the client has an answer.
    pub fn cut_after(&self, number: u64) {
        self.call_after(number, || ());
    }

    /// Calls `call` when request `number` arrives, and then cuts it off without forwarding it.
    pub fn call_before(&self, number: u64, call: impl FnOnce() + Send + 'static) {
        self.rules.at(number, Moment::Before, Box::new(call));
    }

    /// Calls `call` when the API server has done request `number`, and then cuts it off without an
    /// answer.
    pub fn call_after(&self, number: u64, call: impl FnOnce() + Send + 'static) {
        self.rules.at(number, Moment::After, Box::new(call));
    }

    /// Answers the next `times` requests that `matches` with `fault`, without forwarding them.
    pub fn inject(
        &self,
        fault: Fault,
        times: u32,
        matches: impl Fn(&Request) -> bool + Send + Sync + 'static,
    ) {
        self.rules.inject(fault, times, Box::new(matches));
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
