//! The words that arguments and `mpclient.conf` share: ports, hosts, addresses. Each error says
//! what the word is not, or what to write instead, and reads on after the name of the thing (`port
//! "0" is not …`).

use std::convert::Infallible;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use crate::tunnel::flow::MAX_MAX_FLOWS;
use crate::tunnel::key::Key;
use crate::tunnel::link::Host;
use crate::tunnel::wire::NAME_LEN_MAX;

/// Characters of a value that a message shows: any address, and any name worth reading.
const SHOWN_LEN_MAX: usize = 80;

/// The longest part of a host name, in octets (RFC 1035 section 2.3.4).
const LABEL_LEN_MAX: usize = 63;

/// A user's word in quotes for a message: without control characters, not endless, and no key,
/// since messages end up in logs.
pub(super) struct Quoted<'a>(pub(super) &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if is_key(self.0) {
            return f.write_str("(a key, which is not shown)");
        }
        match self.0.char_indices().nth(SHOWN_LEN_MAX) {
            Some((end, _)) => write!(f, "{:?}…", &self.0[..end]),
            None => write!(f, "{:?}", self.0),
        }
    }
}

/// Whether the word is a key, put where it does not belong. Its last character, `=`, may have been
/// cut off as the sign between a setting's name and its value.
pub(super) fn is_key(word: &str) -> bool {
    Key::from_base64(word).is_ok() || Key::from_base64(&format!("{word}=")).is_ok()
}

/// A message without the keys in it: clap repeats the words that it does not understand, the system's
/// errors come with names of files that are none.
pub(crate) fn without_keys(message: &str) -> String {
    let words = message.split(|c: char| !(c.is_ascii_alphanumeric() || "+/".contains(c)));
    words.filter(|word| is_key(word)).fold(message.to_owned(), |message, key| {
        let shown = Quoted(key).to_string();
        message.replace(&format!("{key}="), &shown).replace(key, &shown)
    })
}

/// A UDP port.
pub(super) fn port(word: &str) -> Result<u16, String> {
    match word.parse() {
        Ok(port @ 1..) => Ok(port),
        _ => Err(format!("{} is not between 1 and 65535", Quoted(word))),
    }
}

/// The port of a word that has more in it.
pub(super) fn port_in(word: &str, number: &str) -> Result<u16, String> {
    port(number).map_err(|error| format!("{}: port {error}", Quoted(word)))
}

/// A UDP port as an argument, whose name a message does not repeat.
pub(super) fn port_argument(word: &str) -> Result<u16, String> {
    port(word).map_err(|_| format!("{} is not a port: a number from 1 to 65535", Quoted(word)))
}

/// The first argument of mpserver, where some put something else.
pub(super) fn listen_port(word: &str) -> Result<u16, String> {
    port_argument(word).map_err(|error| format!("{error}; the order is LISTEN_PORT TARGET_HOST TARGET_PORT"))
}

/// A name, an IPv4 address, or an IPv6 address with or without brackets.
pub(super) fn host(word: &str) -> Result<Host, String> {
    let bracketed = word.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    if let Some(inner) = bracketed {
        return inner.parse().map(|ip: Ipv6Addr| Host::Ip(ip.into())).map_err(|_| no_ipv6_address(word));
    }
    if let Ok(ip) = word.parse() {
        return Ok(Host::Ip(ip));
    }
    if let Some((host, port)) = split_port(word) {
        return Err(format!("{} holds a port: write \"{host} {port}\", with a space", Quoted(word)));
    }
    if word.contains(':') {
        return Err(no_ipv6_address(word));
    }
    match what_is_wrong_with_name(word) {
        None => Ok(Host::Name(word.to_owned())),
        Some(reason) => Err(format!("{} {reason}", Quoted(word))),
    }
}

/// Host and port of a word that holds both, as `1.2.3.4:4000` or `[::1]:4000`.
fn split_port(word: &str) -> Option<(&str, u16)> {
    let (front, back) = word.rsplit_once(':')?;
    let number = port(back).ok()?;
    // Without brackets, the last part of an IPv6 address is no port.
    let holds_host = if front.starts_with('[') { front.ends_with(']') } else { !front.contains(':') };
    (holds_host && host(front).is_ok()).then_some((front, number))
}

