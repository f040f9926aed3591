//! Scenarios drawn from a seed: who there is, what the network is like, and what goes wrong when.

use std::collections::HashMap;
use std::ops::Range;
use std::time::Duration;

use mptunnel::tunnel::role::{Copies, LossTarget};
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::host::{HostId, SERVER};
use super::network::{Faults, Rate};
use super::setup::{Setup, encrypted, keyed, plain};
use super::traffic::{App, Way};
use super::villain::{
    Trick, Villain, alter, flood, guess, hold_back, noise, overtake, overtake_from_nowhere, own_one_bridge,
    reflect, replay,
};
use super::{Sim, Stream, forwarded};

/// See the module.
#[derive(Debug)]
pub struct Scenario {
    seed: u64,
    setup: Setup,
    streams: Vec<Stream>,
    mishaps: Vec<(Duration, Mishap)>,
    attack: Option<&'static str>,
    /// The longest round trip of all bridges, with jitter and queues.
    pub rtt: Duration,
    /// When the last fault ends.
    pub end: Duration,
}

/// Something that happens to the world.
#[derive(Clone, Debug)]
enum Mishap {
    /// A bridge has other faults.
    Weather(usize, Faults),
    /// A bridge swallows everything for some time.
    Blackout(usize, Duration),
    /// All bridges do.
    Night(Duration),
    /// One direction of a bridge dies, or comes back.
    Dead(usize, Way, bool),
    /// A bridge forgets its ports.
    Rebind(usize),
    /// All do.
    RebindAll,
    Kill(HostId),
    Start(HostId),
}

/// Where the attackers are, what they play, and whether they can in which modes: encrypted, plain, keyed.
const ATTACKS: [(&str, Trick, [bool; 3]); 10] = [
    ("off-path: guesses", guess, [true; 3]),
    ("off-path: floods", flood, [true; 3]),
    ("observer: replays", replay, [true; 3]),
    ("observer: overtakes", overtake, [true; 3]),
    ("observer: overtakes and vanishes", overtake_from_nowhere, [true; 3]),
    ("observer: reflects", reflect, [true; 3]),
    ("observer: makes noise", noise, [true, false, true]),
    ("observer: sends what it has altered", alter, [true, false, true]),
    ("manipulator: owns a bridge", own_one_bridge, [true, false, true]),
    ("manipulator: holds back", hold_back, [true; 3]),
];
/// The tricks of whoever owns a bridge are played to the last packet; others some times with each kind of packet.
const THOROUGHLY: u32 = 4;

const MANIPULATOR: &str = "manipulator";

const NAMES: [&str; 6] = ["b0.example", "b1.example", "b2.example", "b3.example", "b4.example", "b5.example"];
const SECOND: Duration = Duration::from_secs(1);

impl Scenario {
    /// The scenario of a seed.
    pub fn draw(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed ^ 0x5ce0_a210);
        let rng = &mut rng;
        let bridges: Vec<_> = (0..rng.random_range(1..=6)).map(|_| weather(rng, None)).collect();
        let mode = rng.random_range(0..3);
        let mut setup = Setup::new(bridges).with([encrypted(), plain(), keyed(seed)][mode].clone());
        setup.clients = rng.random_range(1..=3);
        setup.ipv6 = rng.random();
        setup.forwards = rng.random_range(0..=2);
        // Now and then a fault lasts so long that paths are given up.
        let length = if rng.random_bool(0.04) { 15 * SECOND } else { ms(rng, 500..3000) };
        let streams = streams(rng, &setup, length);
        let attack = rng.random_bool(0.5).then(|| ATTACKS.choose(rng).expect("there are some"));
        // Whoever owns the only bridge decides what arrives.
        let possible = |name: &str| setup.bridges.len() > 1 || !name.starts_with(MANIPULATOR);
        let attack = attack.filter(|(name, _, modes)| modes[mode] && possible(name)).map(|(name, ..)| *name);
        name_bridges(rng, &mut setup, length);
        let mut mishaps = Vec::new();
        for _ in 0..rng.random_range(0..8) {
            mishap(rng, &setup, length, &mut mishaps);
        }
        if attack.is_some_and(|name| name.starts_with(MANIPULATOR)) {
            // How soon a server is missed follows from the best round trip of the paths that answer. Where the only one that
            // does is in the wrong hands, so is that.
            setup.bridges[1] = Faults { delay: setup.bridges[1].delay, ..Faults::default() };
            mishaps.retain(|(_, mishap)| !mishap.silences(1));
        }
        if !attack.is_some_and(|name| name.starts_with(MANIPULATOR)) {
            // With fewer copies, what he has of them may be all.
            draw_policy(rng, &mut setup);
        }
        mishaps.sort_by_key(|(at, _)| *at);
        let end =
            mishaps.iter().map(|(at, mishap)| *at + mishap.time()).max().unwrap_or_default().max(length);
        let rtt = longest_rtt(&setup, &mishaps);
        Self { seed, setup, streams, mishaps, attack, rtt, end }
    }

    /// The world when the last fault has just ended. All applications talk, and an attacker goes on.
    pub fn play(&self) -> Sim {
        let mut sim = self.setup.start(self.seed);
        if let Some((name, trick, _)) = ATTACKS.iter().find(|(name, ..)| Some(*name) == self.attack) {
            let thoroughly = if name.starts_with(MANIPULATOR) { u32::MAX } else { THOROUGHLY };
            sim.attacker = Some(Box::new(Villain::new(self.seed, *trick, thoroughly)));
        }
        for stream in &self.streams {
            sim.stream(stream.clone());
        }
        for (at, mishap) in &self.mishaps {
            sim.run_for(*at - sim.now);
            mishap.play(&mut sim);
        }
        sim.run_for(self.end - sim.now);
        end_faults(&mut sim);
        sim
    }

    /// All applications.
    pub fn apps(&self) -> impl Iterator<Item = App> + '_ {
        self.streams.iter().filter(|stream| stream.way == Way::Up).map(|stream| stream.app)
    }
}

