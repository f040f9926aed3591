//! SOCKS5 messages, octet by octet (RFC 1928 and 1929).
//!
//! ```text
//!  greeting   version 5 ‖ count 1 ‖ methods                     answer  version 5 ‖ method
//!  login      version 1 ‖ length 1 ‖ name ‖ length 1 ‖ password answer  version 1 ‖ status (0: good)
//!  request    version 5 ‖ command 1 ‖ 0 ‖ address               answer  version 5 ‖ reply ‖ 0 ‖ address
//!  datagram   0 0 ‖ fragment 1 ‖ address ‖ data
//!  address    1 ‖ IPv4 4 ‖ port 2,   4 ‖ IPv6 16 ‖ port 2,   3 ‖ length 1 ‖ name ‖ port 2
//! ```
//!
//! A stream brings messages in pieces, so each parser tells how many octets its message has at least. Who
//! reads no more than that never holds the beginning of the next message, and no more than
//! [`MESSAGE_LEN_MAX`] octets.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::tunnel::link::{Endpoint, Host};
use crate::tunnel::wire::NAME_LEN_MAX;

/// The version that begins a greeting, a request and their answers.
pub const VERSION: u8 = 5;
/// The version that begins a login and its answer (RFC 1929).
pub const LOGIN_VERSION: u8 = 1;
/// The longest message, in octets: a login with the longest name and password.
pub const MESSAGE_LEN_MAX: usize = 3 + 255 + 255;
/// The longest address, in octets: a name of 255.
pub const ADDRESS_LEN_MAX: usize = 1 + 1 + 255 + 2;
const _: () = assert!(3 + ADDRESS_LEN_MAX <= MESSAGE_LEN_MAX && 2 + 255 <= MESSAGE_LEN_MAX);

/// No login.
pub const METHOD_NONE: u8 = 0;
/// A login with name and password.
pub const METHOD_PASSWORD: u8 = 2;
/// None of the methods that the client offers.
pub const METHOD_REFUSED: u8 = 0xff;

/// The command that is served: UDP ASSOCIATE. The others are CONNECT (1) and BIND (2).
pub const UDP_ASSOCIATE: u8 = 3;

const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;

/// What a request is answered (RFC 1928 section 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Reply {
    /// It is done.
    Succeeded = 0,
    /// There is no room, or the system refuses.
    Failed = 1,
    /// Another command than UDP ASSOCIATE.
    CommandNotSupported = 7,
    /// An address of no known type.
    AddressTypeNotSupported = 8,
}

/// What has come of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<T> {
    /// Its beginning. The message has at least this many octets, which is more than have come.
    Begun(usize),
    /// All of it.
    Whole(T),
}

/// Why a message is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// It begins with another version.
    Version,
    /// Its address is of an unknown type, so that its length is not known either.
    AddressType,
}

/// A name and a password, as a client sends them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Login<'a> {
    /// The user's name, at most 255 octets.
    pub name: &'a [u8],
    /// His password, at most 255 octets.
    pub password: &'a [u8],
}

/// What a client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// The command.
    pub command: u8,
    /// Of UDP ASSOCIATE: where the client's datagrams are to come from, as far as it knows.
    pub address: Address<'a>,
}

/// An address as a message has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Address<'a> {
    /// An IP address and a port, of which each may be 0.
    Ip(SocketAddr),
    /// A name, of any octets, and a port.
    Name(&'a [u8], u16),
}

/// Why a datagram with a header is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsent {
    /// It is a part of one. Putting parts together is optional (RFC 1928 section 7), and is not done.
    Fragment,
    /// There is no header that can be read, or no target in it that can be sent to.
    Malformed,
}

/// The methods that a client offers.
///
/// # Errors
/// Another version.
pub fn greeting(octets: &[u8]) -> Result<Message<&[u8]>, Malformed> {
    let [version, count, methods @ ..] = octets else { return begun(octets, VERSION, 2) };
    versioned(*version, VERSION)?;
    let count = usize::from(*count);
    Ok(methods.get(..count).map_or(Message::Begun(2 + count), Message::Whole))
}

/// A client's name and password.
///
/// # Errors
/// Another version.
pub fn login(octets: &[u8]) -> Result<Message<Login<'_>>, Malformed> {
    let [version, len, rest @ ..] = octets else { return begun(octets, LOGIN_VERSION, 2) };
    versioned(*version, LOGIN_VERSION)?;
    let len = usize::from(*len);
    // The octet behind the name is the password's length.
    let Some((name, [password_len, rest @ ..])) = rest.split_at_checked(len) else {
        return Ok(Message::Begun(2 + len + 1));
    };
    let password_len = usize::from(*password_len);
    let Some(password) = rest.get(..password_len) else {
        return Ok(Message::Begun(3 + len + password_len));
    };
    Ok(Message::Whole(Login { name, password }))
}

/// A client's request. The reserved octet may have any value.
///
/// # Errors
/// Another version, or an address of an unknown type.
pub fn request(octets: &[u8]) -> Result<Message<Request<'_>>, Malformed> {
    let [version, command, _, rest @ ..] = octets else { return begun(octets, VERSION, 4) };
    versioned(*version, VERSION)?;
    Ok(match address(rest)? {
        Message::Begun(len) => Message::Begun(3 + len),
        Message::Whole((address, _)) => Message::Whole(Request { command: *command, address }),
    })
}

