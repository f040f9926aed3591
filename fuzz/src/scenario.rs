//! A scenario: octets that command a world. The first chooses the setup; each further step is an octet that names it
//! (modulo their number) and those that say how. After the last one everything must come right by itself.

use std::time::Duration;

use mptunnel::tunnel::flow::MAX_FLOWS;
use mptunnel::tunnel::wire::SessionId;

use crate::insider::Spoken;
use crate::setup::Setup;
use crate::world::{CLIENT, End, SERVER, World};

/// The work of a scenario, in steps as cheap as the cheapest; what is dearer counts more. Two executions of 50 steps
/// find more than one of 100.
const WORK: u32 = 50;
/// The work of a handshake, and of a second in which the network works as it should.
const HANDSHAKE: u32 = 10;
const SECOND: u32 = 10;
/// Only a scenario shorter than this may be crowded: that takes as long as ten others.
const CROWD_LEN: usize = 16;

/// What can happen. Behind each, the octets that say how.
#[derive(Clone, Copy, Debug)]
#[repr(u8)]
pub enum Step {
    /// TIME. The network works as it should.
    Run,
    /// TIME. Nobody does anything.
    Sleep,
    /// PICK. A packet on the line arrives.
    Deliver,
    /// PICK. A packet on the line is lost.
    Lose,
    /// PICK FROM. A packet that was seen arrives again, perhaps from elsewhere.
    Repeat,
    /// PICK FROM WHERE WHAT. A packet that was seen arrives altered.
    Alter,
    /// END FROM LEN OCTETS. Octets arrive.
    Inject,
    /// APP LEN. An application sends a datagram.
    Up,
    /// PICK LEN. The target sends a datagram to one of those that have sent to it.
    Down,
    /// PICK LEN OCTETS. Somebody sends to a socket that is meant for the target.
    Astray,
    /// HOW. A look-up is answered.
    Answer,
    /// NUMBER. So many sockets cannot be opened.
    FailSockets,
    /// END. A process is killed and started again.
    Restart,
    /// The bridges forget their ports.
    Rebind,
    /// NUMBER. Many applications send; with the highest, once in a crowded scenario, more than may.
    Flood,
    /// FROM SESSION. The insider sends an init.
    Init,
    /// FROM NAME PATH NUMBER TOKEN. The insider sends a probe.
    Probe,
    /// FROM FLOW LEN. The insider sends a datagram.
    Data,
    /// FROM FLOW WHAT LEN. The insider asks for a flow, with a datagram or none; with the highest FLOW,
    /// once in a crowded scenario, for more than may be.
    Ask,
}

const STEPS: [Step; 19] = {
    use Step::*;
    [
        Run,
        Sleep,
        Deliver,
        Lose,
        Repeat,
        Alter,
        Inject,
        Up,
        Down,
        Astray,
        Answer,
        FailSockets,
        Restart,
        Rebind,
        Flood,
        Init,
        Probe,
        Data,
        Ask,
    ]
};

/// Plays a scenario.
///
/// # Panics
/// Where something does not hold.
pub fn play(octets: &[u8]) {
    let Some((first, octets)) = octets.split_first() else { return };
    let setup = Setup::new(*first);
    let (connected, crowded) = (setup.connected, setup.crowded && octets.len() < CROWD_LEN);
    let mut player = Player { world: World::new(setup), octets, work: WORK, crowded };
    if connected {
        player.world.send_up(0, 40);
        player.world.run(Duration::from_millis(50));
    }
    while let Some(step) = player.octet() {
        if player.work(1).and_then(|()| player.step(STEPS[usize::from(step) % STEPS.len()])).is_none() {
            break;
        }
    }
    player.world.end();
}

struct Player<'a> {
    world: World,
    octets: &'a [u8],
    work: u32,
    crowded: bool,
}