fn no_ipv6_address(word: &str) -> String {
    let zone = if word.contains('%') { " (a zone such as %eth0 is not supported)" } else { "" };
    format!("{} is not an IPv6 address{zone}", Quoted(word))
}

fn what_is_wrong_with_name(name: &str) -> Option<String> {
    let relative = name.strip_suffix('.').unwrap_or(name);
    let last = relative.rsplit('.').next().unwrap_or_default();
    // The underscore is in no standard's host name, but in those of many private networks.
    let strange = |c: &char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
    if let Some(strange) = relative.chars().find(strange) {
        let remedy =
            if strange.is_ascii() { "" } else { ": write the name in its form of ASCII, \"xn--…\"" };
        return Some(format!("is not a host: {strange:?} is in no host name{remedy}"));
    }
    if !last.is_empty() && last.bytes().all(|octet| octet.is_ascii_digit()) {
        return Some("is not an IPv4 address, which has four numbers from 0 to 255".into());
    }
    if name.len() > NAME_LEN_MAX {
        return Some(format!("is not a host: a name has at most {NAME_LEN_MAX} characters"));
    }
    for label in relative.split('.') {
        if label.is_empty() {
            return Some("is not a host: a part of the name is empty".into());
        }
        if label.len() > LABEL_LEN_MAX {
            return Some(format!(
                "is not a host: a part of the name has more than {LABEL_LEN_MAX} characters"
            ));
        }
        if label.starts_with('-') || label.ends_with('-') {
            return Some("is not a host: a part of the name begins or ends with \"-\"".into());
        }
    }
    None
}

/// An address to listen on, with its port.
pub(super) fn listen(word: &str) -> Result<SocketAddr, String> {
    let shape = || match port(word) {
        Ok(port) => {
            format!("{} is not ADDRESS:PORT: write 127.0.0.1:{port} for this machine alone", Quoted(word))
        }
        Err(_) => format!("{} is not ADDRESS:PORT, such as 127.0.0.1:3000 or [::1]:3000", Quoted(word)),
    };
    let address: SocketAddr = match word.parse() {
        Ok(address) => address,
        // A port out of range is the likelier slip than a missing address.
        Err(_) => match word.rsplit_once(':') {
            Some((ip, number)) if format!("{ip}:1").parse::<SocketAddr>().is_ok() => {
                return Err(port_in(word, number).map_or_else(|error| error, |_| shape()));
            }
            _ => return Err(shape()),
        },
    };
    port_in(word, &address.port().to_string())?;
    Ok(address)
}

/// An address to bind to, whose port is told elsewhere.
pub(super) fn bind(word: &str) -> Result<IpAddr, String> {
    match host(word) {
        Ok(Host::Ip(ip)) => Ok(ip),
        _ => Err(format!("{} is not an IP address, such as [::], 0.0.0.0 or 192.0.2.1", Quoted(word))),
    }
}

/// How many flows there may be.
pub(super) fn max_flows(word: &str) -> Result<usize, String> {
    match word.parse() {
        Ok(count @ 1..=MAX_MAX_FLOWS) => Ok(count),
        _ => Err(format!("{} is not between 1 and {MAX_MAX_FLOWS}", Quoted(word))),
    }
}

