//! SOCKS5 clients that stall, talk nonsense, or come by the hundred, while others work.

use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use mptunnel::tunnel::socks5::wire::Address;

use super::{Client, Lab, say};
use crate::process::PATIENCE;

/// Datagrams of the stream a second.
const PER_SECOND: u32 = 500;

#[test]
fn hundreds_of_hostile_clients_harm_neither_a_stream_nor_those_who_ask_properly() {
    let lab = Lab::new("socks5 hostile", 0.0, &["127.0.0.1"], &[]);
    let target = Address::Ip(lab.targets[0].address);
    let stream = lab.setup.stream(PER_SECOND);
    stream.wait_until_it_flows(PATIENCE);
    let held = Client::new(lab.listen);
    held.ask(target, "before");
    let first = stream.sent();

    let mut hostile = Vec::new();
    for round in 0..6 {
        for number in 0..100_u8 {
            let mut client = TcpStream::connect(lab.listen).expect("the proxy listens");
            client.set_nonblocking(true).expect("a socket");
            // Those that are dropped meanwhile cannot say anything.
            let _ = match number % 5 {
                // Half open.
                0 => Ok(()),
                1 => std::io::Write::write_all(&mut client, &[5]),
                2 => std::io::Write::write_all(&mut client, &[5, 1, 0, 5, 3]),
                3 => std::io::Write::write_all(&mut client, &[number; 700]),
                // Refused, and it goes on talking.
                _ => std::io::Write::write_all(
                    &mut client,
                    &[&[5, 1, 0, 5, 1, 0, 9][..], &[0; 9_000]].concat(),
                ),
            };
            hostile.push(client);
        }
        // An octet at a time.
        for client in hostile.iter_mut().rev().take(50) {
            let _ = std::io::Write::write_all(client, &[0]);
        }
        let client = Client::new(lab.listen);
        let question = format!("round {round}");
        assert_eq!(
            client.ask(target, &question).1,
            format!("0{question}"),
            "a newcomer in the midst of them"
        );
        held.ask(target, &question);
        thread::sleep(Duration::from_millis(100));
    }
    let sent = stream.sent() - first;
    let (there, back) = stream.finish();
    let lost = there.missing.iter().chain(&back.missing).filter(|number| **number >= first).count();
    println!("{lost} of {sent} datagrams were lost beside {} hostile clients", hostile.len());
    // A machine that is busy with other tests may lose some by itself.
    assert!(lost as u64 <= sent / 50, "{there:?}; {back:?}");
    let mut control = TcpStream::connect(lab.listen).expect("the proxy listens");
    assert_eq!(say(&mut control, &[5, 1, 0], 2), [5, 0]);
    // One line a minute, whatever comes; a machine that is busy may take longer than one.
    let lines = lab.mpclient.log().matches("a SOCKS5 client at").count();
    assert!((1..=2).contains(&lines), "{}", lab.mpclient.log());
    let refused = lab.snapshot().socks5.expect("it serves SOCKS5").refused;
    assert!(refused.malformed > 0 && refused.late > 0, "{refused:?}");
}
