//! What was found, in words.

use std::fmt::Write;
use std::net::SocketAddr;

use super::remedies::{Together, remedies};
use crate::status::plural;
use crate::tunnel::link::Host;
use crate::tunnel::probing::Probes;
use crate::tunnel::report::vpn_settings;
use crate::tunnel::role::{Bridge, Security};
use crate::tunnel::snapshot::WholeView;

/// A bridge that was tried.
#[derive(Clone, Debug)]
pub(super) struct Tried {
    /// As the user named it.
    pub(super) bridge: Bridge,
    /// Where it was looked for: the addresses of its name, or its address.
    pub(super) addresses: Vec<SocketAddr>,
    /// What was found.
    pub(super) finding: Finding,
}

/// What was found of a bridge.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Finding {
    /// mpserver answers through it.
    Works {
        /// The round trip.
        rtt_ms: f64,
        /// What became of the probes.
        probes: Probes,
        /// The largest datagrams that cross it in one piece.
        whole: WholeView,
    },
    /// Its name has no address, for this reason; or there was no answer at all.
    NoAddress(Option<String>),
    /// Its uplink is missing.
    NoUplink(String),
    /// Nobody listens there.
    Refused,
    /// This machine does not let packets out.
    Forbidden(String),
    /// This machine, or a router, knows no way there; or the system has something else against it.
    NoRoute(String),
    /// A router, a firewall or the machine's neighbours say that it cannot be reached.
    Unreachable(String),
    /// mpserver has answered the handshake, and none of so many probes.
    HandshakeOnly(u32),
    /// Nothing came back.
    Silent,
}

impl Finding {
    /// Whether mpserver answers through it.
    pub(super) fn works(&self) -> bool {
        matches!(self, Self::Works { .. })
    }
}

/// The report of all bridges. Those to which the same remedies apply stand together.
pub(super) fn report(all: &[Tried], security: &Security) -> String {
    let works = all.iter().filter(|tried| tried.finding.works()).count();
    let together = Together::of(all);
    let mut groups: Vec<(Vec<String>, Vec<String>)> = Vec::new();
    for tried in all {
        let (line, remedies) = (line(tried), remedies(tried, together, security));
        match groups.iter_mut().find(|(_, others)| *others == remedies && !remedies.is_empty()) {
            Some((lines, _)) => lines.push(line),
            None => groups.push((vec![line], remedies)),
        }
    }
    let mut out = String::new();
    for (lines, remedies) in groups {
        lines.iter().for_each(|line| out.extend([line, "\n"]));
        if lines.len() > 1 {
            let first = if together == Together::FailAlike { ", what they have in common first" } else { "" };
            let _ = writeln!(out, "  for these {}{first}:", lines.len());
        }
        remedies.iter().for_each(|remedy| out.extend(["  - ", remedy, "\n"]));
    }
    let verb = if works == 1 || all.len() == 1 { "works" } else { "work" };
    let _ = writeln!(out, "{works} of {} {verb}", plural(all.len() as u64, "bridge"));
    // Where one of them has none, none is known of all: nothing is less than something.
    let working = all.iter().filter(|tried| tried.finding.works());
    if let Some(longest) = working.map(|tried| longest(&tried.finding)).min().flatten() {
        let _ = writeln!(
            out,
            "datagrams of up to {longest} octets cross them all in one piece ({})",
            vpn_settings(longest)
        );
    }
    out
}

/// The largest datagram that crosses in one piece, both ways.
fn longest(finding: &Finding) -> Option<usize> {
    let Finding::Works { whole, .. } = finding else { return None };
    Some(whole.sent_octets?.min(whole.received_octets?))
}

/// What is said of a bridge: how well it works, or why it does not.
fn line(tried: &Tried) -> String {
    let Tried { bridge, addresses, finding } = tried;
    let what = match finding {
        Finding::Works { rtt_ms, probes: Probes { answered, lost }, whole } => {
            let sent = answered + lost;
            return format!(
                "bridge {bridge} works: round trip {rtt_ms:.1} ms, {lost} of {sent} probes lost{}",
                in_one_piece(whole)
            );
        }
        Finding::NoAddress(Some(reason)) => format!("it {reason}"),
        Finding::NoAddress(None) => "its name was not looked up in time".to_owned(),
        Finding::NoUplink(reason) => reason.clone(),
        Finding::Refused => "refused, nobody listens there (ICMP port unreachable)".to_owned(),
        Finding::Forbidden(error) => format!("this machine lets nothing out to it ({error})"),
        Finding::NoRoute(error) | Finding::Unreachable(error) => format!("unreachable ({error})"),
        Finding::HandshakeOnly(probes) => {
            format!("mpserver has answered the handshake, and none of {}", plural((*probes).into(), "probe"))
        }
        Finding::Silent => "no answer".to_owned(),
    };
    // What a name led to may be the matter.
    let at: Vec<_> = match bridge.endpoint.host {
        Host::Name(_) => addresses.iter().map(|address| address.ip().to_string()).collect(),
        Host::Ip(_) => Vec::new(),
    };
    let at = if at.is_empty() { String::new() } else { format!(" ({})", at.join(", ")) };
    format!("bridge {bridge}{at} does not work: {what}")
}

