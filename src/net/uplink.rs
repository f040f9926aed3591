//! Sockets that leave by one uplink (`bind=`): an interface, or an address of ours. Either may be
//! missing for a while. An interface that comes back is another one to the kernel, even by the same
//! name, and a socket tied to the old one stays silent for good; so sockets are looked at from time
//! to time. That needs no privilege, works without netlink, and costs a system call each.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU16;

use mio::net::UdpSocket;
use socket2::Socket;

use super::options;
use crate::tunnel::link::Uplink;

/// A socket that speaks with `remote`, over this uplink if one is named, from this port if one is named
/// and nobody has it.
pub(super) fn socket_towards(
    remote: SocketAddr,
    over: Option<&Uplink>,
    port: Option<NonZeroU16>,
) -> io::Result<Socket> {
    let any = match remote {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let ip = if let Some(Uplink::Address(ip)) = over { *ip } else { any };
    let wanted = port.and_then(|port| options::bound((ip, port.get()).into()).ok());
    let socket = wanted.map_or_else(|| options::bound((ip, 0).into()), Ok)?;
    if let Some(Uplink::Interface(name)) = over {
        interface::bind(&socket, name)?;
    }
    Ok(socket)
}

/// What is missing, if it was for want of its uplink that a socket could not be opened.
pub(super) fn missing(uplink: &Uplink, error: &io::Error) -> Option<String> {
    match uplink {
        Uplink::Interface(name) => {
            interface::is_missing(error).then(|| format!("there is no interface {name}"))
        }
        Uplink::Address(ip) => {
            let gone = error.kind() == io::ErrorKind::AddrNotAvailable;
            gone.then(|| format!("no interface has the address {ip}"))
        }
    }
}

/// What has become of the uplink that an open socket had, if it is gone.
pub(super) fn lost(socket: &UdpSocket, uplink: &Uplink) -> Option<String> {
    match uplink {
        Uplink::Interface(name) => interface::lost(socket, name),
        Uplink::Address(ip) => missing(uplink, &options::bound((*ip, 0).into()).err()?),
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
mod interface {
    use std::ffi::OsString;
    use std::io;

    use mio::net::UdpSocket;
    use nix::net::if_::if_nametoindex;
    use nix::sys::socket::{getsockopt, setsockopt, sockopt::BindToDevice};
    use socket2::Socket;

    /// Ties a socket to an interface, in both directions.
    pub(super) fn bind(socket: &Socket, name: &str) -> io::Result<()> {
        setsockopt(socket, BindToDevice, &OsString::from(name)).map_err(|error| match error {
            nix::Error::EPERM => io::Error::new(
                io::ErrorKind::PermissionDenied,
                format!(
                    "bind={name} is not permitted (before Linux 5.7 it takes the capability CAP_NET_RAW): \
                     write bind=ADDRESS, with the interface's address"
                ),
            ),
            error => error.into(),
        })
    }

    /// Whether a socket could not be tied to an interface because there is none of the name.
    pub(super) fn is_missing(error: &io::Error) -> bool {
        error.raw_os_error() == Some(rustix::io::Errno::NODEV.raw_os_error())
    }

    /// What has become of the interface. The kernel tells the name that the socket's own has now, or
    /// that it has none any more.
    pub(super) fn lost(socket: &UdpSocket, name: &str) -> Option<String> {
        match getsockopt(socket, BindToDevice) {
            Ok(bound) if bound == *name => None,
            _ if if_nametoindex(name).is_ok() => Some(format!("the interface {name} is another one now")),
            _ => Some(format!("there is no interface {name}")),
        }
    }
}

/// Elsewhere no configuration gets this far.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod interface {
    use std::io;

    use mio::net::UdpSocket;
    use socket2::Socket;

    pub(super) fn bind(_: &Socket, name: &str) -> io::Result<()> {
        Err(io::Error::new(io::ErrorKind::Unsupported, format!("bind={name} is not supported here")))
    }

    pub(super) fn is_missing(_: &io::Error) -> bool {
        false
    }

    pub(super) fn lost(_: &UdpSocket, _: &str) -> Option<String> {
        None
    }
}