impl Mishap {
    /// How long it lasts by itself.
    fn time(&self) -> Duration {
        match self {
            Self::Blackout(_, time) | Self::Night(time) => *time,
            _ => Duration::ZERO,
        }
    }

    /// Whether it may keep a bridge from answering.
    fn silences(&self, number: usize) -> bool {
        match self {
            Self::Weather(bridge, _) | Self::Blackout(bridge, _) | Self::Dead(bridge, ..) => {
                *bridge == number
            }
            Self::Night(_) => true,
            _ => false,
        }
    }

    fn play(&self, sim: &mut Sim) {
        let now = sim.now;
        match *self {
            // Its delay stays: the round trip tells how long recovery may take.
            Self::Weather(bridge, faults) => [Way::Up, Way::Down].into_iter().for_each(|way| {
                let line = sim.bridges[bridge].line(way);
                line.faults = Faults { delay: line.faults.delay, ..faults };
            }),
            Self::Blackout(bridge, time) => sim.bridges[bridge].black_out(now..now + time),
            Self::Night(time) => sim.bridges.iter_mut().for_each(|bridge| bridge.black_out(now..now + time)),
            Self::Dead(bridge, way, dead) => sim.bridges[bridge].line(way).dead = dead,
            Self::Rebind(bridge) => sim.bridges[bridge].rebind(),
            Self::RebindAll => sim.bridges.iter_mut().for_each(|bridge| bridge.rebind()),
            Self::Kill(SERVER) => sim.kill_server(),
            Self::Kill(client) => sim.kill_client(client - 1),
            Self::Start(host) if sim.runs(host) => {}
            Self::Start(SERVER) => sim.start_server(),
            Self::Start(client) => sim.start_client(client - 1),
        }
    }
}

fn end_faults(sim: &mut Sim) {
    for bridge in &mut sim.bridges {
        for way in [Way::Up, Way::Down] {
            let line = bridge.line(way);
            line.faults = Faults { delay: line.faults.delay, ..Faults::default() };
            line.dead = false;
            line.blackouts.clear();
        }
    }
    for host in (0..=sim.clients()).filter(|host| !sim.runs(*host)).collect::<Vec<_>>() {
        Mishap::Start(host).play(sim);
    }
}

/// How many copies the clients want, and which bridges are backups.
fn draw_policy(rng: &mut StdRng, setup: &mut Setup) {
    setup.copies = match rng.random_range(0..4) {
        0 => Copies::Best(rng.random_range(1..=3)),
        1 => Copies::Target(LossTarget(rng.random_range(100..100_000))),
        _ => Copies::All,
    };
    setup.backups = (0..setup.bridges.len()).filter(|_| rng.random_bool(0.15)).collect();
}

fn longest_rtt(setup: &Setup, mishaps: &[(Duration, Mishap)]) -> Duration {
    let rtt = |bridge: usize, faults: &Faults| {
        let queue = faults.rate.map_or(Duration::ZERO, |rate| rate.time(rate.queue_len));
        2 * (setup.bridges[bridge].delay + faults.jitter + queue)
    };
    let changed = mishaps.iter().filter_map(|(_, mishap)| match mishap {
        Mishap::Weather(bridge, faults) => Some(rtt(*bridge, faults)),
        _ => None,
    });
    let first = setup.bridges.iter().enumerate().map(|(bridge, faults)| rtt(bridge, faults));
    first.chain(changed).max().unwrap_or_default()
}

