//! `--metrics`: what Prometheus and its tools make of it, and what it costs those who do not ask.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::Command;

use super::prometheus::Prometheus;
use super::setup::{KEYED, Setup, UNKEYED, V4, free_address, free_port, lines, wait_until_all_carry};
use crate::http::{Answer, get, request};
use crate::lossy_bridge::{Faults, LossyBridge};
use crate::process::{MPCLIENT, PATIENCE, Running};
use crate::programs::{TOOLS, find};
use crate::wait::poll_until;

fn metrics(at: SocketAddr) -> Answer {
    get(at, "/metrics").expect("it answers")
}

/// The tunnel's two programs, with their metrics, over three bridges that lose. mpserver knows the client by a name.
pub(super) struct Tunnel {
    pub(super) setup: Setup,
    pub(super) bridges: [LossyBridge; 3],
    /// Where mpclient and mpserver are asked.
    pub(super) at: [SocketAddr; 2],
    pub(super) mpclient: Running,
    _mpserver: Running,
}

impl Tunnel {
    pub(super) fn start(name: &str, loss: f64) -> Self {
        let setup = Setup::new(name, V4);
        let bridges = setup.three_bridges(Faults { loss, ..Faults::default() });
        let at = [free_address(), free_address()];
        let named = at.map(|at| at.to_string());
        let [(_, key)] = KEYED else { panic!("there is one key") };
        let keys = setup.write("keys", &format!("home {key}\n"));
        let mpserver = setup.mpserver_and(&["--keys", &keys, "--metrics", &named[1]], UNKEYED);
        let configured = [&lines(&bridges)[..], &[format!("metrics = {}", named[0])]].concat();
        let mpclient = setup.mpclient(&configured, KEYED);
        Self { setup, bridges, at, mpclient, _mpserver: mpserver }
    }
}

#[test]
fn prometheus_takes_the_metrics_of_both_programs() {
    if find("prometheus", TOOLS).is_none() || find("promtool", TOOLS).is_none() {
        return;
    }
    let tunnel = Tunnel::start("metrics-prometheus", 0.1);
    let stream = tunnel.setup.stream(300);
    wait_until_all_carry(&stream, &tunnel.bridges);
    for at in tunnel.at {
        let answer = metrics(at);
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.field("Content-Type"), Some("text/plain; version=0.0.4; charset=utf-8"));
        let file = tunnel.setup.write("metrics.txt", &answer.body);
        let check = Command::new("sh").args(["-c", &format!("promtool check metrics < {file}")]).output();
        let check = check.expect("sh starts");
        assert!(check.status.success() && check.stderr.is_empty(), "{check:?}\n{}", answer.body);
    }

    let prometheus = Prometheus::start(&tunnel.setup, tunnel.at, &[]);
    for (query, count) in [
        ("up == 1", 2),
        ("mptunnel_build_info", 2),
        ("mptunnel_path_rtt_seconds", 3),
        ("mptunnel_path_loss_ratio{window=\"10s\"} > 0", 12),
        ("rate(mptunnel_path_received_copies_total[10s]) > 0", 6),
    ] {
        let complete = || prometheus.results(query).len() == count;
        assert!(poll_until(PATIENCE, complete), "{query}, for {count}: {:?}", prometheus.results(query));
    }
    stream.finish();
}

#[test]
fn who_asks_and_stalls_holds_neither_the_datagrams_nor_the_next_one_up() {
    let tunnel = Tunnel::start("metrics-stall", 0.0);
    let stream = tunnel.setup.stream(200);
    let first = wait_until_all_carry(&stream, &tunnel.bridges);
    let stalling: Vec<_> = (0..40).map(|_| TcpStream::connect(tunnel.at[0]).expect("it listens")).collect();
    assert_eq!(metrics(tunnel.at[0]).status, 200, "in its turn");
    assert_eq!(request(tunnel.at[0], "POST", "/metrics", "{}").expect("an answer").status, 405);
    assert_eq!(get(tunnel.at[0], "/nothing").expect("an answer").status, 404);
    drop(stalling);
    let (there, back) = stream.finish();
    for direction in [there, back] {
        assert!(direction.missing.iter().all(|number| *number < first), "nothing is lost");
    }
}

#[test]
fn without_the_option_nothing_listens_and_an_address_for_others_is_warned_of() {
    let setup = Setup::new("metrics-warning", V4);
    let bridges = setup.three_bridges(Faults::default());
    let plain = setup.mpclient(&lines(&bridges), KEYED);
    plain.wait_for_lines(1, "listening on");
    assert!(!plain.log().contains("metrics"), "{}", plain.log());
    plain.kill();

    let port = free_port(V4);
    let public = format!("0.0.0.0:{port}");
    let mpclient = Running::start(
        MPCLIENT,
        &[
            "--metrics",
            &public,
            &setup.configure(&[&lines(&bridges)[..], &["metrics = 127.0.0.1:1".into()]].concat()),
        ],
        KEYED,
    );
    mpclient.wait_for_lines(1, "listening on");
    let log = mpclient.log();
    let warned = log.lines().find(|line| line.contains("WARN") && line.contains(&public));
    assert!(warned.is_some_and(|line| line.contains(&format!("127.0.0.1:{port}"))), "{log}");
    assert_eq!(metrics((Ipv4Addr::LOCALHOST, port).into()).status, 200, "the option goes before the file");
}

#[test]
fn an_address_that_is_taken_is_told_and_a_new_one_takes_a_restart() {
    let taken = TcpListener::bind((V4, 0)).expect("a free port");
    let at = taken.local_addr().expect("a bound socket has an address");
    let setup = Setup::new("metrics-taken", V4);
    let bridges = setup.three_bridges(Faults::default());
    let with = |at: SocketAddr| [&lines(&bridges)[..], &[format!("metrics = {at}")]].concat();
    let refused = setup.mpclient(&with(at), KEYED).finish();
    let expected = format!("mpclient: cannot serve metrics at {at}: Address already in use");
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.lines().any(|line| line.starts_with(&expected)), "{refused:?}");

    let other = free_address();
    let mpclient = setup.mpclient(&with(other), KEYED);
    mpclient.wait_for_lines(1, "listening on");
    setup.configure(&with(at));
    mpclient.signal("HUP");
    mpclient
        .wait_for_lines(1, &format!("metrics is {at} now, which takes a restart: until then it is {other}"));
    assert_eq!(metrics(other).status, 200);
}
