//! Properties of the wire formats, over random values: what is written is read back, what is read is what stood there.

use std::time::Instant;

use mptunnel::tunnel::choice::Policy;
use mptunnel::tunnel::keyring::KeyId;
use mptunnel::tunnel::role::{Copies, LossTarget};
use mptunnel::tunnel::session::{Session, SessionKeys};
use mptunnel::tunnel::set::PathSet;
use mptunnel::tunnel::wire::{
    self, Advice, CONTROL_PACKET_LEN, ClientId, Clock, Control, FlowId, HEADER_LEN, Header, INIT_LEN,
    InitHeader, Mode, OVERHEAD_LEN, PADDED_PACKET_LEN, Packet, PathToken, RESPONSE_LEN, Reject, SessionId,
    Spread, Type, Whole,
};
use rand::{Rng, RngExt, SeedableRng, rngs::StdRng};

use crate::sim::seeds::seeds;

/// A number that is often small, often large, and sometimes in between.
fn number(rng: &mut StdRng) -> u64 {
    let number = rng.random::<u64>() >> rng.random_range(0..64);
    if rng.random() { number } else { !number }
}

fn octets(rng: &mut StdRng, len: usize) -> Vec<u8> {
    let mut octets = vec![0; len];
    rng.fill_bytes(&mut octets);
    octets
}

fn header(rng: &mut StdRng) -> Header {
    let kind = [Type::Data, Type::Probe, Type::Reply][rng.random_range(0..3)];
    Header { kind, session: SessionId(number(rng) as u32), counter: number(rng) }
}

fn control(rng: &mut StdRng) -> Control {
    Control {
        client: ClientId(number(rng)),
        path: rng.random(),
        left: rng.random(),
        ended: rng.random(),
        validated: rng.random(),
        number: number(rng) as u32,
        count: number(rng) as u32,
        token: PathToken(number(rng)),
        clock: Clock(rng.random_range(0..1 << 24)),
        advice: advice(rng),
        whole: Whole {
            known: rng.random(),
            attempt: rng.random(),
            heard: rng.random(),
            arrived: rng.random(),
        },
    }
}

fn advice(rng: &mut StdRng) -> Advice {
    let copies = match rng.random_range(0..3) {
        0 => Copies::All,
        1 => Copies::Best(rng.random_range(1..=32)),
        _ => Copies::Target(LossTarget(rng.random())),
    };
    let spread = Spread {
        sampled: PathSet(rng.random()),
        chosen: PathSet(rng.random()),
        since: number(rng),
        sample: rng.random_range(0..64),
    };
    let policy = Policy { copies, backups: PathSet(rng.random()) };
    let (wanted, loss, residual, jitter) = (PathSet(rng.random()), rng.random(), rng.random(), rng.random());
    Advice { spread, wanted, policy, loss, residual, jitter }
}

#[test]
fn every_sealed_packet_is_read_as_it_was_written() {
    seeds(5000, |seed| {
        let mut rng = StdRng::seed_from_u64(seed);
        let header = header(&mut rng);
        let len = match header.kind {
            Type::Data => rng.random_range(0..2000),
            _ => rng.random_range(CONTROL_PACKET_LEN..=PADDED_PACKET_LEN) - HEADER_LEN,
        };
        let mut sealed = octets(&mut rng, len);
        let mut packet = [&header.to_octets()[..], &sealed].concat();
        assert_eq!(wire::parse(&mut packet), Ok(Packet::Sealed(header, &mut sealed)));
        let nonce = header.nonce();
        assert_eq!(nonce[4..], header.to_octets()[5..]);
        let control = control(&mut rng);
        assert_eq!(Control::parse(&control.to_octets()), Ok(control));
        let flow = FlowId(number(&mut rng) as u32 % FlowId::LIMIT);
        let mut text = [&wire::flow_octets(flow)[..], &sealed].concat();
        assert_eq!(wire::parse_data(&mut text), Ok((flow, &mut sealed[..])));
    });
}

#[test]
fn every_packet_that_is_read_is_what_stood_there() {
    seeds(20_000, |seed| {
        let mut rng = StdRng::seed_from_u64(seed);
        let len = [0, 1, 12, 13, 14, CONTROL_PACKET_LEN, RESPONSE_LEN, INIT_LEN, rng.random_range(0..300)];
        let len = len[rng.random_range(0..len.len())];
        let mut packet = octets(&mut rng, len);
        if let Some(kind) = packet.first_mut() {
            *kind = rng.random_range(0..7);
        }
        let written = match wire::parse(&mut packet.clone()) {
            Ok(Packet::Sealed(header, sealed)) => [&header.to_octets()[..], sealed].concat(),
            Ok(Packet::Init(init)) => init.to_vec(),
            Ok(Packet::Response(session, noise)) => [&wire::response_header(session)[..], noise].concat(),
            Err(error) => {
                assert_eq!(error, Reject::Malformed);
                return;
            }
        };
        assert_eq!(written, packet);
    });
}

#[test]
fn every_init_header_is_read_as_it_was_written() {
    for version in 0..=255 {
        for (encrypt, keyed) in [(false, false), (false, true), (true, false), (true, true)] {
            let key = KeyId([version, 1, 2, 3, 4, 5, 6, 7]);
            let header = InitHeader { version, mode: Mode { encrypt, keyed }, key };
            let mut init = [7; INIT_LEN];
            init[..12].copy_from_slice(&header.to_octets());
            assert_eq!(InitHeader::parse(&init), (&header.to_octets()[..], header, &[7; INIT_LEN - 12][..]));
        }
    }
}

#[test]
fn whatever_is_sealed_is_opened_unchanged_and_nothing_else() {
    let now = Instant::now();
    seeds(500, |seed| {
        let mut rng = StdRng::seed_from_u64(seed);
        let (a, b, encrypt) = (SessionId(rng.random()), SessionId(rng.random()), rng.random());
        let ours = SessionKeys { local_id: a, remote_id: b, seal: rng.random(), open: rng.random() };
        let theirs = SessionKeys { local_id: b, remote_id: a, seal: ours.open, open: ours.seal };
        let mut ours = Session::new(now, &ours, encrypt);
        let mut theirs = Session::new(now, &theirs, encrypt);
        let mut open = |packet: &[u8]| {
            let mut packet = packet.to_vec();
            let Packet::Sealed(header, sealed) = wire::parse(&mut packet)? else { panic!("not sealed") };
            theirs.open_data(header, sealed).map(|(flow, datagram)| (flow, datagram.to_vec()))
        };
        for _ in 0..20 {
            let flow = FlowId(rng.random_range(0..FlowId::LIMIT));
            let len = rng.random_range(0..1500);
            let datagram = octets(&mut rng, len);
            let mut packet = Vec::new();
            ours.seal_data(flow, &datagram, &mut packet);
            assert_eq!(packet.len(), len + if encrypt { OVERHEAD_LEN } else { OVERHEAD_LEN - 16 });
            if encrypt {
                let mut forged = packet.clone();
                // Type and session decide who opens it, not whether it opens.
                forged[rng.random_range(5..packet.len())] ^= 1 << rng.random_range(0..8);
                // Its counter may have become one that was seen.
                assert!(matches!(open(&forged), Err(Reject::Forged | Reject::Copy)));
                let cut = rng.random_range(HEADER_LEN..packet.len());
                assert_eq!(open(&packet[..cut]), Err(Reject::Forged));
            }
            assert_eq!(open(&packet), Ok((flow, datagram)));
            assert_eq!(open(&packet), Err(Reject::Copy));
        }
    });
}
