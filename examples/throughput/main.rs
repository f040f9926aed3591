//! How fast the tunnel is on this machine: both daemons as processes of their own, a sender, and a
//! sink, over the loopback.
//!
//! ```text
//!  sender ──> mpclient ══ 1 or 3 paths ══> mpserver ──> sink
//! ```
//! `cargo run --release --example throughput` runs everything (some five minutes); `-- --help`
//! tells how to run less. A path here has no bridge in the middle: mpserver is reached at
//! 127.0.0.1, 127.0.0.2 and 127.0.0.3. Sender, sink and both daemons share the machine's
//! processors. With socat installed, a pair of socats in place of the
//! daemons is measured in the same way.

mod load;
#[path = "../support/process.rs"]
mod process;

use std::net::SocketAddr;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use clap::Parser;
use load::{Load, Outcome, Sender};
use mptunnel::net::EventLoop;
use mptunnel::tunnel::key::Key;
use mptunnel::tunnel::keyring::Keys;
use mptunnel::tunnel::role::{Bridge, ClientRole, Config, Role, Security, ServerRole};
use process::{Daemon, free_port};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

#[derive(Parser)]
#[command(about = "Measures the tunnel's throughput, latency and cost on this machine")]
struct Args {
    /// Octets of a datagram
    #[arg(long, default_value_t = 1400)]
    octets: usize,
    /// Seconds for each fixed rate; the search takes half of it for each try
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Fixed rates, in datagrams a second
    #[arg(long, value_delimiter = ',', default_value = "500,5000,20000,60000")]
    rates: Vec<f64>,
    /// Only these numbers of paths
    #[arg(long, value_delimiter = ',', default_value = "1,3")]
    paths: Vec<u8>,
    /// Only this sender
    #[arg(long, value_enum)]
    sender: Option<Sender>,
    /// Only encrypted (true) or only not (false)
    #[arg(long)]
    encrypt: Option<bool>,
    /// Leave the search for the highest rate out
    #[arg(long)]
    no_search: bool,
    /// Leave socat out
    #[arg(long)]
    no_socat: bool,
    /// For the daemons that this program starts of itself
    #[command(subcommand)]
    daemon: Option<DaemonCommand>,
}

#[derive(clap::Subcommand)]
#[command(hide = true)]
enum DaemonCommand {
    #[command(hide = true)]
    Client { listen: SocketAddr, server_port: u16, paths: u8, encrypt: String },
    #[command(hide = true)]
    Server { listen: SocketAddr, target: SocketAddr, encrypt: String },
}

