//! Descriptors and time: one mio poll loop per process carries the datagrams, the same for both programs. It
//! knows nothing of roles; it does what the [tunnel](crate::tunnel) asks. What would keep the datagrams waiting
//! has a thread beside it: looking names up, and answering those who ask what the program does.

#[cfg(unix)]
mod control;
#[cfg(not(unix))]
#[path = "no_control.rs"]
mod control;
mod control_error;
mod conversations;
mod doors;
mod event_loop;
mod gather;
mod http;
mod options;
mod reports;
mod reread;
mod resolver;
mod service;
mod signals;
mod sockets;
mod socks5;
mod start;
mod tokens;
mod troubles;
mod uplink;

pub use control::{Control, make_folder};
pub use control_error::{ControlError, NO_CONTROL};
pub(crate) use conversations::Fresh;
pub use event_loop::{EventLoop, Stopper};
pub use http::{Content, HttpDoor, Missing, Site};
pub use options::{RAISE_OPEN_FILES, open_files_limit, raise_open_files_limit};
pub use reports::Occasion;
pub(crate) use reports::following;
pub use reread::Reread;
pub use start::StartError;
