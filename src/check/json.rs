//! What was found, for programs: an object on a line for each bridge, as docs/status.md describes it.

use std::net::SocketAddr;

use serde::Serialize;

use super::words::{Finding, Tried};

/// A bridge.
#[derive(Serialize)]
struct Line<'a> {
    bridge: String,
    addresses: &'a [SocketAddr],
    result: &'static str,
    reason: Option<&'a str>,
    rtt_ms: Option<f64>,
    probes: Option<u32>,
    probes_lost: Option<u32>,
    whole_sent_octets: Option<usize>,
    whole_received_octets: Option<usize>,
}

/// All of them, in the order of the configuration.
pub(super) fn lines(all: &[Tried]) -> String {
    let json = |tried| serde_json::to_string(&line(tried)).expect("it is JSON");
    all.iter().map(|tried| json(tried) + "\n").collect()
}

fn line(tried: &Tried) -> Line<'_> {
    let (result, reason) = match &tried.finding {
        Finding::Works { .. } => ("works", None),
        Finding::NoAddress(reason) => ("no_address", reason.as_deref()),
        Finding::NoUplink(reason) => ("no_uplink", Some(reason.as_str())),
        Finding::Refused => ("refused", None),
        Finding::Forbidden(reason) => ("forbidden", Some(reason.as_str())),
        Finding::NoRoute(reason) => ("no_route", Some(reason.as_str())),
        Finding::Unreachable(reason) => ("unreachable", Some(reason.as_str())),
        Finding::HandshakeOnly(_) => ("handshake_only", None),
        Finding::Silent => ("no_answer", None),
    };
    let mut line = Line {
        bridge: tried.bridge.to_string(),
        addresses: &tried.addresses,
        result,
        reason,
        rtt_ms: None,
        probes: None,
        probes_lost: None,
        whole_sent_octets: None,
        whole_received_octets: None,
    };
    if let Finding::Works { rtt_ms, probes, whole } = &tried.finding {
        line.rtt_ms = Some(*rtt_ms);
        line.probes = Some(probes.answered + probes.lost);
        line.probes_lost = Some(probes.lost);
        (line.whole_sent_octets, line.whole_received_octets) = (whole.sent_octets, whole.received_octets);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tunnel::probing::Probes;
    use crate::tunnel::role::Bridge;
    use crate::tunnel::snapshot::WholeView;

    #[test]
    fn each_bridge_is_an_object_with_the_result_in_a_word() {
        let whole = WholeView { sent_octets: Some(1440), received_octets: None };
        let works = Finding::Works { rtt_ms: 31.25, probes: Probes { answered: 13, lost: 1 }, whole };
        let error = || "why".to_owned();
        let findings = [
            works,
            Finding::NoAddress(Some(error())),
            Finding::NoUplink(error()),
            Finding::Refused,
            Finding::Forbidden(error()),
            Finding::NoRoute(error()),
            Finding::Unreachable(error()),
            Finding::HandshakeOnly(7),
            Finding::Silent,
        ];
        let address = SocketAddr::from(([192, 0, 2, 7], 4000));
        let tried = findings.map(|finding| Tried {
            bridge: Bridge::from(address),
            addresses: vec![address],
            finding,
        });
        let lines = lines(&tried);
        let lines: Vec<serde_json::Value> =
            lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        assert_eq!(
            lines[0],
            serde_json::json!({
                "bridge": "192.0.2.7:4000", "addresses": ["192.0.2.7:4000"], "result": "works", "reason": null,
                "rtt_ms": 31.25, "probes": 14, "probes_lost": 1, "whole_sent_octets": 1440, "whole_received_octets": null,
            })
        );
        let results: Vec<_> = lines.iter().map(|line| line["result"].as_str().expect("a word")).collect();
        let page = include_str!("../../docs/status.md");
        let row = page.lines().find(|line| line.starts_with("| `result` |")).expect("it is described");
        let described: Vec<_> = row.split('`').skip(3).step_by(2).collect();
        assert_eq!(results, described);
        let reasons: Vec<_> = lines.iter().map(|line| line["reason"].as_str()).collect();
        let why = Some("why");
        assert_eq!(reasons, [None, why, why, None, why, why, why, None, None]);
        for name in lines[0].as_object().expect("an object").keys() {
            assert!(page.contains(&format!("\n| `{name}` |")), "{name} is described");
        }
    }
}
