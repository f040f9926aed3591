//! What an operator is told of packets that were not taken: what can be mended, in words that name
//! the remedy, at most once a minute for each reason.

use std::net::SocketAddr;
use std::time::Instant;

use log::Level;

use super::chronicle::Kind;
use super::keyring::Keys;
use super::link::{Link, PeerId};
use super::wire::{self, InitHeader, MAX_DATAGRAM_LEN, Packet, Reject};
use super::{Side, Tunnel, path, server};

/// Octets that WireGuard's datagrams are longer than the packets in them: header, counter and tag.
const WIREGUARD_OVERHEAD_LEN: usize = 32;

/// What is said where there are as many clients as there may be.
const ROOM: &str = "one that has been silent for 5 minutes makes room";

/// The settings of VPNs that send datagrams of at most this length.
pub fn vpn_settings(longest: usize) -> String {
    let inner = longest.saturating_sub(WIREGUARD_OVERHEAD_LEN);
    format!("WireGuard: MTU = {inner}; OpenVPN: mssfix {longest}")
}

impl Tunnel {
    /// Says in the log why something was not taken, if an operator can do something about it.
    #[cold]
    pub(super) fn report(&mut self, now: Instant, link: Link, octets: &mut [u8], reject: Reject) {
        if self.fabric.counters.line_is_due(now, reject)
            && let Some(text) = self.explanation(link, octets, reject)
        {
            let text = format!("{text} ({} so far)", self.fabric.counters.rejected(reject));
            let topic = Kind::Refused.of(self.whose(link, octets, reject));
            self.fabric.chronicle.tell(now, Level::Warn, topic, text);
            self.fabric.counters.line_was_written(now, reject);
        }
    }

    /// The one peer that a refusal is about: the client whose packet was opened before it was refused, or whose
    /// target sends what is refused; at mpclient the server, towards which too much is waiting.
    fn whose(&self, link: Link, octets: &mut [u8], reject: Reject) -> Option<PeerId> {
        let fabric = &self.fabric;
        match (reject, &self.side) {
            (Reject::PathLimit | Reject::FlowLimit, Side::Server(_)) => match wire::parse(octets) {
                Ok(Packet::Sealed(header, _)) => fabric.routes.get(&header.session).copied(),
                _ => None,
            },
            (Reject::TooLarge, Side::Server(_)) | (Reject::QueueFull, _) => {
                fabric.locals.get(&(link.socket, link.remote)).map(|(peer, _)| *peer)
            }
            _ => None,
        }
    }

    /// Says in the log, once for each path, that datagrams of this length are cut into fragments there.
    #[cold]
    pub(super) fn tell_of_cuts(&mut self, now: Instant, id: PeerId, len: usize) {
        let numbers = 0..self.fabric.peers[id.0].paths.len();
        for number in numbers {
            let peer = &self.fabric.peers[id.0];
            let Some(link) = peer.paths[number].link.filter(|_| peer.steering.chosen().has(number)) else {
                continue;
            };
            let Some(longest) = peer.longest_whole(number).filter(|longest| *longest < len) else { continue };
            if peer.paths[number].mtu.cuts_told {
                continue;
            }
            let text = format!(
                "datagrams of {len} octets are cut into fragments on the way to {}, which takes up to {longest} \
                 whole: let what sends them use no more, or a fragment lost is a datagram lost ({})",
                self.describe(link),
                vpn_settings(longest),
            );
            self.fabric.chronicle.tell_of_others(now, Level::Warn, Kind::Cut.of(id), format_args!("{text}"));
            self.fabric.peers[id.0].paths[number].mtu.cuts_told = true;
        }
        self.fabric.peers[id.0].update_carriers(now, &mut self.fabric.outbox);
    }