/// What is said of the largest datagrams.
fn in_one_piece(whole: &WholeView) -> String {
    match (whole.sent_octets, whole.received_octets) {
        (None, None) => String::new(),
        (Some(there), Some(back)) if there == back => format!(", in one piece up to {there} octets"),
        (there, back) => {
            let octets = |octets: Option<usize>| octets.map_or("?".to_owned(), |octets| octets.to_string());
            format!(", in one piece up to {} octets there and {} back", octets(there), octets(back))
        }
    }
}

/// What the log says of a bridge, without the name and without what comes of it while mpclient runs.
pub(super) fn reason<'a>(bridge: &str, text: &'a str) -> &'a str {
    let text = text.strip_prefix("bridge ").and_then(|text| text.strip_prefix(bridge)).unwrap_or(text);
    let text = text.trim_start_matches([':', ' ']);
    text.split_once("; trying again").map_or(text, |(reason, _)| reason)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tunnel::keyring::Keys;
    use crate::tunnel::link::{Endpoint, Uplink};

    const SECURITY: Security = Security { encrypt: true, keys: Keys::None };

    fn works(sent: usize, received: usize) -> Finding {
        let whole = WholeView { sent_octets: Some(sent), received_octets: Some(received) };
        Finding::Works { rtt_ms: 31.25, probes: Probes { answered: 13, lost: 1 }, whole }
    }

    fn tried(line: &str, finding: Finding) -> Tried {
        let mut words = line.split(' ');
        let host = words.next().expect("a host");
        let host = host.parse().map_or(Host::Name(host.to_owned()), Host::Ip);
        let addresses = match &host {
            Host::Ip(ip) => vec![(*ip, 4000).into()],
            Host::Name(_) => vec![([192, 0, 2, 7], 4000).into(), ([192, 0, 2, 8], 4000).into()],
        };
        let bind = words.next().map(|uplink| Uplink::Interface(uplink.to_owned()));
        let bridge = Bridge { endpoint: Endpoint { host, port: 4000 }, bind, backup: false };
        Tried { bridge, addresses, finding }
    }

    fn text(findings: &[Finding]) -> String {
        let all = (1..).zip(findings);
        let all: Vec<_> =
            all.map(|(number, finding)| tried(&format!("10.0.0.{number}"), finding.clone())).collect();
        report(&all, &SECURITY)
    }

    #[test]
    fn what_works_is_told_with_its_figures_and_what_suits_all() {
        assert_eq!(
            text(&[works(1440, 1440), works(1340, 1332)]),
            "bridge 10.0.0.1:4000 works: round trip 31.2 ms, 1 of 14 probes lost, in one piece up to 1440 octets\n\
             bridge 10.0.0.2:4000 works: round trip 31.2 ms, 1 of 14 probes lost, in one piece up to 1340 octets there \
             and 1332 back\n\
             2 of 2 bridges work\n\
             datagrams of up to 1332 octets cross them all in one piece (WireGuard: MTU = 1300; OpenVPN: mssfix \
             1332)\n"
        );
    }

    #[test]
    fn what_suits_all_is_told_only_where_it_is_known_of_all_that_work() {
        let whole = WholeView { sent_octets: Some(1440), received_octets: None };
        let unknown = Finding::Works { rtt_ms: 31.25, probes: Probes { answered: 13, lost: 1 }, whole };
        let text = [vec![works(1340, 1332), unknown], vec![works(1340, 1332), Finding::Silent]]
            .map(|all| text(&all));
        assert!(text[0].ends_with("2 of 2 bridges work\n"), "{}", text[0]);
        assert!(text[1].contains("up to 1332 octets cross them all"), "{}", text[1]);
    }

    #[test]
    fn silence_is_a_matter_of_the_key_only_where_nothing_works() {
        let alone = text(&[Finding::Silent, Finding::Refused]);
        assert!(alone.contains("It must have no key and encryption on"), "{alone}");
        assert!(alone.contains("  - this check has used no key"), "{alone}");
        assert!(alone.ends_with("0 of 2 bridges work\n"), "{alone}");
        let beside = text(&[Finding::Silent, works(1440, 1440)]);
        assert!(!beside.contains("It must have"), "{beside}");
        assert!(beside.contains("the key and the encryption are right"), "{beside}");
    }

    #[test]
    fn each_trouble_is_told_with_its_remedy() {
        let error = |text: &str| text.to_owned();
        for (finding, words) in [
            (Finding::NoAddress(None), ["not looked up in time", "DNS server"]),
            (
                Finding::NoAddress(Some(error("cannot be looked up: no such host"))),
                ["does not work: it cannot be looked up: no such host\n", "is the name written"],
            ),
            (
                Finding::NoUplink(error("there is no interface wan")),
                ["does not work: there is no interface wan\n", "ip address"],
            ),
            (Finding::Refused, ["refused", "does the bridge run"]),
            (
                Finding::Forbidden(error("Operation not permitted")),
                ["(Operation not permitted)", "nft list ruleset"],
            ),
            (Finding::NoRoute(error("Network is unreachable")), ["(Network is unreachable)", "ip route get"]),
            (
                Finding::Unreachable(error("No route to host")),
                ["(No route to host)", "is the machine of the bridge up"],
            ),
            (
                Finding::HandshakeOnly(57),
                ["the handshake, and none of 57 probes\n", "as many clients as it takes"],
            ),
        ] {
            let text = text(&[finding]);
            assert!(words.iter().all(|words| text.contains(words)), "{text}");
        }
    }

    #[test]
    fn what_the_log_says_of_a_bridge_is_told_without_what_comes_of_it() {
        for (bridge, text, expected) in [
            (
                "a:1",
                "bridge a:1 cannot be looked up: no such host; trying again",
                "cannot be looked up: no such host",
            ),
            (
                "a:1 over w",
                "bridge a:1 over w: there is no interface w; trying again each second",
                "there is no interface w",
            ),
        ] {
            assert_eq!(reason(bridge, text), expected);
        }
    }

    #[test]
    fn bridges_with_the_same_trouble_stand_together_above_their_remedies() {
        let all = [Finding::Refused, works(1440, 1440), Finding::Silent, Finding::Refused];
        let text = text(&all);
        let lines: Vec<_> = text.lines().map(|line| line.split(" work").next().expect("a line")).collect();
        assert_eq!(
            lines[..5],
            [
                "bridge 10.0.0.1:4000 does not",
                "bridge 10.0.0.4:4000 does not",
                "  for these 2:",
                "  - does the bridge run, and at this port?",
                "  - does mpserver run, at this port if this is its own machine, or at the one to which the bridge rewrites (nftables, a router)?",
            ],
            "{text}"
        );
        assert_eq!(lines[5..7], ["bridge 10.0.0.2:4000", "bridge 10.0.0.3:4000 does not"], "{text}");
        assert_eq!(text.matches("does the bridge run, and at this port").count(), 1);
    }

    #[test]
    fn what_bridges_that_all_fail_alike_have_in_common_comes_first() {
        let error = || "no".to_owned();
        for (finding, first) in [
            (Finding::Refused, "does mpserver run, at this port"),
            (Finding::NoAddress(Some(error())), "can this machine look names up"),
            (Finding::NoRoute(error()), "is this machine online"),
            (Finding::Unreachable(error()), "does a firewall on this machine"),
            (Finding::Silent, "this check has used no key"),
        ] {
            let text = text(&[finding.clone(), finding]);
            let expected = format!("\n  for these 2, what they have in common first:\n  - {first}");
            assert!(text.contains(&expected), "no {expected} in\n{text}");
        }
        let mixed = text(&[Finding::Refused, Finding::Refused, Finding::Silent]);
        assert!(mixed.contains("  for these 2:\n  - does the bridge run"), "{mixed}");
    }

    #[test]
    fn what_a_name_led_to_and_what_an_uplink_needs_are_told() {
        let all = [tried("bridge.example", Finding::Silent), tried("10.0.0.1 wan", Finding::Silent)];
        let text = report(&all, &SECURITY);
        assert!(
            text.contains("bridge bridge.example:4000 (192.0.2.7, 192.0.2.8) does not work: no answer\n"),
            "{text}"
        );
        assert!(text.contains("bridge 10.0.0.1:4000 over wan does not work: no answer\n"), "{text}");
        assert_eq!(text.matches("rp_filter").count(), 1, "{text}");
        let unreachable = report(&[tried("10.0.0.1 wan", Finding::NoRoute("no".into()))], &SECURITY);
        assert!(unreachable.contains("  - is its uplink up"), "{unreachable}");
    }

    #[test]
    fn a_bridge_that_loses_most_is_told_what_may_be_the_matter_and_one_that_loses_some_is_not() {
        let whole = WholeView { sent_octets: Some(1440), received_octets: Some(1440) };
        for (answered, lost, told) in
            [(20, 35, true), (9, 5, true), (10, 5, false), (3, 4, false), (40, 4, false)]
        {
            let text = text(&[Finding::Works { rtt_ms: 31.25, probes: Probes { answered, lost }, whole }]);
            assert_eq!(text.contains("  - it loses so much that it hardly helps"), told, "{text}");
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_way_on_which_long_packets_are_lost_is_told() {
        let finding = |sent_octets, received_octets| {
            let whole = WholeView { sent_octets, received_octets };
            Finding::Works { rtt_ms: 31.25, probes: Probes { answered: 13, lost: 1 }, whole }
        };
        for (whole, words) in [
            (
                finding(None, None),
                "14 probes lost\n  - the largest datagram that crosses it was not found in time there and back: ",
            ),
            (
                finding(None, Some(1440)),
                "up to ? octets there and 1440 back\n  - the largest datagram that crosses it was not found in time there: ",
            ),
            (finding(Some(1440), None), "in time back, unless mpserver's system does not tell: "),
        ] {
            let text = text(&[whole]);
            assert!(text.contains(words), "{text}");
        }
    }
}
