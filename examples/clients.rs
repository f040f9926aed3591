//! Many clients at one mpserver: how fast they connect, whether each gets its own datagrams back, and
//! what they cost there in memory and processor time.
//!
//! ```text
//!  this process: N tunnels, each with a socket ──> mpserver, a process of its own ──> echo, this process
//! ```
//! `cargo run --release --example clients -- --clients 1000`. The clients are real tunnels with real
//! sockets in one poll loop; their applications are played without sockets.

#[path = "support/process.rs"]
mod process;

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use mio::net::UdpSocket;
use mio::{Events, Interest, Poll, Token};
use mptunnel::net::{EventLoop, raise_open_files_limit};
use mptunnel::tunnel::key::Key;
use mptunnel::tunnel::keyring::Keys;
use mptunnel::tunnel::link::{Bind, Event, Link, SocketId};
use mptunnel::tunnel::role::{Bridge, ClientRole, Config, Security, ServerRole};
use mptunnel::tunnel::{LISTENER, Tunnel};
use process::{Daemon, free_port};
use rand::SeedableRng;
use rand::rngs::StdRng;

/// The promise for a thousand clients.
const CONNECTED_WITHIN: Duration = Duration::from_secs(5);

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

#[derive(Parser)]
#[command(about = "Connects many clients to one mpserver and shows what they cost there")]
struct Args {
    /// How many clients
    #[arg(long, default_value_t = 1000)]
    clients: usize,
    /// For the mpserver that this program starts of itself
    #[command(subcommand)]
    daemon: Option<DaemonCommand>,
}

#[derive(clap::Subcommand)]
#[command(hide = true)]
enum DaemonCommand {
    #[command(hide = true)]
    Server { listen: SocketAddr, target: SocketAddr },
}

