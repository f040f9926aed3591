//! The handshake: Noise `NN`, or `NNpsk0` with a pre-shared key, in two messages. Either way keys
//! are fresh and forgotten with the session (forward secrecy); with the key, both ends prove that
//! they hold it in their first message.
//!
//! The initiator sends the same init over all paths until a response comes; the responder answers
//! every copy with the same response. Version, mode, key id and both session ids are part of what is
//! hashed, so nothing of them can be changed unnoticed.

use rand::{CryptoRng, Rng, SeedableRng, rngs::StdRng};
use snow::params::{CipherChoice, DHChoice, HashChoice};
use snow::resolvers::{CryptoResolver, DefaultResolver};
use snow::types::{Cipher, Dh, Hash, Random};
use snow::{Builder, HandshakeState};

use super::aead::TAG_LEN;
use super::key::{KEY_LEN, Key};
use super::keyring::KeyId;
use super::role::Security;
use super::session::SessionKeys;
use super::wire::{
    self, INIT_LEN, InitHeader, Mode, PROLOGUE, RESPONSE_LEN, RESPONSE_PAYLOAD_LEN, Reject, SessionId,
    VERSION,
};

const UNKEYED: &str = "Noise_NN_25519_ChaChaPoly_BLAKE2s";
const KEYED: &str = "Noise_NNpsk0_25519_ChaChaPoly_BLAKE2s";
/// Where the pre-shared key enters: `psk0` is before the first token.
const PSK_POSITION: u8 = 0;
/// What a message is tried with whose key is not known here.
static NOBODYS_KEY: Key = Key::from_octets([0; KEY_LEN]);

impl Security {
    /// What our inits ask for.
    pub fn mode(&self) -> Mode {
        Mode { encrypt: self.encrypt, keyed: !self.keys.is_none() }
    }
}

/// The end that asks. Kept until a response opens; a forged one does no harm.
pub struct Initiator {
    local_id: SessionId,
    state: Box<HandshakeState>,
    init: Box<[u8; INIT_LEN]>,
}

impl Initiator {
    /// Begins a handshake for a session that is to be called `local_id` here.
    pub fn new(security: &Security, local_id: SessionId, rng: &mut impl CryptoRng) -> Self {
        let key = security.keys.shared();
        let header =
            InitHeader { version: VERSION, mode: security.mode(), key: key.map_or(KeyId::NONE, KeyId::of) };
        let header = header.to_octets();
        let mut state = builder(key, rng)
            .prologue(&[PROLOGUE, &header].concat())
            .and_then(Builder::build_initiator)
            .expect("the pattern is fixed and all it needs is given");
        let mut payload = [0; wire::init_payload_len(false)];
        let payload = &mut payload[..wire::init_payload_len(key.is_some())];
        wire::put_payload_session(payload, local_id);
        let init = write(&mut state, &header, payload)
            .expect("an initiator's first message needs nothing of the peer");
        Self { local_id, state: Box::new(state), init: Box::new(init) }
    }

    /// The init to send, over every path and again until answered.
    pub fn init(&self) -> &[u8; INIT_LEN] {
        &self.init
    }

    /// The session id that a response must name.
    pub fn local_id(&self) -> SessionId {
        self.local_id
    }

    /// Reads a response that names our session id.
    ///
    /// # Errors
    /// [`Reject::Forged`]; the real response can still come.
    pub fn finish(&mut self, noise: &[u8]) -> Result<SessionKeys, Reject> {
        let mut payload = [0; RESPONSE_LEN];
        let len = self.state.read_message(noise, &mut payload).map_err(|_| Reject::Forged)?;
        let (seal, open) = self.state.dangerously_get_raw_split();
        Ok(SessionKeys {
            local_id: self.local_id,
            remote_id: wire::payload_session(&payload[..len]),
            seal,
            open,
        })
    }
}

