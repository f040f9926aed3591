//! SOCKS5 clients: their TCP connections, from the greeting to the end of the association that each
//! keeps open.
//!
//! A client says at most three short messages and nothing more, so its connection holds one of them and
//! is read until nothing is left. Whoever is slow waits beside the datagrams; so many negotiate at a time,
//! each for so long, and where there are more, the one whose time ends next gives way. So a flood of
//! connections that say nothing keeps nobody out who says at once what he wants.

use std::collections::{BTreeSet, HashMap};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr};
use std::ops::Range;
use std::time::{Duration, Instant};

use log::debug;
use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Registry, Token};
use socket2::{SockRef, TcpKeepalive};
use zeroize::Zeroizing;

use super::conversations::{ACCEPTED_IN_A_TURN, RETRY, next};
use super::sockets::plain;
use super::tokens::SOCKS5_CLIENTS;
use crate::tunnel::Tunnel;
use crate::tunnel::link::SocketId;
use crate::tunnel::socks5::association::Refusal;
use crate::tunnel::socks5::negotiation::{Negotiation, Next};
use crate::tunnel::socks5::wire::{self, MESSAGE_LEN_MAX, NOWHERE, Reply};

/// Connections without an association at a time: those that negotiate, and those that are being closed.
const UNSETTLED_MAX: usize = 128;
/// How long a client may take to say what it wants.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a client may take to close a connection after its last answer. Closing it earlier, with octets
/// of the client unread, could take the answer from it.
const FAREWELL: Duration = Duration::from_secs(1);
/// What a client may send after its last answer, in octets.
const DISCARDED_MAX: usize = 1 << 16;
/// A client whose machine is gone says nothing any more. The system asks it after this time without a word,
/// ...
const KEEPALIVE_AFTER: Duration = Duration::from_secs(60);
/// ... and then at this interval, until it has not answered often enough (Linux: nine times).
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(20);

/// See the module.
pub(super) struct Socks5 {
    listener: TcpListener,
    clients: HashMap<Token, Client>,
    /// The connections that are not to last, by when they end.
    unsettled: BTreeSet<(Instant, Token)>,
    /// Whose association a socket is.
    relays: HashMap<SocketId, Token>,
    /// Those that were not given to a connection yet, or not since all were.
    tokens: Range<usize>,
    /// Whether more may be waiting to be accepted.
    accepting: bool,
    /// When to try that again where the system has refused it.
    retry_at: Option<Instant>,
}

struct Client {
    stream: TcpStream,
    /// Our address of the connection, where its datagrams go too.
    local: SocketAddr,
    remote: IpAddr,
    state: State,
    /// What it is still to be told.
    out: Vec<u8>,
    /// When the connection ends whatever it does; never while it has an association.
    until: Option<Instant>,
}

enum State {
    Negotiating(Box<Negotiation>),
    /// The association's socket is being opened.
    Opening(SocketId),
    Associated(SocketId),
    /// It gets the rest of its answer, and may send so many octets more.
    Leaving(usize),
}

impl Socks5 {
    /// Listens on this address, and has the loop told of connections under `token`.
    ///
    /// # Errors
    /// The system refused.
    pub(super) fn open(address: SocketAddr, registry: &Registry, token: Token) -> io::Result<Self> {
        let mut listener = TcpListener::bind(address)?;
        registry.register(&mut listener, token, Interest::READABLE)?;
        Ok(Self {
            listener,
            clients: HashMap::new(),
            unsettled: BTreeSet::new(),
            relays: HashMap::new(),
            tokens: SOCKS5_CLIENTS,
            accepting: false,
            retry_at: None,
        })
    }

    /// The address that it has got.
    #[cfg(test)]
    pub(super) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Whether a token is one of its connections'.
    pub(super) fn is_client(token: Token) -> bool {
        SOCKS5_CLIENTS.contains(&token.0)
    }

    /// Notes that somebody wants to connect.
    pub(super) fn knocked(&mut self) {
        self.accepting = true;
    }

    /// Whether [`Self::go_on`] has something to do at once.
    pub(super) fn is_busy(&self) -> bool {
        self.accepting
    }