fn main() -> ExitCode {
    let args = Args::parse();
    let done = match &args.daemon {
        Some(command) => serve(command),
        None => measure(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("throughput: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What the daemon processes do.
fn serve(command: &DaemonCommand) -> Result<()> {
    env_logger::init_from_env(env_logger::Env::default().default_filter_or("warn"));
    let (role, encrypt) = match command {
        DaemonCommand::Client { listen, server_port, paths, encrypt } => {
            let bridge = |host| Bridge::from(SocketAddr::from(([127, 0, 0, host], *server_port)));
            let bridges = (1..=*paths).map(bridge).collect();
            (Role::from(ClientRole::new(*listen, bridges)), encrypt)
        }
        DaemonCommand::Server { listen, target, encrypt } => {
            (ServerRole::new(*listen, (*target).into()).into(), encrypt)
        }
    };
    let key = Key::from_base64(&std::env::var("MPTUNNEL_KEY")?)?;
    let security = Security { encrypt: encrypt == "true", keys: Keys::Shared(key) };
    let mut event_loop = EventLoop::new(Config { role, security })?;
    println!("listening");
    Ok(event_loop.run()?)
}

fn measure(args: &Args) -> Result<()> {
    println!(
        "Datagrams of {} octets. Sender, sink and daemons share this machine's processors.",
        args.octets
    );
    println!(
        "Added latency: one way through the tunnel less one way without it. CPU: of each daemon, for each delivered datagram.\n"
    );
    println!("{HEADER}");
    let senders: Vec<_> = [Sender::Plain, Sender::Gso]
        .into_iter()
        .filter(|s| args.sender.is_none_or(|only| only == *s))
        .collect();
    for &sender in &senders {
        let direct = Bench { name: format!("no tunnel, {sender}"), args, sender, direct: &[] };
        let direct = direct.run(|sink| Ok((sink, Vec::new())))?;
        let mut one_path = None;
        for &paths in &args.paths {
            for encrypt in [true, false].into_iter().filter(|e| args.encrypt.is_none_or(|only| only == *e)) {
                let name = format!(
                    "{paths} path{}, {}, {sender}",
                    if paths == 1 { "" } else { "s" },
                    if encrypt { "encrypted" } else { "not encrypted" }
                );
                let bench = Bench { name, args, sender, direct: &direct.fixed };
                let result = bench.run(|sink| tunnel(sink, paths, encrypt))?;
                if paths == 1 && encrypt {
                    one_path = result.highest;
                }
            }
        }
        if !args.no_socat && has_socat() {
            let name = format!("a socat in place of each daemon, 1 path, {sender}");
            let bench = Bench { name, args, sender, direct: &direct.fixed };
            let result = bench.run(|sink| {
                let (middle, server) = socat(sink)?;
                let (entry, client) = socat(middle)?;
                Ok((entry, vec![client, server]))
            })?;
            if let (Some(ours), Some(socat)) = (one_path, result.highest) {
                println!(
                    "  one encrypted path carries {:.1} times what the socat pair does, {sender}",
                    ours / socat
                );
            }
        }
    }
    Ok(())
}

/// Starts both daemons. Returns where applications send, and the processes.
fn tunnel(sink: SocketAddr, paths: u8, encrypt: bool) -> Result<(SocketAddr, Vec<Daemon>)> {
    let key = Key::generate(&mut rand::rng()).to_base64();
    let (listen, entry) = (free_port()?, free_port()?);
    let encrypt = encrypt.to_string();
    let any = SocketAddr::from(([0, 0, 0, 0], listen.port())).to_string();
    let server = Daemon::this(&["server", &any, &sink.to_string(), &encrypt], &key)?;
    let port = listen.port().to_string();
    let client = Daemon::this(&["client", &entry.to_string(), &port, &paths.to_string(), &encrypt], &key)?;
    Ok((entry, vec![client, server]))
}

/// Whether socat can be started.
fn has_socat() -> bool {
    Command::new("socat").arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}

/// One socat as a bridge to `to`. Returns where it listens.
fn socat(to: SocketAddr) -> Result<(SocketAddr, Daemon)> {
    let listen = free_port()?;
    let child = Command::new("socat")
        .arg(format!("udp-listen:{},bind={}", listen.port(), listen.ip()))
        .arg(format!("udp:{to}"))
        .spawn()?;
    Ok((listen, Daemon(child)))
}

struct Bench<'a> {
    name: String,
    args: &'a Args,
    sender: Sender,
    /// Outcomes without a tunnel, for the added latency.
    direct: &'a [Outcome],
}

struct Measured {
    fixed: Vec<Outcome>,
    highest: Option<f64>,
}

const HEADER: &str = "                                        offered/s delivered/s    Mbps     loss  added p50   added p99   CPU µs";

impl Bench<'_> {
    fn run(&self, start: impl FnOnce(SocketAddr) -> Result<(SocketAddr, Vec<Daemon>)>) -> Result<Measured> {
        println!("{}", self.name);
        let load = Load::new(self.args.octets)?;
        let (entry, daemons) = start(load.sink())?;
        load.wait_until_open(entry)?;
        let mut fixed = Vec::new();
        for (at, &rate) in self.args.rates.iter().enumerate() {
            let outcome = self.once(&load, entry, &daemons, rate, self.args.seconds)?;
            self.print(&outcome, self.direct.get(at));
            fixed.push(outcome);
        }
        let highest = if self.args.no_search { None } else { self.search(&load, entry, &daemons)? };
        for (daemon, name) in daemons.iter().zip(["the client's end", "the server's end"]) {
            println!("  memory of {name}: {} KiB", daemon.memory()?);
        }
        Ok(Measured { fixed, highest })
    }

    /// The highest rate that is delivered with less than 0.5 % loss. Upwards in steps; a rate fails
    /// when two tries do, since other load on the machine may spoil one. Then smaller steps from the
    /// last good rate, until they are within 3 %.
    fn search(&self, load: &Load, entry: SocketAddr, daemons: &[Daemon]) -> Result<Option<f64>> {
        let seconds = self.args.seconds / 2.0;
        let mut best: Option<Outcome> = None;
        let (mut rate, mut step) = (40_000.0, 1.5);
        while step > 1.03 {
            let mut passed = None;
            for _ in 0..2 {
                let outcome = self.once(load, entry, daemons, rate, seconds)?;
                if outcome.loss() < 0.005 {
                    passed = Some(outcome);
                    break;
                }
            }
            let Some(outcome) = passed else {
                rate /= step;
                step = f64::sqrt(step);
                rate *= step;
                continue;
            };
            let reached = outcome.offered_per_s() > rate * 0.97;
            if best.as_ref().is_none_or(|best| outcome.delivered_per_s() > best.delivered_per_s()) {
                best = Some(outcome);
            }
            if !reached {
                break; // The sender itself can do no more.
            }
            rate *= step;
        }
        if let Some(best) = &best {
            println!("  highest under 0.5 % loss:");
            self.print(best, None);
        }
        Ok(best.map(|best| best.delivered_per_s()))
    }

    fn once(
        &self,
        load: &Load,
        entry: SocketAddr,
        daemons: &[Daemon],
        rate: f64,
        seconds: f64,
    ) -> Result<Outcome> {
        let before: Vec<Duration> = daemons.iter().map(Daemon::cpu).collect::<Result<_>>()?;
        let mut outcome = load.run(self.sender, entry, rate, Duration::from_secs_f64(seconds))?;
        for (daemon, before) in daemons.iter().zip(before) {
            outcome.cpu.push(daemon.cpu()?.saturating_sub(before));
        }
        Ok(outcome)
    }

    fn print(&self, outcome: &Outcome, direct: Option<&Outcome>) {
        let added = |of: fn(&Outcome) -> Duration| match direct {
            Some(direct) => {
                format!("{:7.0} µs", of(outcome).as_secs_f64() * 1e6 - of(direct).as_secs_f64() * 1e6)
            }
            None => format!("({:.0} µs)", of(outcome).as_secs_f64() * 1e6),
        };
        let cpu: Vec<_> = outcome
            .cpu
            .iter()
            .map(|cpu| format!("{:.1}", cpu.as_secs_f64() * 1e6 / outcome.delivered.max(1) as f64))
            .collect();
        println!(
            "{:>49.0} {:>11.0} {:>7.0} {:>6.2} % {:>11} {:>11}   {}",
            outcome.offered_per_s(),
            outcome.delivered_per_s(),
            outcome.delivered_per_s() * self.args.octets as f64 * 8.0 / 1e6,
            outcome.loss() * 100.0,
            added(Outcome::p50),
            added(Outcome::p99),
            cpu.join(" + "),
        );
    }
}