/// What follows the last argument.
pub(super) fn excess(word: &str) -> Result<Infallible, String> {
    Err(format!("{} is one argument too many", Quoted(word)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_from_1_to_65535_are_taken_and_nothing_else() {
        for (word, expected) in [("1", 1), ("65535", 65535), ("04000", 4000)] {
            assert_eq!(port(word), Ok(expected));
        }
        for word in ["", "0", "-1", "65536", "40000000", "99999999999999999999", "4000x", "4 0", "０"] {
            let error = port(word).expect_err(word);
            assert_eq!(error, format!("{word:?} is not between 1 and 65535"));
        }
    }

    #[test]
    fn an_argument_that_is_no_port_is_told_what_is_wanted() {
        assert_eq!(listen_port("2000"), Ok(2000));
        let no_port = "\"1.2.3.4\" is not a port: a number from 1 to 65535";
        assert_eq!(port_argument("1.2.3.4"), Err(no_port.to_owned()));
        let order = "; the order is LISTEN_PORT TARGET_HOST TARGET_PORT";
        assert_eq!(listen_port("1.2.3.4"), Err(format!("{no_port}{order}")));
    }

    #[test]
    fn hosts_are_names_and_addresses_with_or_without_brackets() {
        for (word, ip) in [("1.2.3.4", "1.2.3.4"), ("2001:db8::7", "2001:db8::7"), ("[::1]", "::1")] {
            assert_eq!(host(word), Ok(Host::Ip(ip.parse().expect(ip))));
        }
        let longest = ["a", "b", "c", "d"].map(|label| label.repeat(63)).join(".");
        let longest = &longest[..NAME_LEN_MAX];
        for name in ["localhost", "bridge-1.example.org", "a_b.lan", "example.org.", "3com", longest] {
            assert_eq!(host(name), Ok(Host::Name(name.to_owned())));
        }
    }

    #[test]
    fn what_is_no_host_is_refused_with_the_reason() {
        let long_label = format!("{}.org", "a".repeat(64));
        let long_name = "a.".repeat(127) + "a";
        // The dot at the end counts: it travels too.
        let dotted = long_name[2..].to_owned() + ".";
        for (word, reason) in [
            ("1.2.3.4:4000", "write \"1.2.3.4 4000\""),
            ("bridge.org:4000", "write \"bridge.org 4000\""),
            ("[::1]:4000", "write \"[::1] 4000\""),
            ("2001:db8::7::1", "is not an IPv6 address"),
            ("[1.2.3.4]", "is not an IPv6 address"),
            ("fe80::1%eth0", "zone"),
            ("1.2.3.400", "is not an IPv4 address"),
            ("1.2.3", "is not an IPv4 address"),
            ("exa mple", "' ' is in no host name"),
            ("a/b", "'/' is in no host name"),
            ("bücher.example", "xn--"),
            ("a\0b", "'\\0' is in no host name"),
            ("", "part of the name is empty"),
            (".", "part of the name is empty"),
            ("a..b", "part of the name is empty"),
            ("-a.org", "begins or ends with"),
            (&long_label, "more than 63"),
            (&long_name, "at most 253"),
            (&dotted, "at most 253"),
        ] {
            let error = host(word).expect_err(word);
            assert!(error.contains(reason), "{word}: {error}");
        }
    }

    #[test]
    fn a_listening_address_needs_its_port_and_a_bind_address_has_none() {
        assert_eq!(listen("[::1]:3000"), Ok("[::1]:3000".parse().expect("an address")));
        for (word, reason) in [
            ("127.0.0.1", "is not ADDRESS:PORT"),
            ("3000", "is not ADDRESS:PORT: write 127.0.0.1:3000 for this machine alone"),
            ("localhost:3000", "is not ADDRESS:PORT"),
            ("::1:3000", "is not ADDRESS:PORT"),
            ("", "is not ADDRESS:PORT"),
            ("127.0.0.1:0", "port \"0\" is not between 1 and 65535"),
            ("127.0.0.1:70000", "port \"70000\" is not between 1 and 65535"),
        ] {
            let error = listen(word).expect_err(word);
            assert!(error.contains(reason), "{word}: {error}");
        }
        for word in ["::", "[::]"] {
            assert_eq!(bind(word), Ok(IpAddr::V6(Ipv6Addr::UNSPECIFIED)));
        }
        for word in ["eth0", "0.0.0.0:2000", "[::]:2000", ""] {
            assert!(bind(word).expect_err(word).contains("is not an IP address"));
        }
    }

    #[test]
    fn a_message_shows_no_control_characters_and_no_endless_value() {
        assert_eq!(Quoted("a\x1b[2J\n").to_string(), "\"a\\u{1b}[2J\\n\"");
        let shown = Quoted(&"é".repeat(10_000)).to_string();
        assert_eq!(shown.chars().count(), SHOWN_LEN_MAX + 3, "{shown}");
        for key in [format!("{}=", "A".repeat(43)), "A".repeat(43)] {
            assert_eq!(Quoted(&key).to_string(), "(a key, which is not shown)");
        }
    }
}