    fn explanation(&self, link: Link, octets: &[u8], reject: Reject) -> Option<String> {
        let from = link.remote;
        Some(match reject {
            Reject::TooLarge => format!(
                "a datagram of {} octets from {} was dropped: {MAX_DATAGRAM_LEN} is the most that the tunnel \
                 carries",
                octets.len(),
                self.describe(link),
            ),
            Reject::OtherKey => {
                let remedy = match &self.fabric.security.keys {
                    Keys::Each(_) => "the file of --keys must have the client's key",
                    Keys::None | Keys::Shared(_) => {
                        "MPTUNNEL_KEY, --key-file or key-file must give both ends the same key"
                    }
                };
                format!("a handshake from {from} was made with another key, or changed on the way: {remedy}")
            }
            Reject::OtherVersion | Reject::OtherMode => self.disagreement(from, octets)?,
            Reject::HandshakeLimit => {
                refused(from, "half-open handshakes", server::MAX_PENDING, "it may try again in 5 s")
            }
            Reject::PeerLimit if matches!(self.fabric.security.keys, Keys::Each(_)) => format!(
                "{from} is refused: there are {} clients, or {} of its name that are heard, the limits; {ROOM}",
                server::MAX_PEERS,
                server::MAX_OF_NAME
            ),
            Reject::PeerLimit => refused(from, "clients", server::MAX_PEERS, ROOM),
            Reject::PathLimit => {
                refused(from, "paths of a client", path::MAX_PATHS, "its file must have fewer bridges")
            }
            // A client says in other words that it is mpserver's limit.
            Reject::FlowLimit if self.fabric.peers.iter().all(|(_, peer)| !peer.flows.is_full()) => return None,
            Reject::FlowLimit => {
                let remedy = match self.side {
                    Side::Client(_) => "a higher max-flows, here and at mpserver, lets more in",
                    Side::Server(_) => "a higher --max-flows lets more in",
                };
                refused(from, "applications of a client", self.fabric.flow_limits.most, remedy)
            }
            // A client says whose address is missing.
            Reject::NoTarget if matches!(self.side, Side::Client(_)) => return None,
            Reject::NoTarget => "datagrams are dropped: the target's name has no address yet".to_owned(),
            // A client's lines tell of the rest; a server's client may just have gone.
            Reject::QueueFull if matches!(self.side, Side::Server(_)) => return None,
            Reject::Fragment => {
                format!(
                    "application {from} sends datagrams by SOCKS5 in fragments, which are dropped: have it send whole ones"
                )
            }
            Reject::NoHeader => format!(
                "application {from} sends datagrams by SOCKS5 that name no target, which are dropped"
            ),
            Reject::QueueFull => {
                "datagrams are dropped: no path is usable, and enough are waiting; \"mpclient check\" tells what to look at".to_owned()
            }
            // Everyday business of a network, or a stranger's rubbish.
            Reject::Copy
            | Reject::TooOld
            | Reject::Malformed
            | Reject::UnknownSession
            | Reject::Forged
            | Reject::HandshakeRate
            | Reject::Unconfirmed
            | Reject::UnknownFlow
            | Reject::OtherSender
            // Each end says this with its target.
            | Reject::NotAllowed
            | Reject::NoSocket => return None,
        })
    }

    /// How an init's sender and this end differ.
    fn disagreement(&self, from: SocketAddr, init: &[u8]) -> Option<String> {
        let (_, theirs, _) = InitHeader::parse(init.try_into().ok()?);
        let ours = self.fabric.security.mode();
        let difference = if theirs.version != wire::VERSION {
            format!(
                "speaks version {} of the protocol, this end version {}: install the same release at both ends",
                theirs.version,
                wire::VERSION
            )
        } else if theirs.mode.encrypt != ours.encrypt {
            let state = |on| if on { "on" } else { "off" };
            format!(
                "has encryption {}, this end has it {}: set MPTUNNEL_ENCRYPT to the same value at both ends",
                state(theirs.mode.encrypt),
                state(ours.encrypt)
            )
        } else if ours.keyed {
            "uses no key, this end does: give it the same key with MPTUNNEL_KEY, --key-file or key-file"
                .to_owned()
        } else {
            "uses a key, this end has none: give this end the same key with MPTUNNEL_KEY or --key-file"
                .to_owned()
        };
        Some(format!("mpclient at {from} {difference}"))
    }
}

fn refused(from: SocketAddr, what: &str, limit: usize, remedy: &str) -> String {
    format!("{from} is refused: there are {limit} {what}, the limit; {remedy}")
}
