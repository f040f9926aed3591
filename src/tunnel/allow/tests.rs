//! Attempts to get past the list, each with what the list allows and what is asked for.

use super::*;

fn rule(net: &str, ports: RangeInclusive<u16>) -> Rule {
    let hosts = match net.parse::<IpNet>() {
        Ok(net) => Hosts::net(net),
        Err(_) => match net.parse::<IpAddr>() {
            Ok(ip) => Hosts::net(ip.into()),
            Err(_) => Hosts::name(net),
        },
    };
    Rule { hosts, ports }
}

fn allowed(rules: &[&str]) -> Allowed {
    Allowed(rules.iter().map(|net| rule(net, 1000..=2000)).collect())
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect(text)
}

/// Everything that has an address: what a careless operator would write.
const ANY: &[&str] = &["0.0.0.0/0", "::/0"];
const TEN: &[&str] = &["10.0.0.0/8"];
const NAME: &[&str] = &["game.example.org"];

/// What is allowed, the name that is asked for, if it is one, and the address that is asked for or that the name has.
const ATTEMPTS: &[(&[&str], Option<&str>, &str)] = &[
    // This machine, by each of its names.
    (ANY, None, "127.0.0.1"),
    (ANY, None, "127.0.0.2"),
    (ANY, None, "127.255.255.254"),
    (ANY, None, "0.0.0.0"),
    (ANY, None, "0.0.0.1"),
    (ANY, None, "0.255.255.255"),
    (ANY, None, "::1"),
    (ANY, None, "::"),
    (ANY, Some("localhost"), "127.0.0.1"),
    (ANY, Some("localhost"), "::1"),
    (ANY, Some("LOCALHOST."), "127.0.0.1"),
    (ANY, Some("rebound.example.org"), "127.0.0.1"),
    (ANY, Some("2130706433"), "127.0.0.1"),
    (ANY, Some("0x7f.1"), "127.0.0.1"),
    // The same in the dress of IPv6.
    (ANY, None, "::ffff:127.0.0.1"),
    (ANY, None, "::ffff:0.0.0.0"),
    (ANY, None, "::ffff:169.254.169.254"),
    (ANY, None, "::127.0.0.1"),
    (ANY, None, "::ffff:0:127.0.0.1"),
    (ANY, None, "64:ff9b::127.0.0.1"),
    (ANY, None, "64:ff9b::7f00:1"),
    (ANY, None, "64:ff9b:1::7f00:1"),
    (ANY, None, "2002:7f00:1::"),
    (ANY, None, "2002:7f00:1::1"),
    (ANY, None, "2001:0:7f00:1::80ff:fffe"),
    // IPv4 that is not special, through a gateway that nobody has named.
    (ANY, None, "64:ff9b::10.0.0.1"),
    (ANY, None, "2002:a00:1::1"),
    (ANY, None, "::10.0.0.1"),
    (TEN, None, "64:ff9b::10.0.0.1"),
    (TEN, None, "2002:a00:1::1"),
    // A gateway that is named, towards what is special behind it.
    (&["64:ff9b::/96"], None, "64:ff9b::127.0.0.1"),
    (&["64:ff9b::/96"], None, "64:ff9b::169.254.169.254"),
    (&["64:ff9b::/96"], None, "64:ff9b::0.0.0.0"),
    (&["64:ff9b::/96"], None, "64:ff9b::224.0.0.1"),
    (&["2002::/16"], None, "2002:7f00:1::1"),
    (&["2002::/16"], None, "2002:a9fe:a9fe::1"),
    (&["::/96"], None, "::127.0.0.1"),
    (&["::/96"], None, "::1"),
    // Its links, groups, everybody.
    (ANY, None, "169.254.169.254"),
    (ANY, None, "169.254.0.1"),
    (ANY, None, "fe80::1"),
    (ANY, None, "febf::1"),
    (ANY, None, "fec0::1"),
    (ANY, None, "224.0.0.1"),
    (ANY, None, "239.255.255.250"),
    (ANY, None, "ff02::1"),
    (ANY, None, "ff05::2"),
    (ANY, None, "255.255.255.255"),
    (ANY, Some("metadata.example.org"), "169.254.169.254"),
    // A range that begins before a special one and holds it.
    (&["126.0.0.0/7"], None, "127.0.0.1"),
    (&["192.0.0.0/2"], None, "224.0.0.1"),
    (&["fe00::/7"], None, "fe80::1"),
    (&["::/3"], None, "::1"),
    // Names: what they mean now is what counts, and only for who asks by the name.
    (NAME, Some("game.example.org"), "127.0.0.1"),
    (NAME, Some("game.example.org"), "::1"),
    (NAME, Some("game.example.org"), "0.0.0.0"),
    (NAME, Some("game.example.org"), "169.254.169.254"),
    (NAME, Some("game.example.org"), "::ffff:127.0.0.1"),
    (NAME, Some("game.example.org"), "64:ff9b::7f00:1"),
    (NAME, Some("game.example.org"), "fe80::1"),
    (NAME, Some("game.example.org"), "255.255.255.255"),
    (NAME, None, "192.0.2.7"),
    (NAME, Some("game.example.org.evil.example"), "192.0.2.7"),
    (NAME, Some("xgame.example.org"), "192.0.2.7"),
    (NAME, Some("example.org"), "192.0.2.7"),
    (NAME, Some("game.example.org.."), "192.0.2.7"),
    (NAME, Some("game_example.org"), "192.0.2.7"),
    (NAME, Some(""), "192.0.2.7"),
    (NAME, Some("."), "192.0.2.7"),
    (TEN, Some("game.example.org"), "11.0.0.1"),
    // One version of IP is not the other, and one address not its neighbour.
    (&["::/0"], None, "10.0.0.1"),
    (&["::/0"], None, "::ffff:10.0.0.1"),
    (&["0.0.0.0/0"], None, "2001:db8::1"),
    (TEN, None, "9.255.255.255"),
    (TEN, None, "11.0.0.0"),
    (&["192.0.2.7"], None, "192.0.2.6"),
    (&["192.0.2.7"], None, "192.0.2.8"),
    (&["127.0.0.1"], None, "127.0.0.2"),
    (&["127.0.0.1"], None, "0.0.0.0"),
    (&["127.0.0.1"], None, "::1"),
    (&["::1"], None, "127.0.0.1"),
    (&["::1"], None, "::"),
    (&[], None, "192.0.2.7"),
    (&[], Some("game.example.org"), "192.0.2.7"),
];

