//! What the fuzz targets share: two tunnels and the network between them, commanded octet by octet, and what must
//! hold whatever the command. The ledger of datagrams and the account of what the server sends to whom are the
//! simulator's.

#[path = "../../tests/sim/attacker.rs"]
pub mod attacker;
pub mod check;
pub mod insider;
pub mod log_lines;
pub mod scenario;
pub mod setup;
#[path = "../../tests/sim/traffic.rs"]
pub mod traffic;
pub mod world;
