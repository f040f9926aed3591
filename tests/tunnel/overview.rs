//! Many clients, a line each, against the snapshot that is shown.

use mptunnel::status::{Look, WIDTH, table};
use mptunnel::tunnel::snapshot::{LossView, PathView, PeerView, RateView, Snapshot, Status};

use super::table::{eventful, known, look};

/// A client whose paths are like this, and that loses such parts: from there in 10 s, and to there in 5 min.
fn client(
    number: usize,
    name: Option<&str>,
    paths: &[Status],
    losses: [Option<f64>; 2],
    like: &PeerView,
) -> PeerView {
    let path = &like.paths[0];
    let loss = LossView { last_10s: losses[0], last_5min: losses[0] };
    let mut peer = like.clone();
    (peer.number, peer.name, peer.flows) = (number, name.map(str::to_owned), number);
    peer.max_flows = Some(65_000);
    (peer.received.loss, peer.sent.loss_last_5min) = (loss, losses[1]);
    peer.paths = (0..)
        .zip(paths)
        .map(|(number, status)| PathView { number, status: *status, ..path.clone() })
        .collect();
    peer
}

/// A server with clients of every kind.
fn crowded() -> Snapshot {
    use Status::{Late, Lossy, Probing, Silent, Up};
    let [_, server] = eventful();
    let mut snapshot = known(server);
    let like = snapshot.peers[0].clone();
    let none = [Some(0.0), Some(0.0)];
    snapshot.peers = vec![
        client(0, Some("alice"), &[Up, Up, Up], none, &like),
        client(3, Some("a-name-of-thirty-two-characters."), &[Silent, Up, Lossy], none, &like),
        client(4, None, &[Up, Up], [Some(0.0123), None], &like),
        client(5, Some("bob"), &[Silent, Silent], [None; 2], &like),
        client(
            12,
            Some("carol"),
            &[Up, Late, Silent, Silent, Lossy, Probing],
            [Some(0.004), Some(0.125)],
            &like,
        ),
        client(345, Some("dave"), &[Lossy], [Some(0.01), Some(0.01)], &like),
        client(346, Some("eve"), &[Up], none, &like),
    ];
    snapshot.peers[6].max_flows = Some(420);
    let last = &mut snapshot.peers[5];
    (last.heard_ago_s, last.flows, last.max_flows) = (Some(250.0), 65_000, None);
    let never = &mut snapshot.peers[3];
    never.heard_ago_s = None;
    never.paths.iter_mut().for_each(|path| {
        path.rate_received = RateView { packets_per_s: None, octets_per_s: None };
        path.rate_sent = path.rate_received;
    });
    snapshot
}

#[test]
fn of_more_than_three_clients_each_has_a_line_and_those_with_trouble_are_the_first() {
    let shown = table(&crowded(), &look());
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tunnel/overview.txt");
    let expected = std::fs::read_to_string(file).expect("it is a file of the repository");
    assert_eq!(shown, expected, "what is shown is\n{shown}");
}

#[test]
fn three_clients_are_shown_in_full_and_more_where_one_was_asked_for() {
    let mut snapshot = crowded();
    let in_full = |snapshot: &Snapshot, look: &Look| {
        let shown = table(snapshot, look);
        assert_eq!(shown.contains("--client"), !shown.contains("path  bridge"), "{shown}");
        shown.matches("path  bridge").count()
    };
    assert_eq!(in_full(&snapshot, &Look { in_full: true, ..look() }), 7);
    snapshot.peers.truncate(4);
    assert_eq!(in_full(&snapshot, &look()), 0);
    snapshot.peers.truncate(3);
    assert_eq!(in_full(&snapshot, &look()), 3);
}

#[test]
fn trouble_has_a_colour_that_tells_lost_datagrams_from_lost_paths() {
    let shown = table(&crowded(), &Look { colour: true, ..look() });
    for (client, colour) in
        [("alice", None), ("bob", Some(31)), ("carol", Some(31)), ("dave", Some(33)), ("   4", Some(31))]
    {
        let line = shown.lines().find(|line| line.contains(client)).expect(client);
        let begin = colour.map(|colour| format!("\x1b[{colour}m! "));
        assert_eq!(begin.is_none(), !line.contains('\x1b'), "{line:?}");
        assert!(
            begin.is_none_or(|begin| line.starts_with(&begin) && line.matches(&begin[..5]).count() == 2),
            "{line:?}"
        );
    }
}

#[test]
fn only_so_many_clients_have_a_line_as_the_reader_wants() {
    let mut snapshot = crowded();
    let like = snapshot.peers[0].clone();
    snapshot.peers.extend((1_000..1_030).map(|number| client(number, None, &[Status::Up], [None; 2], &like)));
    snapshot.peers.reverse();
    let shown = table(&snapshot, &Look { peers: 20, ..look() });
    let lines: Vec<_> =
        shown.lines().skip_while(|line| !line.starts_with("37 clients, 6 with trouble")).collect();
    assert!(lines[3].starts_with("!    4 ") && lines[9].starts_with("     0 alice"), "{shown}");
    assert_eq!(
        (lines[10].trim_start().split(' ').next(), lines[23]),
        (Some("1000"), "and 17 more clients"),
        "{shown}"
    );
}

#[test]
fn the_overview_fits_its_width_with_the_largest_figures_and_names() {
    let mut snapshot = crowded();
    let mut worst = snapshot.peers[4].clone();
    let all = [Status::Silent, Status::Late, Status::Lossy, Status::Probing, Status::Resolving];
    let path = worst.paths[0].clone();
    worst.paths =
        (0..32).map(|number| PathView { number, status: all[number % 5], ..path.clone() }).collect();
    let rate = RateView { packets_per_s: Some(1e7), octets_per_s: Some(1.11e9) };
    worst.paths.iter_mut().for_each(|path| (path.rate_received, path.rate_sent) = (rate, rate));
    let tiny = Some(0.000_01);
    worst.received.loss = LossView { last_10s: Some(0.999), last_5min: tiny };
    (worst.sent.loss_last_5min, worst.heard_ago_s, worst.flows) = (tiny, Some(299.9), 65_000);
    worst.max_flows = Some(65_000);
    for name in [None, Some("a-name-of-thirty-two-characters.".to_owned())] {
        snapshot.peers =
            (4_000..4_096).map(|number| PeerView { number, name: name.clone(), ..worst.clone() }).collect();
        let shown = table(&snapshot, &look());
        for line in shown.lines() {
            assert!(line.chars().count() <= WIDTH, "{} columns: {line}\n{shown}", line.chars().count());
        }
        assert!(shown.contains("! 4095") && shown.contains("losing 99.9 %"), "{shown}");
    }
}
