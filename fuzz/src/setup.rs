//! What a world is made of, drawn from one octet, and its addresses.

use std::net::SocketAddr;

use mptunnel::tunnel::allow::{Allowed, Hosts, Rule};
use mptunnel::tunnel::key::{KEY_LEN, Key};
use mptunnel::tunnel::link::{Endpoint, Host};
use mptunnel::tunnel::role::{
    Bridge, ClientRole, Config, Copies, Forward, LossTarget, Role, Security, ServerRole,
};
use rand::{Rng, SeedableRng, rngs::StdRng};

use crate::insider::Insider;
use crate::traffic::App;
use crate::world::{CLIENT, End, SERVER};

/// The most bridges that a world has.
pub const MOST_BRIDGES: usize = 3;
const FIRST_APPLICATION_PORT: u16 = 10_000;
/// Every application with a number of this and a multiple of four sends to the forward's address.
const FORWARDED: u16 = 3;

/// See the module.
pub struct Setup {
    /// How many bridges there are.
    pub bridges: u8,
    /// Whether all paths are in use at the start.
    pub connected: bool,
    /// Whether there may be more flows than the limit.
    pub crowded: bool,
    /// Whether the ends have names to look up, and not addresses.
    names: bool,
    /// Each end's encryption and key, client first.
    modes: [(bool, Option<u64>); 2],
}

impl Setup {
    /// Eight modes, in four of which both ends agree; 1 to 3 bridges; names or addresses; at the start or in use.
    pub fn new(octet: u8) -> Self {
        let (open, keyed, plain, plain_keyed) =
            ((true, None), (true, Some(1)), (false, None), (false, Some(1)));
        let modes = [
            [open, open],
            [keyed, keyed],
            [plain, plain],
            [plain_keyed, plain_keyed],
            [open, plain],
            [keyed, open],
            [open, keyed],
            [(true, Some(2)), keyed],
        ];
        Self {
            bridges: [1, 2, 3, 2][usize::from(octet >> 3 & 3)],
            crowded: octet & 0x20 != 0,
            connected: octet & 0x40 != 0,
            names: octet & 0x80 != 0,
            modes: modes[usize::from(octet % 8)],
        }
    }

    /// Whether the ends understand each other.
    pub fn agreed(&self) -> bool {
        self.modes[CLIENT] == self.modes[SERVER]
    }

    /// Whether an end encrypts.
    pub fn encrypts(&self, end: End) -> bool {
        self.modes[end].0
    }

    /// Whether an end has a key.
    pub fn is_keyed(&self, end: End) -> bool {
        self.modes[end].1.is_some()
    }

    /// What an end is told at its start.
    pub fn config(&self, end: End) -> Config {
        let endpoint = |address: SocketAddr, name: String| match self.names {
            true => Endpoint { host: Host::Name(name), port: address.port() },
            false => address.into(),
        };
        let role = if end == CLIENT {
            let bridges = (0..self.bridges).map(|number| Bridge {
                // One alone is no backup of others.
                backup: self.names && number == 2,
                ..Bridge::from(endpoint(bridge(number), format!("bridge{number}.example")))
            });
            let copies = if self.names { Copies::Target(LossTarget(10_000)) } else { Copies::All };
            let target = endpoint(other_target(), "other.example".to_owned());
            let forwards = vec![Forward { listen: listener(FORWARDED), target }];
            Role::from(ClientRole { copies, forwards, ..ClientRole::new(listener(0), bridges.collect()) })
        } else {
            let target = endpoint(target(), "target.example".to_owned());
            let (hosts, port) = (Hosts::net(other_target().ip().into()), other_target().port());
            let allowed = Allowed(vec![Rule { hosts, ports: port..=port }]);
            ServerRole { allowed, ..ServerRole::new(([0, 0, 0, 0], 2000).into(), target) }.into()
        };
        let (encrypt, key) = self.modes[end];
        let key = key.map(|number| Key::generate(&mut StdRng::seed_from_u64(number)));
        Config { role, security: Security { encrypt, keys: key.into() } }
    }

    /// Somebody with the server's key.
    pub fn insider(&self) -> Insider {
        let (encrypt, key) = self.modes[SERVER];
        let octets = key.map(|number| {
            // As `Key::generate` draws them.
            let mut octets = [0; KEY_LEN];
            StdRng::seed_from_u64(number).fill_bytes(&mut octets);
            octets
        });
        Insider::new(encrypt, octets)
    }

    /// Whether the ends look names up.
    pub fn has_names(&self) -> bool {
        self.names
    }

    /// The number of the bridge with this address.
    pub fn bridge_at(&self, address: SocketAddr) -> Option<u8> {
        (0..self.bridges).find(|number| bridge(*number) == address)
    }
}

/// Where a bridge listens.
pub fn bridge(number: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, number + 1], 4000))
}

/// Where the target is.
pub fn target() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 200], 1194))
}

/// Somebody's address.
pub fn stranger(number: u8) -> SocketAddr {
    SocketAddr::from(([203, 0, 113, number % 4], 5000))
}

/// The address of somebody who is nobody else: a name may be said to be at a stranger's, never at this one.
pub fn passer_by(number: u8) -> SocketAddr {
    SocketAddr::from(([203, 0, 113, 128 + number % 4], 5000))
}

/// Whether an address is a stranger's.
pub fn is_stranger(address: SocketAddr) -> bool {
    (0..4).any(|number| stranger(number) == address)
}

/// An application's address.
pub fn application(app: App) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], FIRST_APPLICATION_PORT + app.number))
}

/// The application with this address.
pub fn application_at(address: SocketAddr) -> App {
    App { client: 0, number: address.port() - FIRST_APPLICATION_PORT }
}

/// The target that the client forwards to.
pub fn other_target() -> SocketAddr {
    ([192, 0, 2, 8], 1195).into()
}

/// Where an application sends to.
pub fn listener(app: u16) -> SocketAddr {
    ([127, 0, 0, 1], 3000 + u16::from(app % 4 == FORWARDED)).into()
}

/// Whether an application speaks with [`other_target`].
pub fn is_forwarded(app: u16) -> bool {
    app % 4 == FORWARDED
}
