//! Real SOCKS5 clients through three lossy bridges: drill under dante's socksify, which asks a real DNS server, and
//! PySocks. (The dig of BIND 9.18 sends by system calls that socksify does not get to see.)

use std::net::UdpSocket;

use super::Lab;
use crate::daemons::setup::{Setup, V4, free_address};
use crate::process::{PATIENCE, Running, run, run_with};
use crate::programs::{TOOLS, all, find, missing};
use crate::wait::poll_until;

const LOSS: f64 = 0.1;

#[test]
fn drill_under_socksify_asks_a_dns_server() {
    let (Some(drill), Some(socksify), Some(dnsmasq)) =
        (find("drill", TOOLS), find("socksify", TOOLS), find("dnsmasq", TOOLS))
    else {
        return;
    };
    let lab = Lab::new("socks5 drill", LOSS, &["127.0.0.1"], &[]);
    let server = free_address();
    let port = server.port().to_string();
    let _dnsmasq = Running::start(
        &dnsmasq,
        &[
            "--keep-in-foreground",
            "--conf-file=/dev/null",
            "--pid-file",
            "--no-resolv",
            "--no-hosts",
            "--bind-interfaces",
            "--listen-address=127.0.0.1",
            &format!("--port={port}"),
            "--address=/through.example/192.0.2.77",
        ],
        &[],
    );
    assert!(poll_until(PATIENCE, || UdpSocket::bind(server).is_err()), "dnsmasq has its port");
    let route = format!(
        "route {{\n from: 0.0.0.0/0 to: 0.0.0.0/0 via: {} port = {}\n proxyprotocol: socks_v5\n protocol: udp\n \
         command: udpassociate\n method: none\n}}\n",
        lab.listen.ip(),
        lab.listen.port()
    );
    let conf = lab.setup.write("socks.conf", &route);
    let args = [&drill, "-u", "-p", &port, "www.through.example", "@127.0.0.1"];
    // Otherwise dante asks its own machine itself.
    let variables = [("SOCKS_CONF", conf.as_str()), ("SOCKS_AUTOADD_LANROUTES", "no")];
    let asked = run_with(&socksify, &args, &variables);
    assert!(asked.stdout.contains("IN\tA\t192.0.2.77"), "{asked:?}");
    let snapshot = lab.snapshot();
    assert!(snapshot.socks5.expect("it serves SOCKS5").associated >= 1, "it went through the tunnel");
    assert!(snapshot.counters.datagrams_received >= 1);
}

#[test]
fn pysocks_sends_and_receives_datagrams() {
    const PROGRAM: &str = "
import socket, socks, sys
proxy, target = int(sys.argv[1]), int(sys.argv[2])
s = socks.socksocket(socket.AF_INET, socket.SOCK_DGRAM)
s.set_proxy(socks.SOCKS5, '127.0.0.1', proxy, username='ann', password='secret')
s.bind(('127.0.0.1', 0))
s.settimeout(1)
for attempt in range(20):
    s.sendto(b'from python', ('127.0.0.1', target))
    try:
        data, source = s.recvfrom(100)
    except socket.timeout:
        continue
    print(data.decode(), source[0], source[1])
    break
";
    let has_socks = |python: &String| run(python, &["-c", "import socks"]).code == Some(0);
    let Some(python) = all("python3").into_iter().find(has_socks) else {
        return missing("PySocks is not installed", TOOLS);
    };
    let setup = Setup::new("socks5 python", V4);
    let users = setup.write("users", "ann secret\n");
    let lab = Lab::new("socks5 python", LOSS, &["127.0.0.1"], &[&format!("socks5-users = {users}")]);
    let target = lab.targets[0].address.port().to_string();
    let ran = run(&python, &["-c", PROGRAM, &lab.listen.port().to_string(), &target]);
    assert_eq!(ran.stdout.trim(), format!("0from python 127.0.0.1 {target}"), "{ran:?}");
}
