//! A session: the keys of one handshake, the counters of what we send, and the windows of what we
//! have received. It seals and opens; it knows no address.
//!
//! Control packets, open and opened are sealed in every mode. Data packets are sealed unless `MPTUNNEL_ENCRYPT=0`
//! was set at both ends: then their seal is empty, all else is the same.

use std::time::Instant;

use zeroize::{Zeroize, ZeroizeOnDrop};

use super::aead::{Aead, KEY_LEN, TAG_LEN};
use super::window::Window;
use super::wire::{
    self, CONTROL_LEN, CONTROL_PACKET_LEN, Control, FlowId, HEADER_LEN, Header, OVERHEAD_LEN, Open, Opened,
    Reject, SessionId, Type,
};

/// Probes and replies a session must remember: 32 paths, each at its fastest of 20 a second, for
/// 1.6 seconds.
const CONTROL_WINDOW_LEN: u64 = 1024;

/// One handshake's keys, ready to seal and open.
pub struct Session {
    /// What the other end calls us in its packets.
    pub local_id: SessionId,
    /// What we call the other end.
    pub remote_id: SessionId,
    /// When the handshake ended.
    pub since: Instant,
    encrypt: bool,
    seal: Aead,
    open: Aead,
    data_sent: u64,
    control_sent: u64,
    data_received: Window,
    control_received: Window<CONTROL_WINDOW_LEN>,
}

/// What a handshake leaves: both ids, and a key for each direction. Wiped from memory when dropped.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct SessionKeys {
    /// Our id.
    #[zeroize(skip)]
    pub local_id: SessionId,
    /// The other end's.
    #[zeroize(skip)]
    pub remote_id: SessionId,
    /// For what we send.
    pub seal: [u8; KEY_LEN],
    /// For what we receive.
    pub open: [u8; KEY_LEN],
}

impl Session {
    /// A session that has sent and received nothing.
    pub fn new(now: Instant, keys: &SessionKeys, encrypt: bool) -> Self {
        Self {
            local_id: keys.local_id,
            remote_id: keys.remote_id,
            since: now,
            encrypt,
            seal: Aead::new(&keys.seal),
            open: Aead::new(&keys.open),
            data_sent: 0,
            control_sent: 0,
            data_received: Window::new(),
            control_received: Window::new(),
        }
    }

    /// Appends the packet that carries a datagram to `out`.
    #[inline]
    pub fn seal_data(&mut self, flow: FlowId, datagram: &[u8], out: &mut Vec<u8>) {
        let header = self.numbered(Type::Data);
        self.put(header, self.encrypt, out, |out| {
            out.extend_from_slice(&wire::flow_octets(flow));
            out.extend_from_slice(datagram);
        });
    }

    /// Appends the packet that asks for a flow, with a datagram if there is one, to `out`.
    pub fn seal_open(&mut self, open: &Open, datagram: Option<&[u8]>, out: &mut Vec<u8>) {
        let header = self.numbered(Type::Open);
        self.put(header, true, out, |out| open.put(datagram, out));
    }

    /// Appends the packet that says what became of a flow to `out`.
    pub fn seal_opened(&mut self, opened: Opened, out: &mut Vec<u8>) {
        let header = self.numbered(Type::Opened);
        self.put(header, true, out, |out| out.extend_from_slice(&opened.to_octets()));
    }

    /// The header of the next packet with a data counter.
    #[inline]
    fn numbered(&mut self, kind: Type) -> Header {
        let header = Header { kind, session: self.remote_id, counter: self.data_sent };
        self.data_sent += 1;
        header
    }

    /// Appends a packet to `out`: its header, the text that `write` appends, and, if that is to be sealed, a tag.
    #[inline]
    fn put(&self, header: Header, is_sealed: bool, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
        let octets = header.to_octets();
        out.extend_from_slice(&octets);
        let text = out.len();
        write(out);
        if is_sealed {
            let tag = self.seal.seal(header.nonce(), &octets, &mut out[text..]);
            out.extend_from_slice(&tag);
        }
    }

    /// Octets that a data packet is longer than its datagram.
    pub fn overhead_len(&self) -> usize {
        if self.encrypt { OVERHEAD_LEN } else { OVERHEAD_LEN - TAG_LEN }
    }

    /// The counter of the next data packet.
    #[inline]
    pub fn next_counter(&self) -> u64 {
        self.data_sent
    }

