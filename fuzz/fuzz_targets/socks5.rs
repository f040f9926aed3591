//! SOCKS5 of any octets: a negotiation holds one message, answers no more than a reply to each, and comes to the same
//! wherever its octets are cut; a datagram's header that is taken says what it says when written anew.

#![no_main]

use std::net::{IpAddr, Ipv4Addr};
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use mptunnel::tunnel::link::Host;
use mptunnel::tunnel::socks5::negotiation::{Failure, Negotiation, Next};
use mptunnel::tunnel::socks5::users::Users;
use mptunnel::tunnel::socks5::wire::{self, Address, Login, Message, Unsent};

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

static USERS: LazyLock<Users> = LazyLock::new(|| {
    let mut users = Users::default();
    users.add(Login { name: b"a", password: b"b" }).expect("a user");
    users
});

fuzz_target!(|octets: &[u8]| {
    // The first octet chooses whether a login is wanted and how the rest is cut.
    let [first, rest @ ..] = octets else { return };
    let users = (first & 1 != 0).then_some(&*USERS);
    negotiation(users, rest, usize::from(first >> 1).max(1));
    messages(rest);
    datagram(rest);
});

fn negotiation(users: Option<&Users>, octets: &[u8], at_a_time: usize) {
    let (next, out) = negotiate(users, octets, at_a_time);
    let (one_by_one, answered) = negotiate(users, octets, 1);
    // In one piece with what should not follow it, a request is refused.
    let excess = matches!(one_by_one, Next::Associate(_)) && next == Next::End(Failure::Malformed);
    assert!(next == one_by_one || excess, "{next:?}, one by one {one_by_one:?}");
    assert_eq!(out, answered);
    let refused = usize::from(matches!(next, Next::End(Failure::Command | Failure::AddressType))) * 10;
    assert!(out.len() <= 2 + 2 * usize::from(users.is_some()) + refused, "more is answered than came");
    if matches!(next, Next::Associate(_)) {
        let good: &[u8] = if users.is_some() { &[5, 2, 1, 0] } else { &[5, 0] };
        assert_eq!(out, good, "an association without a login");
        assert!(users.is_none() || octets.windows(5).any(|login| login == b"\x01\x01a\x01b"));
    }
}

fn negotiate(users: Option<&Users>, octets: &[u8], at_a_time: usize) -> (Next, Vec<u8>) {
    let mut negotiation = Negotiation::default();
    let mut out = Vec::new();
    for piece in octets.chunks(at_a_time) {
        match negotiation.take(CLIENT, piece, users, &mut out) {
            Next::More => {}
            next => return (next, out),
        }
    }
    (Next::More, out)
}

/// A message that has only begun wants more than has come, and no more than the longest has.
fn messages(octets: &[u8]) {
    let wanted = [begun(wire::greeting(octets)), begun(wire::login(octets)), begun(wire::request(octets))];
    for wanted in wanted.into_iter().flatten() {
        assert!(wanted > octets.len() && wanted <= wire::MESSAGE_LEN_MAX);
    }
}

fn begun<T, E>(message: Result<Message<T>, E>) -> Option<usize> {
    match message {
        Ok(Message::Begun(len)) => Some(len),
        _ => None,
    }
}

fn datagram(octets: &[u8]) {
    match wire::datagram(octets) {
        Err(Unsent::Fragment) => assert_ne!(octets[2], 0),
        Err(Unsent::Malformed) => assert!(octets.len() < 3 || octets[2] == 0),
        Ok((target, data)) => {
            assert!(octets.ends_with(data) && target.port != 0);
            let mut again = vec![0; 3];
            match &target.host {
                Host::Ip(ip) => Address::Ip((*ip, target.port).into()),
                Host::Name(name) => {
                    assert!(!name.is_empty() && name.bytes().all(|octet| octet.is_ascii_graphic()));
                    Address::Name(name.as_bytes(), target.port)
                }
            }
            .write(&mut again);
            again.extend(data);
            assert_eq!(wire::datagram(&again), Ok((target, data)));
        }
    }
}
