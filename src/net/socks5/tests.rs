use std::net::TcpStream as Peer;

use mio::{Events, Poll};
use rand::{SeedableRng, rngs::StdRng};

use super::*;
use crate::tunnel::keyring::Keys;
use crate::tunnel::link::{Bind, Event};
use crate::tunnel::role::{ClientRole, Config, Security};
use crate::tunnel::socks5::association::{MAX_ASSOCIATIONS, Refusals};
use crate::tunnel::socks5::users::Users;
use crate::tunnel::socks5::wire::Login;

const TOKEN: Token = Token(1);
/// Long enough for any machine: what is awaited here comes at once.
const AWHILE: Duration = Duration::from_secs(20);
const GREETING: &[u8] = &[5, 1, 0];
const ASSOCIATE: &[u8] = &[5, 3, 0, 1, 0, 0, 0, 0, 0, 0];
const FAILED: &[u8] = &[5, 1, 0, 1, 0, 0, 0, 0, 0, 0];
const PORT: u16 = 4321;

/// An event loop that has nothing but SOCKS5 clients.
struct Loop {
    poll: Poll,
    events: Events,
    socks5: Socks5,
    tunnel: Tunnel,
    now: Instant,
    /// Whether sockets can be opened.
    sockets: bool,
    closed: Vec<SocketId>,
}

impl Loop {
    fn new(users: Option<Users>) -> Self {
        let poll = Poll::new().expect("a poll");
        let any: SocketAddr = ([127, 0, 0, 1], 0).into();
        let socks5 = Socks5::open(any, poll.registry(), TOKEN).expect("a port");
        let config = crate::tunnel::role::Socks5 { listen: any, users };
        let role = ClientRole { socks5: Some(config), ..ClientRole::new(any, Vec::new()) };
        let config = Config { role: role.into(), security: Security { encrypt: true, keys: Keys::None } };
        #[expect(clippy::disallowed_methods, reason = "any instant will do")]
        let now = Instant::now();
        let tunnel = Tunnel::new(now, config, StdRng::seed_from_u64(1));
        let events = Events::with_capacity(1024);
        Self { poll, events, socks5, tunnel, now, sockets: true, closed: Vec::new() }
    }

    fn client(&self) -> Peer {
        let client = Peer::connect(self.socks5.local_addr().expect("it listens")).expect("it listens");
        client.set_nonblocking(true).expect("a socket");
        client
    }

    /// One turn, which waits for news that long at most.
    fn turn(&mut self, wait: Duration) {
        self.poll.poll(&mut self.events, Some(wait)).expect("a poll");
        for event in &self.events {
            match event.token() {
                TOKEN => self.socks5.knocked(),
                token => self.socks5.ready(self.now, token, &mut self.tunnel),
            }
        }
        self.socks5.go_on(self.now, self.poll.registry(), &mut self.tunnel);
        while let Some(event) = self.tunnel.poll_event() {
            match event {
                Event::Open(id, Bind::Listen(address)) if id.relays() => {
                    let bound = self.sockets.then_some(SocketAddr::new(address.ip(), PORT));
                    if bound.is_none() {
                        self.tunnel.handle_socket_error(self.now, id);
                    }
                    self.socks5.relay_opened(self.now, id, bound, &mut self.tunnel);
                }
                Event::Close(id) if id.relays() => self.closed.push(id),
                _ => {}
            }
        }
    }

    /// Turns until this holds.
    fn until(&mut self, mut holds: impl FnMut(&mut Self) -> bool) {
        #[expect(clippy::disallowed_methods, reason = "a test has a clock of its own")]
        let begun = Instant::now();
        while !holds(self) {
            assert!(begun.elapsed() < AWHILE, "it does not come");
            self.turn(Duration::from_millis(1));
        }
    }