    /// Opens a data packet in place, once.
    ///
    /// # Errors
    /// [`Reject::Copy`], [`Reject::TooOld`], [`Reject::Forged`], [`Reject::Malformed`].
    #[inline]
    pub fn open_data<'a>(
        &mut self,
        header: Header,
        sealed: &'a mut [u8],
    ) -> Result<(FlowId, &'a mut [u8]), Reject> {
        self.take(header, self.encrypt, sealed, wire::parse_data)
    }

    /// Opens an open in place, once.
    ///
    /// # Errors
    /// As [`Self::open_data`].
    pub fn take_open<'a>(
        &mut self,
        header: Header,
        sealed: &'a mut [u8],
    ) -> Result<(Open, Option<&'a mut [u8]>), Reject> {
        self.take(header, true, sealed, Open::parse)
    }

    /// Opens an opened, once.
    ///
    /// # Errors
    /// As [`Self::open_data`].
    pub fn take_opened(&mut self, header: Header, sealed: &mut [u8]) -> Result<Opened, Reject> {
        self.take(header, true, sealed, |text| Opened::parse(text))
    }

    /// Opens a packet with a data counter: the window is asked before any cryptography, so that a
    /// copy costs one bit test, and moves only after it, so that a forgery can neither move it
    /// nor shadow the real packet.
    #[inline]
    fn take<'a, T>(
        &mut self,
        header: Header,
        is_sealed: bool,
        sealed: &'a mut [u8],
        parse: impl FnOnce(&'a mut [u8]) -> Result<T, Reject>,
    ) -> Result<T, Reject> {
        self.data_received.check(header.counter)?;
        let text = if is_sealed { self.unseal(header, sealed)? } else { sealed };
        let parts = parse(text)?;
        self.data_received.accept(header.counter);
        Ok(parts)
    }

    #[inline]
    fn unseal<'a>(&self, header: Header, sealed: &'a mut [u8]) -> Result<&'a mut [u8], Reject> {
        self.open.open(header.nonce(), &header.to_octets(), sealed).map_err(|_| Reject::Forged)
    }

    /// Appends a probe or a reply to `out`.
    pub fn seal_control(&mut self, kind: Type, control: Control, out: &mut Vec<u8>) {
        self.seal_padded(kind, control, CONTROL_PACKET_LEN, out);
    }

    /// Appends a probe or a reply to `out` that is `len` octets long, at least [`CONTROL_PACKET_LEN`].
    pub fn seal_padded(&mut self, kind: Type, control: Control, len: usize, out: &mut Vec<u8>) {
        let header = Header { kind, session: self.remote_id, counter: self.control_sent };
        self.control_sent += 1;
        self.put(header, true, out, |out| {
            out.extend_from_slice(&control.to_octets());
            out.resize(out.len() + len - CONTROL_PACKET_LEN, 0);
        });
    }

    /// Opens a probe or a reply, and tells whether it is a copy of one that came before: a probe
    /// that was overtaken by a copy of itself from elsewhere still has something to say.
    ///
    /// # Errors
    /// As [`Self::open_data`], but for [`Reject::Copy`].
    pub fn open_control(&mut self, header: Header, sealed: &mut [u8]) -> Result<(Control, bool), Reject> {
        let news = self.control_received.check(header.counter);
        if news == Err(Reject::TooOld) {
            return Err(Reject::TooOld);
        }
        let text = self.unseal(header, sealed)?;
        let control = Control::parse(text.get(..CONTROL_LEN).ok_or(Reject::Malformed)?)?;
        if news.is_ok() {
            self.control_received.accept(header.counter);
        }
        Ok((control, news.is_err()))
    }
}

