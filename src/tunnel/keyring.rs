//! Which keys an end holds: none, the one that it shares with everybody, or one for each client.
//!
//! An init names its key by a [`KeyId`], so that mpserver finds the key of a handshake with one look
//! into a table, however many it holds. Somebody on the way sees that two handshakes have the same
//! key, and nothing of the key. A stranger who tries ids is never answered, and an id that is known
//! costs as much as one that is not: what he sends fails to open either way.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use snow::params::HashChoice;
use snow::resolvers::{CryptoResolver, DefaultResolver};

use super::change::Change;
use super::key::Key;

/// Octets in a key's id.
pub const KEY_ID_LEN: usize = 8;
/// What is hashed in front of the key, so that the id is of no use elsewhere.
const KEY_ID_DOMAIN: &[u8] = b"mptunnel key id";

/// Names a key on the wire: the first octets of a hash of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct KeyId(pub [u8; KEY_ID_LEN]);

impl KeyId {
    /// The id of no key.
    pub const NONE: Self = Self([0; KEY_ID_LEN]);

    /// The id of a key.
    pub fn of(key: &Key) -> Self {
        let mut hash = DefaultResolver
            .resolve_hash(&HashChoice::Blake2s)
            .expect("the hash that the handshake's pattern names");
        hash.input(KEY_ID_DOMAIN);
        hash.input(key.octets());
        let mut digest = [0; 32];
        hash.result(&mut digest);
        let [a, b, c, d, e, f, g, h, ..] = digest;
        Self([a, b, c, d, e, f, g, h])
    }
}

/// The keys that an end holds.
#[derive(Clone, Debug, Default)]
pub enum Keys {
    /// None. Anybody may connect.
    #[default]
    None,
    /// One, which all share.
    Shared(Key),
    /// One for each client: at mpserver alone.
    Each(Keyring),
}

impl Keys {
    /// Whether there is none.
    pub fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }

    /// The key that all share, if there is one: what mpclient uses.
    pub fn shared(&self) -> Option<&Key> {
        match self {
            Self::Shared(key) => Some(key),
            Self::None | Self::Each(_) => None,
        }
    }

    /// The key with this id.
    pub fn find(&self, id: KeyId) -> Option<&Key> {
        match self {
            Self::None => None,
            Self::Shared(key) => (KeyId::of(key) == id).then_some(key),
            Self::Each(keyring) => keyring.entries.get(&id).map(|entry| &entry.key),
        }
    }

    /// Whether a client with this key id may be here. Without keys, everybody may.
    pub fn admits(&self, id: KeyId) -> bool {
        self.is_none() || self.find(id).is_some()
    }

    /// What is different in these from the own, by their clients' names. Of a key that all share, nothing is told here.
    pub(super) fn changes(&self, new: &Self) -> Option<Change> {
        match (self, new) {
            (Self::Each(old), Self::Each(new)) => old.changes(new),
            _ => None,
        }
    }

    /// Whose key this is, where each client has its own.
    pub fn name(&self, id: KeyId) -> Option<&str> {
        match self {
            Self::Each(keyring) => keyring.entries.get(&id).map(|entry| &*entry.name),
            Self::None | Self::Shared(_) => None,
        }
    }
}

/// One key for all, or none.
impl From<Option<Key>> for Keys {
    fn from(key: Option<Key>) -> Self {
        key.map_or(Self::None, Self::Shared)
    }
}

/// A key for each client, found by its id and known by the client's name.
#[derive(Clone, Debug, Default)]
pub struct Keyring {
    // A table that grows moves its entries, and leaves what it moves unwiped: keys stay where they are.
    entries: HashMap<KeyId, Arc<NamedKey>>,
}

#[derive(Debug)]
struct NamedKey {
    name: Box<str>,
    key: Key,
}

impl Keyring {
    /// Adds a client's key.
    ///
    /// # Errors
    /// The name of the client that has this key already.
    pub fn add(&mut self, name: &str, key: Key) -> Result<(), String> {
        match self.entries.entry(KeyId::of(&key)) {
            Entry::Occupied(entry) => Err(entry.get().name.to_string()),
            Entry::Vacant(entry) => {
                entry.insert(Arc::new(NamedKey { name: name.into(), key }));
                Ok(())
            }
        }
    }

    /// How many keys there are.
    pub fn count(&self) -> usize {
        self.entries.len()
    }

