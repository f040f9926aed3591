//! A UDP relay that behaves like a bad line, to try mptunnel on:
//!
//! ```text
//! cargo run --release --example lossy_bridge -- 127.0.0.1:4000 127.0.0.1:2000 --loss 10% --burst 3 --delay 20ms
//! ```
//!
//! Runs until it is killed.

use std::net::{SocketAddr, ToSocketAddrs};
use std::process::ExitCode;
use std::time::Duration;
use std::{io, thread};

use clap::Parser;

use lossy_bridge::{Faults, LossyBridge};

#[path = "../tests/support/lossy_bridge.rs"]
mod lossy_bridge;

/// Relays UDP packets and loses, delays, repeats and reorders them, each way alike.
#[derive(Parser)]
struct Args {
    /// Where to listen, such as 127.0.0.1:4000 or [::1]:4000; port 0 takes any free one
    listen_addr: SocketAddr,
    /// Where to relay to, such as 10.0.0.1:2000 or server.example:2000
    to_addr: String,
    /// Packets that are lost, such as 5%
    #[arg(long, default_value = "0%", value_parser = parse_part)]
    loss: f64,
    /// Mean number of packets lost in a row; 1 makes losses independent of each other
    #[arg(long, default_value = "1", value_parser = parse_burst)]
    burst: f64,
    /// How long a packet takes, such as 20ms or 0.5s
    #[arg(long, default_value = "0ms", value_parser = parse_time)]
    delay: Duration,
    /// A random time up to this is added to each packet's delay
    #[arg(long, default_value = "0ms", value_parser = parse_time)]
    jitter: Duration,
    /// Let jitter change the packets' order
    #[arg(long)]
    reorder: bool,
    /// Packets that arrive twice, such as 1%
    #[arg(long, default_value = "0%", value_parser = parse_part)]
    duplicate: f64,
    /// UDP contents that pass in a second, such as 10mbit, 500kbit or 1gbit; no limit unless given
    #[arg(long, value_parser = parse_rate)]
    rate: Option<u64>,
    /// The same seed loses the same packets
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

fn main() -> ExitCode {
    let args = Args::parse();
    match start(&args) {
        Ok(bridge) => {
            println!("lossy_bridge: listening on {}, relaying to {}", bridge.address(), args.to_addr);
            loop {
                thread::park();
            }
        }
        Err(error) => {
            eprintln!("lossy_bridge: cannot relay {} to {}: {error}", args.listen_addr, args.to_addr);
            ExitCode::FAILURE
        }
    }
}

fn start(args: &Args) -> io::Result<LossyBridge> {
    let no_address = || io::Error::other("the name has no address");
    let to = args.to_addr.to_socket_addrs()?.next().ok_or_else(no_address)?;
    let faults = Faults {
        loss: args.loss,
        mean_burst: args.burst,
        delay: args.delay,
        jitter: args.jitter,
        reorder: args.reorder,
        duplicate: args.duplicate,
        rate_bps: args.rate,
    };
    LossyBridge::start(args.listen_addr, to, faults, args.seed)
}

/// Reads a part of the packets: `5%`.
fn parse_part(text: &str) -> Result<f64, String> {
    number(text, &[("%", 0.01)])
        .filter(|part| *part <= 1.0)
        .ok_or_else(|| "write a part of the packets as 0% to 100%".to_owned())
}

/// Reads a mean length of bursts.
fn parse_burst(text: &str) -> Result<f64, String> {
    number(text, &[("", 1.0)])
        .filter(|burst| *burst >= 1.0)
        .ok_or_else(|| "write a number of packets, 1 or more".to_owned())
}

/// Reads a time of an hour at most: `20ms`, `0.5s`.
fn parse_time(text: &str) -> Result<Duration, String> {
    number(text, &[("ms", 0.001), ("s", 1.0)])
        .filter(|seconds| *seconds <= 3600.0)
        .map(Duration::from_secs_f64)
        .ok_or_else(|| "write a time such as 20ms or 0.5s".to_owned())
}

/// Reads bits a second: `10mbit`.
fn parse_rate(text: &str) -> Result<u64, String> {
    number(text, &[("kbit", 1e3), ("mbit", 1e6), ("gbit", 1e9)])
        .filter(|rate| (1e3..=1e15).contains(rate))
        .map(|rate| rate as u64)
        .ok_or_else(|| "write a rate such as 500kbit, 10mbit or 1gbit".to_owned())
}

/// A number that is not negative, times the factor of the first unit that the text ends with.
fn number(text: &str, units: &[(&str, f64)]) -> Option<f64> {
    let (digits, factor) =
        units.iter().find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, factor)))?;
    let number: f64 = digits.trim_end().parse().ok()?;
    (number.is_finite() && number >= 0.0).then_some(number * factor)
}
