//! Why a program could not start, and what can be done about it.

use std::fmt;
use std::io;
use std::net::SocketAddr;

/// Why a program could not start.
#[derive(Debug)]
pub enum StartError {
    /// The address to listen on cannot be had.
    Listen(SocketAddr, io::Error),
    /// The address for SOCKS5 clients cannot be had.
    Socks5(SocketAddr, io::Error),
    /// The address for the status page and metrics cannot be had.
    Metrics(SocketAddr, io::Error),
    /// The system refused something every program needs.
    System(&'static str, io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listen(address, error) => {
                write!(f, "cannot listen on {address}: {error}{}", remedy(error, *address, "ss -lunp"))
            }
            Self::Socks5(address, error) => {
                write!(
                    f,
                    "cannot listen for SOCKS5 on {address}: {error}{}",
                    remedy(error, *address, "ss -ltnp")
                )
            }
            Self::Metrics(address, error) => {
                write!(f, "cannot serve metrics at {address}: {error}{}", remedy(error, *address, "ss -ltnp"))
            }
            Self::System(what, error) => write!(f, "cannot {what}: {error}"),
        }
    }
}

impl std::error::Error for StartError {}

/// What can be done where an address cannot be had; `list` is the command that shows who has the port.
fn remedy(error: &io::Error, address: SocketAddr, list: &str) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!(": another program, or this one once more, has the port ({list} tells)")
        }
        io::ErrorKind::PermissionDenied if address.port() < 1024 => {
            ": ports below 1024 need root or CAP_NET_BIND_SERVICE".into()
        }
        io::ErrorKind::AddrNotAvailable => ": no interface has this address".into(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_cannot_be_had_is_told_with_the_remedy() {
        for (kind, remedy) in [
            (
                io::ErrorKind::AddrInUse,
                ": another program, or this one once more, has the port (ss -lunp tells)",
            ),
            (io::ErrorKind::PermissionDenied, ": ports below 1024 need root or CAP_NET_BIND_SERVICE"),
            (io::ErrorKind::AddrNotAvailable, ": no interface has this address"),
            (io::ErrorKind::OutOfMemory, ""),
        ] {
            let error = StartError::Listen(([192, 0, 2, 1], 53).into(), kind.into()).to_string();
            let expected = format!("cannot listen on 192.0.2.1:53: {}{remedy}", io::Error::from(kind));
            assert_eq!(error, expected);
        }
    }
}