    /// What a client is told; `None` at the end of the connection.
    fn heard(&mut self, client: &mut Peer) -> Option<Vec<u8>> {
        let mut heard = None;
        let mut buffer = [0; 64];
        self.until(|_| match client.read(&mut buffer) {
            Ok(0) => true,
            Ok(len) => {
                heard = Some(buffer[..len].to_vec());
                true
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock, "the connection was reset");
                false
            }
        });
        heard
    }

    fn told(&mut self, client: &mut Peer, octets: &[u8]) -> Option<Vec<u8>> {
        client.write_all(octets).expect("it listens");
        self.heard(client)
    }

    fn associate(&mut self) -> Peer {
        let mut client = self.client();
        assert_eq!(self.told(&mut client, GREETING), Some(vec![5, 0]));
        assert_eq!(self.told(&mut client, ASSOCIATE), Some(granted()));
        client
    }

    fn associations(&self) -> usize {
        self.tunnel.snapshot(self.now).socks5.expect("it serves SOCKS5").associations
    }

    fn refused(&self) -> Refusals {
        self.tunnel.snapshot(self.now).socks5.expect("it serves SOCKS5").refused
    }
}

fn granted() -> Vec<u8> {
    [&[5, 0, 0, 1, 127, 0, 0, 1][..], &PORT.to_be_bytes()].concat()
}

#[test]
fn a_client_gets_an_association_and_loses_it_with_its_connection() {
    let mut turn = Loop::new(None);
    let client = turn.associate();
    assert_eq!((turn.associations(), turn.socks5.deadline()), (1, None), "it may last");
    turn.now += Duration::from_secs(86_400);
    turn.turn(Duration::ZERO);
    assert_eq!(turn.associations(), 1);
    drop(client);
    turn.until(|turn| turn.associations() == 0);
    turn.turn(Duration::ZERO);
    assert_eq!(turn.closed.len(), 1, "its socket is closed");
    assert!(turn.socks5.clients.is_empty() && turn.socks5.relays.is_empty());
}

#[test]
fn a_client_that_closes_its_half_of_the_connection_loses_its_association_too() {
    let mut turn = Loop::new(None);
    let client = turn.associate();
    client.shutdown(Shutdown::Write).expect("a socket");
    turn.until(|turn| turn.associations() == 0);
}

#[test]
fn a_client_that_logs_in_octet_by_octet_is_heard() {
    let mut users = Users::default();
    users.add(Login { name: b"ann", password: b"secret" }).expect("a user");
    let mut turn = Loop::new(Some(users));
    let mut client = turn.client();
    client.set_nodelay(true).expect("a socket");
    let mut heard = Vec::new();
    for octet in [b"\x05\x01\x02\x01\x03ann\x06secret", ASSOCIATE].concat() {
        client.write_all(&[octet]).expect("it listens");
        turn.turn(Duration::from_millis(1));
    }
    while heard.len() < 4 + granted().len() {
        heard.extend(turn.heard(&mut client).expect("an answer"));
    }
    assert_eq!(heard, [&[5, 2, 1, 0], &granted()[..]].concat());
}

#[test]
fn a_refused_client_gets_its_answer_whatever_else_it_sends() {
    let mut turn = Loop::new(None);
    let mut client = turn.client();
    assert_eq!(turn.told(&mut client, GREETING), Some(vec![5, 0]));
    let connect = [&[5, 1, 0, 1, 192, 0, 2, 1, 0, 80][..], &[b'x'; 20_000]].concat();
    assert_eq!(turn.told(&mut client, &connect), Some(vec![5, 7, 0, 1, 0, 0, 0, 0, 0, 0]));
    assert_eq!(turn.heard(&mut client), None, "no more, and no reset that would take the answer");
    assert_eq!(turn.refused(), Refusals { command: 1, ..Refusals::default() });
    // Who does not close the connection is not waited for.
    assert_eq!(turn.socks5.deadline(), Some(turn.now + FAREWELL));
    turn.now += FAREWELL;
    turn.turn(Duration::ZERO);
    assert!(turn.socks5.clients.is_empty());
}

#[test]
fn a_refused_client_that_sends_without_end_is_cut_off() {
    let mut turn = Loop::new(None);
    let mut client = turn.client();
    assert_eq!(turn.told(&mut client, &[5, 1, 9]), Some(vec![5, 0xff]));
    turn.until(|turn| {
        // Once it is cut off, it cannot send.
        let _ = client.write(&[0; 4096]);
        turn.socks5.clients.is_empty()
    });
}

