//! How a client asks for a flow, and what the server answers. Both are sealed in every mode, so that
//! a target never travels in the clear, and both take data counters: they are deduplicated among
//! data packets, each type with nonces of its own.
//!
//! The text of *open*:
//! ```text
//!  0        3       4                  12       14     15
//! +--------+-------+------------------+--------+------+-------------------------+----------------+
//! |  flow  | flags |      label       |  port  | kind |         target          |    datagram    …
//! +--------+-------+------------------+--------+------+-------------------------+----------------+
//!                                               kind 0: nothing, the server's own target
//!                                               kind 1: IPv4 address 4, port 2
//!                                               kind 2: IPv6 address 16, port 2
//!                                               kind 3: length 1, name, port 2
//! ```
//! *Label* names listener and application, the same after the client was started anew. *Port* is the
//! source port at the server that is asked for (0: any). Until the client knows that its flow is open, each of its
//! datagrams travels in an open, so that the first costs no round trip. Flag 1: no datagram, it
//! only asks. A datagram that is too large for that waits for the answer.
//!
//! The text of *opened*, of one length:
//! ```text
//!  0        3         4        6      7                  23       25         35
//! +--------+---------+--------+------+------------------+--------+----------+
//! |  flow  | verdict |  port  | kind |     address      |  port  |    0     |
//! +--------+---------+--------+------+------------------+--------+----------+
//! ```
//! *Verdict*: 0 open; 1 not allowed; 2 the name has no address; 3 beyond the limit of flows; 4 the
//! flow is not known, ask (again); 5 no socket could be opened. *Port* is the source port that the flow has at the
//! server, address and port (kind 0: none, 1: IPv4, 2: IPv6) are where the target was found. An
//! opened goes over proven paths alone, as data does.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{FLOW_LEN, FlowId, Reject, flow_octets};
use crate::tunnel::link::{Endpoint, Host, Target};

/// Octets of an open's text in front of its target.
const OPEN_LEN: usize = FLOW_LEN + 1 + 8 + 2 + 1;
const _: () = assert!(OPEN_LEN == 15);
const PORT_LEN: usize = 2;
const NO_DATAGRAM: u8 = 1;
/// The longest name, in octets, with the dot at its end if it has one (RFC 1035 section 2.3.4: of the 255
/// there, two are the length octet in front and the root behind).
pub const NAME_LEN_MAX: usize = 253;
/// Octets of an opened's text.
pub const OPENED_LEN: usize = 35;

/// Names an application within all runs of its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Label(pub u64);

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    /// The flow, new or known.
    pub flow: FlowId,
    /// Whose it is.
    pub label: Label,
    /// The source port that is wanted at the server, 0 for any.
    pub port: u16,
    /// Where it is to lead.
    pub target: Target,
}

impl Open {
    /// Octets of its text without a datagram.
    pub fn text_len(&self) -> usize {
        OPEN_LEN
            + match &self.target {
                Target::Default => 0,
                Target::Named(Endpoint { host: Host::Ip(IpAddr::V4(_)), .. }) => 4 + PORT_LEN,
                Target::Named(Endpoint { host: Host::Ip(IpAddr::V6(_)), .. }) => 16 + PORT_LEN,
                Target::Named(Endpoint { host: Host::Name(name), .. }) => 1 + name.len() + PORT_LEN,
            }
    }

    /// Appends the text, with a datagram if there is one.
    pub fn put(&self, datagram: Option<&[u8]>, out: &mut Vec<u8>) {
        out.extend_from_slice(&flow_octets(self.flow));
        out.push(if datagram.is_none() { NO_DATAGRAM } else { 0 });
        out.extend_from_slice(&self.label.0.to_be_bytes());
        out.extend_from_slice(&self.port.to_be_bytes());
        match &self.target {
            Target::Default => out.push(0),
            Target::Named(endpoint) => {
                match &endpoint.host {
                    Host::Ip(IpAddr::V4(ip)) => {
                        out.push(1);
                        out.extend_from_slice(&ip.octets());
                    }
                    Host::Ip(IpAddr::V6(ip)) => {
                        out.push(2);
                        out.extend_from_slice(&ip.octets());
                    }
                    Host::Name(name) => {
                        debug_assert!(name.len() <= NAME_LEN_MAX, "longer names are no names");
                        out.push(3);
                        out.push(name.len() as u8);
                        out.extend_from_slice(name.as_bytes());
                    }
                }
                out.extend_from_slice(&endpoint.port.to_be_bytes());
            }
        }
        out.extend_from_slice(datagram.unwrap_or_default());
    }

