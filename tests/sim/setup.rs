//! What a simulated world is made of.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use mptunnel::tunnel::allow::{Allowed, Hosts, Rule};
use mptunnel::tunnel::flow::MAX_FLOWS;
use mptunnel::tunnel::key::Key;
use mptunnel::tunnel::keyring::{Keyring, Keys};
use mptunnel::tunnel::link::{Endpoint, Host as Name};
use mptunnel::tunnel::role::{
    Bridge as BridgeConfig, ClientRole, Config, Copies, Forward, Security, ServerRole,
};
use rand::{SeedableRng, rngs::StdRng};

use super::Sim;
use super::attacker::Account;
use super::host::Host;
use super::network::{Bridge, Faults};
use super::promise::Promise;
use super::traffic::Ledger;

/// What a look-up gives.
pub type Answer = Result<Vec<SocketAddr>, String>;
/// What a name's look-ups give, from which time on.
pub type Answers = Vec<(Duration, Answer)>;

/// What a world is made of.
#[derive(Clone, Debug)]
pub struct Setup {
    /// How many clients.
    pub clients: usize,
    /// What the bridges do to packets.
    pub bridges: Vec<Faults>,
    /// What the clients call a bridge, where that is not its address.
    pub bridge_names: HashMap<usize, &'static str>,
    /// What the server calls the target, where that is not its address.
    pub target_name: Option<&'static str>,
    /// What names mean. Others do not exist.
    pub names: HashMap<String, Answers>,
    /// How long a look-up takes.
    pub name_delay: Duration,
    /// The server's keys.
    pub server: Security,
    /// The clients' keys.
    pub client: Security,
    /// The keys of the first clients, where they have others than the rest.
    pub own: Vec<Security>,
    /// IPv6 for the server, the target and the bridges; otherwise IPv4.
    pub ipv6: bool,
    /// Whether the target echoes.
    pub echo: bool,
    /// How many copies the clients want.
    pub copies: Copies,
    /// The bridges that are backups.
    pub backups: Vec<usize>,
    /// How many targets the clients forward to besides; the server allows them.
    pub forwards: u8,
    /// Flows of a client, at both ends.
    pub max_flows: usize,
}

impl Setup {
    /// One client, bridges with these faults, encrypted without a key, no echo.
    pub fn new(bridges: impl IntoIterator<Item = Faults>) -> Self {
        Self {
            clients: 1,
            bridges: bridges.into_iter().collect(),
            bridge_names: HashMap::new(),
            target_name: None,
            names: HashMap::new(),
            name_delay: Duration::from_millis(30),
            server: encrypted(),
            client: encrypted(),
            own: Vec::new(),
            ipv6: false,
            echo: false,
            copies: Copies::All,
            backups: Vec::new(),
            forwards: 0,
            max_flows: MAX_FLOWS,
        }
    }

    /// The same, with bridges of these round trips, in ms, and losses.
    pub fn paths(paths: &[(u64, f64)]) -> Self {
        Self::new(paths.iter().map(|(rtt, loss)| Faults::new(Duration::from_millis(*rtt), *loss)))
    }

    /// The same with these keys at both ends.
    pub fn with(self, security: Security) -> Self {
        Self { server: security.clone(), client: security, ..self }
    }

    /// The address of a bridge.
    pub fn bridge_address(&self, number: usize) -> SocketAddr {
        self.address(10 + number as u8, 4000)
    }

    fn address(&self, host: u8, port: u16) -> SocketAddr {
        SocketAddr::new(ips(host)[usize::from(self.ipv6)], port)
    }

