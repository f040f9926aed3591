//! How a tunnel is doing, in a few words, for a service manager. It is asked every second, so it costs far
//! less than a [snapshot](super::snapshot).

use std::fmt;
use std::time::Instant;

use super::{Side, Tunnel};

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// mpclient's.
    Client {
        /// Its bridges.
        bridges: usize,
        /// Paths that are up.
        up: usize,
    },
    /// mpserver's.
    Server {
        /// Clients that are connected.
        clients: usize,
        /// Paths of all of them that are up.
        up: usize,
    },
}

impl Health {
    /// Whether this end can do its work: a client once a path is up, a server at once.
    pub fn is_ready(self) -> bool {
        match self {
            Self::Client { up, .. } => up > 0,
            Self::Server { .. } => true,
        }
    }
}

/// A line for people.
impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = |count| if count == 1 { "" } else { "s" };
        match *self {
            Self::Client { bridges, up: 0 } => {
                write!(f, "no path is up, of {bridges} bridge{}", plural(bridges))
            }
            Self::Client { bridges, up } => write!(f, "{up} of {bridges} path{} up", plural(bridges)),
            Self::Server { clients, up } => {
                write!(f, "{clients} client{}, {up} path{} up", plural(clients), plural(up))
            }
        }
    }
}

impl Tunnel {
    /// How it is doing at `now`.
    pub fn health(&self, now: Instant) -> Health {
        let up = self.up(now);
        match &self.side {
            Side::Client(client) => Health::Client { bridges: client.bridge_count(), up },
            Side::Server(_) => Health::Server { clients: self.peers().count(), up },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn health_is_told_in_words() {
        for (health, ready, words) in [
            (Health::Client { bridges: 3, up: 0 }, false, "no path is up, of 3 bridges"),
            (Health::Client { bridges: 1, up: 1 }, true, "1 of 1 path up"),
            (Health::Client { bridges: 3, up: 2 }, true, "2 of 3 paths up"),
            (Health::Server { clients: 0, up: 0 }, true, "0 clients, 0 paths up"),
            (Health::Server { clients: 1, up: 1 }, true, "1 client, 1 path up"),
        ] {
            assert_eq!((health.is_ready(), health.to_string().as_str()), (ready, words));
        }
    }
}
