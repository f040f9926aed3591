//! The snapshot as metrics for Prometheus, by its conventions: seconds, bytes, parts from 0 to 1 as
//! `_ratio`, counters that end in `_total`. Each is described in `docs/metrics.md`.
//!
//! What is not known has no sample. A metric without any is left out, until it has one.

use prometheus::TextEncoder;
use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};

use crate::tunnel::snapshot::{LossView, PathView, PeerView, Snapshot, State, Status};

/// The text format of Prometheus.
pub const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A metric that is one value of a `T`: its name, what it says, and the value, if it is known.
struct Described<T> {
    name: &'static str,
    help: &'static str,
    value: fn(&T) -> Option<f64>,
}

const fn described<T>(name: &'static str, help: &'static str, value: fn(&T) -> Option<f64>) -> Described<T> {
    Described { name, help, value }
}

/// Of the whole program.
const PROGRAM: &[Described<Snapshot>] = &[
    described("mptunnel_uptime_seconds", "For how long the program has run.", |all| Some(all.uptime_s)),
    described("mptunnel_encryption_enabled", "Whether datagrams are encrypted: 1 or 0.", |all| {
        flag(all.encryption)
    }),
    described("mptunnel_key_in_use", "Whether a pre-shared key is in use: 1 or 0.", |all| flag(all.key)),
    described(
        "mptunnel_reload_refused",
        "Whether the configuration that SIGHUP had read last has mistakes, so that an older one is in use: 1 or 0.",
        |all| flag(all.reload_refused),
    ),
    described("mptunnel_datagrams_sent_total", "Datagrams taken from applications or the target.", |all| {
        count(all.counters.datagrams_sent)
    }),
    described(
        "mptunnel_datagrams_received_total",
        "Datagrams handed to applications or the target.",
        |all| count(all.counters.datagrams_received),
    ),
    described("mptunnel_handshakes_total", "Handshakes that ended in a session.", |all| {
        count(all.counters.handshakes)
    }),
    described("mptunnel_peers", "Other ends at the moment.", |all| held(all.holdings.peers)),
    described("mptunnel_sessions", "Sessions of all peers.", |all| held(all.holdings.sessions)),
    described(
        "mptunnel_half_open_handshakes",
        "Handshakes that wait for their client's first probe.",
        |all| held(all.holdings.half_open),
    ),
    described("mptunnel_paths", "Paths of all peers.", |all| held(all.holdings.paths)),
    described("mptunnel_flows", "Flows of all peers.", |all| held(all.holdings.flows)),
    described("mptunnel_waiting_datagrams", "Datagrams that wait for a session or a usable path.", |all| {
        held(all.holdings.waiting)
    }),
    described("mptunnel_waiting_bytes", "Octets of the datagrams that wait.", |all| {
        held(all.holdings.waiting_len)
    }),
];

/// Of each peer.
const PEER: &[Described<PeerView>] = &[
    described(
        "mptunnel_peer_silence_seconds",
        "How long ago something authentic came from the peer.",
        |peer| peer.heard_ago_s,
    ),
    described("mptunnel_peer_session_age_seconds", "The age of the peer's keys.", |peer| peer.session_age_s),
    described("mptunnel_peer_flows", "The peer's applications at the moment.", |peer| held(peer.flows)),
    described(
        "mptunnel_peer_max_flows",
        "How many applications the peer may have at a time: max-flows, at mpserver --max-flows.",
        |peer| peer.max_flows.and_then(held),
    ),
    described(
        "mptunnel_peer_settled_datagrams_total",
        "Datagrams that the peer sent and whose fate is settled, some 3 s after that.",
        |peer| count(peer.received.datagrams),
    ),
    described(
        "mptunnel_peer_lost_datagrams_total",
        "Settled datagrams that no path brought: the tunnel's own loss.",
        |peer| count(peer.received.lost),
    ),
    described(
        "mptunnel_peer_recovered_datagrams_total",
        "Settled datagrams that one path lost and another brought.",
        |peer| count(peer.received.recovered),
    ),
];