/// A datagram of an application: its target and its data. The reserved octets may have any value.
///
/// # Errors
/// [`Unsent`].
pub fn datagram(octets: &[u8]) -> Result<(Endpoint, &[u8]), Unsent> {
    let [_, _, fragment, rest @ ..] = octets else { return Err(Unsent::Malformed) };
    if *fragment != 0 {
        return Err(Unsent::Fragment);
    }
    let Ok(Message::Whole((address, len))) = address(rest) else { return Err(Unsent::Malformed) };
    Ok((address.endpoint().ok_or(Unsent::Malformed)?, &rest[len..]))
}

/// Adds the header of a datagram from this address to an application.
pub fn write_header(source: Address<'_>, out: &mut Vec<u8>) {
    out.extend([0, 0, 0]);
    source.write(out);
}

/// Octets of such a header.
pub fn header_len(source: &Address<'_>) -> usize {
    3 + match source {
        Address::Ip(SocketAddr::V4(_)) => 1 + 4 + 2,
        Address::Ip(SocketAddr::V6(_)) => 1 + 16 + 2,
        Address::Name(name, _) => 2 + name.len().min(255) + 2,
    }
}

/// Adds the answer to a request; `bound` is where datagrams are to be sent.
pub fn write_reply(reply: Reply, bound: SocketAddr, out: &mut Vec<u8>) {
    out.extend([VERSION, reply as u8, 0]);
    Address::Ip(bound).write(out);
}

/// Where nothing is bound.
pub const NOWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

impl<'a> From<&'a Endpoint> for Address<'a> {
    fn from(endpoint: &'a Endpoint) -> Self {
        match &endpoint.host {
            Host::Ip(ip) => Self::Ip((*ip, endpoint.port).into()),
            Host::Name(name) => Self::Name(name.as_bytes(), endpoint.port),
        }
    }
}

impl Address<'_> {
    /// The address as a target: `None` if nothing can be sent there. A name that is an address is that
    /// address: some clients send all targets as names.
    pub fn endpoint(&self) -> Option<Endpoint> {
        let (host, port) = match self {
            Self::Ip(address) => (Host::Ip(address.ip().to_canonical()), address.port()),
            Self::Name(name, port) => (host(name)?, *port),
        };
        (port != 0).then_some(Endpoint { host, port })
    }

    /// Adds its octets. A name is at most 255 octets long.
    pub fn write(&self, out: &mut Vec<u8>) {
        let port = match *self {
            Self::Ip(address) => {
                match address.ip() {
                    IpAddr::V4(ip) => {
                        out.push(IPV4);
                        out.extend(ip.octets());
                    }
                    IpAddr::V6(ip) => {
                        out.push(IPV6);
                        out.extend(ip.octets());
                    }
                }
                address.port()
            }
            Self::Name(name, port) => {
                let name = &name[..name.len().min(255)];
                out.extend([NAME, name.len() as u8]);
                out.extend(name);
                port
            }
        };
        out.extend(port.to_be_bytes());
    }
}

/// The address in front, and its length.
fn address(octets: &[u8]) -> Result<Message<(Address<'_>, usize)>, Malformed> {
    // Two octets are in each address, and tell how long it is.
    let [kind, first, ..] = octets else {
        return match octets {
            [] | [IPV4 | NAME | IPV6] => Ok(Message::Begun(octets.len() + 1)),
            _ => Err(Malformed::AddressType),
        };
    };
    let len = match *kind {
        IPV4 => 1 + 4 + 2,
        IPV6 => 1 + 16 + 2,
        NAME => 2 + usize::from(*first) + 2,
        _ => return Err(Malformed::AddressType),
    };
    let Some((front, [high, low])) = octets.get(..len).map(|whole| whole.split_at(len - 2)) else {
        return Ok(Message::Begun(len));
    };
    let port = u16::from_be_bytes([*high, *low]);
    let address = match *front {
        [IPV4, a, b, c, d] => Address::Ip((Ipv4Addr::new(a, b, c, d), port).into()),
        [IPV6, ref ip @ ..] => {
            let ip: [u8; 16] = ip.try_into().expect("as long as said above");
            Address::Ip((Ipv6Addr::from(ip), port).into())
        }
        _ => Address::Name(&front[2..], port),
    };
    Ok(Message::Whole((address, len)))
}

/// The host that a name means: letters, digits, `-`, `_` and `.`, as resolvers take them.
fn host(name: &[u8]) -> Option<Host> {
    let text = str::from_utf8(name).ok()?;
    let bracketed = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    if let Ok(ip) = bracketed.unwrap_or(text).parse::<IpAddr>() {
        return Some(Host::Ip(ip.to_canonical()));
    }
    let usual = |octet: &u8| octet.is_ascii_alphanumeric() || b"-_.".contains(octet);
    let parts = text.strip_suffix('.').unwrap_or(text);
    let good = name.iter().all(usual)
        && name.len() <= NAME_LEN_MAX
        && parts.split('.').all(|part| (1..=63).contains(&part.len()));
    good.then(|| Host::Name(text.to_owned()))
}

/// The beginning of a message that has `len` octets at least, told before all of them are there.
fn begun<T>(octets: &[u8], version: u8, len: usize) -> Result<Message<T>, Malformed> {
    octets.first().map_or(Ok(()), |first| versioned(*first, version))?;
    Ok(Message::Begun(len))
}

fn versioned(octet: u8, version: u8) -> Result<(), Malformed> {
    if octet == version { Ok(()) } else { Err(Malformed::Version) }
}

#[cfg(test)]
mod tests;
