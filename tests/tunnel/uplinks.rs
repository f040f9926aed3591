//! Uplinks that are missing: a tunnel by itself, which is told so whenever it asks for a socket.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mptunnel::tunnel::chronicle::Kind;
use mptunnel::tunnel::link::{Bind, Event, SocketId, Uplink};
use mptunnel::tunnel::role::{Bridge, ClientRole, Config};
use mptunnel::tunnel::{LISTENER, Tunnel};
use rand::{SeedableRng, rngs::StdRng};

use crate::sim::setup::encrypted;

const SECOND: Duration = Duration::from_secs(1);

struct Lonely {
    tunnel: Tunnel,
    begin: Instant,
    now: Instant,
    /// Whether the uplink is there.
    there: bool,
    /// When a socket over the uplink was asked for, which, and when it was closed.
    opened: Vec<(Duration, SocketId)>,
    closed: Vec<SocketId>,
    /// When a socket of the bridge without an uplink of its own was asked for.
    others: Vec<Duration>,
}

impl Lonely {
    fn new() -> Self {
        let bridge = Bridge::from(SocketAddr::from(([192, 0, 2, 1], 4000)));
        let over = Bridge { bind: Some(Uplink::Interface("wwan0".into())), ..bridge.clone() };
        let listen = ([127, 0, 0, 1], 3000).into();
        let role = ClientRole::new(listen, vec![over, bridge]).into();
        let begin = Instant::now();
        let config = Config { role, security: encrypted() };
        let tunnel = Tunnel::new(begin, config, StdRng::seed_from_u64(1));
        let (opened, closed, others) = (Vec::new(), Vec::new(), Vec::new());
        Self { tunnel, begin, now: begin, there: true, opened, closed, others }
    }

    fn run_for(&mut self, time: Duration) {
        let until = self.now + time;
        loop {
            while let Some(event) = self.tunnel.poll_event() {
                let at = self.now - self.begin;
                match event {
                    Event::Open(id, Bind::Towards { over: Some(_), .. }) => {
                        self.opened.push((at, id));
                        if !self.there {
                            self.tunnel.handle_uplink_lost(self.now, id, "there is no interface wwan0");
                        }
                    }
                    Event::Open(id, _) if id != LISTENER => self.others.push(at),
                    Event::Close(id) if self.opened.iter().any(|(_, opened)| *opened == id) => {
                        self.closed.push(id);
                    }
                    _ => {}
                }
            }
            while self.tunnel.poll_transmit().is_some() {}
            let next = self.tunnel.poll_timeout().max(self.now);
            if next > until {
                self.now = until;
                return;
            }
            self.now = next;
            self.tunnel.handle_timeout(next);
        }
    }

    fn lose(&mut self) {
        let (_, socket) = *self.opened.last().expect("a socket");
        self.tunnel.handle_uplink_lost(self.now, socket, "there is no interface wwan0");
    }
}

#[test]
fn a_missing_uplink_is_looked_for_every_second_for_as_long_as_it_takes() {
    let mut lonely = Lonely::new();
    lonely.there = false;
    lonely.run_for(200 * SECOND);
    let times: Vec<_> = lonely.opened.iter().map(|(at, _)| at.as_secs()).collect();
    // Once more at once, since it might only have been replaced.
    let expected: Vec<_> = [0].into_iter().chain(0..=200).collect();
    assert_eq!(times, expected);
    assert_eq!(lonely.closed.len(), times.len(), "none is left open");
    let events = lonely.tunnel.snapshot(lonely.now).events;
    let told: Vec<_> = events.iter().filter(|event| event.kind == Kind::Uplink).collect();
    assert!(!told.is_empty() && told.iter().all(|event| event.peer == Some(0)), "{told:?}");
    lonely.there = true;
    lonely.run_for(SECOND);
    assert_eq!(lonely.opened.len(), times.len() + 1);
}

#[test]
fn an_uplink_that_was_replaced_is_used_at_once_and_other_bridges_are_left_alone() {
    let mut lonely = Lonely::new();
    lonely.run_for(SECOND / 2);
    let (first, others) = (lonely.opened[0].1, lonely.others.clone());
    lonely.lose();
    lonely.run_for(Duration::ZERO);
    assert_eq!(lonely.opened.len(), 2);
    assert_eq!(lonely.closed, [first]);
    lonely.run_for(SECOND);
    assert_eq!(lonely.others, others);
}
