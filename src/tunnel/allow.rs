//! Which targets clients may name: mpserver's allow list.
//!
//! A rule is an address, a range of addresses or a name, with its ports. What is asked for as a name
//! is decided by the address that the name has at that moment, each time that a flow opens: a name
//! that changes its address gets nobody past the list.
//!
//! *Special* ranges (this machine, its links, groups) and those that embed IPv4 addresses in IPv6
//! ones are for rules that lie wholly within them: `0.0.0.0/0` and `::/0` do not allow them, and no
//! name does, whatever it resolves to. An address of IPv4 in the dress of IPv6 (`::ffff:0:0/96`) is
//! the IPv4 address, here and in every rule.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// Rules at one server: many more than anybody writes.
pub const MAX_RULES: usize = 1024;

/// IPv4 addresses that only a rule about them allows.
const SPECIAL_V4: [Ipv4Net; 5] = [
    // "This network" (RFC 791); Linux takes 0.0.0.0 for the loopback.
    Ipv4Net::new_assert(Ipv4Addr::UNSPECIFIED, 8),
    Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8),
    // Link-local (RFC 3927): the metadata service of clouds is here.
    Ipv4Net::new_assert(Ipv4Addr::new(169, 254, 0, 0), 16),
    // Multicast.
    Ipv4Net::new_assert(Ipv4Addr::new(224, 0, 0, 0), 4),
    Ipv4Net::new_assert(Ipv4Addr::BROADCAST, 32),
];

/// IPv6 addresses that only a rule about them allows.
const SPECIAL_V6: [Ipv6Net; 11] = [
    Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 128),
    Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 128),
    // Link-local, and what was site-local (RFC 3879).
    Ipv6Net::new_assert(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10),
    Ipv6Net::new_assert(Ipv6Addr::new(0xfec0, 0, 0, 0, 0, 0, 0, 0), 10),
    // Multicast.
    Ipv6Net::new_assert(Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8),
    // IPv4-compatible (RFC 4291), IPv4-translated (RFC 7915).
    Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 96),
    Ipv6Net::new_assert(Ipv6Addr::new(0, 0, 0, 0, 0xffff, 0, 0, 0), 96),
    // NAT64 (RFC 6052, RFC 8215), Teredo (RFC 4380), 6to4 (RFC 3056).
    Ipv6Net::new_assert(Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96),
    Ipv6Net::new_assert(Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, 0, 0), 48),
    Ipv6Net::new_assert(Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 32),
    Ipv6Net::new_assert(Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16),
];

/// The ranges that carry an IPv4 address behind their prefix.
const EMBEDDING: [Ipv6Net; 4] = [SPECIAL_V6[5], SPECIAL_V6[6], SPECIAL_V6[7], SPECIAL_V6[10]];

/// See the module. Without rules, nothing is allowed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allowed(pub Vec<Rule>);

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The addresses.
    pub hosts: Hosts,
    /// The ports there.
    pub ports: RangeInclusive<u16>,
}

/// Which hosts a rule is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hosts {
    /// Those with these addresses.
    Net(IpNet),
    /// Whatever this name's addresses are, special ones apart. In lower case, without a last dot.
    Name(String),
}

impl Hosts {
    /// A rule about addresses, in the form in which addresses are compared.
    pub fn net(net: IpNet) -> Self {
        let mapped = |net: &Ipv6Net| {
            let ip = net.network().to_ipv4_mapped()?;
            let len = net.prefix_len().checked_sub(96)?;
            Some(IpNet::V4(Ipv4Net::new_assert(ip, len)))
        };
        Self::Net(match net {
            IpNet::V6(v6) => mapped(&v6).unwrap_or(net),
            IpNet::V4(_) => net,
        })
    }

    /// A rule about a name.
    pub fn name(name: &str) -> Self {
        Self::Name(name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase())
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.hosts {
            Hosts::Net(IpNet::V6(net)) if self.ports != Self::ALL_PORTS => write!(f, "[{net}]")?,
            Hosts::Net(net) => net.fmt(f)?,
            Hosts::Name(name) => f.write_str(name)?,
        }
        match (self.ports.start(), self.ports.end()) {
            (1, &u16::MAX) => Ok(()),
            (first, last) if first == last => write!(f, ":{first}"),
            (first, last) => write!(f, ":{first}-{last}"),
        }
    }
}

impl Rule {
    /// What a rule without ports is about.
    pub const ALL_PORTS: RangeInclusive<u16> = 1..=u16::MAX;
}

impl Allowed {
    /// Whether a flow may lead to this address, which was asked for as such or under this name.
    pub fn allows(&self, name: Option<&str>, address: SocketAddr) -> bool {
        let ip = address.ip().to_canonical();
        let special = special_ranges(ip);
        let within = |net: &IpNet| special.iter().all(|range| range.contains(net));
        self.0.iter().filter(|rule| rule.ports.contains(&address.port())).any(|rule| match &rule.hosts {
            Hosts::Net(net) => net.contains(&ip) && within(net),
            Hosts::Name(theirs) => special.is_empty() && name.is_some_and(|name| is_same(theirs, name)),
        })
    }

    /// Whether an address of this name could be allowed: if not, it need not be looked up.
    pub fn could_allow(&self, name: &str, port: u16) -> bool {
        self.0.iter().filter(|rule| rule.ports.contains(&port)).any(|rule| match &rule.hosts {
            Hosts::Net(_) => true,
            Hosts::Name(theirs) => is_same(theirs, name),
        })
    }
}

fn is_same(rule: &str, name: &str) -> bool {
    rule.eq_ignore_ascii_case(name.strip_suffix('.').unwrap_or(name))
}

/// The special ranges that an address is in.
fn special_ranges(ip: IpAddr) -> Vec<IpNet> {
    match ip {
        IpAddr::V4(ip) => special_v4(ip).map(IpNet::V4).collect(),
        IpAddr::V6(ip) => {
            let ranges = SPECIAL_V6.into_iter().filter(|range| range.contains(&ip));
            // What is special in IPv4 is so behind a gateway, too.
            let embedded = EMBEDDING.into_iter().filter(|range| range.contains(&ip)).flat_map(|range| {
                let shift = 96 - u32::from(range.prefix_len());
                let inner = Ipv4Addr::from_bits((ip.to_bits() >> shift) as u32);
                special_v4(inner).map(move |special| {
                    let bits = range.network().to_bits() | u128::from(special.network().to_bits()) << shift;
                    let len = range.prefix_len() + special.prefix_len();
                    Ipv6Net::new_assert(Ipv6Addr::from_bits(bits), len)
                })
            });
            ranges.chain(embedded).map(IpNet::V6).collect()
        }
    }
}

fn special_v4(ip: Ipv4Addr) -> impl Iterator<Item = Ipv4Net> {
    SPECIAL_V4.into_iter().filter(move |range| range.contains(&ip))
}

#[cfg(test)]
mod tests;
