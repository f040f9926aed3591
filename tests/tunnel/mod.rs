//! What the tunnel promises, in the simulator.

mod attackers;
mod chaos;
mod delivery;
mod flows;
mod formats;
mod hostile;
mod limits;
mod moments;
mod names;
mod paths;
mod reload;
mod restart;
mod security;
mod uplinks;
