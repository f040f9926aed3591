//! Packets of any octets: what is taken has exactly the parts that went in, and what is refused is refused for its
//! type or its length alone.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mptunnel::tunnel::wire::{
    self, CONTROL_LEN, CONTROL_PACKET_LEN, Control, FLOW_LEN, FlowId, HEADER_LEN, INIT_LEN, InitHeader,
    OPENED_LEN, OPENED_PACKET_LEN, Open, Opened, PADDED_PACKET_LEN, Packet, RESPONSE_LEN, Type,
};

fuzz_target!(|octets: &[u8]| {
    packet(octets);
    data(octets);
    control(octets);
    open(octets);
    opened(octets);
});

fn packet(octets: &[u8]) {
    let good = match octets.first() {
        Some(1 | 6) => octets.len() >= HEADER_LEN,
        Some(2 | 3) => (CONTROL_PACKET_LEN..=PADDED_PACKET_LEN).contains(&octets.len()),
        Some(4) => octets.len() == INIT_LEN,
        Some(5) => octets.len() == RESPONSE_LEN,
        Some(7) => octets.len() == OPENED_PACKET_LEN,
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

fn open(text: &[u8]) {
    let mut buffer = text.to_vec();
    if let Ok((open, datagram)) = Open::parse(&mut buffer) {
        let mut meant = text.to_vec();
        // Where there is no datagram, what stands in its place is nothing.
        meant[3] &= 1;
        if datagram.is_none() {
            meant.truncate(open.text_len());
        }
        let mut written = Vec::new();
        open.put(datagram.as_deref(), &mut written);
        assert_eq!(written, meant);
    }
}

fn opened(text: &[u8]) {
    match Opened::parse(text) {
        Err(_) => assert!(text.len() != OPENED_LEN || text[3] > 5 || text[6] > 2),
        Ok(opened) => {
            let mut meant = text.to_vec();
            match meant[6] {
                0 => meant[7..25].fill(0),
                1 => meant[11..23].fill(0),
                _ => {}
            }
            meant[25..].fill(0);
            assert_eq!(opened.to_octets()[..], meant[..]);
        }
    }
}

fn control(text: &[u8]) {
    match Control::parse(text) {
        Err(_) => assert_ne!(text.len(), CONTROL_LEN),
        Ok(control) => {
            let mut meant = text.to_vec();
            meant[9] &= 15;
            if meant[56] != 255 {
                meant[52..56].fill(0);
            }
            meant[57] = meant[57].min(63);
            assert_eq!(control.to_octets()[..], meant[..]);
            assert_eq!(Control::parse(&meant), Ok(control));
        }
    }
}
