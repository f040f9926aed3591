//! Tricks that an attacker plays with packets, by where it is.
//!
//! * *Off-path*: it knows everybody's address and sees nothing ([`guess`], [`flood`]).
//! * *Observer*: it sees every packet on every path, and sends what it likes, from any address, at any time ([`replay`],
//!   [`overtake`], [`reflect`], [`noise`], [`alter`]). It takes nothing off the way.
//! * *Manipulator*: it owns the first bridge ([`own_one_bridge`], [`hold_back`]).

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use rand::{Rng, RngExt, SeedableRng, rngs::StdRng};

use super::attacker::{Attack, Attacker, Seen};
use super::traffic::Way;

const SECOND: Duration = Duration::from_secs(1);
/// Just after what was seen has arrived.
const BEHIND: Duration = Duration::from_micros(1);

/// What is done to every packet that is seen.
pub type Trick = fn(&mut StdRng, &Seen<'_>, &Known) -> Vec<Attack>;

/// Addresses that the attacker has seen.
#[derive(Default)]
pub struct Known {
    server: Option<SocketAddr>,
    /// The clients' sockets.
    clients: Vec<SocketAddr>,
    /// The addresses at which the server sees clients.
    bridges: Vec<SocketAddr>,
}

/// Plays a trick with so many packets of each kind and direction, and then with every thirtieth.
pub struct Villain {
    rng: StdRng,
    trick: Trick,
    known: Known,
    done: HashMap<(Way, u8), u32>,
    thoroughly: u32,
    /// Packets that the server sent to strangers' addresses.
    pub got: Rc<RefCell<Vec<Vec<u8>>>>,
}

impl Villain {
    /// One that plays this trick.
    pub fn new(seed: u64, trick: Trick, thoroughly: u32) -> Self {
        let (known, done, got) = Default::default();
        Self { rng: StdRng::seed_from_u64(seed), trick, known, done, thoroughly, got }
    }
}

impl Attacker for Villain {
    fn sees(&mut self, seen: &Seen<'_>) -> Vec<Attack> {
        let (known, other) = match seen.way {
            Way::Up => {
                self.known.server = Some(seen.to);
                (&mut self.known.bridges, seen.from)
            }
            Way::Down => (&mut self.known.clients, seen.to),
        };
        if !known.contains(&other) {
            known.push(other);
        }
        let done = self.done.entry((seen.way, seen.octets[0])).or_default();
        *done += 1;
        if *done > self.thoroughly && !done.is_multiple_of(30) {
            return Vec::new();
        }
        (self.trick)(&mut self.rng, seen, &self.known)
    }

    fn gets(&mut self, _now: Duration, _to: SocketAddr, octets: &[u8]) {
        self.got.borrow_mut().push(octets.to_vec());
    }
}

fn stranger(rng: &mut StdRng) -> SocketAddr {
    SocketAddr::from(([203, 0, 113, rng.random()], rng.random_range(1..=u16::MAX)))
}

/// An address that is not the packet's own: a stranger's or, worse, another path's.
fn elsewhere(rng: &mut StdRng, seen: &Seen<'_>, known: &Known) -> SocketAddr {
    let others: Vec<_> = known.bridges.iter().filter(|bridge| **bridge != seen.from).collect();
    if seen.way == Way::Down || others.is_empty() || rng.random() {
        stranger(rng)
    } else {
        *others[rng.random_range(0..others.len())]
    }
}

/// Packets with guessed sessions and inits that nobody sent, in the name of everybody.
pub fn guess(rng: &mut StdRng, seen: &Seen<'_>, known: &Known) -> Vec<Attack> {
    let mut attacks = Vec::new();
    for to in known.clients.iter().copied().chain(known.server) {
        for (kind, len) in [(1, 60), (2, 100), (3, 100), (4, 128), (5, 96), (6, 60), (7, 64)] {
            let mut octets = vec![0; len];
            rng.fill_bytes(&mut octets);
            octets[0] = kind;
            if kind == 4 {
                // Of any mode: one of them may be ours.
                octets[1..4].copy_from_slice(&[1, rng.random_range(0..4), 0]);
            }
            let from = if rng.random() { seen.from } else { elsewhere(rng, seen, known) };
            attacks.push(Attack::Send { after: SECOND.mul_f64(rng.random()) / 10, from, to, octets });
        }
    }
    attacks
}

/// Inits of every mode in the names of strangers, a dozen for each packet on the way.
pub fn flood(rng: &mut StdRng, _seen: &Seen<'_>, known: &Known) -> Vec<Attack> {
    let mut init = |to| {
        let mut octets = vec![0; 128];
        rng.fill_bytes(&mut octets);
        octets[..4].copy_from_slice(&[4, 1, rng.random_range(0..4), 0]);
        Attack::Send { after: SECOND.mul_f64(rng.random()) / 10, from: stranger(rng), to, octets }
    };
    known.server.into_iter().flat_map(|to| [to; 12]).map(&mut init).collect()
}

/// Altered packets, before and after the real one, from its own address and others.
pub fn alter(rng: &mut StdRng, seen: &Seen<'_>, known: &Known) -> Vec<Attack> {
    let mut altered = Vec::new();
    for _ in 0..6 {
        altered.push(seen.octets[..rng.random_range(0..seen.octets.len())].to_vec());
        let mut flipped = seen.octets.to_vec();
        flipped[rng.random_range(0..seen.octets.len())] ^= 1 << rng.random_range(0..8);
        altered.push(flipped);
    }
    altered.push([seen.octets, &[0]].concat());
    for kind in 1..8 {
        // As another kind of packet; not as what it is.
        if kind != seen.octets[0] {
            altered.push([&[kind], &seen.octets[1..]].concat());
        }
    }
    let mut ahead = seen.octets.to_vec();
    if ahead.len() > 13 {
        ahead[5..13].fill(0x7f);
        altered.push(ahead);
    }
    let to = seen.to;
    let mut attacks = Vec::new();
    for octets in altered {
        for after in [seen.delay / 2, seen.delay + BEHIND] {
            for from in [seen.from, elsewhere(rng, seen, known)] {
                attacks.push(Attack::Send { after, from, to, octets: octets.clone() });
            }
        }
    }
    attacks
}

/// The packet itself again, at once and later, from its own address and others.
pub fn replay(rng: &mut StdRng, seen: &Seen<'_>, known: &Known) -> Vec<Attack> {
    let later = [BEHIND, Duration::from_millis(300), 3 * SECOND, 20 * SECOND];
    let mut attacks = Vec::new();
    for after in later.map(|time| seen.delay + time) {
        for from in [seen.from, elsewhere(rng, seen, known)] {
            attacks.push(Attack::Send { after, from, to: seen.to, octets: seen.octets.to_vec() });
        }
    }
    attacks
}

/// The packet before it arrives by itself, but from elsewhere.
pub fn overtake(rng: &mut StdRng, seen: &Seen<'_>, known: &Known) -> Vec<Attack> {
    let from = elsewhere(rng, seen, known);
    vec![Attack::Send { after: seen.delay / 2, from, to: seen.to, octets: seen.octets.to_vec() }]
}

/// The packet back to its sender, as it is and as what a sender would expect.
pub fn reflect(rng: &mut StdRng, seen: &Seen<'_>, known: &Known) -> Vec<Attack> {
    let mut attacks = Vec::new();
    let receivers = match seen.way {
        Way::Up => known.clients.clone(),
        Way::Down => known.server.into_iter().collect(),
    };
    for to in receivers {
        for kind in [seen.octets[0], seen.octets[0] ^ 1, 1] {
            let from = elsewhere(rng, seen, known);
            let octets = [&[kind], &seen.octets[1..]].concat();
            attacks.push(Attack::Send { after: Duration::from_millis(1), from, to, octets });
        }
    }
    attacks
}

/// Noise that looks like packets, for everybody.
pub fn noise(rng: &mut StdRng, seen: &Seen<'_>, known: &Known) -> Vec<Attack> {
    let mut attacks = Vec::new();
    for to in known.clients.iter().copied().chain(known.server) {
        let len = [1, 13, 16, 40, 64, 96, 100, 128][rng.random_range(0..8)];
        let mut octets = vec![0; len];
        rng.fill_bytes(&mut octets);
        octets[0] = rng.random_range(0..9);
        if len >= 5 && rng.random() {
            octets[1..5].copy_from_slice(&seen.octets[1..5]);
        }
        attacks.push(Attack::Send {
            after: Duration::from_millis(1),
            from: seen.from,
            to,
            octets: octets.clone(),
        });
        attacks.push(Attack::Send { after: Duration::from_millis(2), from: stranger(rng), to, octets });
    }
    attacks
}

/// As [`overtake`], and nobody hands on what is answered.
pub fn overtake_from_nowhere(rng: &mut StdRng, seen: &Seen<'_>, _known: &Known) -> Vec<Attack> {
    let from = stranger(rng);
    vec![Attack::Send { after: seen.delay / 2, from, to: seen.to, octets: seen.octets.to_vec() }]
}

/// Whoever owns one bridge swallows, holds back, alters and repeats what goes through it.
pub fn own_one_bridge(rng: &mut StdRng, seen: &Seen<'_>, _known: &Known) -> Vec<Attack> {
    if seen.bridge != 0 {
        return Vec::new();
    }
    let mut octets = seen.octets.to_vec();
    match rng.random_range(0..10) {
        0..3 => octets[rng.random_range(0..seen.octets.len())] ^= 1 << rng.random_range(0..8),
        3 => octets.truncate(rng.random_range(0..seen.octets.len())),
        _ => {}
    }
    let after = SECOND.mul_f64(rng.random());
    let again = Attack::Forward { after: 2 * after, octets: seen.octets.to_vec() };
    vec![Attack::Swallow, Attack::Forward { after, octets }, again]
}

/// The same, but what goes on is unchanged: without encryption nothing tells a changed datagram from a real one.
pub fn hold_back(rng: &mut StdRng, seen: &Seen<'_>, known: &Known) -> Vec<Attack> {
    let attacks = own_one_bridge(rng, seen, known);
    let unchanged = |attack: &Attack| match attack {
        Attack::Forward { octets, .. } => octets == seen.octets,
        _ => true,
    };
    attacks.into_iter().filter(unchanged).collect()
}

/// An observer who sends each probe on before its bridge does, and carries what the server answers back to the client: it
/// returns the tokens that were sent to it, as a bridge would. Datagrams it keeps.
#[derive(Default)]
pub struct Courier {
    /// The bridges at which it stands.
    bridges: Vec<usize>,
    clients: HashMap<SocketAddr, (SocketAddr, SocketAddr)>,
    replies: Vec<Attack>,
    /// The datagrams that it has kept.
    pub kept: Rc<RefCell<u32>>,
}

impl Courier {
    /// One that stands at these bridges.
    pub fn new(bridges: &[usize]) -> Self {
        Self { bridges: bridges.to_vec(), ..Self::default() }
    }

    fn desk(bridge: usize) -> SocketAddr {
        SocketAddr::from(([203, 0, 113, 200 + bridge as u8], 4000))
    }
}

impl Attacker for Courier {
    fn sees(&mut self, seen: &Seen<'_>) -> Vec<Attack> {
        let mut attacks = std::mem::take(&mut self.replies);
        if !self.bridges.contains(&seen.bridge) {
            return attacks;
        }
        let desk = Self::desk(seen.bridge);
        match (seen.way, seen.octets[0]) {
            (Way::Up, 2) => {
                let octets = seen.octets.to_vec();
                attacks.push(Attack::Send { after: seen.delay / 2, from: desk, to: seen.to, octets });
            }
            (Way::Down, _) => {
                self.clients.insert(desk, (seen.from, seen.to));
            }
            _ => {}
        }
        attacks
    }

    fn gets(&mut self, _now: Duration, to: SocketAddr, octets: &[u8]) {
        if [1, 7].contains(&octets[0]) {
            *self.kept.borrow_mut() += 1;
        } else if let Some(&(from, to)) = self.clients.get(&to) {
            self.replies.push(Attack::Send { after: BEHIND, from, to, octets: octets.to_vec() });
        }
    }
}
