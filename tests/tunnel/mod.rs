//! What the tunnel promises, in the simulator.

mod attackers;
mod chaos;
mod copies;
mod delivery;
mod figures;
mod flows;
mod formats;
mod forwards;
mod hostile;
mod keys;
mod late;
mod limits;
mod moments;
mod names;
mod paths;
mod reload;
mod restart;
mod security;
mod snapshot;
mod successors;
mod table;
mod target;
mod targets;
mod uplinks;
mod verdicts;
mod whole;
