//! What is shown by HTTP, of tunnels in the simulator.

pub(crate) mod grafana;
mod history;
mod metrics;
