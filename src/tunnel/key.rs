//! The pre-shared key: 32 octets that both ends hold and nobody else.

use std::fmt;

use base64ct::{Base64, Encoding};
use rand::CryptoRng;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Octets in a key.
pub const KEY_LEN: usize = 32;

/// A pre-shared key. Wiped from memory when dropped; neither `Debug` nor an error ever shows it.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Key([u8; KEY_LEN]);

impl Key {
    /// Draws a new key.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut octets = [0; KEY_LEN];
        rng.fill_bytes(&mut octets);
        Self(octets)
    }

    /// Reads a key as `genkey` prints it: 44 characters of base64 (RFC 4648 section 4). White space
    /// round it is ignored.
    ///
    /// # Errors
    /// `InvalidKey` says what is wrong without showing any of the text.
    pub fn from_base64(text: &str) -> Result<Self, InvalidKey> {
        let mut octets = [0; KEY_LEN];
        match Base64::decode(text.trim(), &mut octets) {
            Ok(decoded) if decoded.len() == KEY_LEN => Ok(Self(octets)),
            _ => Err(InvalidKey { characters: text.trim().len() }),
        }
    }

    /// The key in base64, 44 characters: for `genkey` alone.
    pub fn to_base64(&self) -> String {
        Base64::encode_string(&self.0)
    }

    pub(crate) const fn from_octets(octets: [u8; KEY_LEN]) -> Self {
        Self(octets)
    }

    pub(crate) fn octets(&self) -> &[u8; KEY_LEN] {
        &self.0
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(…)")
    }
}

/// A text that is not a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidKey {
    characters: usize,
}

impl fmt::Display for InvalidKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "not a key: it has {} characters, a key is 32 octets in base64 (44 characters, as \
             \"mpserver genkey\" prints them)",
            self.characters
        )
    }
}

impl std::error::Error for InvalidKey {}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{SeedableRng, rngs::StdRng};

    #[test]
    fn a_key_survives_base64() {
        let key = Key::generate(&mut StdRng::seed_from_u64(1));
        assert_eq!(Key::from_base64(&format!("  {}\n", key.to_base64())), Ok(key));
    }

    #[test]
    fn what_is_no_key_is_refused_without_being_shown() {
        for text in ["", "secret", "AAAA", &"A".repeat(43), &"A".repeat(45), &"=".repeat(44)] {
            let error = Key::from_base64(text).expect_err(text).to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn debug_does_not_show_the_key() {
        let key = Key([7; KEY_LEN]);
        assert_eq!(format!("{key:?}"), "Key(…)");
    }
}