#[test]
fn what_is_no_socks5_and_what_comes_behind_the_request_ends_the_connection() {
    let mut turn = Loop::new(None);
    let mut http = turn.client();
    http.write_all(b"GET / HTTP/1.1\r\n\r\n").expect("it listens");
    turn.until(|turn| turn.refused().malformed == 1);
    let mut client = turn.associate();
    client.write_all(b"x").expect("it listens");
    turn.until(|turn| turn.refused().malformed == 2);
    assert!(turn.socks5.clients.is_empty());
    assert_eq!(turn.associations(), 0);
}

#[test]
fn a_client_that_does_not_say_what_it_wants_is_dropped_in_time() {
    let mut turn = Loop::new(None);
    let mut client = turn.client();
    assert_eq!(turn.told(&mut client, GREETING), Some(vec![5, 0]));
    assert_eq!(turn.socks5.deadline(), Some(turn.now + PATIENCE));
    turn.now += PATIENCE;
    assert_eq!(turn.heard(&mut client), None);
    assert_eq!(turn.refused(), Refusals { late: 1, ..Refusals::default() });
    assert_eq!(turn.socks5.deadline(), None);
}

#[test]
fn clients_that_say_nothing_keep_nobody_out() {
    let mut turn = Loop::new(None);
    let held = turn.associate();
    let mut silent = Vec::new();
    for number in 0..3 * UNSETTLED_MAX {
        silent.push(turn.client());
        // The system queues some.
        if number % 64 == 63 {
            turn.until(|turn| turn.socks5.tokens.start - SOCKS5_CLIENTS.start > number);
            assert!(turn.socks5.clients.len() <= UNSETTLED_MAX + 1);
        }
    }
    assert_eq!(turn.refused().late as usize, 2 * UNSETTLED_MAX);
    let client = turn.associate();
    assert_eq!(turn.associations(), 2, "who has an association keeps it");
    drop((held, client));
}

#[test]
fn associations_are_limited_and_there_is_room_again_when_one_ends() {
    let mut turn = Loop::new(None);
    let mut clients: Vec<_> = (0..MAX_ASSOCIATIONS).map(|_| turn.associate()).collect();
    let mut client = turn.client();
    assert_eq!(turn.told(&mut client, GREETING), Some(vec![5, 0]));
    assert_eq!(turn.told(&mut client, ASSOCIATE), Some(FAILED.to_vec()));
    assert_eq!(turn.heard(&mut client), None);
    assert_eq!(turn.refused(), Refusals { limit: 1, ..Refusals::default() });
    clients.pop();
    turn.until(|turn| turn.associations() < MAX_ASSOCIATIONS);
    turn.associate();
}

#[test]
fn a_client_is_told_where_no_socket_can_be_opened() {
    let mut turn = Loop::new(None);
    turn.sockets = false;
    let mut client = turn.client();
    assert_eq!(turn.told(&mut client, GREETING), Some(vec![5, 0]));
    assert_eq!(turn.told(&mut client, ASSOCIATE), Some(FAILED.to_vec()));
    assert_eq!(turn.heard(&mut client), None);
    assert_eq!(turn.refused(), Refusals { no_socket: 1, ..Refusals::default() });
    assert_eq!(turn.associations(), 0);
    // It has the time of all who have got their last answer, and nothing is left of it.
    assert_eq!(turn.socks5.deadline(), Some(turn.now + FAREWELL));
    turn.now += PATIENCE;
    turn.turn(Duration::ZERO);
    assert!(turn.socks5.clients.is_empty() && turn.socks5.relays.is_empty());
    assert_eq!(turn.socks5.deadline(), None);
}

#[test]
fn datagrams_go_to_the_address_of_the_connection_and_a_link_local_one_keeps_its_interface() {
    for (connection, datagrams) in [
        ("192.0.2.1:1080", "192.0.2.1:0"),
        ("[::ffff:192.0.2.1]:1080", "192.0.2.1:0"),
        ("[2001:db8::1]:1080", "[2001:db8::1]:0"),
        ("[fe80::1%3]:1080", "[fe80::1%3]:0"),
    ] {
        let [connection, datagrams] = [connection, datagrams].map(|text| text.parse().expect("an address"));
        assert_eq!(with_any_port(connection), datagrams);
    }
}
