//! Many clients, a line each: how it is with each of them, and what is wrong in few words. Those with trouble
//! come first, as a terminal may have room for no more.

use std::cmp::Reverse;
use std::fmt::Write;

use super::WIDTH;
use super::grid::{self, Align, Cell, RED, YELLOW};
use super::paths::style;
use super::words::{UNKNOWN, count, cut, octets, pair, percentage, plural, time};
use crate::tunnel::choice::BEARABLE;
use crate::tunnel::snapshot::{PathView, PeerView, Status};

/// What is wrong has this much room at least, if it wants it, however long clients' names are.
const TROUBLE_LEAST: usize = 24;

/// What is wrong with a client.
#[derive(Debug)]
struct Trouble {
    /// Whether its datagrams are lost, and not only what some paths carry.
    grave: bool,
    /// What it is, with the numbers of the paths.
    text: String,
    /// The same with how many paths there are of each kind.
    short: String,
}

/// The clients, at most so many.
pub(super) fn print(peers: &[PeerView], most: usize, colour: bool, out: &mut String) {
    let mut clients: Vec<_> = peers.iter().map(|peer| (peer, trouble(peer))).collect();
    let with_trouble = clients.iter().filter(|(_, trouble)| trouble.is_some()).count();
    let grave = |trouble: &Option<Trouble>| trouble.as_ref().map(|trouble| trouble.grave);
    clients.sort_by_key(|(peer, trouble)| (Reverse(grave(trouble)), peer.number));
    clients.truncate(most);

    let all = plural(peers.len() as u64, "client");
    let _ = match with_trouble {
        0 => writeln!(out, "{all}, none with trouble"),
        number => writeln!(out, "{all}, {} with trouble (!)", count(number as u64)),
    };
    let head = ["  client", "heard", "apps", "paths", "lost in 5 min", "rate per second", "trouble"];
    let below = ["", "ago", "", "up", "from / to there", "from / to there", ""];
    let mut rows = vec![head.map(Cell::from).to_vec(), below.map(Cell::from).to_vec()];
    let digits = clients.iter().map(|(peer, _)| peer.number.to_string().len()).max().unwrap_or_default();
    for (peer, trouble) in &clients {
        let style = match trouble {
            Some(_) if !colour => "",
            Some(trouble) if trouble.grave => RED,
            Some(_) => YELLOW,
            None => "",
        };
        rows.push(row(peer, trouble.as_ref(), digits, style));
    }
    let last = head.len() - 1;
    let [client, wrong] = [0, last].map(|column| grid::column_width(&rows, column));
    let room = WIDTH.saturating_sub(grid::width(&rows) - client - wrong);
    let for_client = client.min(room.saturating_sub(wrong.min(TROUBLE_LEAST)));
    let for_trouble = room - for_client;
    for (row, (_, trouble)) in rows.iter_mut().skip(2).zip(&clients) {
        row[0].shorten(for_client);
        if let Some(Trouble { text, short, .. }) = trouble {
            let fits = text.chars().count() <= for_trouble;
            row[last].say(if fits { text.clone() } else { cut(short, for_trouble) });
        }
    }
    use Align::{Left, Right};
    grid::print(&[Left, Right, Right, Right, Right, Right, Left], &rows, out);
    let more = peers.len() - clients.len();
    if more > 0 {
        let _ = writeln!(out, "and {}", plural(more as u64, "more client"));
    }
}

fn row(peer: &PeerView, trouble: Option<&Trouble>, digits: usize, style: &'static str) -> Vec<Cell> {
    let mark = if trouble.is_some() { "!" } else { " " };
    let name = peer.name.as_deref().unwrap_or_default();
    let client = format!("{mark} {:digits$} {name}", peer.number);
    let up = peer.paths.iter().filter(|path| path.is_up()).count();
    let loss = [peer.received.loss.last_5min, peer.sent.loss_last_5min];
    let rate = |of: fn(&PathView) -> Option<f64>| {
        let known: Vec<_> = peer.paths.iter().filter_map(of).collect();
        (!known.is_empty()).then(|| octets(known.iter().sum()))
    };
    let rates = [rate(|path| path.rate_received.octets_per_s), rate(|path| path.rate_sent.octets_per_s)];
    vec![
        Cell::styled(client.trim_end(), style),
        peer.heard_ago_s.map_or(UNKNOWN.to_owned(), time).into(),
        count(peer.flows as u64).into(),
        format!("{up} of {}", peer.paths.len()).into(),
        pair(loss.map(|part| part.map(percentage)), "%").into(),
        pair(rates, "").trim_end().into(),
        Cell::styled(trouble.map_or("", |trouble| trouble.text.as_str()), style),
    ]
}

/// What is wrong, if anything is. A path counts whether it is used or not: one day it is to be.
fn trouble(peer: &PeerView) -> Option<Trouble> {
    if !peer.paths.iter().any(PathView::is_up) {
        let text = "no path is up".to_owned();
        return Some(Trouble { grave: true, short: text.clone(), text });
    }
    let losses = [peer.received.loss.last_10s, peer.sent.loss_last_5min];
    let losing = losses.into_iter().flatten().fold(0.0, f64::max);
    let grave = losing > BEARABLE;
    let (mut parts, mut counts) = (Vec::new(), Vec::new());
    if grave {
        parts.push(format!("losing {} %", percentage(losing)));
    }
    if let Some(most) = peer.limit_that_is_near() {
        parts.push(format!("{} of {} apps", count(peer.flows as u64), count(most as u64)));
    }
    let without_paths = parts.clone();
    for status in [Status::Silent, Status::Late, Status::Lossy, Status::Probing, Status::Resolving] {
        let numbers: Vec<_> = peer
            .paths
            .iter()
            .filter(|path| path.status == status)
            .map(|path| path.number.to_string())
            .collect();
        if numbers.is_empty() {
            continue;
        }
        let (word, _) = style(status);
        let path = match (counts.is_empty(), numbers.len()) {
            (false, _) => "",
            (true, 1) => "path ",
            (true, _) => "paths ",
        };
        parts.push(format!("{path}{} {word}", numbers.join("+")));
        counts.push(format!("{} {word}", numbers.len()));
    }
    let (text, short) = (parts.join(", "), [without_paths, counts].concat().join(", "));
    (!text.is_empty()).then_some(Trouble { grave, text, short })
}