#[test]
fn no_attempt_gets_past_the_list() {
    assert!(ATTEMPTS.len() >= 50);
    for (rules, name, address) in ATTEMPTS {
        for port in [1000, 1500, 2000] {
            let allows = allowed(rules).allows(*name, (ip(address), port).into());
            assert!(!allows, "{rules:?} allows {name:?} at {address}, port {port}");
        }
    }
}

/// So that the table above does not pass because nothing does.
const WANTED: &[(&[&str], Option<&str>, &str)] = &[
    (ANY, None, "192.0.2.7"),
    (ANY, None, "10.0.0.1"),
    (ANY, None, "2001:db8::7"),
    (ANY, None, "::ffff:192.0.2.7"),
    (ANY, Some("anything.example.org"), "192.0.2.7"),
    (TEN, None, "10.0.0.0"),
    (TEN, None, "10.255.255.255"),
    (TEN, None, "::ffff:10.1.2.3"),
    (TEN, Some("inside.example.org"), "10.1.2.3"),
    (NAME, Some("game.example.org"), "192.0.2.7"),
    (NAME, Some("Game.Example.ORG"), "2001:db8::7"),
    (NAME, Some("game.example.org."), "192.0.2.7"),
    // What is special, where it is named.
    (&["127.0.0.1"], None, "127.0.0.1"),
    (&["127.0.0.0/8"], None, "127.0.0.53"),
    (&["127.0.0.0/8"], Some("localhost"), "127.0.0.1"),
    (&["::ffff:127.0.0.1"], None, "127.0.0.1"),
    (&["::1"], None, "::1"),
    (&["169.254.169.254"], None, "169.254.169.254"),
    (&["224.0.0.0/4"], None, "239.255.255.250"),
    (&["ff02::fb"], None, "ff02::fb"),
    (&["64:ff9b::/96"], None, "64:ff9b::192.0.2.7"),
    (&["64:ff9b::7f00:0/104"], None, "64:ff9b::127.0.0.1"),
    (&["2002::/16"], None, "2002:c000:207::1"),
    (&["2002:7f00::/24"], None, "2002:7f00:1::1"),
];

#[test]
fn what_the_list_has_is_allowed() {
    for (rules, name, address) in WANTED {
        for port in [1000, 1500, 2000] {
            let allows = allowed(rules).allows(*name, (ip(address), port).into());
            assert!(allows, "{rules:?} does not allow {name:?} at {address}, port {port}");
        }
    }
}

#[test]
fn a_port_beside_those_of_the_rule_is_not_allowed() {
    for (rules, name, address) in WANTED {
        for port in [1, 999, 2001, 65_535] {
            assert!(!allowed(rules).allows(*name, (ip(address), port).into()), "{rules:?}, port {port}");
        }
    }
}

#[test]
fn a_name_is_looked_up_only_where_that_could_lead_to_something_allowed() {
    for (rules, name, port, could) in [
        (&[][..], "game.example.org", 1000, false),
        (NAME, "game.example.org", 1000, true),
        (NAME, "GAME.example.org.", 1000, true),
        (NAME, "game.example.org", 999, false),
        (NAME, "internal.example.org", 1000, false),
        (TEN, "internal.example.org", 1000, true),
        (TEN, "internal.example.org", 999, false),
    ] {
        assert_eq!(allowed(rules).could_allow(name, port), could, "{rules:?} {name} {port}");
    }
}
