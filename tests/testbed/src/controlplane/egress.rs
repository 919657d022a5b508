//! The way from the API server into the "cluster": an HTTP CONNECT proxy on a unix socket.
//!
//! The API server resolves a Service to its cluster IP before it asks the proxy (the aggregator's
//! `ResolveCluster`), so the proxy looks up which routed Service has that address.

use std::{
    collections::BTreeMap,
    io::{self, BufRead, BufReader, Write},
    net::{Shutdown, TcpStream},
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context, Result, bail};

use crate::api::Client;

/// A local process answers a connection at once, or is not there.
const CONNECT: Duration = Duration::from_secs(5);

/// The proxy; stops listening when dropped.
#[derive(Debug)]
pub(super) struct Egress {
    shared: Arc<Shared>,
    socket: PathBuf,
    listener: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    client: Client,
    routes: Mutex<BTreeMap<Service, Route>>,
    closing: AtomicBool,
}

/// A port of a Service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Service {
    namespace: String,
    name: String,
    port: u16,
}

/// Where calls to a Service go.
#[derive(Clone, Debug)]
struct Route {
    target: String,
    /// The Service's address when it was last looked up.
    cluster_ip: Option<String>,
}

impl Egress {
    pub(super) fn listen(socket: &Path, client: Client) -> Result<Self> {
        let listener = UnixListener::bind(socket)
            .with_context(|| format!("cannot listen on {}", socket.display()))?;
        let shared =
            Arc::new(Shared { client, routes: Mutex::default(), closing: AtomicBool::new(false) });
        let accepting = Arc::clone(&shared);
        let listener = thread::spawn(move || accept(&listener, &accepting));
        Ok(Self { shared, socket: socket.to_owned(), listener: Some(listener) })
    }

    pub(super) fn route(&self, service: &str, target: &str) -> Result<()> {
        let service = Service::parse(service)?;
        let route = Route { target: target.to_owned(), cluster_ip: None };
        self.shared.routes().insert(service, route);
        Ok(())
    }
}

impl Drop for Egress {
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::Release);
        // One connection wakes the listener, which then sees that it should end.
        let _ = UnixStream::connect(&self.socket);
        if let Some(listener) = self.listener.take() {
            let _ = listener.join();
        }
    }
}

fn accept(listener: &UnixListener, shared: &Arc<Shared>) {
    for connection in listener.incoming() {
        if shared.closing.load(Ordering::Acquire) {
            return;
        }
        let Ok(connection) = connection else { continue };
        let shared = Arc::clone(shared);
        thread::spawn(move || {
            let _ = serve(connection, &shared);
        });
    }
}

/// Answers one CONNECT, and then carries bytes until either side ends.
fn serve(mut caller: UnixStream, shared: &Shared) -> Result<()> {
    let address = read_connect(&caller)?;
    let service = match shared.connect(&address) {
        Ok(service) => service,
        Err(error) => {
            let reason = format!("{error:#}").replace(['\r', '\n'], " ");
            write!(caller, "HTTP/1.1 502 {reason}\r\nContent-Length: 0\r\n\r\n")?;
            return Ok(());
        }
    };
    caller.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
    let (mut from_caller, mut to_service) = (caller.try_clone()?, service.try_clone()?);
    let forward = thread::spawn(move || {
        let _ = io::copy(&mut from_caller, &mut to_service);
        let _ = to_service.shutdown(Shutdown::Write);
    });
    let (mut from_service, mut to_caller) = (service, caller);
    let _ = io::copy(&mut from_service, &mut to_caller);
    let _ = to_caller.shutdown(Shutdown::Both);
    let _ = forward.join();
    Ok(())
}

/// The address of a CONNECT request. The caller waits for the answer before it sends more, so the
/// reader holds nothing back.
fn read_connect(caller: &UnixStream) -> Result<String> {
    let mut reader = BufReader::new(caller);
    let mut request = String::new();
    reader.read_line(&mut request)?;
    let mut header = String::new();
    while header != "\r\n" {
        header.clear();
        if reader.read_line(&mut header)? == 0 {
            bail!("the request broke off");
        }
    }
    let mut words = request.split_whitespace();
    match (words.next(), words.next()) {
        (Some("CONNECT"), Some(address)) => Ok(address.to_owned()),
        _ => bail!("not a CONNECT request"),
    }
}

impl Shared {
    fn routes(&self) -> std::sync::MutexGuard<'_, BTreeMap<Service, Route>> {
        self.routes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn connect(&self, address: &str) -> Result<TcpStream> {
        let target = self.target(address)?;
        let parsed = target.parse().with_context(|| format!("{target} is no address"))?;
        TcpStream::connect_timeout(&parsed, CONNECT)
            .with_context(|| format!("nothing listens on {target}, where {address} is routed"))
    }

    /// The target of a cluster IP and port, from what is known or a fresh look.
    fn target(&self, address: &str) -> Result<String> {
        let (ip, port) = address.rsplit_once(':').context("an address without a port")?;
        let port: u16 = port.parse()?;
        if let Some(target) = self.known(ip, port) {
            return Ok(target);
        }
        self.look_up();
        self.known(ip, port).with_context(|| format!("no route to {address}"))
    }

    fn known(&self, ip: &str, port: u16) -> Option<String> {
        let routes = self.routes();
        let mut matching = routes.iter().filter(|(service, route)| {
            service.port == port && route.cluster_ip.as_deref() == Some(ip)
        });
        matching.next().map(|(_, route)| route.target.clone())
    }

    /// Asks for the cluster IP of every routed Service; one that does not exist has none.
    fn look_up(&self) {
        let services: Vec<Service> = self.routes().keys().cloned().collect();
        for service in services {
            let address = self.cluster_ip(&service);
            if let Some(route) = self.routes().get_mut(&service) {
                route.cluster_ip = address;
            }
        }
    }

    fn cluster_ip(&self, service: &Service) -> Option<String> {
        let Service { namespace, name, .. } = service;
        let path = format!("/api/v1/namespaces/{namespace}/services/{name}");
        let object = self.client.get(&path).ok()?;
        object.pointer("/spec/clusterIP")?.as_str().map(ToOwned::to_owned)
    }
}

impl Service {
    fn parse(text: &str) -> Result<Self> {
        let parts = text.rsplit_once(':').and_then(|(host, port)| {
            let host = host.trim_end_matches(".cluster.local").strip_suffix(".svc")?;
            let (name, namespace) = host.split_once('.')?;
            Some((name, namespace, port.parse().ok()?))
        });
        let Some((name, namespace, port)) = parts else {
            bail!("{text} is not of the form NAME.NAMESPACE.svc:PORT");
        };
        Ok(Self { namespace: namespace.to_owned(), name: name.to_owned(), port })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_read_from_its_dns_name() {
        let service = Service::parse("hook.system.svc:443").unwrap();
        assert_eq!(
            (service.name.as_str(), service.namespace.as_str(), service.port),
            ("hook", "system", 443)
        );
        assert_eq!(Service::parse("hook.system.svc.cluster.local:443").unwrap(), service);
    }

    #[test]
    fn anything_else_is_no_service() {
        for text in ["hook.system.svc", "hook:443", "hook.system:443", "a.b.svc:x"] {
            assert!(Service::parse(text).is_err(), "{text}");
        }
    }
}