    /// The world with nothing running.
    pub fn build(&self, seed: u64) -> Sim {
        let (server, target) = (self.address(1, 2000), self.address(2, 1194));
        let listen = |number: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, 3000 + number));
        let others: Vec<_> = (0..self.forwards).map(|number| self.address(50 + number, 1194)).collect();
        let target_endpoint = match self.target_name {
            Some(name) => Endpoint { host: Name::Name(name.to_owned()), port: target.port() },
            None => target.into(),
        };
        let rule = |target: &SocketAddr| Rule {
            hosts: Hosts::net(target.ip().into()),
            ports: target.port()..=target.port(),
        };
        let allowed = Allowed(others.iter().map(rule).collect());
        let role =
            ServerRole { allowed, max_flows: self.max_flows, ..ServerRole::new(server, target_endpoint) };
        let config = Config { role: role.into(), security: self.server.clone() };
        let mut hosts = vec![Host::new(config, ips(1), mix(seed, 0))];
        for client in 0..self.clients {
            let bridges = (0..self.bridges.len()).map(|number| BridgeConfig {
                backup: self.backups.contains(&number),
                ..BridgeConfig::from(self.endpoint(number))
            });
            let forwards = (1..).zip(&others);
            let forwards =
                forwards.map(|(number, target)| Forward { listen: listen(number), target: (*target).into() });
            let role = ClientRole {
                copies: self.copies,
                forwards: forwards.collect(),
                max_flows: self.max_flows,
                ..ClientRole::new(listen(0), bridges.collect())
            };
            let security = self.own.get(client).unwrap_or(&self.client).clone();
            let config = Config { role: role.into(), security };
            hosts.push(Host::new(config, ips(100 + client as u8), mix(seed, 1 + client as u64)));
        }
        let bridges = (0..).zip(&self.bridges);
        let bridges = bridges.map(|(number, faults)| {
            Bridge::new(self.bridge_address(number), *faults, mix(seed, 1000 + number as u64))
        });
        Sim {
            base: Instant::now(),
            now: Duration::ZERO,
            turns: 0,
            queue: BTreeMap::new(),
            order: 0,
            rng: StdRng::seed_from_u64(mix(seed, 2000)),
            hosts,
            sockets: HashMap::new(),
            bridges: bridges.collect(),
            names: self.names.clone(),
            name_delay: self.name_delay,
            server,
            targets: std::iter::once(target).chain(others).collect(),
            echo: self.echo,
            flows: HashMap::new(),
            owners: HashMap::new(),
            spans: HashMap::new(),
            lives: HashSet::new(),
            closed: Vec::new(),
            ledger: Ledger::default(),
            promise: Promise::default(),
            streams: Vec::new(),
            attacker: None,
            account: Account::default(),
            trace: 0,
        }
    }

    /// The world with the server and all clients just started.
    pub fn start(&self, seed: u64) -> Sim {
        let mut sim = self.build(seed);
        sim.start_server();
        (0..self.clients).for_each(|client| sim.start_client(client));
        sim
    }

    /// The world with all paths of all clients in use.
    pub fn connect(&self, seed: u64) -> Sim {
        let mut sim = self.start(seed);
        sim.warm_up();
        sim
    }

    fn endpoint(&self, number: usize) -> Endpoint {
        let address = self.bridge_address(number);
        match self.bridge_names.get(&number) {
            Some(name) => Endpoint { host: Name::Name((*name).to_owned()), port: address.port() },
            None => address.into(),
        }
    }
}

/// What a name means at this time.
pub fn answer(names: &HashMap<String, Answers>, name: &str, now: Duration) -> Answer {
    let answers = names.get(name).map_or(&[][..], Vec::as_slice);
    let valid = answers.iter().rfind(|(from, _)| *from <= now);
    valid.map_or_else(|| Err("no such host".to_owned()), |(_, answer)| answer.clone())
}

/// Encryption without a key.
pub fn encrypted() -> Security {
    Security { encrypt: true, keys: Keys::None }
}

/// Encryption with the key that has this number.
pub fn keyed(number: u64) -> Security {
    Security { encrypt: true, keys: Keys::Shared(Key::generate(&mut StdRng::seed_from_u64(number))) }
}

/// At a server: encryption with a key for each client, by name and number of the key.
pub fn each(clients: &[(&str, u64)]) -> Security {
    let mut keyring = Keyring::default();
    for (name, number) in clients {
        let key = Key::generate(&mut StdRng::seed_from_u64(*number));
        keyring.add(name, key).expect("each key has one number");
    }
    Security { encrypt: true, keys: Keys::Each(keyring) }
}

/// `MPTUNNEL_ENCRYPT=0`.
pub fn plain() -> Security {
    Security { encrypt: false, keys: Keys::None }
}

fn ips(host: u8) -> [IpAddr; 2] {
    let v6 = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, host.into());
    [Ipv4Addr::new(198, 51, 100, host).into(), v6.into()]
}

fn mix(seed: u64, part: u64) -> u64 {
    (seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ part).wrapping_mul(0xd6e8_feb8_6659_fd93)
}
