//! What the tunnel promises, in the simulator.

mod attackers;
mod chaos;
mod delivery;
mod flows;
mod formats;
mod hostile;
mod limits;
mod moments;
mod paths;
mod restart;
mod security;
