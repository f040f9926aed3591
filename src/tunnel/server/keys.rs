//! Who a client is by its key, and what becomes of it when the keys change.

use std::fmt;
use std::time::Instant;

use log::Level;

use super::Server;
use crate::tunnel::chronicle::Kind;
use crate::tunnel::fabric::Fabric;
use crate::tunnel::keyring::{KeyId, Keys};
use crate::tunnel::link::PeerId;
use crate::tunnel::wire::InitHeader;

impl Server {
    /// Takes other keys. Who has one that is not among them is out at once, with sessions, flows and
    /// handshakes; the others notice nothing.
    pub fn take_keys(&mut self, now: Instant, keys: Keys, fabric: &mut Fabric) {
        self.pending.retain(|_, pending| keys.admits(pending.key));
        self.answered.retain(|init, _| keys.admits(InitHeader::parse(init).1.key));
        let out = fabric.peers.iter().filter(|(_, peer)| !keys.admits(peer.key));
        for id in out.map(|(id, _)| PeerId(id)).collect::<Vec<_>>() {
            let who = who(&fabric.security.keys, id, fabric.peers[id.0].key);
            let text = format_args!("{who} is out: its key is none of the file's any more");
            fabric.chronicle.tell_of_others(now, Level::Info, Kind::Disconnected, text);
            self.forget(id, fabric);
        }
        if let (Keys::Each(old), Keys::Each(new)) = (&fabric.security.keys, &keys) {
            let (more, gone) = (new.count_beyond(old), old.count_beyond(new));
            let text = format!("keys: {} as before, {more} new, {gone} taken out", new.count() - more);
            fabric.chronicle.tell(now, Level::Info, Kind::Reload, text);
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
