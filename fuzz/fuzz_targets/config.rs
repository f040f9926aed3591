//! `mpclient.conf` of any octets: it is taken and means what it says, or each mistake in it has its line, and no message
//! carries what a terminal would obey.

#![no_main]

use std::fmt::Write;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use mptunnel::config::args::{ClientArgs, SharedArgs};
use mptunnel::config::{self, Mistakes, Variables};
use mptunnel::tunnel::link::Host;
use mptunnel::tunnel::path::MAX_PATHS;
use mptunnel::tunnel::role::{Bridge, ClientRole, Copies, Forward, MAX_FORWARDS, Role};
use mptunnel_fuzz::log_lines;

/// Both programs read files alone. One in memory is the fastest there is.
static FILE: LazyLock<PathBuf> = LazyLock::new(|| {
    let memory = PathBuf::from("/dev/shm");
    let folder = if memory.is_dir() { memory } else { std::env::temp_dir() };
    folder.join(format!("mptunnel-fuzz-{}.conf", std::process::id()))
});

/// It goes before the file's `key-file`, so that a run opens no file which the fuzzer names.
const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

fuzz_target!(|octets: &[u8]| {
    log_lines::check();
    match parse(octets) {
        Ok(Read { listen, bridges, copies, forwards }) => {
            assert!((1..=MAX_PATHS).contains(&bridges.len()));
            assert!(listen.port() != 0 && bridges.iter().all(|bridge| bridge.endpoint.port != 0));
            // What was understood, written down, is understood in the same way.
            let mut text = format!("listen = {listen}\n");
            let set = match copies {
                Copies::All => Ok(()),
                Copies::Best(count) => writeln!(text, "copies = {count}"),
                // The finest that can be written.
                Copies::Target(target) => writeln!(text, "target-loss = {:.4} %", target.part() * 100.0),
            };
            set.expect("a string takes all");
            assert!(forwards.len() <= MAX_FORWARDS);
            for Forward { listen, target } in &forwards {
                writeln!(text, "forward = {listen} {target}").expect("a string takes all");
            }
            for Bridge { endpoint, bind, backup } in &bridges {
                match &endpoint.host {
                    Host::Ip(ip) => write!(text, "{ip} {}", endpoint.port),
                    Host::Name(name) => write!(text, "{name} {}", endpoint.port),
                }
                .expect("a string takes all");
                if let Some(uplink) = bind {
                    write!(text, " bind={uplink}").expect("a string takes all");
                }
                text.push_str(if *backup { " backup\n" } else { "\n" });
            }
            let read = Read { listen, bridges, copies, forwards };
            assert_eq!(parse(text.as_bytes()).expect(&text), read);
        }
        Err(mistakes) => {
            assert!(!mistakes.is_empty(), "refused without a reason");
            let lines = octets.split(|octet| *octet == b'\n').count();
            for mistake in mistakes.iter() {
                let place = mistake.place.as_ref().expect("each mistake in a file has a line");
                assert!((1..=lines).contains(&place.line), "line {} of {lines}", place.line);
                log_lines::check_text(&mistake.to_string());
            }
        }
    }
});

/// What a file says.
#[derive(Debug, PartialEq)]
struct Read {
    listen: SocketAddr,
    bridges: Vec<Bridge>,
    copies: Copies,
    forwards: Vec<Forward>,
}

fn parse(octets: &[u8]) -> Result<Read, Mistakes> {
    fs::write(&*FILE, octets).expect("a file that can be written");
    let args = ClientArgs { config: FILE.clone(), excess: None, listen: None, shared: SharedArgs::default() };
    let variables = Variables { key: Some(KEY.into()), ..Variables::default() };
    let config = config::client(&args, &variables)?.config;
    let Role::Client(ClientRole { listen, bridges, copies, forwards, .. }) = config.role else {
        panic!("a client's file makes a client")
    };
    Ok(Read { listen, bridges, copies, forwards })
}
