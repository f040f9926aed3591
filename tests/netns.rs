//! Both daemons end to end, as the executables that users start, between network namespaces that the
//! tests make themselves, together with the real parts of a setup: OpenVPN, socat, nftables, iperf3.
//!
//! ```text
//!  client namespace       middle namespace, one for each path        server namespace
//! +----------------+      +--------------------------------+      +--------------------+
//! | application    |      |                                |      | mpserver, port 2000|
//! |      |         |      | c                            s |      |      |             |
//! | 127.0.0.1:3000 |  p1==|==.2  bridge, port 4000       .2|======|.1 p1 |             |
//! | mpclient     .1|======|   10.77.1.0/24   10.78.1.0/24  |      | 127.0.0.1:1194     |
//! |                |      |   fd77:1::/64    fd78:1::/64   |      | target             |
//! |                |      +--------------------------------+      |                    |
//! |                |      +--------------------------------+      |                    |
//! |                |  p2==|==.2  bridge, port 4000       .2|======|.1 p2               |
//! |                |      +--------------------------------+      |                    |
//! |                |      +--------------------------------+      |                    |
//! |                |  p3==|==.2  bridge, port 4000       .2|======|.1 p3               |
//! +----------------+      +--------------------------------+      +--------------------+
//! ```
//!
//! Each `===` is a veth pair with an MTU of 1,500. Nothing is routed: what gets from one end to the
//! other, a bridge has carried.
//!
//! The tests need Linux, root, and the packages that `.ci/run` installs: iproute2, nftables, socat, openvpn, openssl and
//! iperf3; for the files below `examples/` also nginx-light, libnginx-mod-stream, dnsmasq, bind9-dnsutils, wireguard-go and
//! wireguard-tools.
//! Where any of that is missing they print `SKIPPED` and pass, unless `MPTUNNEL_REQUIRE_NETNS=1` makes that
//! a failure. They take turns by themselves: `cargo test --test netns` is enough.

#![cfg(target_os = "linux")]
#![allow(clippy::disallowed_methods, reason = "these tests run in real time")]

#[path = "netns/addresses.rs"]
mod addresses;
#[path = "netns/bridges.rs"]
mod bridges;
#[path = "netns/check.rs"]
mod check;
#[path = "netns/examples.rs"]
mod examples;
#[path = "netns/faults.rs"]
mod faults;
#[path = "netns/lab.rs"]
mod lab;
#[path = "netns/late.rs"]
mod late;
#[path = "netns/lengths.rs"]
mod lengths;
#[path = "support/lossy_bridge.rs"]
mod lossy_bridge;
#[allow(dead_code, reason = "the documents' own tests use the rest")]
#[path = "documents/markdown.rs"]
mod markdown;
#[path = "netns/names.rs"]
mod names;
#[path = "netns/namespace.rs"]
mod namespace;
#[path = "netns/offload.rs"]
mod offload;
#[path = "netns/openvpn.rs"]
mod openvpn;
#[path = "netns/process.rs"]
mod process;
#[path = "netns/programs.rs"]
mod programs;
#[path = "netns/readme.rs"]
mod readme;
#[path = "netns/reload.rs"]
mod reload;
#[path = "support/stream.rs"]
mod stream;
#[path = "netns/target_loss.rs"]
mod target_loss;
#[path = "netns/troubles.rs"]
mod troubles;
#[path = "netns/uplinks.rs"]
mod uplinks;
#[path = "netns/vpn.rs"]
mod vpn;
#[path = "support/wait.rs"]
mod wait;
#[path = "netns/whole.rs"]
mod whole;