    /// When [`Self::go_on`] is due, whatever happens.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.unsettled.first().map(|(until, _)| *until).into_iter().chain(self.retry_at).min()
    }

    /// Ends what has taken too long, and accepts a few connections.
    pub(super) fn go_on(&mut self, now: Instant, registry: &Registry, tunnel: &mut Tunnel) {
        while let Some(&(until, token)) = self.unsettled.first()
            && until <= now
        {
            self.unsettled.pop_first();
            self.give_up(now, token, Refusal::Late, tunnel);
        }
        if self.retry_at.take_if(|at| *at <= now).is_some() {
            self.accepting = true;
        }
        for _ in 0..ACCEPTED_IN_A_TURN {
            if !self.accepting {
                return;
            }
            match next(|| self.listener.accept()) {
                Ok(Some((stream, remote))) => {
                    if let Err(error) = self.admit(now, stream, remote, registry, tunnel) {
                        debug!("a SOCKS5 client at {remote} cannot be served: {error}");
                    }
                }
                Ok(None) => self.accepting = false,
                Err(error) => {
                    debug!("cannot accept a SOCKS5 client: {error}");
                    self.accepting = false;
                    self.retry_at = Some(now + RETRY);
                }
            }
        }
    }

    fn admit(
        &mut self,
        now: Instant,
        mut stream: TcpStream,
        remote: SocketAddr,
        registry: &Registry,
        tunnel: &mut Tunnel,
    ) -> io::Result<()> {
        let local = stream.local_addr()?;
        let keepalive = TcpKeepalive::new().with_time(KEEPALIVE_AFTER);
        let keepalive = keepalive.with_interval(KEEPALIVE_INTERVAL);
        SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;
        if self.unsettled.len() >= UNSETTLED_MAX
            && let Some((_, token)) = self.unsettled.pop_first()
        {
            self.give_up(now, token, Refusal::Crowded, tunnel);
        }
        let token = self.free_token();
        registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
        let until = now + PATIENCE;
        let client = Client {
            stream,
            local: with_any_port(local),
            remote: remote.ip().to_canonical(),
            state: State::Negotiating(Box::default()),
            out: Vec::new(),
            until: Some(until),
        };
        self.unsettled.insert((until, token));
        self.clients.insert(token, client);
        Ok(())
    }

    /// A token that no connection has. A late event of one that has ended finds nobody under its token, which is
    /// not given again before all others were.
    fn free_token(&mut self) -> Token {
        loop {
            let Some(token) = self.tokens.next().map(Token) else {
                self.tokens = SOCKS5_CLIENTS;
                continue;
            };
            if !self.clients.contains_key(&token) {
                return token;
            }
        }
    }

    /// Ends a connection that is not to last.
    fn give_up(&mut self, now: Instant, token: Token, refusal: Refusal, tunnel: &mut Tunnel) {
        // Who has got his answer has only not closed the connection.
        if let Some(client) = self.clients.get(&token)
            && !matches!(client.state, State::Leaving(_))
        {
            let remote = client.remote;
            tunnel.refuse_socks5(now, remote, refusal);
        }
        self.end(token, tunnel);
    }

    fn end(&mut self, token: Token, tunnel: &mut Tunnel) {
        let Some(client) = self.clients.remove(&token) else { return };
        if let Some(until) = client.until {
            self.unsettled.remove(&(until, token));
        }
        if let State::Opening(socket) | State::Associated(socket) = client.state {
            self.relays.remove(&socket);
            tunnel.close_association(socket);
        }
        // Closing the stream takes it from the poll too.
    }

    /// Has it noted by when a connection ends, which was `before`.
    fn reschedule(&mut self, token: Token, before: Option<Instant>) {
        let until = self.clients.get(&token).and_then(|client| client.until);
        if before != until {
            before.map(|before| self.unsettled.remove(&(before, token)));
            until.map(|until| self.unsettled.insert((until, token)));
        }
    }

    /// Goes on with a connection of which there is news.
    pub(super) fn ready(&mut self, now: Instant, token: Token, tunnel: &mut Tunnel) {
        let Some(client) = self.clients.get_mut(&token) else { return };
        let (before, remote) = (client.until, client.remote);
        let mut refused = None;
        let outcome = client.go_on(now, tunnel, &mut refused);
        if let State::Opening(socket) = client.state {
            self.relays.insert(socket, token);
        }
        self.reschedule(token, before);
        if let Some(refusal) = refused {
            tunnel.refuse_socks5(now, remote, refusal);
        }
        match outcome {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            ended => {
                debug!(
                    "the SOCKS5 client at {remote} is gone{}",
                    ended.err().map_or(String::new(), |error| format!(": {error}"))
                );
                self.end(token, tunnel);
            }
        }
    }

    /// A socket was opened at this address, or could not be.
    pub(super) fn relay_opened(
        &mut self,
        now: Instant,
        socket: SocketId,
        address: Option<SocketAddr>,
        tunnel: &mut Tunnel,
    ) {
        let Some(&token) = self.relays.get(&socket) else { return };
        let Some(client) = self.clients.get_mut(&token) else { return };
        let before = client.until;
        match address {
            Some(address) => {
                wire::write_reply(Reply::Succeeded, address, &mut client.out);
                client.state = State::Associated(socket);
                client.until = None;
            }
            None => {
                self.relays.remove(&socket);
                let remote = client.remote;
                client.refuse(now, Reply::Failed);
                tunnel.refuse_socks5(now, remote, Refusal::NoSocket);
            }
        }
        self.reschedule(token, before);
        self.ready(now, token, tunnel);
    }
}

