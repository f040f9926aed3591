//! What the tunnel promises, in the simulator.

mod delivery;
mod flows;
mod hostile;
mod limits;
mod names;
mod paths;
mod reload;
mod restart;
mod security;
mod uplinks;
