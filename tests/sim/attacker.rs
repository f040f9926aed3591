//! Strangers: what they may see and send, and the account of what the server sends to whom.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use mptunnel::tunnel::wire::Type;

use super::traffic::Way;

/// A packet that enters a line, with the addresses that its receiver will see.
pub struct Seen<'a> {
    /// The time.
    pub now: Duration,
    /// Which way it goes.
    pub way: Way,
    /// The bridge's number: an attacker may sit on some alone.
    pub bridge: usize,
    /// Where it will seem to come from.
    pub from: SocketAddr,
    /// The socket it goes to.
    pub to: SocketAddr,
    /// How long the line takes at least.
    pub delay: Duration,
    /// The packet.
    pub octets: &'a [u8],
}

/// What an attacker does.
pub enum Attack {
    /// Sends a packet, from any address it likes.
    Send {
        /// How long after what it has seen the packet arrives.
        after: Duration,
        /// The address that it seems to come from.
        from: SocketAddr,
        /// The socket that gets it.
        to: SocketAddr,
        /// The packet.
        octets: Vec<u8>,
    },
    /// Keeps what it has seen from going on by itself.
    Swallow,
    /// Has it, or what was made of it, go on to its receiver.
    Forward {
        /// How long after it was seen it arrives.
        after: Duration,
        /// The packet.
        octets: Vec<u8>,
    },
}

/// Somebody on the way.
pub trait Attacker {
    /// Sees a packet that enters a line.
    fn sees(&mut self, seen: &Seen<'_>) -> Vec<Attack>;

    /// Gets a packet that a tunnel sent to an address which is no bridge's.
    fn gets(&mut self, _now: Duration, _to: SocketAddr, _octets: &[u8]) {}
}

#[derive(Debug, Default)]
struct Balance {
    received: usize,
    sent: usize,
    /// When a reply that was sent there reached the client: from then on a probe can bring its token.
    reply_arrived: Option<Duration>,
    proven: bool,
}

/// What the server has received from and sent to each address since its start.
#[derive(Debug, Default)]
pub struct Account {
    balances: HashMap<SocketAddr, Balance>,
    /// Where each reply went.
    replies: HashMap<Vec<u8>, SocketAddr>,
    /// Packets that the server has sent to bridges or strangers.
    pub packets_sent: usize,
}

const DATA: u8 = Type::Data as u8;
const OPENED: u8 = Type::Opened as u8;
const PROBE: u8 = Type::Probe as u8;
const REPLY: u8 = Type::Reply as u8;

impl Account {
    /// A server was started, which knows nobody: all addresses are to be proven again.
    pub fn forget(&mut self) {
        self.balances.clear();
        self.replies.clear();
    }

    /// The server receives a packet that was sent at `sent`.
    pub fn received(&mut self, from: SocketAddr, sent: Duration, octets: &[u8]) {
        let balance = self.balances.entry(from).or_default();
        balance.received += octets.len();
        let probe = octets.first() == Some(&PROBE);
        balance.proven |= probe && balance.reply_arrived.is_some_and(|arrived| sent >= arrived);
    }

    /// The server sends a packet.
    pub fn sent(&mut self, to: SocketAddr, octets: &[u8]) {
        self.packets_sent += 1;
        if octets.first() == Some(&REPLY) {
            self.replies.insert(octets.to_vec(), to);
        }
        let balance = self.balances.entry(to).or_default();
        balance.sent += octets.len();
        let Balance { received, sent, proven, .. } = *balance;
        let data = matches!(octets.first(), Some(&DATA | &OPENED));
        assert!(proven || !data, "data for {to}, which has not returned a token");
        assert!(
            proven || sent <= received,
            "{sent} octets for {to}, which sent {received} and has not returned a token"
        );
    }

    /// A client receives a packet. Whoever brought it, a reply has reached those who can return its token.
    pub fn arrived(&mut self, now: Duration, octets: &[u8]) {
        if let Some(to) = self.replies.get(octets) {
            self.balances.entry(*to).or_default().reply_arrived.get_or_insert(now);
        }
    }
}