    /// Parts an opened text into the question and the datagram, if it has one.
    ///
    /// # Errors
    /// [`Reject::Malformed`].
    pub fn parse(text: &mut [u8]) -> Result<(Self, Option<&mut [u8]>), Reject> {
        let (fixed, rest) = text.split_first_chunk_mut::<OPEN_LEN>().ok_or(Reject::Malformed)?;
        let [a, b, c, flags, label @ .., port_a, port_b, kind] = *fixed;
        let (target, datagram) = match kind {
            0 => (Target::Default, rest),
            1 => {
                let (ip, rest) = rest.split_first_chunk_mut::<4>().ok_or(Reject::Malformed)?;
                named(Host::Ip(Ipv4Addr::from(*ip).into()), rest)?
            }
            2 => {
                let (ip, rest) = rest.split_first_chunk_mut::<16>().ok_or(Reject::Malformed)?;
                named(Host::Ip(Ipv6Addr::from(*ip).into()), rest)?
            }
            3 => {
                let (len, rest) = rest.split_first_mut().ok_or(Reject::Malformed)?;
                let (name, rest) = rest.split_at_mut_checked(usize::from(*len)).ok_or(Reject::Malformed)?;
                named(name_of(name)?, rest)?
            }
            _ => return Err(Reject::Malformed),
        };
        let open = Self {
            flow: FlowId(u32::from_be_bytes([0, a, b, c])),
            label: Label(u64::from_be_bytes(label)),
            port: u16::from_be_bytes([port_a, port_b]),
            target,
        };
        Ok((open, (flags & NO_DATAGRAM == 0).then_some(datagram)))
    }
}

fn named(host: Host, rest: &mut [u8]) -> Result<(Target, &mut [u8]), Reject> {
    let (port, rest) = rest.split_first_chunk_mut::<PORT_LEN>().ok_or(Reject::Malformed)?;
    let port = u16::from_be_bytes(*port);
    if port == 0 {
        return Err(Reject::Malformed);
    }
    Ok((Target::Named(Endpoint { host, port }), rest))
}

/// A name for the resolver: nothing that would mean more to it, to a log or to a terminal.
fn name_of(octets: &[u8]) -> Result<Host, Reject> {
    let plain = |octet: &u8| octet.is_ascii_alphanumeric() || b"-_.".contains(octet);
    if !(1..=NAME_LEN_MAX).contains(&octets.len()) || !octets.iter().all(plain) {
        return Err(Reject::Malformed);
    }
    let name = String::from_utf8(octets.to_vec()).map_err(|_| Reject::Malformed)?;
    Ok(Host::Name(name))
}

/// What the server says of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Verdict {
    /// It is open.
    Open = 0,
    /// The server's allow list does not have the target.
    NotAllowed = 1,
    /// The target's name has no address.
    NoAddress = 2,
    /// The client has as many flows as it may.
    Limit = 3,
    /// It is not known here: it is to be asked for.
    Unknown = 4,
    /// The system gave no socket for it.
    NoSocket = 5,
}

impl Verdict {
    fn parse(octet: u8) -> Result<Self, Reject> {
        const ALL: [Verdict; 6] = [
            Verdict::Open,
            Verdict::NotAllowed,
            Verdict::NoAddress,
            Verdict::Limit,
            Verdict::Unknown,
            Verdict::NoSocket,
        ];
        ALL.into_iter().find(|verdict| *verdict as u8 == octet).ok_or(Reject::Malformed)
    }
}

/// The server's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opened {
    /// The flow.
    pub flow: FlowId,
    /// What became of it.
    pub verdict: Verdict,
    /// The source port that it has at the server; 0 where it has none.
    pub port: u16,
    /// Where the target was found.
    pub address: Option<SocketAddr>,
}

impl Opened {
    /// The text to seal.
    pub fn to_octets(self) -> [u8; OPENED_LEN] {
        let mut octets = [0; OPENED_LEN];
        octets[..3].copy_from_slice(&flow_octets(self.flow));
        octets[3] = self.verdict as u8;
        octets[4..6].copy_from_slice(&self.port.to_be_bytes());
        if let Some(address) = self.address {
            match address.ip() {
                IpAddr::V4(ip) => {
                    octets[6] = 1;
                    octets[7..11].copy_from_slice(&ip.octets());
                }
                IpAddr::V6(ip) => {
                    octets[6] = 2;
                    octets[7..23].copy_from_slice(&ip.octets());
                }
            }
            octets[23..25].copy_from_slice(&address.port().to_be_bytes());
        }
        octets
    }

