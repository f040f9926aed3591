//! ChaCha20-Poly1305 (RFC 8439), twice: `ring`'s assembly, and the portable chacha20poly1305 crate
//! for where ring cannot be had. Both seal and open in place, so a datagram is never copied for its
//! encryption. The tests hold each against the other.

#[cfg(feature = "ring")]
pub use ring_backend::Aead;

#[cfg(not(feature = "ring"))]
pub use portable::Aead;

/// Octets that a seal adds.
pub const TAG_LEN: usize = 16;
/// Octets in a nonce.
pub const NONCE_LEN: usize = 12;
/// Octets in a key.
pub const KEY_LEN: usize = 32;

/// A packet that was not sealed with this key and nonce, or was changed since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forged;

/// The fast backend.
#[cfg(feature = "ring")]
pub mod ring_backend {
    use ring::aead::{self, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};

    use super::{Forged, KEY_LEN, NONCE_LEN, TAG_LEN};

    /// One direction's key.
    pub struct Aead(LessSafeKey);

    impl Aead {
        /// A key ready for use.
        pub fn new(key: &[u8; KEY_LEN]) -> Self {
            let key = UnboundKey::new(&CHACHA20_POLY1305, key).expect("the length is right by its type");
            Self(LessSafeKey::new(key))
        }

        /// Encrypts `in_out` in place and returns its tag. A nonce must never be used twice.
        #[inline]
        pub fn seal(&self, nonce: [u8; NONCE_LEN], aad: &[u8], in_out: &mut [u8]) -> [u8; TAG_LEN] {
            let nonce = Nonce::assume_unique_for_key(nonce);
            let tag = self.0.seal_in_place_separate_tag(nonce, aead::Aad::from(aad), in_out);
            let tag = tag.expect("a datagram is far below the cipher's limit of 256 GiB");
            tag.as_ref().try_into().expect("ChaCha20-Poly1305 has a tag of 16 octets")
        }

        /// Decrypts `in_out`, text and tag, in place and returns the text.
        ///
        /// # Errors
        /// [`Forged`]; what is in `in_out` then must not be used.
        #[inline]
        pub fn open<'a>(
            &self,
            nonce: [u8; NONCE_LEN],
            aad: &[u8],
            in_out: &'a mut [u8],
        ) -> Result<&'a mut [u8], Forged> {
            let nonce = Nonce::assume_unique_for_key(nonce);
            self.0.open_in_place(nonce, aead::Aad::from(aad), in_out).map_err(|_| Forged)
        }
    }
}

/// The backend without assembly or C.
pub mod portable {
    use chacha20poly1305::aead::inout::InOutBuf;
    use chacha20poly1305::{AeadInOut, ChaCha20Poly1305, KeyInit};

    use super::{Forged, KEY_LEN, NONCE_LEN, TAG_LEN};

    /// One direction's key.
    pub struct Aead(ChaCha20Poly1305);

    impl Aead {
        /// A key ready for use.
        pub fn new(key: &[u8; KEY_LEN]) -> Self {
            Self(ChaCha20Poly1305::new(key.into()))
        }

        /// Encrypts `in_out` in place and returns its tag. A nonce must never be used twice.
        #[inline]
        pub fn seal(&self, nonce: [u8; NONCE_LEN], aad: &[u8], in_out: &mut [u8]) -> [u8; TAG_LEN] {
            let sealed = self.0.encrypt_inout_detached(&nonce.into(), aad, InOutBuf::from(in_out));
            sealed.expect("a datagram is far below the cipher's limit of 256 GiB").into()
        }

        /// Decrypts `in_out`, text and tag, in place and returns the text.
        ///
        /// # Errors
        /// [`Forged`]; what is in `in_out` then must not be used.
        #[inline]
        pub fn open<'a>(
            &self,
            nonce: [u8; NONCE_LEN],
            aad: &[u8],
            in_out: &'a mut [u8],
        ) -> Result<&'a mut [u8], Forged> {
            let (text, tag) = in_out.split_last_chunk_mut::<TAG_LEN>().ok_or(Forged)?;
            self.0
                .decrypt_inout_detached(&nonce.into(), aad, InOutBuf::from(&mut *text), (&*tag).into())
                .map_err(|_| Forged)?;
            Ok(text)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8439 section 2.8.2.
    #[test]
    fn the_example_of_the_rfc_comes_out() {
        let key: [u8; KEY_LEN] = std::array::from_fn(|i| 0x80 + i as u8);
        let nonce = [7, 0, 0, 0, 0x40, 0x41, 0x42, 0x43, 0x44, 0x45, 0x46, 0x47];
        let aad = [0x50, 0x51, 0x52, 0x53, 0xc0, 0xc1, 0xc2, 0xc3, 0xc4, 0xc5, 0xc6, 0xc7];
        let text = b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for \
                     the future, sunscreen would be it.";
        let tag =
            [0x1a, 0xe1, 0x0b, 0x59, 0x4f, 0x09, 0xe2, 0x6a, 0x7e, 0x90, 0x2e, 0xcb, 0xd0, 0x60, 0x06, 0x91];
        let mut in_out = *text;
        assert_eq!(Aead::new(&key).seal(nonce, &aad, &mut in_out), tag);
        assert_eq!(in_out[..8], [0xd3, 0x1a, 0x8d, 0x34, 0x64, 0x8e, 0x60, 0xdb]);
        let mut in_out = *text;
        assert_eq!(portable::Aead::new(&key).seal(nonce, &aad, &mut in_out), tag);
    }

    /// What one backend seals the other opens, at every length that takes another way through the
    /// assembly, and at the largest.
    #[cfg(feature = "ring")]
    #[test]
    fn the_backends_understand_each_other() {
        let key = [42; KEY_LEN];
        let (fast, plain) = (ring_backend::Aead::new(&key), portable::Aead::new(&key));
        for len in (0..1600).chain([4096, 9000, 65_475]) {
            let text: Vec<u8> = (0..len).map(|i| (i * 7) as u8).collect();
            let (nonce, aad) = ([len as u8; NONCE_LEN], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]);
            let mut by_fast = text.clone();
            let tag = fast.seal(nonce, &aad, &mut by_fast);
            by_fast.extend(tag);
            let mut by_plain = text.clone();
            let tag = plain.seal(nonce, &aad, &mut by_plain);
            by_plain.extend(tag);
            assert_eq!(by_fast, by_plain, "{len}");
            assert_eq!(plain.open(nonce, &aad, &mut by_fast).map(|text| &*text), Ok(&text[..]), "{len}");
            assert_eq!(fast.open(nonce, &aad, &mut by_plain).map(|text| &*text), Ok(&text[..]), "{len}");
        }
    }

    #[test]
    fn a_changed_bit_anywhere_is_noticed() {
        let key = Aead::new(&[1; KEY_LEN]);
        let (nonce, aad) = ([2; NONCE_LEN], [3; 13]);
        let mut sealed = vec![4; 50];
        let tag = key.seal(nonce, &aad, &mut sealed);
        sealed.extend(tag);
        for bit in 0..sealed.len() * 8 {
            let mut sealed = sealed.clone();
            sealed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(key.open(nonce, &aad, &mut sealed), Err(Forged), "bit {bit}");
        }
        assert_eq!(key.open(nonce, &[0; 13], &mut sealed.clone()), Err(Forged));
        assert_eq!(key.open([0; NONCE_LEN], &aad, &mut sealed.clone()), Err(Forged));
        assert_eq!(key.open(nonce, &aad, &mut sealed[..TAG_LEN - 1]), Err(Forged));
        assert!(key.open(nonce, &aad, &mut sealed).is_ok());
    }
}
