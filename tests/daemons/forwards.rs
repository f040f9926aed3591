//! Several targets behind one mpclient, each application with its own, and what the targets see of an mpserver that is
//! started again.

use std::net::{SocketAddr, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use mptunnel::tunnel::snapshot::Program;

use super::setup::{KEYED, PLAIN, Setup, UNKEYED, V4, address, free_address, lines, socket};
use super::status::snapshot;
use crate::lossy_bridge::Faults;
use crate::process::{PATIENCE, Running};
use crate::stream::Listener;
use crate::wait::poll_until;

/// A target that answers each datagram with its name, the datagram, and the address that it came from.
struct Target {
    address: SocketAddr,
    _listener: Listener,
}

impl Target {
    fn start(name: char, socket: UdpSocket) -> Self {
        let address = address(&socket);
        let listener = Listener::start(socket, move |socket, octets, source| {
            let reply = format!("{name} {} {source}", String::from_utf8_lossy(octets));
            let _ = socket.send_to(reply.as_bytes(), source);
        });
        Self { address, _listener: listener }
    }
}

/// Asks until it is answered: which target, and which source address it saw.
fn ask(application: &UdpSocket, question: &str) -> (char, String) {
    let mut buffer = [0; 256];
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        application.send(question.as_bytes()).expect("mpclient's address is one");
        let Ok(len) = application.recv(&mut buffer) else { continue };
        let answer = String::from_utf8_lossy(&buffer[..len]).into_owned();
        let words: Vec<_> = answer.split(' ').collect();
        let [target, asked, source] = words[..] else { panic!("{answer:?}") };
        if asked == question {
            return (target.chars().next().expect("a name"), source.to_owned());
        }
    }
    panic!("no answer to {question:?} within {PATIENCE:?}");
}

/// A tunnel to three targets: the server's own, and two that the client names.
struct Lab {
    setup: Setup,
    bridges: Vec<String>,
    targets: Vec<Target>,
    /// Where applications of the forwards send to.
    listens: Vec<SocketAddr>,
    variables: &'static [(&'static str, &'static str)],
}

impl Lab {
    fn new(
        name: &str,
        bridges: Vec<String>,
        setup: Setup,
        variables: &'static [(&'static str, &'static str)],
    ) -> Self {
        println!("{name}");
        let targets = vec![
            Target::start('0', setup.target()),
            Target::start('1', socket(V4)),
            Target::start('2', socket(V4)),
        ];
        let listens = vec![free_address(), free_address()];
        Self { setup, bridges, targets, listens, variables }
    }

    fn forward(&self, number: usize) -> String {
        format!("forward = {} {}", self.listens[number], self.targets[number + 1].address)
    }

    fn mpserver(&self) -> Running {
        let allowed: Vec<_> = self.targets[1..].iter().map(|target| target.address.to_string()).collect();
        let options = ["--allow-target", &allowed[0], "--allow-target", &allowed[1]];
        self.setup.mpserver_and(&options, self.variables)
    }

    fn mpclient(&self, forwards: &[String]) -> Running {
        self.setup.mpclient(&[&self.bridges, forwards].concat(), self.variables)
    }

    /// An application of the plain listener, and one of each forward.
    fn applications(&self) -> Vec<UdpSocket> {
        let forwarded = self.listens.iter().map(|listen| {
            let application = socket(V4);
            application.connect(listen).expect("mpclient's address is one");
            application
        });
        std::iter::once(self.setup.application()).chain(forwarded).collect()
    }
}

#[test]
fn each_applications_target_sees_it_at_the_same_address_after_mpserver_was_killed_and_started_again() {
    for (name, variables) in
        [("with a key", KEYED), ("without a key", UNKEYED), ("without encryption", PLAIN)]
    {
        let setup = Setup::new(&format!("forwards {name}"), V4);
        let bridges = setup.three_bridges(Faults { loss: 0.05, ..Faults::default() });
        let lab = Lab::new(name, lines(&bridges), setup, variables);
        let mpserver = lab.mpserver();
        let _mpclient = lab.mpclient(&[lab.forward(0), lab.forward(1)]);
        let applications = lab.applications();
        let answers = |round: u32| -> Vec<_> {
            let ask = |application| ask(application, &format!("question{round}"));
            applications.iter().map(ask).collect()
        };
        // The second answer comes when the client knows its flows' source ports.
        let _ = answers(0);
        let before = answers(1);
        let names: String = before.iter().map(|(target, _)| *target).collect();
        assert_eq!(names, "012", "each application speaks with its own target");
        mpserver.kill();
        let _mpserver = lab.mpserver();
        assert_eq!(answers(2), before);
    }
}

#[test]
fn forwards_come_and_go_when_the_configuration_is_read_again() {
    let setup = Setup::new("forwards anew", V4);
    let bridges = setup.three_bridges(Faults::default());
    let lab = Lab::new("anew", lines(&bridges), setup, KEYED);
    let _mpserver = lab.mpserver();
    let mpclient = lab.mpclient(&[lab.forward(0)]);
    let applications = lab.applications();
    assert_eq!(ask(&applications[1], "before").0, '1');
    lab.setup.configure(&[&lab.bridges, &[lab.forward(1)][..]].concat());
    mpclient.signal("HUP");
    mpclient.wait_for_lines(1, "is no longer forwarded to");
    assert_eq!(ask(&applications[2], "after").0, '2');
    assert_eq!(
        snapshot(&mpclient, Program::Mpclient).peers[0].flows,
        1,
        "the other's flow has ended with it"
    );
    let freed = || UdpSocket::bind(lab.listens[0]).is_ok();
    assert!(poll_until(PATIENCE, freed), "the address is free again");
    // The same address, for another target.
    let other = format!("forward = {} {}", lab.listens[1], lab.targets[1].address);
    lab.setup.configure(&[&lab.bridges, &[other][..]].concat());
    mpclient.signal("HUP");
    mpclient.wait_for_lines(2, "is no longer forwarded to");
    assert_eq!(ask(&applications[2], "then").0, '1');
}

#[test]
fn a_target_that_is_not_allowed_is_named_in_the_clients_log_once() {
    let setup = Setup::new("forwards refused", V4);
    let bridges = setup.three_bridges(Faults::default());
    let lab = Lab::new("refused", lines(&bridges), setup, KEYED);
    let _mpserver = lab.setup.mpserver(KEYED);
    let mpclient = lab.mpclient(&[lab.forward(0), lab.forward(1)]);
    let applications = lab.applications();
    ask(&applications[0], "connected");
    for number in 0..20 {
        applications[1].send(b"refused").expect("mpclient's address is one");
        thread::sleep(Duration::from_millis(if number < 10 { 5 } else { 50 }));
    }
    mpclient.wait_for_lines(1, "does not allow the target");
    let target = lab.targets[1].address;
    let told: Vec<_> =
        mpclient.log().lines().filter(|line| line.contains("not allow")).map(str::to_owned).collect();
    assert!(told.len() == 1 && told[0].contains(&format!("--allow-target {target}")), "{told:?}");
    assert!(applications[1].recv(&mut [0; 16]).is_err(), "nothing came back");
    ask(&applications[0], "again");
}
