//! Packets of any octets: what is taken has exactly the parts that went in, and what is refused is refused for its
//! type or its length alone.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mptunnel::tunnel::wire::{
    self, CONTROL_LEN, CONTROL_PACKET_LEN, Control, FLOW_LEN, FlowId, HEADER_LEN, INIT_LEN, InitHeader,
    Packet, RESPONSE_LEN, Type,
};

fuzz_target!(|octets: &[u8]| {
    packet(octets);
    data(octets);
    control(octets);
});

fn packet(octets: &[u8]) {
    let good = match octets.first() {
        Some(1) => octets.len() >= HEADER_LEN,
        Some(2 | 3) => octets.len() == CONTROL_PACKET_LEN,
        Some(4) => octets.len() == INIT_LEN,
        Some(5) => octets.len() == RESPONSE_LEN,
        _ => false,
    };
    let mut buffer = octets.to_vec();
    match wire::parse(&mut buffer) {
        Err(_) => assert!(!good, "a packet of a known type and its length was refused"),
        Ok(Packet::Sealed(header, sealed)) => {
            assert!(good);
            assert_eq!([&header.to_octets(), &*sealed].concat(), octets);
            assert_eq!(header.nonce()[..4], [0, 0, 0, octets[0]]);
            assert_eq!(header.nonce()[4..], octets[5..HEADER_LEN]);
            if header.kind == Type::Data {
                data(sealed);
            }
        }
        Ok(Packet::Init(init)) => {
            assert!(good);
            assert_eq!(init[..], *octets);
            let (head, header, noise) = InitHeader::parse(init);
            assert_eq!([head, noise].concat(), octets);
            // What has no meaning yet is ignored.
            let known = [&[4, octets[1], octets[2] & 3, 0], &octets[4..12]].concat();
            assert_eq!(header.to_octets()[..], known);
        }
        Ok(Packet::Response(session, noise)) => {
            assert!(good);
            assert_eq!([&wire::response_header(session), noise].concat(), octets);
        }
    }
    assert_eq!(buffer, octets, "parsing changed the packet");
}

fn data(text: &[u8]) {
    let mut buffer = text.to_vec();
    match wire::parse_data(&mut buffer) {
        Err(_) => assert!(text.len() < FLOW_LEN),
        Ok((flow, datagram)) => {
            assert!(flow.0 < FlowId::LIMIT);
            assert_eq!([&wire::flow_octets(flow), &*datagram].concat(), text);
        }
    }
}

fn control(text: &[u8]) {
    match Control::parse(text) {
        Err(_) => assert_ne!(text.len(), CONTROL_LEN),
        Ok(control) => {
            let mut meant = text.to_vec();
            meant[9] &= 1;
            meant[10..12].fill(0);
            if meant[56] != 255 {
                meant[52..56].fill(0);
            }
            meant[57] = meant[57].min(63);
            meant[62..].fill(0);
            assert_eq!(control.to_octets()[..], meant[..]);
            assert_eq!(Control::parse(&meant), Ok(control));
        }
    }
}