    /// Reads an opened text.
    ///
    /// # Errors
    /// [`Reject::Malformed`].
    pub fn parse(text: &[u8]) -> Result<Self, Reject> {
        let text: &[u8; OPENED_LEN] = text.try_into().map_err(|_| Reject::Malformed)?;
        let [a, b, c, verdict, port_a, port_b, kind, rest @ ..] = *text;
        let (ip, rest) = rest.split_first_chunk::<16>().expect("the text has room for an address");
        let port = u16::from_be_bytes([rest[0], rest[1]]);
        let ip: Option<IpAddr> = match kind {
            0 => None,
            1 => Some(Ipv4Addr::new(ip[0], ip[1], ip[2], ip[3]).into()),
            2 => Some(Ipv6Addr::from(*ip).into()),
            _ => return Err(Reject::Malformed),
        };
        Ok(Self {
            flow: FlowId(u32::from_be_bytes([0, a, b, c])),
            verdict: Verdict::parse(verdict)?,
            port: u16::from_be_bytes([port_a, port_b]),
            address: ip.map(|ip| SocketAddr::new(ip, port)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(target: Target) -> Open {
        Open { flow: FlowId(0x01_0203), label: Label(0x0405_0607_0809_0a0b), port: 0x0c0d, target }
    }

    fn to(host: Host) -> Target {
        Target::Named(Endpoint { host, port: 0x1112 })
    }

    const FIXED: [u8; 14] = [1, 2, 3, 0, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13];

    #[test]
    fn an_open_has_its_parts_where_the_picture_says() {
        let v6: [u8; 16] = std::array::from_fn(|at| 0x20 + at as u8);
        for (target, expected) in [
            (Target::Default, vec![0]),
            (to(Host::Ip([1, 2, 3, 4].into())), vec![1, 1, 2, 3, 4, 0x11, 0x12]),
            (to(Host::Ip(v6.into())), [&[2][..], &v6, &[0x11, 0x12]].concat()),
            (to(Host::Name("a.b".to_owned())), vec![3, 3, b'a', b'.', b'b', 0x11, 0x12]),
        ] {
            let open = open(target);
            for datagram in [Some(&b""[..]), Some(b"xy"), None] {
                let mut text = Vec::new();
                open.put(datagram, &mut text);
                let mut octets = [&FIXED[..], &expected, datagram.unwrap_or_default()].concat();
                octets[3] = u8::from(datagram.is_none());
                assert_eq!(text, octets);
                assert_eq!(text.len(), open.text_len() + datagram.map_or(0, <[u8]>::len));
                let (read, rest) = Open::parse(&mut text).expect("an open");
                assert_eq!((read, rest.as_deref()), (open.clone(), datagram));
            }
        }
    }

    #[test]
    fn an_open_that_is_cut_or_names_what_is_no_name_is_malformed() {
        for target in [
            Target::Default,
            to(Host::Ip([1, 2, 3, 4].into())),
            to(Host::Ip([7; 16].into())),
            to(Host::Name("a.b".to_owned())),
        ] {
            let open = open(target);
            let mut text = Vec::new();
            open.put(None, &mut text);
            for len in 0..text.len() {
                assert_eq!(Open::parse(&mut text[..len].to_vec()), Err(Reject::Malformed), "{len} octets");
            }
        }
        let long = "a".repeat(254);
        for name in ["", "a b", "a/b", "a\0", "a%b", "\u{e9}", "a:1", "[::1]", &long] {
            let text = [&FIXED[..], &[3, name.len() as u8], name.as_bytes(), &[0, 7]].concat();
            assert_eq!(Open::parse(&mut text.clone()), Err(Reject::Malformed), "{name:?}");
        }
        for rest in [&[4, 0, 1][..], &[255], &[1, 1, 2, 3, 4, 0, 0], &[3, 1, b'a', 0, 0]] {
            let text = [&FIXED[..], rest].concat();
            assert_eq!(Open::parse(&mut text.clone()), Err(Reject::Malformed), "{rest:?}");
        }
    }

    #[test]
    fn an_opened_has_its_parts_where_the_picture_says() {
        let v6: [u8; 16] = std::array::from_fn(|at| 0x20 + at as u8);
        let front = [1, 2, 3, 0, 0x0c, 0x0d];
        for (address, kind, ip) in [
            (None, 0, vec![0; 16]),
            (Some(([1, 2, 3, 4], 0x1112).into()), 1, [&[1, 2, 3, 4][..], &[0; 12]].concat()),
            (Some((v6, 0x1112).into()), 2, v6.to_vec()),
        ] {
            let opened = Opened { flow: FlowId(0x01_0203), verdict: Verdict::Open, port: 0x0c0d, address };
            let port: &[u8] = if address.is_some() { &[0x11, 0x12] } else { &[0, 0] };
            let expected = [&front[..], &[kind], &ip, port, &[0; 10]].concat();
            assert_eq!(opened.to_octets()[..], expected[..]);
            assert_eq!(Opened::parse(&expected), Ok(opened));
            assert_eq!(Opened::parse(&expected[1..]), Err(Reject::Malformed));
        }
        for (at, octet) in [(3, 6), (6, 3)] {
            let mut octets = [0; OPENED_LEN];
            octets[at] = octet;
            assert_eq!(Opened::parse(&octets), Err(Reject::Malformed));
        }
    }
}