impl Client {
    /// Hears and says what can be, to the end, or to where it would have to wait. `refused` is what it is refused
    /// for.
    fn go_on(&mut self, now: Instant, tunnel: &mut Tunnel, refused: &mut Option<Refusal>) -> io::Result<()> {
        loop {
            self.tell()?;
            let mut buffer = Zeroizing::new([0; MESSAGE_LEN_MAX]);
            let len = read(&mut self.stream, &mut buffer[..])?;
            if len == 0 {
                return Ok(());
            }
            match &mut self.state {
                State::Negotiating(negotiation) => {
                    let users = tunnel.socks5_users();
                    match negotiation.take(self.remote, &buffer[..len], users, &mut self.out) {
                        Next::More => {}
                        Next::Associate(port) => {
                            match tunnel.open_association(self.local, self.remote, port) {
                                Some(socket) => self.state = State::Opening(socket),
                                None => {
                                    *refused = Some(Refusal::Limit);
                                    self.refuse(now, Reply::Failed);
                                }
                            }
                        }
                        Next::End(failure) => {
                            *refused = Some(Refusal::Failure(failure));
                            if self.out.is_empty() {
                                return Ok(());
                            }
                            self.leave(now);
                        }
                    }
                }
                State::Opening(_) | State::Associated(_) => {
                    *refused = Some(Refusal::Excess);
                    return Ok(());
                }
                State::Leaving(left) => match left.checked_sub(len) {
                    Some(fewer) => *left = fewer,
                    None => return Ok(()),
                },
            }
        }
    }

    /// Refuses what it has asked for.
    fn refuse(&mut self, now: Instant, reply: Reply) {
        wire::write_reply(reply, NOWHERE, &mut self.out);
        self.leave(now);
    }

    /// What it is still to be told is its last answer.
    fn leave(&mut self, now: Instant) {
        self.state = State::Leaving(DISCARDED_MAX);
        self.until = Some(now + FAREWELL);
    }

    /// Says what is to be said.
    fn tell(&mut self) -> io::Result<()> {
        while !self.out.is_empty() {
            match self.stream.write(&self.out) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => drop(self.out.drain(..written)),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
            if self.out.is_empty() && matches!(self.state, State::Leaving(_)) {
                self.stream.shutdown(Shutdown::Write)?;
            }
        }
        Ok(())
    }
}

/// Where datagrams go that belong to a connection at this address: a port of their own.
fn with_any_port(local: SocketAddr) -> SocketAddr {
    let mut address = plain(local);
    address.set_port(0);
    address
}

fn read(stream: &mut TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match stream.read(buffer) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            read => return read,
        }
    }
}

#[cfg(test)]
mod tests;
