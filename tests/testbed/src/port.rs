//! Loopback ports that nobody else can take.

use std::{
    net::{Ipv4Addr, SocketAddr},
    os::fd::OwnedFd,
};

use anyhow::Result;
use rustix::net::{AddressFamily, SocketAddrV4, SocketType, bind, getsockname, socket, sockopt};

/// A loopback port, held by a socket that never listens.
///
/// The program that serves on it binds with `SO_REUSEPORT` (`--permit-port-sharing`,
/// `--socket-reuse-port`), so the port is ours from the moment it is chosen, through restarts of the
/// program, until this value is dropped. The kernel never hands it to another socket meanwhile.
#[derive(Debug)]
pub(crate) struct ReservedPort {
    port: u16,
    _socket: OwnedFd,
}

impl ReservedPort {
    pub(crate) fn new() -> Result<Self> {
        let socket = socket(AddressFamily::INET, SocketType::STREAM, None)?;
        rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC)?;
        sockopt::set_socket_reuseport(&socket, true)?;
        bind(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0))?;
        let address = SocketAddr::try_from(getsockname(&socket)?)?;
        Ok(Self { port: address.port(), _socket: socket })
    }

    pub(crate) const fn get(&self) -> u16 {
        self.port
    }
}

/// A port that is free now, for programs that cannot share one; another process may take it before
/// they do, so whoever uses it must be ready to try again.
pub(crate) fn free_port() -> Result<u16> {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?.port())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn reserved_ports_are_never_given_twice() {
        let held: Vec<_> = (0..64).map(|_| ReservedPort::new().unwrap()).collect();
        let ports: BTreeSet<_> = held.iter().map(ReservedPort::get).collect();
        assert_eq!(ports.len(), held.len());
    }

    #[test]
    fn a_reserved_port_is_closed_to_ordinary_sockets() {
        let held = ReservedPort::new().unwrap();
        assert!(std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, held.get())).is_err());
    }
}
