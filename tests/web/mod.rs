//! What is shown by HTTP, of tunnels in the simulator.

mod grafana;
mod history;
mod metrics;
