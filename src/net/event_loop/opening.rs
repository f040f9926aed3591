//! Opening the sockets that the tunnel asks for, and what is said and done where one cannot be had.

use std::io;
use std::time::Instant;

use log::{Level, debug};

use super::EventLoop;
use crate::net::options;
use crate::net::start::StartError;
use crate::net::troubles::About;
use crate::net::uplink;
use crate::tunnel::chronicle::Kind;
use crate::tunnel::link::{Bind, Link, SocketId};

impl EventLoop {
    pub(super) fn open(&mut self, now: Instant, id: SocketId, bind: Bind) {
        let opened = match bind {
            // The tunnel knows where it listens, and not which addresses this machine has.
            Bind::Towards { remote, .. } if self.sockets.leads_back(remote) => {
                let text = format!("{remote} is where this program listens");
                Err(io::Error::new(io::ErrorKind::InvalidInput, text))
            }
            _ => self.sockets.open(id, bind.clone()),
        };
        let Err(error) = opened else {
            if let Some(address) = self.sockets.local_addr(id) {
                self.tunnel.handle_socket_open(now, id, address);
            }
            self.tell_socks5(now, id);
            // What arrived before the registration is not told.
            return self.note_ready(id);
        };
        if id.relays() {
            debug!("cannot open a socket for a SOCKS5 client: {error}");
            self.tunnel.handle_socket_error(now, id);
            return self.tell_socks5(now, id);
        }
        if let Bind::Listen(address) = bind {
            let text = format!("{}; SIGHUP tries again", StartError::Listen(address, error));
            self.tunnel.tell(now, Level::Warn, Kind::System, text);
            return self.tunnel.handle_socket_error(now, id);
        }
        if let Bind::Towards { over: Some(uplink), .. } = &bind
            && let Some(reason) = uplink::missing(uplink, &error)
        {
            return self.tunnel.handle_uplink_lost(now, id, &reason);
        }
        if let Bind::Towards { remote, .. } = bind
            && self.troubles.deserves_line(now, About::Opening)
        {
            let who = self.tunnel.describe(Link { socket: id, remote, local: None });
            let remedy = options::remedy_for_open_files(&error);
            let text = format!("cannot open a socket: {error}{remedy}; trying again for {who}");
            self.tunnel.tell(now, Level::Warn, Kind::System, text);
        }
        self.troubles.note(error);
        self.tunnel.handle_socket_error(now, id);
    }

    /// Has a SOCKS5 client told of its socket, if the socket is one.
    fn tell_socks5(&mut self, now: Instant, id: SocketId) {
        if let Some(socks5) = self.socks5.as_mut().filter(|_| id.relays()) {
            socks5.relay_opened(now, id, self.sockets.local_addr(id), &mut self.tunnel);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::super::clock;
    use super::*;
    use crate::tunnel::keyring::Keys;
    use crate::tunnel::role::{Config, Security, ServerRole};

    #[test]
    fn no_socket_is_opened_towards_the_program_itself() {
        let target: SocketAddr = ([127, 0, 0, 1], 9).into();
        let role = ServerRole::new(([127, 0, 0, 1], 0).into(), target.into()).into();
        let security = Security { encrypt: true, keys: Keys::None };
        let mut event_loop = EventLoop::new(Config { role, security }).expect("a free port");
        let itself = event_loop.listen_addr();
        for (id, remote, opens) in [(SocketId(7), itself, false), (SocketId(8), target, true)] {
            event_loop.open(clock(), id, Bind::Towards { remote, over: None, port: None });
            assert_eq!(event_loop.sockets.local_addr(id).is_some(), opens, "{remote}");
        }
        let trouble = event_loop.trouble().expect("it is told").to_string();
        assert_eq!(trouble, format!("{itself} is where this program listens"));
    }
}
