//! Where flows lead: `forward = ADDRESS:PORT HOST:PORT` at mpclient, `--allow-target` at mpserver.

use std::ops::RangeInclusive;

use ipnet::IpNet;

use super::values::{self, Quoted};
use crate::tunnel::allow::{Hosts, Rule};
use crate::tunnel::link::{Endpoint, Host};
use crate::tunnel::role::Forward;

/// What `forward` is set to.
pub(super) fn forward(value: &str) -> Result<Forward, String> {
    let mut words = value.split_whitespace();
    let (Some(listen), Some(target), None) = (words.next(), words.next(), words.next()) else {
        return Err(format!(
            "{} is not ADDRESS:PORT HOST:PORT, such as \"127.0.0.1:5353 dns.example.org:53\"",
            Quoted(value)
        ));
    };
    let listen = values::listen(listen)?;
    Ok(Forward { listen, target: endpoint(target)? })
}

/// A host and its port, as `1.2.3.4:53`, `[::1]:53` or `name:53`.
fn endpoint(word: &str) -> Result<Endpoint, String> {
    let shape =
        || format!("{} is not HOST:PORT, such as 1.2.3.4:53, [2001:db8::7]:53 or name:53", Quoted(word));
    let (host, port) = word.rsplit_once(':').ok_or_else(shape)?;
    if host.contains(':') && !host.starts_with('[') {
        return Err(format!("{} is an IPv6 address without brackets: write [ADDRESS]:PORT", Quoted(word)));
    }
    let port = values::port_in(word, port)?;
    Ok(Endpoint { host: values::host(host)?, port })
}

/// What `--allow-target` is given.
pub(super) fn rule(word: &str) -> Result<Rule, String> {
    let (hosts, ports) = split(word)?;
    let ports = ports.map_or(Ok(Rule::ALL_PORTS), |ports| self::ports(word, ports))?;
    let hosts = match hosts.parse::<IpNet>() {
        Ok(net) if net != net.trunc() => {
            return Err(format!(
                "{} has more bits than its length says: write {}, or the address alone",
                Quoted(word),
                net.trunc()
            ));
        }
        Ok(net) => Hosts::net(net),
        Err(_) if hosts.contains('/') => {
            return Err(format!("{} is not a range of addresses, such as 10.0.0.0/8", Quoted(word)));
        }
        Err(_) => match values::host(hosts)? {
            Host::Ip(ip) => Hosts::net(ip.into()),
            Host::Name(name) => Hosts::name(&name),
        },
    };
    Ok(Rule { hosts, ports })
}

/// The hosts and the ports of a rule.
fn split(word: &str) -> Result<(&str, Option<&str>), String> {
    if let Some(rest) = word.strip_prefix('[') {
        let (inner, behind) = rest.split_once(']').ok_or_else(|| format!("{} has no \"]\"", Quoted(word)))?;
        return match behind.strip_prefix(':') {
            Some(ports) => Ok((inner, Some(ports))),
            None if behind.is_empty() => Ok((inner, None)),
            None => Err(format!("{} has something else than \":PORT\" behind the \"]\"", Quoted(word))),
        };
    }
    match word.split_once(':') {
        // An IPv6 address.
        Some((_, rest)) if rest.contains(':') => Ok((word, None)),
        Some((hosts, ports)) => Ok((hosts, Some(ports))),
        None => Ok((word, None)),
    }
}

fn ports(word: &str, ports: &str) -> Result<RangeInclusive<u16>, String> {
    let Some((first, last)) = ports.split_once('-') else {
        let only = values::port_in(word, ports)?;
        return Ok(only..=only);
    };
    let (first, last) = (values::port_in(word, first)?, values::port_in(word, last)?);
    if first > last {
        return Err(format!("{}: the first port is above the last", Quoted(word)));
    }
    Ok(first..=last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forward_is_where_to_listen_and_a_target() {
        let read =
            |value| forward(value).map(|forward| (forward.listen.to_string(), forward.target.to_string()));
        for (value, listen, target) in [
            ("127.0.0.1:53 1.2.3.4:5353", "127.0.0.1:53", "1.2.3.4:5353"),
            ("[::1]:53 \t [2001:db8::7]:53", "[::1]:53", "[2001:db8::7]:53"),
            ("0.0.0.0:1 Game.Example.org.:65535", "0.0.0.0:1", "Game.Example.org.:65535"),
        ] {
            assert_eq!(read(value), Ok((listen.to_owned(), target.to_owned())));
        }
        for (value, reason) in [
            ("", "is not ADDRESS:PORT HOST:PORT"),
            ("127.0.0.1:53", "is not ADDRESS:PORT HOST:PORT"),
            ("127.0.0.1:53 a:1 b:2", "is not ADDRESS:PORT HOST:PORT"),
            ("53 a:1", "\"53\" is not ADDRESS:PORT"),
            ("127.0.0.1:0 a:1", "port \"0\" is not between 1 and 65535"),
            ("127.0.0.1:53 a", "\"a\" is not HOST:PORT"),
            ("127.0.0.1:53 a:0", "\"a:0\": port \"0\" is not between 1 and 65535"),
            ("127.0.0.1:53 ::1:53", "write [ADDRESS]:PORT"),
            ("127.0.0.1:53 a b:53", "is not ADDRESS:PORT HOST:PORT"),
            ("127.0.0.1:53 1.2.3:53", "is not an IPv4 address"),
            ("127.0.0.1:53 [a]:53", "is not an IPv6 address"),
        ] {
            let error = forward(value).expect_err(value);
            assert!(error.contains(reason), "{value}: {error}");
        }
    }

    #[test]
    fn a_rule_is_a_host_or_a_range_with_or_without_ports() {
        for (word, shown) in [
            ("1.2.3.4", "1.2.3.4/32"),
            ("1.2.3.4:53", "1.2.3.4/32:53"),
            ("10.0.0.0/8:1000-2000", "10.0.0.0/8:1000-2000"),
            ("2001:db8::/32", "2001:db8::/32"),
            ("2001:db8::7", "2001:db8::7/128"),
            ("[2001:db8::7]", "2001:db8::7/128"),
            ("[2001:db8::7]:53", "[2001:db8::7/128]:53"),
            ("[2001:db8::/32]:53-54", "[2001:db8::/32]:53-54"),
            ("Game.Example.org.:27015", "game.example.org:27015"),
            ("game.example.org", "game.example.org"),
            // IPv4 in the dress of IPv6 is IPv4.
            ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
            ("[::ffff:1.2.3.4]:7", "1.2.3.4/32:7"),
        ] {
            assert_eq!(rule(word).map(|rule| rule.to_string()), Ok(shown.to_owned()), "{word}");
        }
        for (word, reason) in [
            ("", "a part of the name is empty"),
            ("1.2.3.4:", "port \"\" is not between"),
            ("1.2.3.4:0", "port \"0\" is not between"),
            ("1.2.3.4:2-1", "the first port is above the last"),
            ("1.2.3.4:1-70000", "port \"70000\" is not between"),
            ("10.0.0.0/33", "is not a range of addresses"),
            ("10.0.0.1/8", "write 10.0.0.0/8"),
            ("game/8", "is not a range of addresses"),
            ("[::1", "has no \"]\""),
            ("[::1]x", "behind the \"]\""),
            ("[1.2.3.4.5]:1", "is not an IPv4 address"),
            ("a b", "' ' is in no host name"),
        ] {
            let error = rule(word).expect_err(word);
            assert!(error.contains(reason), "{word}: {error}");
        }
    }
}
