//! A program whose configuration is read anew while it runs.

use mptunnel::tunnel::link::Endpoint;
use mptunnel::tunnel::role::{Bridge, ClientRole, Config, Security, ServerRole};

use super::Sim;
use super::host::SERVER;
use super::setup::{Setup, encrypted};

impl Sim {
    /// Gives a running client these bridges, and nothing else than it had.
    pub fn reconfigure(&mut self, client: usize, endpoints: impl IntoIterator<Item = Endpoint>) {
        let bridges = endpoints.into_iter().map(Bridge::from).collect();
        let listen = ([127, 0, 0, 1], 3000).into();
        let role = ClientRole::new(listen, bridges).into();
        let tunnel = self.hosts[client + 1].tunnel.as_mut().expect("the client runs");
        tunnel.reconfigure(self.base + self.now, Config { role, security: encrypted() });
    }

    /// Gives the running server these keys, and nothing else than it had. One that is started later has its first ones.
    pub fn rekey_server(&mut self, security: Security) {
        let role = ServerRole::new(self.server, self.targets[0].into()).into();
        let tunnel = self.hosts[SERVER].tunnel.as_mut().expect("the server runs");
        tunnel.reconfigure(self.base + self.now, Config { role, security });
    }

    /// Gives a running client some of the world's bridges.
    pub fn reconfigure_to(&mut self, client: usize, setup: &Setup, bridges: &[usize]) {
        self.reconfigure(client, bridges.iter().map(|number| setup.bridge_address(*number).into()));
    }

    /// How many sockets a running client has open.
    pub fn sockets_of(&self, client: usize) -> usize {
        self.hosts[client + 1].sockets.len()
    }
}
