//! Descriptors and time: one mio poll loop per process, the same for both programs. It knows
//! nothing of roles; it does what the [tunnel](crate::tunnel) asks.

mod control;
mod conversations;
mod doors;
mod event_loop;
mod gather;
mod http;
mod options;
mod resolver;
mod service;
mod sockets;
mod uplink;

pub use control::{Control, ControlError, make_folder};
pub(crate) use conversations::Fresh;
pub use event_loop::{EventLoop, StartError, Stopper};
pub use http::{Content, HttpDoor, Site};
pub use options::raise_open_files_limit;
