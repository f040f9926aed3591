//! What a test looks at: the processes, what they have counted, and what became of what was sent.

use std::net::SocketAddr;
use std::time::Instant;

use mptunnel::tunnel::Tunnel;
use mptunnel::tunnel::snapshot::Snapshot;
use mptunnel::tunnel::stats::Counters;

use super::host::{HostId, SERVER};
use super::traffic::{App, Record, Way};
use super::{Sim, target_number};

impl Sim {
    /// How many clients there are.
    pub fn clients(&self) -> usize {
        self.hosts.len() - 1
    }

    /// The time as the tunnels know it.
    pub fn instant(&self) -> Instant {
        self.base + self.now
    }

    /// The running server.
    pub fn server(&self) -> &Tunnel {
        self.hosts[SERVER].tunnel.as_ref().expect("the server runs")
    }

    /// A running client.
    pub fn client(&self, client: usize) -> &Tunnel {
        self.hosts[client + 1].tunnel.as_ref().expect("the client runs")
    }

    /// What both ends say of themselves: the first client, and the server.
    pub fn snapshots(&self) -> [Snapshot; 2] {
        [self.client(0), self.server()].map(|tunnel| tunnel.snapshot(self.instant()))
    }

    /// What a process has counted.
    pub fn counters(&self, host: HostId) -> &Counters {
        self.hosts[host].tunnel.as_ref().expect("the process runs").counters()
    }

    /// Where the server listens.
    pub fn server_address(&self) -> SocketAddr {
        self.server
    }

    /// The target that an application speaks with.
    pub(super) fn target_of(&self, app: App) -> SocketAddr {
        self.targets[target_number(app)]
    }

    /// What became of an application's datagrams.
    pub fn record(&self, app: App, way: Way) -> &Record {
        self.ledger.record(app, way)
    }

    /// The addresses at which the target has seen an application.
    pub fn flow_addresses(&self, app: App) -> &[SocketAddr] {
        self.flows.get(&app).map_or(&[], Vec::as_slice)
    }

    /// Whether a process runs.
    pub fn runs(&self, host: HostId) -> bool {
        self.hosts[host].tunnel.is_some()
    }
}
