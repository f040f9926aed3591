//! How runs leave: in as few calls as the system and the route allow.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use log::{debug, trace};
use socket2::SockRef;

use super::{OpenSocket, Sockets, Trouble, is_full};
use crate::net::options;
use crate::tunnel::link::{Link, SocketId, Transmit};

/// A run that was too long for a route is sent singly for this long; then the route may have
/// changed.
const OVERSIZE_FOR: Duration = Duration::from_secs(10);
/// Routes remembered for that, over all sockets.
const MAX_OVERSIZE: usize = 1024;

impl Sockets {
    /// Sends a run. What cannot be sent is lost, on this link alone, and counted.
    #[inline]
    pub(in crate::net) fn send(&mut self, now: Instant, transmit: Transmit<'_>) {
        let Link { socket: id, remote, .. } = transmit.link;
        let Some(socket) = self.sockets.get(&id) else {
            // It could not be opened, which was said.
            self.counters.failed += transmit.packets().count() as u64;
            return;
        };
        if transmit.whole {
            return self.send_whole(transmit);
        }
        let single = transmit.contents.len() <= transmit.segment_len;
        let packets = socket.state.max_gso_segments();
        if single || packets == 1 || self.is_oversize(now, remote, transmit.segment_len) {
            return self.send_singly(transmit);
        }
        for run in transmit.contents.chunks(packets * transmit.segment_len) {
            let run = Transmit { contents: run, ..transmit };
            let Err(error) = self.send_at_once(run) else { continue };
            if is_full(&error) {
                self.counters.would_block += run.packets().count() as u64;
                self.trouble = Some(Trouble { link: transmit.link, error, unsent: true });
                continue;
            }
            // The run may be longer than the route's MTU where its packets, sent singly, are cut into
            // fragments; or the interface cannot cut runs, which quinn-udp remembers.
            if quinn_udp::is_msg_size_err(&error) {
                self.note_oversize(now, remote, transmit.segment_len);
            }
            self.send_singly(run);
        }
    }

    /// Sends a packet that nobody is to cut. It asks how much fits: an error is an answer, and no trouble.
    #[cold]
    fn send_whole(&mut self, transmit: Transmit<'_>) {
        let id = transmit.link.socket;
        let sent = self.sockets[&id].forbid_fragments(true).and_then(|()| self.send_at_once(transmit));
        let socket = &self.sockets[&id];
        if let Err(error) = sent {
            trace!("{} octets are not sent whole: {error}", transmit.contents.len());
            options::forget_news(&socket.io);
        }
        if let Err(error) = socket.forbid_fragments(false) {
            debug!("datagrams may be lost where they are too large: {error}");
        }
    }

    fn send_singly(&mut self, transmit: Transmit<'_>) {
        for packet in transmit.packets() {
            let single = Transmit { contents: packet, segment_len: packet.len(), ..transmit };
            match self.send_at_once(single) {
                Ok(()) => {}
                Err(error) => {
                    if is_full(&error) {
                        self.counters.would_block += 1;
                    } else {
                        self.counters.failed += 1;
                        self.keep_offload(transmit.link.socket);
                    }
                    self.trouble = Some(Trouble { link: transmit.link, error, unsent: true });
                }
            }
        }
    }

    /// Sends in one call. An error may be news about an earlier packet, told instead of sending this
    /// one: then once more.
    #[inline]
    fn send_at_once(&mut self, transmit: Transmit<'_>) -> io::Result<()> {
        let id = transmit.link.socket;
        let socket = &self.sockets[&id];
        match socket.try_send(transmit) {
            Err(error) if !is_full(&error) => {
                // The news goes first: it may be of an MTU that has shrunk, which looks like trouble with
                // this packet, and there may be more of it.
                let news = socket.news(id, error);
                let again = socket.try_send(transmit);
                if again.is_ok() {
                    self.trouble = news;
                }
                again
            }
            result => result,
        }
    }

    /// quinn-udp takes some errors for an interface's that cannot cut runs, and sends none any more.
    /// Where a single packet fails too (an address of ours that is gone, say), that was not it.
    fn keep_offload(&mut self, id: SocketId) {
        let Some(socket) = self.sockets.get_mut(&id).filter(|socket| socket.state.max_gso_segments() == 1)
        else {
            return;
        };
        match options::offload(SockRef::from(&socket.io), socket.ipv6) {
            Ok(state) => socket.state = state,
            Err(error) => debug!("a socket without segmentation offload: {error}"),
        }
    }

    fn is_oversize(&self, now: Instant, remote: SocketAddr, segment_len: usize) -> bool {
        !self.oversize.is_empty()
            && self.oversize.get(&remote).is_some_and(|(len, until)| segment_len >= *len && now < *until)
    }

    fn note_oversize(&mut self, now: Instant, remote: SocketAddr, segment_len: usize) {
        self.oversize.retain(|_, (_, until)| now < *until);
        if self.oversize.len() < MAX_OVERSIZE {
            self.oversize.insert(remote, (segment_len, now + OVERSIZE_FOR));
        }
    }
}

impl OpenSocket {
    #[inline]
    fn try_send(&self, transmit: Transmit<'_>) -> io::Result<()> {
        let transmit = quinn_udp::Transmit {
            destination: self.mapped(transmit.link.remote),
            ecn: None,
            contents: transmit.contents,
            segment_size: Some(transmit.segment_len),
            src_ip: transmit.link.local.map(|ip| self.mapped(SocketAddr::new(ip, 0)).ip()),
        };
        self.io.try_io(|| self.state.try_send((&self.io).into(), &transmit))
    }

    fn forbid_fragments(&self, whole: bool) -> io::Result<()> {
        options::forbid_fragments(SockRef::from(&self.io), self.ipv6, whole)
    }

    /// Takes note of an error that is no packet's of now.
    #[cold]
    pub(super) fn news(&self, id: SocketId, error: io::Error) -> Option<Trouble> {
        options::forget_news(&self.io);
        // That a packet was too big is how the system learns a route's MTU.
        let remote = self.towards.as_ref().filter(|_| !quinn_udp::is_msg_size_err(&error))?.remote;
        Some(Trouble { link: Link { socket: id, remote, local: None }, error, unsent: false })
    }
}