/// Of each path.
const PATH: &[Described<PathView>] = &[
    described("mptunnel_path_backup", "Whether the path is a backup: 1 or 0.", |path| {
        flag(path.state == State::Backup)
    }),
    described("mptunnel_path_chosen", "Whether datagrams leave over the path now: 1 or 0.", |path| {
        flag(path.chosen)
    }),
    described("mptunnel_path_rtt_seconds", "The path's round trip, smoothed (RFC 6298).", |path| {
        path.rtt.map(|rtt| rtt.smoothed_ms / 1e3)
    }),
    described("mptunnel_path_rtt_variation_seconds", "The variation of the round trip.", |path| {
        path.rtt.map(|rtt| rtt.variation_ms / 1e3)
    }),
    described("mptunnel_path_rtt_min_seconds", "The shortest round trip since the start.", |path| {
        path.rtt.map(|rtt| rtt.min_ms / 1e3)
    }),
    described("mptunnel_path_received_copies_total", "Copies that the path has brought.", |path| {
        count(path.copies)
    }),
    described(
        "mptunnel_path_received_bytes_total",
        "Octets of the packets with these copies, without the headers of IP and UDP.",
        |path| count(path.octets),
    ),
    described("mptunnel_path_sent_copies_total", "Copies that have left over the path.", |path| {
        count(path.copies_sent)
    }),
    described(
        "mptunnel_path_sent_bytes_total",
        "Octets of the packets with the copies that have left, without the headers of IP and UDP.",
        |path| count(path.octets_sent),
    ),
    described(
        "mptunnel_path_first_ratio",
        "The part of all datagrams since the start of which the path brought the first copy.",
        |path| path.first_share,
    ),
    described("mptunnel_path_overtaken_total", "Copies that came after one that was sent later.", |path| {
        count(path.overtaken)
    }),
    described(
        "mptunnel_path_lateness_seconds",
        "How much later than the first copy the path's copies come, smoothed.",
        |path| Some(path.lateness_ms / 1e3),
    ),
    described(
        "mptunnel_path_saved_datagrams_total",
        "Datagrams that the path alone has brought: without it they would be lost.",
        |path| count(path.saved),
    ),
    described(
        "mptunnel_path_tried_datagrams_total",
        "Settled datagrams that the peer sent over the path, whatever it sent them over besides.",
        |path| count(path.tried),
    ),
    described("mptunnel_path_lost_datagrams_total", "Those of them that the path has lost.", |path| {
        count(path.lost)
    }),
];

const STATUSES: [Status; 6] =
    [Status::Resolving, Status::Probing, Status::Up, Status::Lossy, Status::Late, Status::Silent];

/// The snapshot's metrics, as a scraper reads them.
pub fn text(snapshot: &Snapshot) -> String {
    let families: Vec<_> =
        families(snapshot).into_iter().filter(|family| !family.get_metric().is_empty()).collect();
    TextEncoder::new().encode_to_string(&families).expect("every metric has a name and a sample")
}

fn families(snapshot: &Snapshot) -> Vec<MetricFamily> {
    let peers: Vec<_> = snapshot.peers.iter().map(|peer| (vec![label("peer", peer.number)], peer)).collect();
    let paths: Vec<_> = snapshot.peers.iter().flat_map(paths_of).collect();
    let program = [(Vec::new(), snapshot)];
    let mut families = vec![info(snapshot)];
    families.extend(PROGRAM.iter().map(|described| family(described, &program)));
    families.push(rejected(snapshot));
    families.push(names(snapshot));
    families.extend(PEER.iter().map(|described| family(described, &peers)));
    families.extend(PATH.iter().map(|described| family(described, &paths)));
    families.extend([residual(&peers), status(&paths), loss(&paths), jitter(&paths), correlation(snapshot)]);
    families
}

/// A peer's paths with their labels.
fn paths_of(peer: &PeerView) -> impl Iterator<Item = (Vec<LabelPair>, &PathView)> {
    peer.paths.iter().map(|path| {
        let number = label("path", path.number);
        (vec![label("peer", peer.number), number, label("bridge", &path.bridge)], path)
    })
}

fn info(snapshot: &Snapshot) -> MetricFamily {
    // To Prometheus a label without a value is none.
    let commit = label("commit", snapshot.commit.as_deref().unwrap_or_default());
    let program = label("program", snapshot.program.name());
    let labels = vec![commit, program, label("version", &snapshot.version)];
    let help = "Which program this is, its version, and its commit if that is no release's. Always 1.";
    collected("mptunnel_build_info", help, [(labels, 1.0)])
}

/// Names are apart from what is counted, so that a client's series stays the same whatever it is called.
fn names(snapshot: &Snapshot) -> MetricFamily {
    let help = "The client's name, by the file of --keys. Always 1.";
    let named = snapshot.peers.iter().filter_map(|peer| Some((peer.number, peer.name.as_ref()?)));
    let samples = named.map(|(number, name)| (vec![label("peer", number), label("name", name)], 1.0));
    collected("mptunnel_peer_info", help, samples)
}

fn rejected(snapshot: &Snapshot) -> MetricFamily {
    let help = "Packets and datagrams that were not taken, by reason.";
    let rejected = snapshot.counters.rejected.iter();
    let samples = rejected.map(|(reason, count)| (vec![label("reason", word(reason))], *count as f64));
    collected("mptunnel_rejected_total", help, samples)
}

