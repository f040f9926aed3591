//! Whose datagrams an association takes: those from one port of the client's address. The address is the
//! one that TCP shows, so nobody else's are taken, whatever the request says.

use std::net::{IpAddr, SocketAddr};

use super::wire::Address;

/// The port of the client's address that datagrams are to come from, by the address of its request; `None` for
/// the one that the first of them comes from. The client's address is the one that TCP shows; a port is believed
/// where no NAT can have changed it.
pub fn port_of(client: IpAddr, address: Address<'_>) -> Option<u16> {
    let Address::Ip(address) = address else { return None };
    let ip = address.ip().to_canonical();
    let known = ip.is_unspecified() || ip == client.to_canonical();
    (known && address.port() != 0).then_some(address.port())
}

/// Where an association takes datagrams from: one port at the client's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gate {
    client: IpAddr,
    port: Option<u16>,
}

impl Gate {
    /// The gate of a client at this address; `port` as [`port_of`] has it.
    pub fn new(client: IpAddr, port: Option<u16>) -> Self {
        Self { client: client.to_canonical(), port }
    }

    /// Whether a datagram from this address is taken.
    pub fn admits(&self, remote: SocketAddr) -> bool {
        remote.ip().to_canonical() == self.client && self.port.is_none_or(|port| port == remote.port())
    }

    /// Takes a datagram from an address that it [admits](Self::admits): the first settles the port.
    pub fn settle(&mut self, remote: SocketAddr) {
        self.port.get_or_insert(remote.port());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(client: &str, address: &str) -> Option<u16> {
        port_of(client.parse().expect(client), Address::Ip(address.parse().expect(address)))
    }

    fn admits(gate: &mut Gate, remote: &str) -> bool {
        let remote = remote.parse().expect(remote);
        let admits = gate.admits(remote);
        if admits {
            gate.settle(remote);
        }
        admits
    }

    #[test]
    fn a_port_is_believed_with_the_clients_own_address_or_none() {
        for (client, address) in [
            ("127.0.0.1", "0.0.0.0:5000"),
            ("127.0.0.1", "[::]:5000"),
            ("192.0.2.1", "192.0.2.1:5000"),
            ("2001:db8::1", "[2001:db8::1]:5000"),
            ("192.0.2.1", "[::ffff:192.0.2.1]:5000"),
        ] {
            assert_eq!(of(client, address), Some(5000), "{client} {address}");
        }
        for (client, address) in
            [("127.0.0.1", "0.0.0.0:0"), ("192.0.2.1", "192.0.2.1:0"), ("192.0.2.1", "10.0.0.1:5000")]
        {
            assert_eq!(of(client, address), None, "{client} {address}");
        }
        let client = "127.0.0.1".parse().expect("an address");
        assert_eq!(port_of(client, Address::Name(b"localhost", 5000)), None);
    }

    #[test]
    fn only_the_clients_address_is_admitted_and_only_one_port() {
        let client = "192.0.2.1".parse().expect("an address");
        let mut gate = Gate::new(client, None);
        assert!(!admits(&mut gate, "192.0.2.2:4000"), "a stranger, who settles nothing");
        assert!(admits(&mut gate, "192.0.2.1:5000"));
        assert!(admits(&mut gate, "[::ffff:192.0.2.1]:5000"), "the same address");
        assert!(!admits(&mut gate, "192.0.2.1:5001"));

        let mut gate = Gate::new(client, Some(5000));
        assert!(!admits(&mut gate, "192.0.2.1:5001"));
        assert!(!admits(&mut gate, "192.0.2.2:5000"));
        assert!(admits(&mut gate, "192.0.2.1:5000"));
    }
}