const _: () = assert!(HEADER_LEN + CONTROL_LEN + TAG_LEN == CONTROL_PACKET_LEN);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tunnel::link::Target;
    use crate::tunnel::wire::{Advice, ClientId, Clock, Label, Packet, PathToken, Verdict, Whole};

    #[expect(clippy::disallowed_methods, reason = "any instant will do")]
    fn pair(encrypt: bool) -> (Session, Session) {
        let (a, b) = (SessionId(1), SessionId(2));
        let ours = SessionKeys { local_id: a, remote_id: b, seal: [1; KEY_LEN], open: [2; KEY_LEN] };
        let theirs = SessionKeys { local_id: b, remote_id: a, seal: [2; KEY_LEN], open: [1; KEY_LEN] };
        let now = Instant::now();
        (Session::new(now, &ours, encrypt), Session::new(now, &theirs, encrypt))
    }

    fn open(session: &mut Session, packet: &[u8]) -> Result<(FlowId, Vec<u8>), Reject> {
        let mut packet = packet.to_vec();
        let Packet::Sealed(header, sealed) = wire::parse(&mut packet)? else { panic!("not sealed") };
        session.open_data(header, sealed).map(|(flow, datagram)| (flow, datagram.to_vec()))
    }

    #[test]
    fn a_datagram_crosses_once_in_both_modes() {
        for encrypt in [true, false] {
            let (mut ours, mut theirs) = pair(encrypt);
            for datagram in [&b""[..], b"x", &[7; 1472]] {
                let mut packet = Vec::new();
                ours.seal_data(FlowId(3), datagram, &mut packet);
                let overhead = if encrypt { 32 } else { 16 };
                assert_eq!(packet.len(), datagram.len() + overhead);
                assert_eq!(open(&mut theirs, &packet), Ok((FlowId(3), datagram.to_vec())));
                assert_eq!(open(&mut theirs, &packet), Err(Reject::Copy));
            }
        }
    }

    #[test]
    fn a_forgery_neither_moves_the_window_nor_shadows_the_real_packet() {
        let (mut ours, mut theirs) = pair(true);
        let mut packet = Vec::new();
        ours.seal_data(FlowId(0), b"real", &mut packet);
        for bit in 5 * 8..packet.len() * 8 {
            let mut forged = packet.clone();
            forged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(open(&mut theirs, &forged), Err(Reject::Forged), "bit {bit}");
        }
        assert_eq!(open(&mut theirs, &packet), Ok((FlowId(0), b"real".to_vec())));
    }

    #[test]
    fn a_control_packet_is_sealed_in_both_modes_and_its_copies_are_known() {
        for encrypt in [true, false] {
            let (mut ours, mut theirs) = pair(encrypt);
            let control = Control {
                client: ClientId(1),
                path: 2,
                left: false,
                ended: false,
                validated: false,
                number: 3,
                count: 4,
                token: PathToken(5),
                clock: Clock(6),
                advice: Advice::default(),
                whole: Whole::default(),
            };
            let mut packet = Vec::new();
            ours.seal_control(Type::Probe, control, &mut packet);
            let mut open = |mut packet: Vec<u8>| {
                let Packet::Sealed(header, sealed) = wire::parse(&mut packet)? else { panic!("not sealed") };
                theirs.open_control(header, sealed)
            };
            let mut as_reply = packet.clone();
            as_reply[0] = Type::Reply as u8;
            assert_eq!(open(as_reply), Err(Reject::Forged));
            assert_eq!(open(packet.clone()), Ok((control, false)));
            assert_eq!(open(packet), Ok((control, true)));
        }
    }

    #[test]
    fn open_and_opened_are_sealed_in_both_modes_and_share_the_counters_of_data() {
        for encrypt in [true, false] {
            let (mut ours, mut theirs) = pair(encrypt);
            let open = Open { flow: FlowId(7), label: Label(8), port: 9, target: Target::Default };
            let opened = Opened { flow: FlowId(7), verdict: Verdict::Open, port: 9, address: None };
            let mut packets: [Vec<u8>; 3] = Default::default();
            ours.seal_data(FlowId(7), b"0", &mut packets[0]);
            ours.seal_open(&open, Some(b"datagram"), &mut packets[1]);
            ours.seal_opened(opened, &mut packets[2]);
            assert!(!packets[1].windows(8).any(|part| part == b"datagram"), "in the clear");
            for (number, packet) in (0..).zip(&mut packets) {
                let Ok(Packet::Sealed(header, _)) = wire::parse(packet) else { panic!("not sealed") };
                assert_eq!(header.counter, number);
            }
            let parts = |packet: &mut Vec<u8>| -> (Header, Vec<u8>) {
                let Ok(Packet::Sealed(header, sealed)) = wire::parse(packet) else { panic!("not sealed") };
                (header, sealed.to_vec())
            };
            let (header, sealed) = parts(&mut packets[1]);
            let mut forged = sealed.clone();
            forged[3] ^= 1;
            assert_eq!(theirs.take_open(header, &mut forged), Err(Reject::Forged));
            let taken = theirs
                .take_open(header, &mut sealed.clone())
                .map(|(open, rest)| (open, rest.map(|d| d.to_vec())));
            assert_eq!(taken, Ok((open, Some(b"datagram".to_vec()))));
            assert_eq!(theirs.take_open(header, &mut sealed.clone()), Err(Reject::Copy));
            let (header, sealed) = parts(&mut packets[2]);
            assert_eq!(theirs.take_opened(header, &mut sealed.clone()), Ok(opened));
            assert_eq!(theirs.take_opened(header, &mut sealed.clone()), Err(Reject::Copy));
        }
    }

    #[test]
    fn what_we_sent_is_not_ours_to_open() {
        let (mut ours, _) = pair(true);
        let mut packet = Vec::new();
        ours.seal_data(FlowId(0), b"reflected", &mut packet);
        assert_eq!(open(&mut ours, &packet), Err(Reject::Forged));
    }
}
