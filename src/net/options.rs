//! What is asked of a UDP socket besides its address: large buffers, batches, fragments where they
//! are needed, and news of what could not be delivered.

use std::io;
use std::net::{Ipv6Addr, SocketAddr};

use mio::net::UdpSocket;
use quinn_udp::UdpSocketState;
use socket2::{Domain, Protocol, SockRef, Socket, Type};

/// What a socket is to buffer: 100 ms at 1 Gbps. The kernel doubles it for its own bookkeeping.
pub(super) const BUFFER_LEN: usize = 12_500_000;

/// How the limit of open files is raised from outside.
pub const RAISE_OPEN_FILES: &str = "LimitNOFILE= in its unit, ulimit -n in a shell";

/// Lets this process open as many files as it may: each flow of a server is one.
///
/// # Errors
/// The system refused; the limit is as it was.
pub fn raise_open_files_limit() -> io::Result<()> {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, getrlimit, setrlimit};
        let mut limit = getrlimit(Resource::Nofile);
        limit.current = limit.maximum;
        setrlimit(Resource::Nofile, limit)?;
    }
    Ok(())
}

/// How many files this process may open. `None` where the system does not say, or sets no limit.
pub fn open_files_limit() -> Option<u64> {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, getrlimit};
        getrlimit(Resource::Nofile).current
    }
    #[cfg(not(unix))]
    None
}

/// What can be done where this process has opened as many files as it may; empty for another error.
pub(super) fn remedy_for_open_files(error: &io::Error) -> String {
    let files = open_files_limit().map_or_else(String::new, |limit| format!(" {limit}"));
    match error.raw_os_error() == Some(rustix::io::Errno::MFILE.raw_os_error()) {
        true => format!(
            ": this program may open{files}, and each application takes one at mpserver: start it with a higher \
             limit ({RAISE_OPEN_FILES})"
        ),
        false => String::new(),
    }
}

/// A socket of this address.
pub(super) fn bound(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(address.ip() != Ipv6Addr::UNSPECIFIED)?;
    }
    socket.bind(&address.into())?;
    Ok(socket)
}

/// Whether the error says that the system has no IPv6.
pub(super) fn lacks_ipv6(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrNotAvailable
        || error.raw_os_error() == Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error())
}

/// Makes a socket ready for batches, and undoes what quinn-udp sets for QUIC alone: datagrams
/// larger than the path's MTU must be cut into fragments, here or on the way, and not vanish.
pub(super) fn offload(socket: SockRef<'_>, ipv6: bool) -> io::Result<UdpSocketState> {
    let socket = &*socket;
    let state = UdpSocketState::new(socket.into())?;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        use nix::sys::socket::{setsockopt, sockopt};
        // IPv4 routers cut what is too large when they may, so that not even a route that swallows ICMP
        // loses it. IPv6 routers never do: there the kernel has to learn.
        forbid_fragments(socket.into(), ipv6, false)?;
        // A time stamp on every packet costs, and nobody reads it.
        undone(setsockopt(socket, sockopt::ReceiveTimestampns, &false))?;
    }
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let _ = ipv6;
    Ok(state)
}

/// What came of turning an option off. A system that has no such option, as qemu-user has not all of Linux's, has nothing to
/// turn off.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn undone(result: nix::Result<()>) -> io::Result<()> {
    match result {
        Err(nix::Error::ENOPROTOOPT) => Ok(()),
        other => Ok(other?),
    }
}

/// Has what is sent next cross in one piece or not at all, whatever the system has learned of the route;
/// or, with `whole` false, undoes that.
///
/// # Errors
/// The system refused, or cannot do so for one packet.
pub(super) fn forbid_fragments(socket: SockRef<'_>, ipv6: bool, whole: bool) -> io::Result<()> {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        use nix::sys::socket::{setsockopt, sockopt};
        use rustix::net::sockopt::{
            Ipv4PathMtuDiscovery, Ipv6PathMtuDiscovery, set_ip_mtu_discover, set_ipv6_mtu_discover,
        };
        let socket = &*socket;
        let (ipv4_way, ipv6_way) = match whole {
            true => (Ipv4PathMtuDiscovery::PROBE, Ipv6PathMtuDiscovery::PROBE),
            false => (Ipv4PathMtuDiscovery::DONT, Ipv6PathMtuDiscovery::WANT),
        };
        set_ip_mtu_discover(socket, ipv4_way)?;
        if ipv6 {
            set_ipv6_mtu_discover(socket, ipv6_way)?;
            let kept_whole = setsockopt(socket, sockopt::Ipv6DontFrag, &whole);
            if whole { kept_whole? } else { undone(kept_whole)? }
        }
        Ok(())
    }
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    {
        let _ = (socket, ipv6, whole);
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// Asks for large buffers, beyond the system's limit where we may. Returns what the receive buffer
/// got, in octets.
pub(super) fn enlarge_buffers(socket: &Socket) -> usize {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        use nix::sys::socket::{setsockopt, sockopt};
        if setsockopt(socket, sockopt::RcvBufForce, &BUFFER_LEN).is_err() {
            let _ = socket.set_recv_buffer_size(BUFFER_LEN);
        }
        if setsockopt(socket, sockopt::SndBufForce, &BUFFER_LEN).is_err() {
            let _ = socket.set_send_buffer_size(BUFFER_LEN);
        }
        // Linux tells twice what it was asked for (socket(7)).
        socket.recv_buffer_size().unwrap_or(0) / 2
    }
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    {
        let _ = socket.set_recv_buffer_size(BUFFER_LEN);
        let _ = socket.set_send_buffer_size(BUFFER_LEN);
        socket.recv_buffer_size().unwrap_or(0)
    }
}

/// Asks to be told when what was sent could not be delivered: nobody listens there, or no route
/// leads there. The next call on the socket returns the error.
///
/// Not for a listener: its errors would be about one of many, and anybody who guesses its port could
/// make them up.
pub(super) fn want_news(socket: &Socket, ipv6: bool) -> io::Result<()> {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        use nix::sys::socket::{setsockopt, sockopt};
        if ipv6 {
            setsockopt(socket, sockopt::Ipv6RecvErr, &true)?;
        } else {
            setsockopt(socket, sockopt::Ipv4RecvErr, &true)?;
        }
    }
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let _ = (socket, ipv6);
    Ok(())
}

/// Empties the queue of such errors, each of which has been returned by a call already. It would
/// take room from what is received.
pub(super) fn forget_news(socket: &UdpSocket) {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        use std::os::fd::AsRawFd;

        use nix::sys::socket::{MsgFlags, recv};

        /// Errors taken from a socket's queue at a time: others make them, and must not keep us.
        const ERRORS_AT_ONCE: u32 = 256;

        let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
        let mut more = 0..ERRORS_AT_ONCE;
        while more.next().is_some() && recv(socket.as_raw_fd(), &mut [], flags).is_ok() {}
    }
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let _ = socket;
}

#[cfg(all(test, any(target_os = "linux", target_os = "android")))]
mod tests {
    use super::*;

    #[test]
    fn an_option_that_the_system_does_not_have_is_off_and_another_error_remains() {
        undone(Err(nix::Error::ENOPROTOOPT)).expect("nothing to turn off");
        undone(Err(nix::Error::EBADF)).expect_err("no socket");
    }
}
