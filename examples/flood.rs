//! What a flood of made-up packets does to a client that is connected: its datagrams' loss and latency, and
//! mpserver's memory and processor time, without the flood and with it.
//!
//! ```text
//!  sender ──> mpclient ══ 3 bridges ══> mpserver ──> sink
//!                                          ^
//!                 250 addresses ───────────'
//! ```
//! `cargo run --release --example flood` sends a million packets, with a key and without one. Half of them are
//! handshakes and data from nowhere, half are made of what somebody sees who looks at one of the bridges: his
//! session's numbers with other contents, and copies. Sender, bridges, sink and flooder share the machine's
//! processors with both daemons, so the same flood is also sent where nobody reads it: what then is slower is not
//! mpserver's doing. On a machine that has other work too, `chrt -r 1` in front of the command (as root) keeps that
//! work out of the figures.

use std::net::{SocketAddr, UdpSocket};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use flooder::{Eavesdropper, Flooder};
use load::{Load, Outcome, Sender};
use mptunnel::net::EventLoop;
use mptunnel::tunnel::key::Key;
use mptunnel::tunnel::role::{Bridge, ClientRole, Config, Role, Security, ServerRole};
use mptunnel::tunnel::wire::Mode;
use process::{Daemon, free_port};

#[path = "../tests/support/flooder.rs"]
mod flooder;
#[allow(dead_code, reason = "another example uses more of it")]
#[path = "throughput/load.rs"]
mod load;
#[path = "support/process.rs"]
mod process;
#[path = "../tests/support/stream.rs"]
mod stream;
#[path = "../tests/support/wait.rs"]
mod wait;

/// Octets of a client's datagram.
const DATAGRAM_LEN: usize = 200;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

#[derive(Parser)]
#[command(about = "Floods mpserver with made-up packets and shows what a client notices of it")]
struct Args {
    /// Packets of the flood
    #[arg(long, default_value_t = 1_000_000)]
    packets: u64,
    /// ... and how many a second
    #[arg(long, default_value_t = 50_000)]
    rate: u32,
    /// Datagrams of the client a second
    #[arg(long, default_value_t = 2_000.0)]
    datagrams: f64,
    /// For the daemons that this program starts of itself
    #[command(subcommand)]
    daemon: Option<DaemonCommand>,
}

#[derive(clap::Subcommand)]
#[command(hide = true)]
enum DaemonCommand {
    #[command(hide = true)]
    Client { listen: SocketAddr, bridges: Vec<SocketAddr> },
    #[command(hide = true)]
    Server { listen: SocketAddr, target: SocketAddr },
}

fn main() -> ExitCode {
    let args = Args::parse();
    let done = match &args.daemon {
        Some(command) => serve(command),
        None => [true, false].into_iter().try_for_each(|keyed| measure(&args, keyed)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("flood: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What the daemon processes do.
fn serve(command: &DaemonCommand) -> Result<()> {
    env_logger::init_from_env(env_logger::Env::default().default_filter_or("error"));
    let role = match command {
        DaemonCommand::Client { listen, bridges } => {
            let bridges = bridges.iter().map(|address| Bridge::from(*address)).collect();
            Role::from(ClientRole::new(*listen, bridges))
        }
        DaemonCommand::Server { listen, target } => ServerRole::new(*listen, (*target).into()).into(),
    };
    let key = match std::env::var("MPTUNNEL_KEY")? {
        none if none.is_empty() => None,
        key => Some(Key::from_base64(&key)?),
    };
    let mut event_loop =
        EventLoop::new(Config { role, security: Security { encrypt: true, keys: key.into() } })?;
    println!("listening");
    Ok(event_loop.run()?)
}

fn measure(args: &Args, keyed: bool) -> Result<()> {
    println!(
        "{} key: {:.0} datagrams a second of {DATAGRAM_LEN} octets; {} packets of flood, {} a second",
        if keyed { "With a" } else { "Without a" },
        args.datagrams,
        args.packets,
        args.rate,
    );
    println!(
        "{:24} {:>9} {:>10} {:>10} {:>15} {:>12}",
        "", "loss", "p50", "p99", "CPU of mpserver", "its memory"
    );
    let bench = Bench::new(args, keyed)?;
    let nobody = UdpSocket::bind("127.0.0.1:0")?;
    let calm = bench.run("no flood", None)?;
    bench.run("flood to somebody else", Some(nobody.local_addr()?))?;
    let flooded = bench.run("flood to mpserver", Some(bench.server_at))?;
    bench.run("no flood any more", None)?;
    let added = flooded.p99().saturating_sub(calm.p99());
    println!("loss {:.3} %, added p99 {:.3} ms\n", flooded.loss() * 100.0, added.as_secs_f64() * 1e3);
    Ok(())
}

/// Both daemons, and what they are used and flooded with.
struct Bench<'a> {
    args: &'a Args,
    mode: Mode,
    load: Load,
    bridges: [Eavesdropper; 3],
    server_at: SocketAddr,
    server: Daemon,
    /// Where applications send to.
    entry: SocketAddr,
    _client: Daemon,
}

impl<'a> Bench<'a> {
    fn new(args: &'a Args, keyed: bool) -> Result<Self> {
        let key = if keyed { Key::generate(&mut rand::rng()).to_base64() } else { String::new() };
        let load = Load::new(DATAGRAM_LEN)?;
        let (server_at, entry) = (free_port()?, free_port()?);
        let server = Daemon::this(&["server", &server_at.to_string(), &load.sink().to_string()], &key)?;
        let bridges = [(); 3].map(|()| Eavesdropper::start(server_at));
        let addresses = bridges.each_ref().map(|bridge| bridge.address().to_string());
        let [one, two, three] = &addresses;
        let client = Daemon::this(&["client", &entry.to_string(), one, two, three], &key)?;
        load.wait_until_open(entry)?;
        let mode = Mode { encrypt: true, keyed };
        Ok(Self { args, mode, load, bridges, server_at, server, entry, _client: client })
    }

    /// Sends datagrams for as long as a flood takes, and the flood itself if somebody is to have it.
    fn run(&self, name: &str, flooded: Option<SocketAddr>) -> Result<Outcome> {
        let Args { packets, rate, datagrams, .. } = *self.args;
        let length = Duration::from_secs_f64(packets as f64 / f64::from(rate));
        let (cpu, begin) = (self.server.cpu()?, Instant::now());
        let outcome = thread::scope(|scope| {
            if let Some(target) = flooded {
                let mut flooder = Flooder::new(target, self.mode, &self.bridges[0], 1);
                scope.spawn(move || {
                    let took = flooder.send(packets, rate);
                    if took > length * 11 / 10 {
                        println!("(the flood took {took:.1?}: this machine sends no more)");
                    }
                });
            }
            self.load.run(Sender::Plain, self.entry, datagrams, length)
        })?;
        let cpu = (self.server.cpu()? - cpu).as_secs_f64() / begin.elapsed().as_secs_f64();
        println!(
            "{name:24} {:>7.3} % {:>7.3} ms {:>7.3} ms {:>13.1} % {:>8} KiB",
            outcome.loss() * 100.0,
            outcome.p50().as_secs_f64() * 1e3,
            outcome.p99().as_secs_f64() * 1e3,
            cpu * 100.0,
            self.server.memory()?,
        );
        Ok(outcome)
    }
}