    fn changes(&self, new: &Self) -> Option<Change> {
        let [before, after] = [self, new].map(Self::by_name);
        let mut as_before = 0;
        let [mut came, mut other, mut renamed] = [const { Vec::new() }; 3];
        for (name, id) in &after {
            match (before.get(name), self.entries.get(id)) {
                (Some(known), _) if known == id => as_before += 1,
                (Some(_), _) => other.push((*name).to_owned()),
                (None, Some(entry)) => renamed.push(format!("{name} (was {})", entry.name)),
                (None, None) => came.push((*name).to_owned()),
            }
        }
        let is_renamed = |id| new.entries.get(id).is_some_and(|entry| !before.contains_key(&*entry.name));
        let left = before.iter().filter(|(name, id)| !after.contains_key(*name) && !is_renamed(id));
        let left = left.map(|(name, _)| (*name).to_owned()).collect();
        let others = [("new", came), ("taken out", left), ("another key", other), ("renamed", renamed)];
        Change::of_list("keys", as_before, &others)
    }

    /// The clients in the order of their names, with the ids of their keys.
    fn by_name(&self) -> BTreeMap<&str, KeyId> {
        self.entries.iter().map(|(id, entry)| (&*entry.name, *id)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{SeedableRng, rngs::StdRng};

    fn key(seed: u64) -> Key {
        Key::generate(&mut StdRng::seed_from_u64(seed))
    }

    #[test]
    fn an_id_is_the_hash_that_the_picture_names() {
        // As Python has it: hashlib.blake2s(b"mptunnel key id" + bytes(range(32))).digest()[:8].
        let key = Key::from_base64("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=").expect("a key");
        assert_eq!(KeyId::of(&key), KeyId([95, 143, 137, 3, 109, 123, 33, 105]));
        assert_ne!(KeyId::of(&key), KeyId::NONE);
    }

    #[test]
    fn each_key_is_found_by_its_id_under_its_name() {
        let mut keyring = Keyring::default();
        assert_eq!((keyring.add("alice", key(1)), keyring.add("bob", key(2))), (Ok(()), Ok(())));
        assert_eq!(keyring.add("carol", key(1)), Err("alice".to_owned()));
        let keys = Keys::Each(keyring);
        for (seed, name) in [(1, Some("alice")), (2, Some("bob")), (3, None)] {
            let id = KeyId::of(&key(seed));
            assert_eq!(keys.name(id), name);
            assert_eq!(keys.find(id), name.map(|_| key(seed)).as_ref());
            assert_eq!(keys.admits(id), name.is_some());
        }
        assert!(!keys.admits(KeyId::NONE) && Keys::None.admits(KeyId::NONE));
        assert!(Keys::Shared(key(1)).admits(KeyId::of(&key(1))));
        assert!(!Keys::Shared(key(1)).admits(KeyId::of(&key(2))));
    }

    #[test]
    fn what_is_different_is_told_by_the_clients_names() {
        let keys = |named: &[(&str, u64)]| {
            let mut keyring = Keyring::default();
            named.iter().for_each(|(name, seed)| keyring.add(name, key(*seed)).expect("another key"));
            Keys::Each(keyring)
        };
        let before = keys(&[("alice", 1), ("bob", 2), ("carol", 3)]);
        for (now, expected) in [
            (keys(&[("carol", 3), ("bob", 2), ("alice", 1)]), None),
            (keys(&[("alice", 1), ("carol", 3)]), Some("keys: 2 as before; taken out: bob")),
            (
                keys(&[("alice", 4), ("bob", 2), ("dave", 5)]),
                Some("keys: 1 as before; new: dave; taken out: carol; another key: alice"),
            ),
            (
                keys(&[("alice", 1), ("bob", 2), ("dave", 3)]),
                Some("keys: 2 as before; renamed: dave (was carol)"),
            ),
            // bob's key is alice's now, and bob has none.
            (
                keys(&[("alice", 2), ("carol", 3)]),
                Some("keys: 1 as before; taken out: bob; another key: alice"),
            ),
        ] {
            assert_eq!(before.changes(&now).map(|change| change.text).as_deref(), expected);
        }
    }

    #[test]
    fn debug_shows_names_and_no_keys() {
        let mut keyring = Keyring::default();
        keyring.add("alice", key(1)).expect("the first");
        let text = format!("{:?}", Keys::Each(keyring));
        assert!(text.contains("alice") && text.contains("Key(…)"), "{text}");
    }
}
