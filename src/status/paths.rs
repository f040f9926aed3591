//! The paths of a peer, in two tables that have the paths' numbers in common: how each is doing, and what it
//! is worth.

use super::grid::{self, Align, Cell, GREEN, RED, YELLOW};
use super::words::{UNKNOWN, count, ms, octets, pair, percent, wrap};
use crate::tunnel::snapshot::{LossView, PathView, State, Status, WholeView};

/// The word for it, and its colour.
pub(super) fn style(status: Status) -> (&'static str, &'static str) {
    match status {
        Status::Resolving => ("resolving", YELLOW),
        Status::Probing => ("probing", YELLOW),
        Status::Up => ("up", GREEN),
        Status::Lossy => ("lossy", YELLOW),
        Status::Late => ("late", RED),
        Status::Silent => ("silent", RED),
    }
}

/// How each path is doing: a row each.
pub(super) fn print_state(paths: &[PathView], colour: bool, out: &mut String) {
    use Align::{Left, Right};
    let tied = paths.iter().any(|path| path.interface.is_some());
    let head = ["path", "bridge", "interface", "use", "status", "round trip", "jitter", "overtaken"];
    let below = ["", "", "", "", "", "", "from / to there", "from there"];
    let mut rows = vec![head.map(Cell::from).to_vec(), below.map(Cell::from).to_vec()];
    for path in paths {
        let (status, style) = style(path.status);
        let state = match (path.state, path.chosen) {
            (State::Use, true) => "yes",
            (State::Use, false) => "no",
            (State::Backup, true) => "helps",
            (State::Backup, false) => "backup",
        };
        let overtaken = (path.copies > 0).then(|| path.overtaken as f64 / path.copies as f64);
        let jitter = [path.jitter_received_ms, path.jitter_sent_ms];
        rows.push(vec![
            path.number.to_string().into(),
            path.bridge.as_str().into(),
            path.interface.as_deref().unwrap_or(UNKNOWN).into(),
            state.into(),
            Cell::styled(status, if colour { style } else { "" }),
            path.rtt.map_or(UNKNOWN.to_owned(), |rtt| ms(rtt.smoothed_ms)).into(),
            pair(jitter.map(|jitter| jitter.map(super::words::figure)), "ms").into(),
            percent(overtaken).into(),
        ]);
    }
    let (mut columns, mut names) = (vec![Right, Left, Left, Left, Left, Right, Right, Right], vec![1, 2]);
    if !tied {
        // Where the system's routes decide everywhere, there is nothing to say.
        columns.remove(2);
        rows.iter_mut().for_each(|row| drop(row.remove(2)));
        names.pop();
    }
    grid::fit(&mut rows, &names);
    grid::print(&columns, &rows, out);
}

/// What each path is worth: a row each.
pub(super) fn print_worth(paths: &[PathView], out: &mut String) {
    let head =
        ["path", "loss from there", "loss to there", "rate from", "rate to", "first", "alone", "saved"];
    let below = ["", "10 s / 5 min", "10 s / 5 min", "there", "there", "to come", "loses", "datagrams"];
    let mut rows = vec![head.map(Cell::from).to_vec(), below.map(Cell::from).to_vec()];
    let rate = |rate: Option<f64>| rate.map_or(UNKNOWN.to_owned(), |rate| format!("{}/s", octets(rate)));
    for path in paths {
        let alone = (path.tried > 0).then(|| path.lost as f64 / path.tried as f64);
        rows.push(vec![
            path.number.to_string().into(),
            losses(path.loss_received).into(),
            losses(path.loss_sent).into(),
            rate(path.rate_received.octets_per_s).into(),
            rate(path.rate_sent.octets_per_s).into(),
            percent(path.first_share).into(),
            percent(alone).into(),
            count(path.saved).into(),
        ]);
    }
    grid::print(&[Align::Right; 8], &rows, out);
}

/// The largest datagrams that cross each path in one piece, where that is known.
pub(super) fn print_whole(paths: &[PathView], out: &mut String) {
    // Most paths are alike.
    let mut alike: Vec<(WholeView, Vec<String>)> = Vec::new();
    for path in paths.iter().filter(|path| path.largest_whole != WholeView::default()) {
        let number = path.number.to_string();
        match alike.iter_mut().find(|(whole, _)| *whole == path.largest_whole) {
            Some((_, numbers)) => numbers.push(number),
            None => alike.push((path.largest_whole, vec![number])),
        }
    }
    let words = alike.into_iter().map(|(WholeView { sent_octets, received_octets }, numbers)| {
        let [from, to] = [received_octets, sent_octets]
            .map(|octets| octets.map_or(UNKNOWN.to_owned(), |octets| octets.to_string()));
        let over = format!("over path{} {}", if numbers.len() == 1 { "" } else { "s" }, numbers.join(", "));
        if from == to {
            format!("{to} {over}")
        } else {
            format!("{from} from there and {to} to there {over}")
        }
    });
    let words: Vec<_> = words.collect();
    if !words.is_empty() {
        wrap(&format!("in one piece, datagrams of up to so many octets: {}", words.join("; ")), 2, out);
    }
}

/// Recent loss, and that of the last minutes.
pub(super) fn losses(loss: LossView) -> String {
    pair([loss.last_10s, loss.last_5min].map(|part| part.map(super::words::percentage)), "%")
}
