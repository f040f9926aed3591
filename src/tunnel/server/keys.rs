//! Who a client is by its key, how much of the server that may take, and what becomes of it when the
//! keys change.
//!
//! With a key for each client, none of them can take the others' places: a name has a few processes at
//! most, and its handshakes have a pace of their own.

use std::collections::HashMap;
use std::fmt;
use std::time::{Duration, Instant};

use log::Level;

use super::{MAX_PEERS, Server};
use crate::tunnel::chronicle::Kind;
use crate::tunnel::fabric::Fabric;
use crate::tunnel::keyring::{KeyId, Keys};
use crate::tunnel::link::PeerId;
use crate::tunnel::pace::Pace;
use crate::tunnel::wire::{InitHeader, Reject};

/// Processes of one name: enough for some machines that share a key, and for one that is started again
/// and again.
pub const MAX_OF_NAME: usize = 16;
/// One of them that was not heard for this long may make room: four probes of an idle client are missing.
const SILENT_AFTER: Duration = Duration::from_secs(5);
/// A handshake of a name is answered this often, and so many at once: an eightieth of what the server
/// answers at all. What waits of them for a first probe, 300 at most, leaves room for the others.
const HANDSHAKE_EVERY: Duration = Duration::from_millis(20);
const HANDSHAKES_AT_ONCE: u32 = 50;

/// How often handshakes of each key have been answered.
#[derive(Debug, Default)]
pub(super) struct NamesHandshakes(HashMap<KeyId, Pace>);

impl NamesHandshakes {
    /// Whether the key has had its share. Whoever only says that he has the key counts for nothing here.
    pub(super) fn is_busy(&self, now: Instant, key: KeyId) -> bool {
        self.0.get(&key).is_some_and(|pace| pace.is_busy(now))
    }

    /// Notes that a handshake was made with this key.
    pub(super) fn note(&mut self, now: Instant, key: KeyId) {
        self.0.entry(key).or_insert(Pace::new(HANDSHAKE_EVERY, HANDSHAKES_AT_ONCE)).note(now);
    }

    /// Forgets what is past.
    pub(super) fn expire(&mut self, now: Instant) {
        self.0.retain(|_, pace| !pace.is_past(now));
    }
}

impl Server {
    /// Sees to it that there is room for one more client with this key: of a name that has enough, one that has
    /// left makes room, or else the one silent longest.
    pub(super) fn make_room(&mut self, now: Instant, key: KeyId, fabric: &mut Fabric) -> Result<(), Reject> {
        if fabric.security.keys.name(key).is_some() {
            let of_name = || fabric.peers.iter().filter(|(_, peer)| peer.key == key);
            if of_name().count() >= MAX_OF_NAME
                && let Some((id, oldest)) =
                    of_name().min_by_key(|(_, peer)| (peer.left.is_none(), peer.heard))
            {
                if oldest.left.is_none() && now.saturating_duration_since(oldest.heard) < SILENT_AFTER {
                    return Err(Reject::PeerLimit);
                }
                self.forget(PeerId(id), fabric);
            }
        }
        if fabric.peers.len() >= MAX_PEERS { Err(Reject::PeerLimit) } else { Ok(()) }
    }

    /// Takes other keys. Who has one that is not among them is out at once, with sessions, flows and
    /// handshakes; the others notice nothing.
    pub fn take_keys(&mut self, now: Instant, keys: Keys, fabric: &mut Fabric) {
        self.pending.retain(|_, pending| keys.admits(pending.key));
        self.answered.retain(|init, _| keys.admits(InitHeader::parse(init).1.key));
        let out = fabric.peers.iter().filter(|(_, peer)| !keys.admits(peer.key));
        for id in out.map(|(id, _)| PeerId(id)).collect::<Vec<_>>() {
            let who = who(&fabric.security.keys, id, fabric.peers[id.0].key);
            let text = format_args!("{who} is out: its key is none of the file's any more");
            fabric.chronicle.tell_of_others(now, Level::Info, Kind::Disconnected.of(id), text);
            self.forget(id, fabric);
        }
        fabric.security.keys = keys;
    }
}

/// What the log calls a client.
pub(super) fn who(keys: &Keys, PeerId(number): PeerId, key: KeyId) -> Who<'_> {
    Who { number, name: keys.name(key) }
}

/// A client's number and, where each has a key of its own, its name.
pub(super) struct Who<'a> {
    number: usize,
    name: Option<&'a str>,
}

impl fmt::Display for Who<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "client {}", self.number)?;
        self.name.map_or(Ok(()), |name| write!(f, " ({name})"))
    }
}
