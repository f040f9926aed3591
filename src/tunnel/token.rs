//! Path tokens: proof that somebody receives what is sent to an address.
//!
//! A token is a keyed hash of the address, so the server keeps no state for addresses that are not
//! proven. It travels sealed, and is good for a minute or two: an address that has passed to
//! somebody else must be proven anew.

use std::hash::{Hash, Hasher};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand::CryptoRng;
use siphasher::sip::SipHasher24;

use super::wire::{ClientId, PathToken};

/// A token is good in the epoch in which it was given, and in the next.
const EPOCH: Duration = Duration::from_secs(60);

/// Gives tokens and knows them again.
#[derive(Debug)]
pub struct Tokens {
    hasher: SipHasher24,
    start: Instant,
}

impl Tokens {
    /// Tokens that nobody else can give.
    pub fn new(now: Instant, rng: &mut impl CryptoRng) -> Self {
        let mut key = [0; 16];
        rng.fill_bytes(&mut key);
        Self { hasher: SipHasher24::new_with_key(&key), start: now }
    }

    /// The token for an address as this client's path.
    pub fn give(&self, now: Instant, client: ClientId, path: u8, address: SocketAddr) -> PathToken {
        self.token(self.epoch(now), client, path, address)
    }

    /// Whether this is the token that went there.
    pub fn prove(
        &self,
        now: Instant,
        client: ClientId,
        path: u8,
        address: SocketAddr,
        token: PathToken,
    ) -> bool {
        let epoch = self.epoch(now);
        [Some(epoch), epoch.checked_sub(1)]
            .into_iter()
            .flatten()
            .any(|epoch| self.token(epoch, client, path, address) == token)
    }

    fn epoch(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.start).as_secs() / EPOCH.as_secs()
    }

    fn token(&self, epoch: u64, client: ClientId, path: u8, address: SocketAddr) -> PathToken {
        let mut hasher = self.hasher;
        (epoch, client, path, address).hash(&mut hasher);
        PathToken(hasher.finish())
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "any instant will do")]
mod tests {
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    #[test]
    fn a_token_proves_one_address_of_one_path_of_one_client_for_a_while() {
        let now = Instant::now();
        let tokens = Tokens::new(now, &mut StdRng::seed_from_u64(1));
        let others = Tokens::new(now, &mut StdRng::seed_from_u64(2));
        let address = |port: u16| SocketAddr::from(([192, 0, 2, 1], port));
        let token = tokens.give(now, ClientId(1), 2, address(3));
        let proven = |after: u64, client, path, port| {
            tokens.prove(now + Duration::from_secs(after), ClientId(client), path, address(port), token)
        };
        assert!(proven(0, 1, 2, 3) && proven(119, 1, 2, 3));
        assert!(!proven(0, 9, 2, 3) && !proven(0, 1, 9, 3) && !proven(0, 1, 2, 9) && !proven(120, 1, 2, 3));
        assert!(!others.prove(now, ClientId(1), 2, address(3), token));
        assert!(!tokens.prove(now, ClientId(1), 2, address(3), PathToken::default()));
    }
}
