//! Packets on their way out: octets back to back, parted into runs of equal length and the same
//! destination, so that a run can leave in one call. A packet for a peer is here once, however many
//! paths carry it.

use super::link::{Link, PeerId, Transmit};

/// Longest run, in octets: what one call of segmentation offload takes (the kernel counts the
/// payload of one UDP datagram).
const RUN_LEN: usize = 65_507;
/// Longest run, in packets. Beyond some 45 of full size nothing is gained, and older kernels take
/// 64 at the most.
const RUN_PACKETS: usize = 45;

/// Where a packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum To {
    /// To one link.
    Link(Link),
    /// To one link, in one piece or not at all.
    Whole(Link),
    /// A copy on each of a peer's carriers.
    Peer(PeerId, Reach),
}

/// Which of a peer's paths carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Those that were chosen.
    Chosen,
    /// Those of a sample, by which the paths not in use are measured.
    Sampled,
}

#[derive(Debug)]
struct Run {
    to: To,
    start: usize,
    end: usize,
    segment_len: usize,
    packets: usize,
}

impl Run {
    /// A run takes packets of one length; a shorter one ends it. Empty datagrams cannot be counted
    /// by length, so each is alone.
    fn takes(&self, to: To, len: usize) -> bool {
        let whole = (self.end - self.start) == self.packets * self.segment_len;
        whole
            && self.to == to
            && (1..=self.segment_len).contains(&len)
            && self.packets < RUN_PACKETS
            && self.end - self.start + len <= RUN_LEN
    }
}

/// See the module.
#[derive(Debug, Default)]
pub struct Outbox {
    octets: Vec<u8>,
    runs: Vec<Run>,
    /// The next run to hand out, and which of its copies.
    run: usize,
    copy: usize,
}

impl Outbox {
    /// Adds the packet that `write` appends, and returns its length.
    #[inline]
    pub fn push(&mut self, to: To, write: impl FnOnce(&mut Vec<u8>)) -> usize {
        let start = self.octets.len();
        write(&mut self.octets);
        let end = self.octets.len();
        match self.runs.last_mut() {
            Some(run) if run.takes(to, end - start) => {
                run.end = end;
                run.packets += 1;
            }
            _ => self.runs.push(Run { to, start, end, segment_len: end - start, packets: 1 }),
        }
        end - start
    }

    /// The next run for one link; `carriers` are the links that a copy for a peer goes out on. Each
    /// run goes to all its links before the next run goes to any: the other order costs the
    /// same and reorders whenever one path loses. `None` empties the outbox.
    pub fn poll<'a>(&'a mut self, carriers: impl Fn(PeerId, Reach) -> &'a [Link]) -> Option<Transmit<'a>> {
        while let Some(run) = self.runs.get(self.run) {
            let link = match run.to {
                To::Link(link) | To::Whole(link) => (self.copy == 0).then_some(link),
                To::Peer(peer, reach) => carriers(peer, reach).get(self.copy).copied(),
            };
            let Some(link) = link else {
                self.run += 1;
                self.copy = 0;
                continue;
            };
            self.copy += 1;
            let contents = &self.octets[run.start..run.end];
            let whole = matches!(run.to, To::Whole(_));
            return Some(Transmit { link, contents, segment_len: run.segment_len, whole });
        }
        self.octets.clear();
        self.runs.clear();
        self.run = 0;
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tunnel::link::SocketId;

    fn link(port: u16) -> To {
        To::Link(Link { socket: SocketId(0), remote: ([127, 0, 0, 1], port).into(), local: None })
    }

    fn runs(packets: &[(u16, usize)]) -> Vec<(usize, usize)> {
        let mut outbox = Outbox::default();
        for &(port, len) in packets {
            outbox.push(link(port), |out| out.extend(std::iter::repeat_n(port as u8, len)));
        }
        let mut runs = Vec::new();
        while let Some(transmit) = outbox.poll(|_, _| &[]) {
            runs.push((transmit.contents.len(), transmit.segment_len));
        }
        assert_eq!(outbox.poll(|_, _| &[]), None);
        assert!(outbox.octets.is_empty());
        runs
    }

    #[test]
    fn equal_packets_for_one_link_are_one_run_and_a_shorter_one_ends_it() {
        assert_eq!(runs(&[(1, 100), (1, 100), (1, 60), (1, 60)]), [(260, 100), (60, 60)]);
        assert_eq!(runs(&[(1, 100), (1, 120)]), [(100, 100), (120, 120)]);
        assert_eq!(runs(&[(1, 100), (2, 100), (1, 100)]), [(100, 100); 3]);
    }

    #[test]
    fn a_packet_that_must_not_be_cut_is_no_part_of_a_run() {
        let To::Link(to) = link(1) else { unreachable!("it is a link") };
        let mut outbox = Outbox::default();
        for to in [To::Link(to), To::Whole(to), To::Link(to)] {
            outbox.push(to, |out| out.extend([1; 100]));
        }
        let whole = std::iter::from_fn(|| outbox.poll(|_, _| &[]).map(|run| (run.contents.len(), run.whole)));
        assert_eq!(whole.collect::<Vec<_>>(), [(100, false), (100, true), (100, false)]);
    }

    #[test]
    fn an_empty_datagram_is_a_packet_of_its_own() {
        assert_eq!(runs(&[(1, 10), (1, 0), (1, 0), (1, 10)]), [(10, 10), (0, 0), (0, 0), (10, 10)]);
        let transmit = Transmit {
            link: Link { socket: SocketId(0), remote: ([127, 0, 0, 1], 1).into(), local: None },
            contents: &[],
            segment_len: 0,
            whole: false,
        };
        assert_eq!(transmit.packets().count(), 1);
    }

    #[test]
    fn a_run_stays_within_one_datagram_and_its_number_of_packets() {
        assert_eq!(runs(&[(1, 1); 100]), [(45, 1), (45, 1), (10, 1)]);
        assert_eq!(runs(&[(1, 30_000); 3]), [(60_000, 30_000), (30_000, 30_000)]);
        assert_eq!(runs(&[(1, 65_507); 2]), [(65_507, 65_507); 2]);
    }
}
