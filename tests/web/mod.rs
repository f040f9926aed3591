//! What is shown by HTTP, of tunnels in the simulator.

mod history;
mod metrics;
