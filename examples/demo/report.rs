//! What the demo has measured, as a table.

use std::time::{Duration, Instant};

use super::Echoes;
use super::lossy_bridge::{Counts, Direction};

/// What has been measured in one run.
pub(super) struct Report {
    bridges: Vec<Counts>,
    sent: usize,
    /// Datagrams that have come back at least once.
    echoed: usize,
    twice: usize,
    altered: usize,
    /// Of each datagram's first echo, in ascending order.
    round_trips: Vec<Duration>,
}

impl Report {
    /// `sent` says when each datagram was sent.
    pub(super) fn new(bridges: Vec<Counts>, sent: &[Instant], echoes: Echoes) -> Self {
        let mut first_echoes = vec![None; sent.len()];
        let mut twice = 0;
        for (number, at) in echoes.unchanged {
            match first_echoes[number] {
                None => first_echoes[number] = Some(at - sent[number]),
                Some(_) => twice += 1,
            }
        }
        let mut round_trips: Vec<_> = first_echoes.into_iter().flatten().collect();
        round_trips.sort();
        let echoed = round_trips.len();
        Self { bridges, sent: sent.len(), echoed, twice, altered: echoes.altered, round_trips }
    }

    /// Whether something has come back, and nothing twice or changed. Losses are no fault.
    pub(super) fn is_faultless(&self) -> bool {
        self.echoed > 0 && self.twice == 0 && self.altered == 0
    }

    pub(super) fn print(&self) {
        println!("\nWhat each bridge did, and what the application saw through the tunnel:\n");
        print_row(["", "", "there", "", "back", "both ways", ""]);
        print_row(["", "packets", "lost", "packets", "lost", "lost", "delay"]);
        for (number, counts) in (1..).zip(&self.bridges) {
            let (there, back) = (loss(&counts.forward), loss(&counts.backward));
            print_row([
                &format!("bridge {number}"),
                &grouped(counts.forward.received),
                &percent(there),
                &grouped(counts.backward.received),
                &percent(back),
                &percent(loss_both_ways(there, back)),
                &milliseconds(delay_both_ways(counts)),
            ]);
        }
        let (there, back) = self.lost_by_all();
        let both_ways = percent(loss_both_ways(there, back));
        print_row(["product of the three", "", &percent(there), "", &percent(back), &both_ways, ""]);
        let median = milliseconds(self.round_trip_of(50));
        print_row(["THROUGH THE TUNNEL", "", "", "", "", &percent(self.lost()), &median]);

        let Self { sent, echoed, twice, altered, .. } = *self;
        println!();
        println!("  datagrams    {} sent, {} came back,", grouped(sent), grouped(echoed));
        println!(
            "               {} lost, {twice} delivered twice, {altered} altered",
            grouped(sent - echoed)
        );
        println!("  round trips  half of them within {median},");
        println!("               99 of 100 within {}", milliseconds(self.round_trip_of(99)));
        println!();
        println!("Packets are datagrams and the tunnel's own; a bridge's delay is the mean, the");
        println!("tunnel's the median. The product of the losses is what independent lines lose");
        println!("all at once, the mark for the tunnel; in so short a run, chance moves both.");
        println!("\n{}", self.conclusion());
    }

    fn conclusion(&self) -> String {
        if self.echoed == 0 {
            return "NOTHING came back through the tunnel.".to_owned();
        }
        if !self.is_faultless() {
            return "The tunnel FAILED: it must neither alter nor repeat a datagram.".to_owned();
        }
        let losses =
            self.bridges.iter().map(|counts| loss_both_ways(loss(&counts.forward), loss(&counts.backward)));
        let fastest = self.bridges.iter().map(delay_both_ways).min().unwrap_or_default();
        format!(
            "Lines that lost {} to {} of the round trips made a tunnel that lost\n\
             {}; its median round trip took {}, the fastest line's {}.",
            percent(losses.clone().fold(1.0, f64::min)),
            percent(losses.fold(0.0, f64::max)),
            percent(self.lost()),
            milliseconds(self.round_trip_of(50)),
            milliseconds(fastest),
        )
    }

    /// The part of the datagrams that did not come back.
    fn lost(&self) -> f64 {
        1.0 - self.echoed as f64 / self.sent.max(1) as f64
    }

    /// What would be lost by all bridges at once, there and back, if they lose independently of each other.
    fn lost_by_all(&self) -> (f64, f64) {
        let there = self.bridges.iter().map(|counts| loss(&counts.forward)).product();
        let back = self.bridges.iter().map(|counts| loss(&counts.backward)).product();
        (there, back)
    }

    /// The time that `percentile` of 100 round trips have not exceeded.
    fn round_trip_of(&self, percentile: usize) -> Duration {
        let rank = (self.round_trips.len() * percentile).div_ceil(100);
        self.round_trips.get(rank.saturating_sub(1)).copied().unwrap_or_default()
    }
}

fn print_row([name, there, there_lost, back, back_lost, lost, delay]: [&str; 7]) {
    let row = format!("  {name:<20}{there:>8}{there_lost:>9}{back:>9}{back_lost:>9}{lost:>10}{delay:>10}");
    println!("{}", row.trim_end());
}

fn loss(direction: &Direction) -> f64 {
    direction.dropped as f64 / direction.received.max(1) as f64
}

/// A round trip is lost if either way is.
fn loss_both_ways(there: f64, back: f64) -> f64 {
    1.0 - (1.0 - there) * (1.0 - back)
}

fn delay_both_ways(counts: &Counts) -> Duration {
    counts.forward.mean_delay + counts.backward.mean_delay
}

/// A number with a comma between groups of three digits.
pub(super) fn grouped(number: impl ToString) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn percent(part: f64) -> String {
    format!("{:.2} %", part * 100.0)
}

fn milliseconds(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1_000.0)
}
