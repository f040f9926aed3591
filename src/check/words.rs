//! What was found, in words: what is wrong, and what to do about it in the order in which it is likely.

use std::fmt::Write;

use crate::status::plural;
use crate::tunnel::probing::Probes;
use crate::tunnel::report::vpn_settings;
use crate::tunnel::role::Security;
use crate::tunnel::snapshot::WholeView;

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
    /// Its name has no address, for the reason that the log gives; or there was no answer at all.
    NoAddress(Option<String>),
    /// Its uplink is missing.
    NoUplink(String),
    /// Nobody listens there.
    Refused,
    /// The system cannot send there, or a router cannot.
    Unreachable(String),
    /// Nothing came back.
    Silent,
}

impl Finding {
    /// Whether mpserver answers through it.
    pub(super) fn works(&self) -> bool {
        matches!(self, Self::Works { .. })
    }
}

/// The report of all bridges.
pub(super) fn report(findings: &[(String, Finding)], security: &Security) -> String {
    let works = findings.iter().filter(|(_, finding)| finding.works()).count();
    let mut out = String::new();
    for (bridge, finding) in findings {
        let (what, remedies) = describe(bridge, finding, works > 0, security);
        let _ = writeln!(out, "bridge {bridge} {what}");
        for remedy in remedies {
            let _ = writeln!(out, "  - {remedy}");
        }
    }
    let verb = if works == 1 || findings.len() == 1 { "works" } else { "work" };
    let _ = writeln!(out, "{works} of {} {verb}", plural(findings.len() as u64, "bridge"));
    // Where one of them has none, none is known of all: nothing is less than something.
    let working = findings.iter().filter(|(_, finding)| finding.works());
    if let Some(longest) = working.map(|(_, finding)| longest(finding)).min().flatten() {
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

/// What is to be said of a bridge: whether it works, and what to do.
fn describe(
    bridge: &str,
    finding: &Finding,
    others_work: bool,
    security: &Security,
) -> (String, Vec<String>) {
    let remedies = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    match finding {
        Finding::Works { rtt_ms, probes: Probes { answered, lost }, whole } => {
            let sent = answered + lost;
            let mut text = format!("works: round trip {rtt_ms:.1} ms, {lost} of {sent} probes lost");
            let octets = |octets: Option<usize>| octets.map_or("?".to_owned(), |octets| octets.to_string());
            let [up, down] = [whole.sent_octets, whole.received_octets].map(octets);
            let _ = match up == down {
                true => write!(text, ", in one piece up to {up} octets"),
                false => write!(text, ", in one piece up to {up} octets there and {down} back"),
            };
            (text, Vec::new())
        }
        Finding::NoAddress(Some(text)) => (
            format!("does not work: it {}", reason(bridge, text)),
            remedies(&["is the name written as it should be, and can this machine look names up?"]),
        ),
        Finding::NoAddress(None) => (
            "does not work: its name was not looked up in time".to_owned(),
            remedies(&["does the DNS server that /etc/resolv.conf names answer?"]),
        ),
        Finding::NoUplink(text) => (
            format!("does not work: {}", reason(bridge, text)),
            remedies(&["is bind= what `ip address` shows?"]),
        ),
        Finding::Refused => (
            "does not work: refused, nobody listens there (ICMP port unreachable)".to_owned(),
            remedies(&[
                "does the bridge run, and at this port?",
                "if it only rewrites addresses (nftables, a router): does mpserver run, at the port that it \
                 leads to?",
            ]),
        ),
        Finding::Unreachable(error) => (
            format!("does not work: unreachable ({error})"),
            remedies(&[
                "does this machine have a route to it (`ip route get ADDRESS`), and does IPv6 work where the \
                 address is one?",
                "does a firewall on this machine forbid it?",
            ]),
        ),
        Finding::Silent => ("does not work: no answer".to_owned(), silence(others_work, security)),
    }
}

/// What the log says of a bridge, without the name and without what comes of it while mpclient runs.
fn reason<'a>(bridge: &str, text: &'a str) -> &'a str {
    let text = text.strip_prefix("bridge ").and_then(|text| text.strip_prefix(bridge)).unwrap_or(text);
    let text = text.trim_start_matches([':', ' ']);
    text.split_once("; trying again").map_or(text, |(reason, _)| reason)
}

/// What may be the matter where nothing comes back. mpserver is silent towards whoever has not its key.
fn silence(others_work: bool, security: &Security) -> Vec<String> {
    let bridge = "does the bridge run, and lead to mpserver's address and port?";
    let filtered = "does a firewall or a provider between here and mpserver drop UDP at these ports?";
    if others_work {
        let agreed = "other bridges reach mpserver, so that the key and the encryption are right";
        return [bridge, filtered, agreed].map(str::to_owned).into();
    }
    let key = if security.keys.is_none() { "no key" } else { "the same key" };
    let encryption = if security.encrypt { "encryption on" } else { "MPTUNNEL_ENCRYPT=0" };
    let mut looked_at = Vec::new();
    if security.keys.is_none() {
        looked_at
            .push("this check has used no key: if mpserver has one, name it with --key-file FILE".to_owned());
    }
    looked_at.extend([
        "does mpserver run?".to_owned(),
        format!(
            "does its log say that the key or the encryption differs? It must have {key} and {encryption}; \
             otherwise it does not answer"
        ),
        bridge.to_owned(),
        filtered.to_owned(),
    ]);
    looked_at
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tunnel::keyring::Keys;

    const SECURITY: Security = Security { encrypt: true, keys: Keys::None };

    fn works(sent: usize, received: usize) -> Finding {
        let whole = WholeView { sent_octets: Some(sent), received_octets: Some(received) };
        Finding::Works { rtt_ms: 31.25, probes: Probes { answered: 13, lost: 1 }, whole }
    }

    fn text(findings: &[Finding]) -> String {
        let named = (1..).zip(findings).map(|(number, finding)| (format!("{number}:4000"), finding.clone()));
        report(&named.collect::<Vec<_>>(), &SECURITY)
    }

    #[test]
    fn what_works_is_told_with_its_figures_and_what_suits_all() {
        assert_eq!(
            text(&[works(1440, 1440), works(1340, 1332)]),
            "bridge 1:4000 works: round trip 31.2 ms, 1 of 14 probes lost, in one piece up to 1440 octets\n\
             bridge 2:4000 works: round trip 31.2 ms, 1 of 14 probes lost, in one piece up to 1340 octets there \
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
        for (finding, words) in [
            (Finding::NoAddress(None), ["not looked up in time", "DNS server"]),
            (
                Finding::NoAddress(Some(
                    "bridge 1:4000 cannot be looked up: no such host; trying again".into(),
                )),
                ["does not work: it cannot be looked up: no such host\n", "is the name written"],
            ),
            (
                Finding::NoUplink(
                    "bridge 1:4000: there is no interface wan; trying again each second".into(),
                ),
                ["does not work: there is no interface wan\n", "ip address"],
            ),
            (Finding::Refused, ["refused", "does the bridge run"]),
            (Finding::Unreachable("No route to host".into()), ["(No route to host)", "ip route get"]),
        ] {
            let text = text(&[finding]);
            assert!(words.iter().all(|words| text.contains(words)), "{text}");
        }
    }
}