/// Answers an init as the session called `local_id` here. Tells which key it was made with too.
///
/// # Errors
/// [`Reject::OtherVersion`], [`Reject::OtherMode`], [`Reject::OtherKey`]. None of them is told to
/// the sender.
pub fn respond(
    security: &Security,
    init: &[u8; INIT_LEN],
    local_id: SessionId,
    rng: &mut impl CryptoRng,
) -> Result<(SessionKeys, KeyId, [u8; RESPONSE_LEN]), Reject> {
    let (octets, header, noise) = InitHeader::parse(init);
    if header.version != VERSION {
        return Err(Reject::OtherVersion);
    }
    if header.mode != security.mode() {
        return Err(Reject::OtherMode);
    }
    let known = security.keys.find(header.key);
    // A key that is not known costs as much as one that is: what is not answered tells nobody which it was.
    let key = header.mode.keyed.then(|| known.unwrap_or(&NOBODYS_KEY));
    let mut state = builder(key, rng)
        .prologue(&[PROLOGUE, octets].concat())
        .and_then(Builder::build_responder)
        .expect("the pattern is fixed and all it needs is given");
    let mut payload = [0; INIT_LEN];
    let len = state.read_message(noise, &mut payload).map_err(|_| Reject::OtherKey)?;
    if header.mode.keyed && known.is_none() {
        // Made with what stands for all keys that are not known.
        return Err(Reject::OtherKey);
    }
    let remote_id = wire::payload_session(&payload[..len]);

    let mut payload = [0; RESPONSE_PAYLOAD_LEN];
    wire::put_payload_session(&mut payload, local_id);
    let response =
        write(&mut state, &wire::response_header(remote_id), &payload).map_err(|_| Reject::Forged)?;
    let (open, seal) = state.dangerously_get_raw_split();
    Ok((SessionKeys { local_id, remote_id, seal, open }, header.key, response))
}

/// A handshake packet of `LEN` octets: header and Noise message.
fn write<const LEN: usize>(
    state: &mut HandshakeState,
    header: &[u8],
    payload: &[u8],
) -> Result<[u8; LEN], snow::Error> {
    // snow wants room for a tag even where the message has none.
    let mut message = [0; INIT_LEN + TAG_LEN];
    let len = state.write_message(payload, &mut message)?;
    let mut packet = [0; LEN];
    packet[..header.len()].copy_from_slice(header);
    packet[header.len()..].copy_from_slice(&message[..len]);
    Ok(packet)
}

fn builder<'a>(key: Option<&'a Key>, rng: &mut impl CryptoRng) -> Builder<'a> {
    let name = if key.is_some() { KEYED } else { UNKEYED };
    let mut seed = [0; 32];
    rng.fill_bytes(&mut seed);
    let builder =
        Builder::with_resolver(name.parse().expect("a pattern that snow knows"), Box::new(Seeded(seed)));
    match key {
        Some(key) => builder.psk(PSK_POSITION, key.octets()).expect("the one key, given once"),
        None => builder,
    }
}

/// Hands snow the generator that was passed in, where it would ask the system: a simulated run is a
/// seed.
pub(super) struct Seeded(pub(super) <StdRng as SeedableRng>::Seed);

