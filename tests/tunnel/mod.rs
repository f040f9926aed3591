//! What the tunnel promises, in the simulator.

mod delivery;
mod flows;
mod hostile;
mod limits;
mod paths;
mod restart;
mod security;