fn main() -> ExitCode {
    let args = Args::parse();
    let done = match args.daemon {
        Some(DaemonCommand::Server { listen, target }) => serve(listen, target),
        None => measure(args.clients),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("clients: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(listen: SocketAddr, target: SocketAddr) -> Result<()> {
    env_logger::init_from_env(env_logger::Env::default().default_filter_or("warn"));
    raise_open_files_limit()?;
    let key = Key::from_base64(&std::env::var("MPTUNNEL_KEY")?)?;
    let role = ServerRole::new(listen, target.into()).into();
    let mut event_loop =
        EventLoop::new(Config { role, security: Security { encrypt: true, keys: Keys::Shared(key) } })?;
    println!("listening");
    Ok(event_loop.run()?)
}

fn measure(count: usize) -> Result<()> {
    raise_open_files_limit()?;
    let key = Key::generate(&mut rand::rng());
    let (listen, target) = (free_port()?, echo()?);
    let server = Daemon::this(&["server", &listen.to_string(), &target.to_string()], &key.to_base64())?;
    let empty = server.memory()?;

    let mut crowd = Crowd::new(count, listen, &key)?;
    crowd.run(CONNECTED_WITHIN, |crowd| crowd.answered == count)?;
    println!(
        "{} of {count} clients had their first echo after {:.2} s; mpserver used {:.2} s of a processor for that",
        crowd.answered,
        crowd.age(),
        server.cpu()?.as_secs_f64(),
    );
    if crowd.answered < count {
        return Err(format!("not every client was connected within {CONNECTED_WITHIN:?}").into());
    }
    let with_flows = server.memory()?;
    println!(
        "mpserver's memory: {empty} KiB without clients, {with_flows} KiB with them and a flow each: {:.1} KiB a client",
        (with_flows - empty) as f64 / count as f64
    );

    let (cpu, begin) = (server.cpu()?, Instant::now());
    crowd.answered = 0;
    crowd.send_all();
    crowd.run(Duration::from_secs(5), |crowd| crowd.answered == count)?;
    println!(
        "a datagram of each at once: {} of {count} came back, {} to the wrong client",
        crowd.answered, crowd.astray
    );
    crowd.run(Duration::from_secs(5).saturating_sub(begin.elapsed()), |_| false)?;
    let busy = (server.cpu()? - cpu).as_secs_f64() / begin.elapsed().as_secs_f64();
    println!(
        "mpserver used {:.1} % of a processor for that and for the probes of {count} clients",
        busy * 100.0
    );
    if crowd.answered < count || crowd.astray > 0 {
        return Err("a datagram was lost or went astray".into());
    }
    Ok(())
}

/// Sends every datagram back, for as long as the process lives.
fn echo() -> Result<SocketAddr> {
    let socket = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    socket2::SockRef::from(&socket).set_recv_buffer_size(12_500_000)?;
    let address = socket.local_addr()?;
    thread::spawn(move || {
        let mut buffer = [0; 2048];
        while let Ok((len, from)) = socket.recv_from(&mut buffer) {
            // A flow that has ended refuses; that is not the target's trouble.
            let _ = socket.send_to(&buffer[..len], from);
        }
    });
    Ok(address)
}

/// Many clients in one loop.
struct Crowd {
    poll: Poll,
    clients: Vec<Member>,
    begin: Instant,
    /// Clients that have got their own datagram back.
    answered: usize,
    /// Datagrams that somebody else got.
    astray: usize,
}

struct Member {
    tunnel: Tunnel,
    sockets: HashMap<SocketId, UdpSocket>,
    /// What the client's application sends, and expects back.
    datagram: [u8; 8],
    due: bool,
}

impl Crowd {
    fn new(count: usize, server: SocketAddr, key: &Key) -> Result<Self> {
        let begin = Instant::now();
        let member = |number: usize| {
            let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
            let role = ClientRole::new(listen, vec![Bridge::from(server)]).into();
            let config =
                Config { role, security: Security { encrypt: true, keys: Keys::Shared(key.clone()) } };
            let tunnel = Tunnel::new(begin, config, StdRng::from_rng(&mut rand::rng()));
            Member { tunnel, sockets: HashMap::new(), datagram: number.to_be_bytes(), due: true }
        };
        let clients = (0..count).map(member).collect();
        let mut crowd = Self { poll: Poll::new()?, clients, begin, answered: 0, astray: 0 };
        crowd.send_all();
        Ok(crowd)
    }

    fn age(&self) -> f64 {
        self.begin.elapsed().as_secs_f64()
    }

    /// Has every application send its datagram.
    fn send_all(&mut self) {
        let now = Instant::now();
        for member in &mut self.clients {
            let remote = SocketAddr::from((Ipv4Addr::LOCALHOST, 50_000));
            let link = Link { socket: LISTENER, remote, local: None };
            member.due = true;
            member.tunnel.handle_input(now, link, &mut member.datagram.clone());
        }
    }

    fn run(&mut self, length: Duration, done: impl Fn(&Self) -> bool) -> Result<()> {
        let begin = Instant::now();
        let mut events = Events::with_capacity(1024);
        while begin.elapsed() < length && !done(self) {
            let now = Instant::now();
            for at in 0..self.clients.len() {
                self.clients[at].tunnel.handle_timeout(now);
                self.flush(at)?;
            }
            self.poll.poll(&mut events, Some(Duration::from_millis(5)))?;
            let now = Instant::now();
            let ready: Vec<usize> = events.iter().map(|event| event.token().0).collect();
            for at in ready {
                self.receive(now, at);
                self.flush(at)?;
            }
        }
        Ok(())
    }

    fn receive(&mut self, now: Instant, at: usize) {
        let member = &mut self.clients[at];
        let mut buffer = [0; 2048];
        for (id, socket) in &member.sockets {
            while let Ok((len, remote)) = socket.recv_from(&mut buffer) {
                member.tunnel.handle_input(
                    now,
                    Link { socket: *id, remote, local: None },
                    &mut buffer[..len],
                );
            }
        }
    }

    fn flush(&mut self, at: usize) -> Result<()> {
        let member = &mut self.clients[at];
        while let Some(event) = member.tunnel.poll_event() {
            match event {
                Event::Open(id, Bind::Towards { .. }) => {
                    let mut socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0).into())?;
                    self.poll.registry().register(&mut socket, Token(at), Interest::READABLE)?;
                    member.sockets.insert(id, socket);
                }
                Event::Close(id) => drop(member.sockets.remove(&id)),
                Event::Open(..) | Event::Resolve(..) => {}
            }
        }
        while let Some(transmit) = member.tunnel.poll_transmit() {
            for packet in transmit.packets() {
                match member.sockets.get(&transmit.link.socket) {
                    Some(socket) => drop(socket.send_to(packet, transmit.link.remote)),
                    None if packet == member.datagram => {
                        self.answered += usize::from(std::mem::take(&mut member.due));
                    }
                    None => self.astray += 1,
                }
            }
        }
        Ok(())
    }
}