/// Up to three applications at each client, one in four worlds with a busy one.
fn streams(rng: &mut StdRng, setup: &Setup, length: Duration) -> Vec<Stream> {
    let mut streams = Vec::new();
    for client in 0..setup.clients {
        for number in 0..rng.random_range(1..=3) {
            let number = number + forwarded(rng.random_range(0..=setup.forwards.into()));
            for way in [Way::Up, Way::Down] {
                let longest = [120, 120, 1400].choose(rng).expect("three");
                let stream = Stream::new(App { client, number }, way, rng.random_range(10..=25));
                streams.push(Stream { len: 12..=*longest, ..stream });
            }
        }
    }
    if rng.random_bool(0.25) && length < 5 * SECOND {
        streams[0].burst = 16;
    }
    streams
}

/// Some bridges have names. They resolve at once, late, for some time, or never; but the first two are addresses, since
/// a name that fails is tried again after 2 s and more.
fn name_bridges(rng: &mut StdRng, setup: &mut Setup, length: Duration) {
    for (number, name) in NAMES.into_iter().enumerate().take(setup.bridges.len()).skip(2) {
        if rng.random_bool(0.2) {
            let right = Ok(vec![setup.bridge_address(number)]);
            let wrong = [Err("no such host".to_owned()), Ok(Vec::new())].choose(rng).expect("two").clone();
            let at = length.mul_f64(rng.random());
            let answers = match rng.random_range(0..3) {
                0 => vec![(Duration::ZERO, right)],
                1 => vec![(Duration::ZERO, wrong), (at, right)],
                _ => vec![(Duration::ZERO, right), (at, wrong)],
            };
            setup.bridge_names.insert(number, name);
            setup.names.extend(HashMap::from([(name.to_owned(), answers)]));
        }
    }
    setup.name_delay = ms(rng, 0..200);
}

fn weather(rng: &mut StdRng, delay: Option<Duration>) -> Faults {
    let delay = delay.unwrap_or_else(|| {
        let longest = *[5, 50, 150].choose(rng).expect("three");
        ms(rng, 1..longest)
    });
    let mut faults = Faults { delay, ..Faults::default() };
    if rng.random_bool(0.6) {
        faults.loss = *[0.0, 0.05, 0.2, 0.5].choose(rng).expect("four");
        faults.mean_burst = if rng.random() { 1.0 } else { 6.0 };
        faults.duplicate = *[0.0, 0.0, 0.2].choose(rng).expect("three");
        faults.jitter = if rng.random() { ms(rng, 1..100) } else { Duration::ZERO };
        faults.reorder = rng.random();
    }
    if rng.random_bool(0.2) {
        let per_second = rng.random_range(10_000..100_000);
        // Up to a fifth of a second, but at least a full packet.
        let queue_len = (per_second / rng.random_range(5..50)).max(1500) as usize;
        faults.rate = Some(Rate { per_second, queue_len });
    }
    if rng.random_bool(0.1) {
        // Too short for full datagrams, for probes, for everything.
        faults.mtu = *[1000, 100, 90, 10].choose(rng).expect("four");
    }
    faults
}

fn mishap(rng: &mut StdRng, setup: &Setup, length: Duration, mishaps: &mut Vec<(Duration, Mishap)>) {
    let at = length.mul_f64(rng.random());
    let later = at + (length - at).mul_f64(rng.random());
    let bridge = rng.random_range(0..setup.bridges.len());
    match rng.random_range(0..8) {
        0 => mishaps.push((at, Mishap::Weather(bridge, weather(rng, Some(Duration::ZERO))))),
        1 => mishaps.push((at, Mishap::Blackout(bridge, later - at))),
        2 => mishaps.push((at, Mishap::Night(later - at))),
        3 => {
            let way = if rng.random() { Way::Up } else { Way::Down };
            mishaps.push((at, Mishap::Dead(bridge, way, true)));
            mishaps.push((later, Mishap::Dead(bridge, way, false)));
        }
        4 => mishaps.push((at, Mishap::Rebind(bridge))),
        5 => mishaps.push((at, Mishap::RebindAll)),
        6 => {
            mishaps.push((at, Mishap::Kill(SERVER)));
            mishaps.push((later, Mishap::Start(SERVER)));
        }
        _ => {
            let client = rng.random_range(1..=setup.clients);
            mishaps.push((at, Mishap::Kill(client)));
            mishaps.push((later, Mishap::Start(client)));
        }
    }
}

fn ms(rng: &mut StdRng, range: Range<u64>) -> Duration {
    Duration::from_micros(rng.random_range(1000 * range.start..1000 * range.end))
}
