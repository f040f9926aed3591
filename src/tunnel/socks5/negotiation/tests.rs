use rand::{Rng, RngExt, SeedableRng, rngs::StdRng};

use super::super::wire::Login;
use super::*;

const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
const ASSOCIATE: &[u8] = &[5, 3, 0, 1, 0, 0, 0, 0, 0, 0];

fn users() -> Users {
    let mut users = Users::default();
    users.add(Login { name: b"ann", password: b"secret" }).expect("a user");
    users
}

/// What becomes of these octets, sent so many at a time, and what is answered.
fn negotiate(users: Option<&Users>, octets: &[u8], at_a_time: usize) -> (Next, Vec<u8>) {
    let mut negotiation = Negotiation::default();
    let mut out = Vec::new();
    let mut next = Next::More;
    for piece in octets.chunks(at_a_time) {
        if next != Next::More {
            break;
        }
        next = negotiation.take(CLIENT, piece, users, &mut out);
    }
    (next, out)
}

#[test]
fn a_client_gets_its_association_with_and_without_a_login_however_its_octets_are_cut() {
    let without = [&[5, 1, 0], ASSOCIATE].concat();
    let with = [b"\x05\x02\x00\x02\x01\x03ann\x06secret", ASSOCIATE].concat();
    for at_a_time in 1..=with.len() {
        let next = Next::Associate(None);
        assert_eq!(negotiate(None, &without, at_a_time), (next, vec![5, 0]));
        assert_eq!(negotiate(Some(&users()), &with, at_a_time), (next, vec![5, 2, 1, 0]));
    }
}

#[test]
fn a_client_that_offers_no_fitting_method_is_told_so() {
    let refused = |failure| (Next::End(failure), vec![5, 0xff]);
    assert_eq!(negotiate(Some(&users()), &[5, 1, 0], 9), refused(Failure::Method));
    assert_eq!(negotiate(None, &[5, 1, 2], 9), refused(Failure::Method));
    assert_eq!(negotiate(None, &[5, 0], 9), refused(Failure::Method));
    assert_eq!(negotiate(None, &[5, 2, 1, 0x80], 9), refused(Failure::Method), "GSSAPI and one of its own");
}

#[test]
fn a_wrong_name_or_password_ends_the_connection() {
    for login in [&b"\x01\x03ann\x05wrong"[..], b"\x01\x03bob\x06secret", b"\x01\x00\x00", b"\x01\x03ann\x00"]
    {
        let octets = [&[5, 1, 2], login, ASSOCIATE].concat();
        for at_a_time in [1, octets.len()] {
            let outcome = negotiate(Some(&users()), &octets, at_a_time);
            assert_eq!(outcome, (Next::End(Failure::Login), vec![5, 2, 1, 1]), "{login:?}");
        }
    }
    assert_eq!(
        negotiate(Some(&users()), &[&[5, 1, 2], ASSOCIATE].concat(), 99).0,
        Next::End(Failure::Malformed),
        "a request in place of the login"
    );
}

#[test]
fn connect_and_bind_are_not_supported_nor_is_any_other_command() {
    for command in [0, 1, 2, 4, 255] {
        let octets = [5, 1, 0, 5, command, 0, 1, 192, 0, 2, 1, 0, 80];
        let answer = vec![5, 0, 5, 7, 0, 1, 0, 0, 0, 0, 0, 0];
        assert_eq!(negotiate(None, &octets, 1), (Next::End(Failure::Command), answer));
    }
}

#[test]
fn an_address_of_an_unknown_type_is_not_supported() {
    for kind in [0, 2, 5, 255] {
        let answer = vec![5, 0, 5, 8, 0, 1, 0, 0, 0, 0, 0, 0];
        let outcome = negotiate(None, &[5, 1, 0, 5, 3, 0, kind], 99);
        assert_eq!(outcome, (Next::End(Failure::AddressType), answer));
    }
}

#[test]
fn all_address_types_of_a_request_are_taken() {
    let v6 = [&[5, 1, 0, 5, 3, 0, 4][..], &[0; 16], &[0x13, 0x88]].concat();
    assert_eq!(negotiate(None, &v6, 1).0, Next::Associate(Some(5000)));
    let v4 = [5, 1, 0, 5, 3, 0, 1, 127, 0, 0, 1, 0x13, 0x88];
    assert_eq!(negotiate(None, &v4, 1).0, Next::Associate(Some(5000)));
    let name = b"\x05\x01\x00\x05\x03\x00\x03\x01a\x13\x88";
    assert_eq!(negotiate(None, name, 1).0, Next::Associate(None));
}

#[test]
fn what_is_no_socks5_is_not_answered() {
    for octets in
        [&b"GET / HTTP/1.1\r\n"[..], b"\x04\x01\x00\x50\xc0\x00\x02\x01\x00", b"\x16\x03\x01", b"\0"]
    {
        assert_eq!(negotiate(None, octets, 99), (Next::End(Failure::Malformed), vec![]), "{octets:?}");
    }
}

#[test]
fn octets_behind_the_request_end_the_connection() {
    let octets = [&[5, 1, 0], ASSOCIATE, b"x"].concat();
    assert_eq!(negotiate(None, &octets, 99), (Next::End(Failure::Malformed), vec![5, 0]));
    let mut negotiation = Negotiation::default();
    let mut out = Vec::new();
    let request = [&[5, 1, 0], ASSOCIATE].concat();
    assert_eq!(negotiation.take(CLIENT, &request, None, &mut out), Next::Associate(None));
    assert_eq!(negotiation.take(CLIENT, b"x", None, &mut out), Next::End(Failure::Malformed));
}

#[test]
fn a_password_is_not_kept_once_it_was_read() {
    let mut negotiation = Negotiation::default();
    let mut out = Vec::new();
    negotiation.take(CLIENT, b"\x05\x01\x02\x01\x03ann\x06secret", Some(&users()), &mut out);
    assert_eq!(out, [5, 2, 1, 0]);
    assert!(negotiation.message.iter().all(|octet| *octet == 0));
}

/// What random octets, right beginnings before them, lead to does not depend on where they are cut.
#[test]
fn where_octets_are_cut_changes_nothing() {
    let mut rng = StdRng::seed_from_u64(1929);
    let users = users();
    let beginnings: [&[u8]; 4] =
        [b"", b"\x05\x01\x00", b"\x05\x02\x00\x02\x01\x03ann\x06secret", b"\x05\x01\x02\x01"];
    for _ in 0..2_000 {
        let mut octets = vec![0; rng.random_range(0..600)];
        rng.fill_bytes(&mut octets);
        let beginning = beginnings[rng.random_range(0..beginnings.len())];
        let octets = [beginning, if rng.random_bool(0.5) { b"\x05\x03\x00" } else { b"" }, &octets].concat();
        let users = rng.random_bool(0.5).then_some(&users);
        let (next, out) = negotiate(users, &octets, 1);
        assert!(out.len() <= 2 + 2 + 10, "no more is answered than a reply to each message");
        for at_a_time in [2, 7, 64, 700] {
            // A whole request with more behind it in the same piece is refused; in pieces, the association is made first.
            let (other, answered) = negotiate(users, &octets, at_a_time);
            let late = matches!(next, Next::Associate(_)) && other == Next::End(Failure::Malformed);
            assert!(other == next || late, "{next:?} or {other:?}");
            assert_eq!(answered, out);
        }
    }
}