impl CryptoResolver for Seeded {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        struct Seed(StdRng);
        impl Random for Seed {
            fn try_fill_bytes(&mut self, octets: &mut [u8]) -> Result<(), snow::Error> {
                self.0.fill_bytes(octets);
                Ok(())
            }
        }
        Some(Box::new(Seed(StdRng::from_seed(self.0))))
    }

    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        DefaultResolver.resolve_dh(choice)
    }

    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        DefaultResolver.resolve_hash(choice)
    }

    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        DefaultResolver.resolve_cipher(choice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tunnel::keyring::{Keyring, Keys};
    use crate::tunnel::wire::Packet;

    fn security(encrypt: bool, key: Option<u64>) -> Security {
        Security { encrypt, keys: key.map(|seed| Key::generate(&mut StdRng::seed_from_u64(seed))).into() }
    }

    fn noise(response: &mut [u8]) -> &[u8] {
        let Ok(Packet::Response(_, noise)) = wire::parse(response) else { panic!("not a response") };
        noise
    }

    #[test]
    fn both_ends_come_to_the_same_keys() {
        for (encrypt, key) in [(true, None), (true, Some(1)), (false, None), (false, Some(1))] {
            let security = security(encrypt, key);
            let mut rng = StdRng::seed_from_u64(7);
            let mut initiator = Initiator::new(&security, SessionId(1), &mut rng);
            let (theirs, _, mut response) =
                respond(&security, initiator.init(), SessionId(2), &mut rng).unwrap();
            let ours = initiator.finish(noise(&mut response)).unwrap();
            assert_eq!((ours.local_id, ours.remote_id), (SessionId(1), SessionId(2)));
            assert_eq!((theirs.local_id, theirs.remote_id), (SessionId(2), SessionId(1)));
            assert_eq!((ours.seal, ours.open), (theirs.open, theirs.seal));
            assert_ne!(ours.seal, ours.open);
        }
    }

    #[test]
    fn a_seed_decides_everything() {
        let init = |seed| {
            *Initiator::new(&security(true, None), SessionId(1), &mut StdRng::seed_from_u64(seed)).init()
        };
        assert_eq!(init(1), init(1));
        assert_ne!(init(1), init(2));
    }

    #[test]
    fn ends_that_do_not_agree_do_not_answer() {
        let respond_to = |theirs: &Security, ours: &Security| {
            let mut rng = StdRng::seed_from_u64(7);
            let initiator = Initiator::new(theirs, SessionId(1), &mut rng);
            respond(ours, initiator.init(), SessionId(2), &mut rng).map(|_| ())
        };
        let (open, keyed, other) = (security(true, None), security(true, Some(1)), security(true, Some(2)));
        let plain = security(false, None);
        assert_eq!(respond_to(&keyed, &keyed), Ok(()));
        assert_eq!(respond_to(&other, &keyed), Err(Reject::OtherKey));
        assert_eq!(respond_to(&open, &keyed), Err(Reject::OtherMode));
        assert_eq!(respond_to(&keyed, &open), Err(Reject::OtherMode));
        assert_eq!(respond_to(&plain, &open), Err(Reject::OtherMode));
    }

    #[test]
    fn nobody_gets_in_with_the_key_that_stands_for_all_unknown_ones() {
        let stranger = Security { encrypt: true, keys: Keys::Shared(NOBODYS_KEY.clone()) };
        let mut keyring = Keyring::default();
        keyring.add("alice", Key::generate(&mut StdRng::seed_from_u64(1))).expect("the first");
        for keys in [Keys::Each(keyring), security(true, Some(1)).keys] {
            let mut rng = StdRng::seed_from_u64(7);
            let initiator = Initiator::new(&stranger, SessionId(1), &mut rng);
            let server = Security { encrypt: true, keys };
            let answer = respond(&server, initiator.init(), SessionId(2), &mut rng);
            assert_eq!(answer.map(|_| ()), Err(Reject::OtherKey));
        }
    }

    #[test]
    fn no_changed_bit_of_a_keyed_init_is_answered() {
        let security = security(true, Some(1));
        let mut rng = StdRng::seed_from_u64(7);
        let initiator = Initiator::new(&security, SessionId(1), &mut rng);
        for bit in 0..INIT_LEN * 8 {
            let mut init = *initiator.init();
            init[bit / 8] ^= 1 << (bit % 8);
            assert!(respond(&security, &init, SessionId(2), &mut rng).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_forged_response_does_not_keep_the_real_one_out() {
        let security = security(true, None);
        let mut rng = StdRng::seed_from_u64(7);
        let mut initiator = Initiator::new(&security, SessionId(1), &mut rng);
        let (.., response) = respond(&security, initiator.init(), SessionId(2), &mut rng).unwrap();
        for bit in 5 * 8..RESPONSE_LEN * 8 {
            let mut forged = response;
            forged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(initiator.finish(noise(&mut forged)).err(), Some(Reject::Forged), "bit {bit}");
        }
        assert!(initiator.finish(noise(&mut response.clone())).is_ok());
    }
}