fn status(paths: &[(Vec<LabelPair>, &PathView)]) -> MetricFamily {
    let help = "How the path is doing: 1 for the status that it has, 0 for the others.";
    let named = STATUSES.map(|status| (status, word(&status)));
    let samples = paths.iter().flat_map(|(labels, path)| {
        let sample = |(status, name): &(_, String)| {
            (with(labels, [("status", name)]), f64::from(path.status == *status))
        };
        named.iter().map(sample).collect::<Vec<_>>()
    });
    collected("mptunnel_path_status", help, samples)
}

fn residual(peers: &[(Vec<LabelPair>, &PeerView)]) -> MetricFamily {
    let help =
        "The part that no path brought of what was sent to this end (received) or by it (sent), lately.";
    let samples = peers.iter().flat_map(|(labels, peer)| {
        let LossView { last_10s, last_5min } = peer.received.loss;
        let known = [
            ("received", "10s", last_10s),
            ("received", "5m", last_5min),
            ("sent", "5m", peer.sent.loss_last_5min),
        ];
        known.into_iter().filter_map(|(direction, window, loss)| {
            Some((with(labels, [("direction", direction), ("window", window)]), loss?))
        })
    });
    collected("mptunnel_peer_loss_ratio", help, samples)
}

fn jitter(paths: &[(Vec<LabelPair>, &PathView)]) -> MetricFamily {
    let help = "How unevenly the path's packets come to this end (received) or to the other (sent).";
    let samples = paths.iter().flat_map(|(labels, path)| {
        let known = [("received", path.jitter_received_ms), ("sent", path.jitter_sent_ms)];
        known
            .into_iter()
            .filter_map(|(direction, ms)| Some((with(labels, [("direction", direction)]), ms? / 1e3)))
    });
    collected("mptunnel_path_jitter_seconds", help, samples)
}

fn loss(paths: &[(Vec<LabelPair>, &PathView)]) -> MetricFamily {
    let help =
        "The part that the path has lost of what was sent to this end (received) or by it (sent), lately.";
    let samples = paths.iter().flat_map(|(labels, path)| {
        [("received", path.loss_received), ("sent", path.loss_sent)].into_iter().flat_map(
            move |(direction, LossView { last_10s, last_5min })| {
                [("10s", last_10s), ("5m", last_5min)].into_iter().filter_map(move |(window, loss)| {
                    Some((with(labels, [("direction", direction), ("window", window)]), loss?))
                })
            },
        )
    });
    collected("mptunnel_path_loss_ratio", help, samples)
}

fn correlation(snapshot: &Snapshot) -> MetricFamily {
    let help = "The correlation of two paths' losses in the last 5 minutes, where it is above 0.2.";
    let samples = snapshot.peers.iter().flat_map(|peer| {
        peer.pairs.iter().map(|pair| {
            let [path, other] = pair.paths;
            let paths = [label("path", path), label("other_path", other)];
            ([vec![label("peer", peer.number)], paths.into()].concat(), pair.correlation)
        })
    });
    collected("mptunnel_path_pair_loss_correlation", help, samples)
}

fn family<T>(described: &Described<T>, of: &[(Vec<LabelPair>, &T)]) -> MetricFamily {
    let samples = of.iter().filter_map(|(labels, one)| Some((labels.clone(), (described.value)(one)?)));
    collected(described.name, described.help, samples)
}

/// A metric with its samples: a counter if its name says so.
fn collected(
    name: &str,
    help: &str,
    samples: impl IntoIterator<Item = (Vec<LabelPair>, f64)>,
) -> MetricFamily {
    let counts = name.ends_with("_total");
    let samples = samples.into_iter().map(|(labels, value)| {
        let mut metric = Metric::from_label(labels);
        if counts {
            let mut counter = Counter::default();
            counter.set_value(value);
            metric.set_counter(counter);
        } else {
            let mut gauge = Gauge::default();
            gauge.set_value(value);
            metric.set_gauge(gauge);
        }
        metric
    });
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(if counts { MetricType::COUNTER } else { MetricType::GAUGE });
    family.set_metric(samples.collect());
    family
}

fn label(name: &str, value: impl ToString) -> LabelPair {
    let mut pair = LabelPair::default();
    pair.set_name(name.to_owned());
    pair.set_value(value.to_string());
    pair
}

fn with<const N: usize>(labels: &[LabelPair], more: [(&str, &str); N]) -> Vec<LabelPair> {
    labels.iter().cloned().chain(more.map(|(name, value)| label(name, value))).collect()
}

const fn flag(is: bool) -> Option<f64> {
    Some(if is { 1.0 } else { 0.0 })
}

fn count(count: u64) -> Option<f64> {
    Some(count as f64)
}

fn held(held: usize) -> Option<f64> {
    Some(held as f64)
}

/// A reason or a status in the word that the snapshot's JSON has for it.
fn word(one: &impl serde::Serialize) -> String {
    let json = serde_json::to_value(one).expect("it is a word");
    json.as_str().expect("it is a word").to_owned()
}
