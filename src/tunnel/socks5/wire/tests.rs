use rand::{Rng, RngExt, SeedableRng, rngs::StdRng};

use super::*;

fn ip(address: &str) -> Address<'static> {
    Address::Ip(address.parse().expect(address))
}

fn endpoint(host: Host, port: u16) -> Endpoint {
    Endpoint { host, port }
}

fn written(address: Address<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    address.write(&mut out);
    out
}

#[test]
fn the_messages_of_rfc_1928_and_1929_octet_by_octet() {
    assert_eq!(greeting(&[5, 2, 0, 2]), Ok(Message::Whole(&[0, 2][..])));
    assert_eq!(greeting(&[5, 0]), Ok(Message::Whole(&[][..])));
    assert!(
        login(b"\x01\x03ann\x06secret") == Ok(Message::Whole(Login { name: b"ann", password: b"secret" }))
    );
    let asked = |command, address| Ok(Message::Whole(Request { command, address }));
    assert_eq!(request(&[5, 3, 0, 1, 0, 0, 0, 0, 0, 0]), asked(UDP_ASSOCIATE, ip("0.0.0.0:0")));
    assert_eq!(request(b"\x05\x01\x00\x03\x02ab\x00\x50"), asked(1, Address::Name(b"ab", 80)));
    assert_eq!(
        datagram(&[0, 0, 0, 1, 192, 0, 2, 1, 0, 53, 7, 8]),
        Ok((endpoint(Host::Ip([192, 0, 2, 1].into()), 53), &[7, 8][..]))
    );
    assert_eq!(
        datagram(b"\x00\x00\x00\x03\x0bexample.org\x01\xbb"),
        Ok((endpoint(Host::Name("example.org".into()), 443), &[][..]))
    );
    let mut v6 = vec![0, 0, 0, 4];
    v6.extend([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7, 0x12, 0x34, 9]);
    let documentation = "2001:db8::7".parse().expect("an address");
    assert_eq!(datagram(&v6), Ok((endpoint(Host::Ip(documentation), 0x1234), &[9][..])));

    let mut out = Vec::new();
    write_reply(Reply::Succeeded, ([127, 0, 0, 1], 1080).into(), &mut out);
    assert_eq!(out, [5, 0, 0, 1, 127, 0, 0, 1, 4, 56]);
    out.clear();
    write_header(Address::Ip((documentation, 0x1234).into()), &mut out);
    assert_eq!(out, v6[..v6.len() - 1]);
}

#[test]
fn a_message_in_pieces_tells_how_much_is_missing_and_never_too_much() {
    let messages: [&[u8]; 6] = [
        &[5, 3, 0, 1, 2],
        &[5, 0],
        b"\x01\x03ann\x06secret",
        &[5, 3, 0, 1, 1, 2, 3, 4, 0, 53],
        b"\x05\x03\x00\x03\x02ab\x00\x50",
        &[5, 3, 0, 4, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 0, 53],
    ];
    for (number, message) in messages.into_iter().enumerate() {
        for len in 0..message.len() {
            let wanted = match number {
                0 | 1 => begun_len(greeting(&message[..len])),
                2 => begun_len(login(&message[..len])),
                _ => begun_len(request(&message[..len])),
            };
            assert!(wanted > len && wanted <= message.len(), "{len} of {message:?} wants {wanted}");
        }
    }
}

fn begun_len<T>(message: Result<Message<T>, Malformed>) -> usize {
    match message {
        Ok(Message::Begun(len)) => len,
        _ => panic!("a piece is no whole message"),
    }
}

#[test]
fn another_version_or_address_type_is_told_by_its_first_octet() {
    for first in [0, 4, 6, b'G', 255] {
        assert_eq!(greeting(&[first]), Err(Malformed::Version));
        assert!(login(&[first]) == Err(Malformed::Version));
        assert_eq!(request(&[first]), Err(Malformed::Version));
    }
    for kind in [0, 2, 5, 255] {
        assert_eq!(request(&[5, 3, 0, kind]), Err(Malformed::AddressType));
        assert_eq!(datagram(&[0, 0, 0, kind, 1, 2, 3, 4, 0, 53]), Err(Unsent::Malformed));
    }
}

#[test]
fn fragments_and_what_has_no_target_are_not_taken() {
    let whole = [0, 0, 0, 1, 192, 0, 2, 1, 0, 53];
    for fragment in [1, 127, 128, 255] {
        let mut part = whole;
        part[2] = fragment;
        assert_eq!(datagram(&part), Err(Unsent::Fragment));
    }
    for len in 0..whole.len() {
        assert_eq!(datagram(&whole[..len]), Err(Unsent::Malformed), "{len} octets");
    }
    assert_eq!(datagram(&[0, 0, 0, 1, 192, 0, 2, 1, 0, 0]), Err(Unsent::Malformed), "port 0");
    let mut reserved = whole;
    reserved[..2].fill(0xff);
    assert_eq!(datagram(&reserved), datagram(&whole), "the reserved octets may be anything");
}

#[test]
fn a_name_is_one_that_can_be_looked_up_and_an_address_written_out_is_an_address() {
    let long = "a".repeat(63);
    let longest = [&long[..], &long, &long, &long[..61]].join(".");
    for name in ["localhost", "a_b.example.org.", "3com", "xn--bcher-kva.example", &longest] {
        let target = Address::Name(name.as_bytes(), 53).endpoint();
        assert_eq!(target, Some(endpoint(Host::Name(name.into()), 53)));
    }
    for (name, address) in [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8::7", "2001:db8::7"),
        ("[2001:db8::7]", "2001:db8::7"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
    ] {
        let target = Address::Name(name.as_bytes(), 53).endpoint();
        assert_eq!(target, Some(endpoint(Host::Ip(address.parse().expect(address)), 53)));
    }
    assert_eq!(ip("[::ffff:192.0.2.1]:53").endpoint(), ip("192.0.2.1:53").endpoint());
    for name in [
        &b""[..],
        b".",
        b"a..b",
        b"a b",
        b"a/b",
        b"a\0b",
        b"b\xc3\xbccher.example",
        b"\xff",
        b"a\nb",
        b"[",
        b"[]",
    ] {
        assert_eq!(Address::Name(name, 53).endpoint(), None, "{name:?}");
    }
    for name in [format!("{longest}a"), format!("{longest}."), "a".repeat(64)] {
        assert_eq!(Address::Name(name.as_bytes(), 53).endpoint(), None);
    }
}

#[test]
fn what_is_written_is_read_and_what_is_read_is_what_was_written() {
    let mut rng = StdRng::seed_from_u64(1928);
    for _ in 0..20_000 {
        let mut octets = vec![0; rng.random_range(0..ADDRESS_LEN_MAX + 20)];
        rng.fill_bytes(&mut octets);
        if rng.random_bool(0.9) && !octets.is_empty() {
            octets[0] = [IPV4, NAME, IPV6][rng.random_range(0..3)];
        }
        match address(&octets) {
            Ok(Message::Whole((address, len))) => {
                assert_eq!(written(address), octets[..len]);
                assert_eq!(header_len(&address), 3 + len);
            }
            Ok(Message::Begun(len)) => assert!(len > octets.len() && len <= ADDRESS_LEN_MAX),
            Err(error) => {
                assert_eq!(error, Malformed::AddressType);
                assert!(![IPV4, NAME, IPV6].contains(&octets[0]));
            }
        }
    }
}