impl Player<'_> {
    fn octet(&mut self) -> Option<u8> {
        let (first, rest) = self.octets.split_first()?;
        self.octets = rest;
        Some(*first)
    }

    fn octets(&mut self) -> Option<Vec<u8>> {
        let len = usize::from(self.octet()? % 160).min(self.octets.len());
        let (octets, rest) = self.octets.split_at(len);
        self.octets = rest;
        Some(octets.to_vec())
    }

    fn end(&mut self) -> Option<End> {
        Some([CLIENT, SERVER][usize::from(self.octet()? % 2)])
    }

    /// From a millisecond to 17 minutes, each twice as long as the one before.
    fn time(&mut self) -> Option<Duration> {
        Some(Duration::from_millis(1 << (self.octet()? % 21)))
    }

    fn len(&mut self) -> Option<usize> {
        let lens = [1472, 9000, 32_000, 65_475, 65_476, 65_507];
        Some(match self.octet()? {
            short @ ..250 => short.into(),
            long => lens[usize::from(long - 250)],
        })
    }

    /// `None` where there was enough work.
    fn work(&mut self, work: u32) -> Option<()> {
        self.work = self.work.checked_sub(work)?;
        Some(())
    }

    /// `None` where the octets have come to their end, or there was enough work.
    fn step(&mut self, step: Step) -> Option<()> {
        match step {
            Step::Run => {
                let time = self.time()?;
                self.work(SECOND * time.as_millis() as u32 / 1000)?;
                self.world.run(time);
            }
            Step::Sleep => {
                let time = self.time()?;
                self.world.sleep(time);
            }
            Step::Deliver => {
                let pick = self.octet()?;
                if let Some(flight) =
                    pick_from(pick, self.world.line.len()).and_then(|at| self.world.line.remove(at))
                {
                    self.world.deliver(flight);
                }
            }
            Step::Lose => {
                let pick = self.octet()?;
                pick_from(pick, self.world.line.len()).map(|at| self.world.line.remove(at));
            }
            Step::Repeat => self.again(false)?,
            Step::Alter => self.again(true)?,
            Step::Inject => {
                let (to, from, octets) = (self.end()?, self.octet()?, self.octets()?);
                let link = self.world.link(to, from);
                self.world.inject(to, link, octets);
            }
            Step::Up => {
                let (app, len) = (self.octet()? % 4, self.len()?);
                self.world.send_up(app.into(), len);
            }
            Step::Down => {
                let (pick, len) = (self.octet()?, self.len()?);
                self.world.send_down(pick, len);
            }
            Step::Astray => {
                let (pick, octets) = (self.octet()?, self.octets()?);
                self.world.send_astray(pick, &octets);
            }
            Step::Answer => {
                let how = self.octet()?;
                self.world.answer(how);
            }
            Step::FailSockets => self.world.failing = self.octet()? % 4,
            Step::Restart => {
                let how = self.octet()?;
                self.work(HANDSHAKE)?;
                self.world.restart([CLIENT, SERVER][usize::from(how % 2)], how & 2 != 0);
            }
            Step::Rebind => self.world.rebind(),
            Step::Flood => {
                let number = self.octet()?;
                self.work(HANDSHAKE)?;
                for app in 0..self.flows(number, u16::from(number) % 64) {
                    self.world.send_up(app, 30);
                }
            }
            Step::Init => {
                let (from, session) = (self.octet()?, self.octet()?);
                self.work(HANDSHAKE)?;
                let init = self.world.insider.init(SessionId(session.into()));
                self.world.send_inside(from, init);
            }
            Step::Probe => {
                let (from, name, path) = (self.octet()?, self.octet()?, self.octet()?);
                let (number, token) = (self.octet()?, self.octet()?);
                // The last number of all is one of them.
                let number = (number as i8).into();
                let number: i32 = number;
                let control = Spoken {
                    path: path % 40,
                    number: number as u32,
                    returns: token & 1 != 0,
                    leaves: token & 2 != 0,
                    ends: token & 4 != 0,
                };
                if let Some(probe) = self.world.insider.control(name, control) {
                    self.world.send_inside(from, probe);
                }
            }
            Step::Data => {
                let (from, flow, len) = (self.octet()?, self.octet()?, self.len()?);
                if let Some(data) = self.world.insider.data(flow.into(), len) {
                    self.world.send_inside(from, data);
                }
            }
            Step::Ask => {
                let (from, flow, what, len) = (self.octet()?, self.octet()?, self.octet()?, self.len()?);
                for number in 0..self.flows(flow, 1) {
                    let flow = u32::from(flow) + u32::from(number);
                    if let Some(ask) = self.world.insider.ask(flow, what, (len > 0).then_some(len)) {
                        self.world.send_inside(from, ask);
                    }
                }
            }
        }
        Some(())
    }

    /// With the highest octet, and once in a crowded scenario, more flows than there may be.
    fn flows(&mut self, octet: u8, otherwise: u16) -> u16 {
        match octet == u8::MAX && std::mem::take(&mut self.crowded) {
            true => MAX_FLOWS as u16 + 4,
            false => otherwise,
        }
    }

    /// A packet that was seen arrives once more.
    fn again(&mut self, altered: bool) -> Option<()> {
        let (pick, from) = (self.octet()?, self.octet()?);
        let how = if altered { Some((self.octet()?, self.octet()?)) } else { None };
        let Some(mut flight) = pick_from(pick, self.world.seen.len()).map(|at| self.world.seen[at].clone())
        else {
            return Some(());
        };
        if from != 0 {
            flight.link = self.world.link(flight.to, from);
        }
        if let Some((place, what)) = how {
            flight.octets = alter(&flight.octets, place, what).into();
        }
        self.world.deliver(flight);
        Some(())
    }
}

/// The packet with one octet changed, the last ones missing, or some more.
fn alter(octets: &[u8], place: u8, what: u8) -> Vec<u8> {
    let mut octets = octets.to_vec();
    match place {
        0xff => octets.extend([what]),
        0xf0.. => octets.truncate(what.into()),
        _ if octets.is_empty() => {}
        _ => {
            let place = usize::from(place) % octets.len();
            octets[place] ^= what;
        }
    }
    octets
}

fn pick_from(pick: u8, len: usize) -> Option<usize> {
    usize::from(pick).checked_rem(len)
}
