//! Properties of `mpclient.conf`, over random configurations: what is printed is read back as it was meant, however it is
//! laid out.

use std::fmt::Write;
use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use mptunnel::config::args::{ClientArgs, SharedArgs};
use mptunnel::config::{self, Variables};
use mptunnel::tunnel::link::{Endpoint, Host};
use mptunnel::tunnel::path::MAX_PATHS;
use mptunnel::tunnel::role::{ClientRole, Role};
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng, rngs::StdRng};

use crate::sim::seeds::seeds;

fn pick<'a>(rng: &mut StdRng, words: &[&'a str]) -> &'a str {
    words.choose(rng).expect("there are some")
}

fn endpoint(rng: &mut StdRng) -> Endpoint {
    let host = match rng.random_range(0..3) {
        0 => Host::Ip(Ipv4Addr::from_bits(rng.random()).into()),
        1 => Host::Ip(Ipv6Addr::from_bits(rng.random::<u128>() & rng.random::<u128>()).into()),
        _ => {
            let labels = ["b", "bridge-1", "a_b", "3com", "xn--bcher-kva", "example", "org"];
            let mut name =
                (0..rng.random_range(1..5)).map(|_| pick(rng, &labels)).collect::<Vec<_>>().join(".");
            if rng.random() {
                name.push('.');
            }
            Host::Name(name)
        }
    };
    Endpoint { host, port: rng.random_range(1..=u16::MAX) }
}

/// A bridge's line, with white space and remarks as people put them.
fn print(rng: &mut StdRng, Endpoint { host, port }: &Endpoint, text: &mut String) {
    let indent = pick(rng, &["", "", "  ", "\t"]);
    let gap = pick(rng, &[" ", " ", "\t", "   \t "]);
    let end = pick(rng, &["", " ", "\r", " # far = away", "#near"]);
    match host {
        Host::Ip(ip) if ip.is_ipv6() && rng.random() => writeln!(text, "{indent}[{ip}]{gap}{port}{end}"),
        Host::Ip(ip) => writeln!(text, "{indent}{ip}{gap}{port}{end}"),
        Host::Name(name) => writeln!(text, "{indent}{name}{gap}{port}{end}"),
    }
    .expect("a string takes all");
    text.push_str(pick(rng, &["", "", "\n", "# a remark\n", " \t\n"]));
}

#[test]
fn a_printed_configuration_is_read_as_it_was_meant() {
    let file =
        PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("printed-{}.conf", std::process::id()));
    seeds(500, |seed| {
        let mut rng = StdRng::seed_from_u64(seed);
        let bridges: Vec<_> = (0..rng.random_range(1..=MAX_PATHS)).map(|_| endpoint(&mut rng)).collect();
        let listen =
            SocketAddr::new(Ipv4Addr::from_bits(rng.random()).into(), rng.random_range(1..=u16::MAX));
        let setting_at = rng.random_range(0..=bridges.len());
        let mut text = String::new();
        for (number, bridge) in bridges.iter().enumerate() {
            if number == setting_at {
                writeln!(text, "listen{}{listen}", pick(&mut rng, &["=", " = ", "\t="])).expect("a string");
            }
            print(&mut rng, bridge, &mut text);
        }
        if setting_at == bridges.len() {
            write!(text, "listen = {listen}").expect("a string takes all");
        }
        fs::write(&file, &text).expect("a file that can be written");
        let args =
            ClientArgs { config: file.clone(), excess: None, listen: None, shared: SharedArgs::default() };
        let config = config::client(&args, &Variables::default());
        let role = config.unwrap_or_else(|mistakes| panic!("{text:?}: {mistakes:?}")).config.role;
        let Role::Client(ClientRole { listen: read_listen, bridges: read, .. }) = role else {
            panic!("a client's file")
        };
        assert_eq!(read_listen, listen, "{text:?}");
        let read: Vec<_> = read.into_iter().map(|bridge| bridge.endpoint).collect();
        assert_eq!(read, bridges, "{text:?}");
    });
    fs::remove_file(&file).expect("it was written");
}
