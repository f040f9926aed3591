//! Looks names up without stopping the loop. The system's resolver blocks, for half a minute when
//! its servers are away, so each look-up has a thread of its own: one slow name delays no other.
//! The tunnel never asks for a name twice at a time, so there are no more threads than names.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use mio::Waker;

use crate::tunnel::link::{Endpoint, Host, NameId};

type Answer = (NameId, Result<Vec<SocketAddr>, String>);

/// See the module.
pub(super) struct Resolver {
    waker: Arc<Waker>,
    sender: Sender<Answer>,
    answers: Receiver<Answer>,
}

impl Resolver {
    /// A resolver that wakes the loop for every answer.
    pub(super) fn new(waker: Arc<Waker>) -> Self {
        let (sender, answers) = channel();
        Self { waker, sender, answers }
    }

    /// Begins a look-up.
    pub(super) fn look_up(&self, name: NameId, endpoint: Endpoint) {
        let (sender, waker) = (self.sender.clone(), Arc::clone(&self.waker));
        let work = move || {
            let answer = addresses(&endpoint).map_err(|error| error.to_string());
            // Fails only when the loop has ended and nobody wants the answer.
            if sender.send((name, answer)).is_ok() {
                let _ = waker.wake();
            }
        };
        if let Err(error) = thread::Builder::new().name("resolver".to_owned()).spawn(work) {
            let _ = self.sender.send((name, Err(format!("no thread for the look-up: {error}"))));
            let _ = self.waker.wake();
        }
    }

    /// An answer that has come.
    pub(super) fn answer(&self) -> Option<Answer> {
        self.answers.try_recv().ok()
    }
}

fn addresses(endpoint: &Endpoint) -> io::Result<Vec<SocketAddr>> {
    match &endpoint.host {
        Host::Ip(ip) => Ok(vec![SocketAddr::new(*ip, endpoint.port)]),
        Host::Name(name) => Ok((name.as_str(), endpoint.port).to_socket_addrs()?.collect()),
    }
}
