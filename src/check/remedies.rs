//! What to do about a bridge that does not work, in the order in which it is likely.

use std::mem;

use super::words::{Finding, Tried};
use crate::tunnel::probing::Probes;
use crate::tunnel::role::Security;
use crate::tunnel::snapshot::WholeView;

/// How the bridges did together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Together {
    /// One works, or more.
    SomeWork,
    /// None works, not all for the same reason; or there is one alone.
    NoneWorks,
    /// Several, and none works, for the same reason: what they have in common is likely to be the matter.
    FailAlike,
}

impl Together {
    /// How these did.
    pub(super) fn of(all: &[Tried]) -> Self {
        let kind = |tried: &Tried| mem::discriminant(&tried.finding);
        match all {
            _ if all.iter().any(|tried| tried.finding.works()) => Self::SomeWork,
            [first, rest @ ..] if !rest.is_empty() && rest.iter().all(|tried| kind(tried) == kind(first)) => {
                Self::FailAlike
            }
            _ => Self::NoneWorks,
        }
    }
}

/// What to look at, the likeliest first.
pub(super) fn remedies(tried: &Tried, together: Together, security: &Security) -> Vec<String> {
    let alike = together == Together::FailAlike;
    let in_order = |of_one: &[&str], of_all: &[&str]| -> Vec<String> {
        let texts = if alike { [of_all, of_one] } else { [of_one, of_all] };
        texts.concat().into_iter().map(str::to_owned).collect()
    };
    let firewall = "does a firewall on this machine forbid it (`nft list ruleset`)?";
    match &tried.finding {
        Finding::Works { probes, whole, .. } => {
            let too_long = if cfg!(target_os = "linux") { too_long(whole) } else { None };
            too_lossy(*probes).into_iter().chain(too_long).collect()
        }
        Finding::NoAddress(Some(_)) => in_order(
            &["is the name written as it should be?"],
            &["can this machine look names up (`getent hosts NAME`)?"],
        ),
        Finding::NoAddress(None) => {
            in_order(&["does the DNS server that /etc/resolv.conf names answer?"], &[])
        }
        Finding::NoUplink(_) => in_order(&["is bind= what `ip address` shows?"], &[]),
        Finding::Refused => in_order(
            &["does the bridge run, and at this port?"],
            &[
                "does mpserver run, at this port if this is its own machine, or at the one to which the bridge rewrites (nftables, a router)?",
            ],
        ),
        Finding::Forbidden(_) => in_order(&[firewall], &[]),
        Finding::NoRoute(_) if tried.bridge.bind.is_some() => in_order(
            &["is its uplink up, with an address and a route (`ip route get ADDRESS oif INTERFACE`)?"],
            &[],
        ),
        Finding::NoRoute(_) => in_order(
            &[
                "does this machine have a route to it (`ip route get ADDRESS`), and does IPv6 work where the address is one?",
            ],
            &["is this machine online (`ip route show default`)?"],
        ),
        Finding::Unreachable(_) => in_order(
            &[
                "is the machine of the bridge up, at this address?",
                "does a firewall there, or on the way, reject UDP at this port?",
            ],
            &[firewall],
        ),
        // Any answer to the handshake is mpserver's: it has the key, if there is one.
        Finding::HandshakeOnly(_) => vec![
            "so mpserver was reached, and the key and the encryption are right".to_owned(),
            "has mpserver as many clients as it takes, or of this one's name (--keys)? Then its log says \"is refused: there are ... \
             clients\"; each bridge that is tried is one of them"
                .to_owned(),
            "if not, what follows the handshake is lost: does a firewall, a provider or the bridge let only the first packets \
             through, or very few?"
                .to_owned(),
        ],
        Finding::Silent => silence(tried, together, security),
    }
}

/// What may be the matter where the longest packet that crosses was not found, as on most paths within two seconds.
fn too_long(whole: &WholeView) -> Option<String> {
    let way = match (whole.sent_octets, whole.received_octets) {
        (None, None) => "there and back",
        (None, Some(_)) => "there",
        (Some(_), None) => "back, unless mpserver's system does not tell",
        (Some(_), Some(_)) => return None,
    };
    Some(format!(
        "the largest datagram that crosses it was not found in time {way}: does something on the way drop long packets?"
    ))
}

/// What may be the matter where more than a third of the probes is lost, and not only a few: then another bridge is better.
fn too_lossy(Probes { answered, lost }: Probes) -> Option<String> {
    let much = lost >= 5 && lost * 2 > answered;
    let text = "it loses so much that it hardly helps: is its line full, or the bridge's machine, or does a provider slow UDP down?";
    much.then(|| text.to_owned())
}

/// What may be the matter where nothing comes back. mpserver is silent towards whoever has not its key.
fn silence(tried: &Tried, together: Together, security: &Security) -> Vec<String> {
    let mut looked_at = Vec::new();
    if together == Together::SomeWork {
        looked_at
            .push("other bridges reach mpserver, so that the key and the encryption are right".to_owned());
    } else {
        if security.keys.is_none() {
            let text = "this check has used no key: if mpserver has one, name it with --key-file FILE";
            looked_at.push(text.to_owned());
        }
        let key = if security.keys.is_none() { "no key" } else { "the same key" };
        let encryption = if security.encrypt { "encryption on" } else { "MPTUNNEL_ENCRYPT=0" };
        looked_at.extend([
            "does mpserver run?".to_owned(),
            format!(
                "does its log say that the key, the encryption or the version differs? It must have {key} and \
                 {encryption}; otherwise it does not answer"
            ),
        ]);
    }
    if tried.bridge.bind.is_some() {
        let text = "does its uplink have a route to it (`ip route get ADDRESS oif INTERFACE`), and is its rp_filter 2 or 0?";
        looked_at.push(text.to_owned());
    }
    let bridge = "does the bridge run, and lead to mpserver's address and port?";
    let filtered = "does a firewall or a provider between here and mpserver drop UDP at these ports?";
    let last = if together == Together::FailAlike { [filtered, bridge] } else { [bridge, filtered] };
    looked_at.extend(last.map(str::to_owned));
    looked_at
}
