//! What one client has said over TCP so far, and what it is answered: greeting, login where users are
//! known, request. It holds one message, never more of what comes, whatever comes.

use std::net::IpAddr;

use zeroize::{Zeroize, Zeroizing};

use super::gate;
use super::users::Users;
use super::wire::{self, MESSAGE_LEN_MAX, Malformed, Message, NOWHERE, Reply};

/// See the module.
#[derive(Debug)]
pub struct Negotiation {
    stage: Stage,
    /// What has come of the message that is awaited; it may be a password.
    message: Zeroizing<[u8; MESSAGE_LEN_MAX]>,
    len: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Greeting,
    Login,
    Request,
    Over,
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// The client is to say more.
    More,
    /// It is to have an association, which takes datagrams from this port as [`gate::port_of`] has it, and then to be
    /// told with [`wire::write_reply`] where, or why not.
    Associate(Option<u16>),
    /// The connection is to end, behind what is to be answered.
    End(Failure),
}

/// Why a negotiation comes to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It is not SOCKS5, nor answered.
    Malformed,
    /// The client offers no login where one is wanted, or nothing but a login where none is.
    Method,
    /// No such user, or another password.
    Login,
    /// CONNECT, BIND or a command that does not exist.
    Command,
    /// An address of an unknown type.
    AddressType,
}

impl Default for Negotiation {
    fn default() -> Self {
        Self { stage: Stage::Greeting, message: Zeroizing::new([0; MESSAGE_LEN_MAX]), len: 0 }
    }
}

impl Negotiation {
    /// Takes what a client at this address has sent, and adds what it is to be answered to `out`.
    ///
    /// Behind its request a client has nothing to say: octets there are as good as a malformed message.
    pub fn take(
        &mut self,
        client: IpAddr,
        mut octets: &[u8],
        users: Option<&Users>,
        out: &mut Vec<u8>,
    ) -> Next {
        loop {
            let (wanted, next) = match self.read(client, users, out) {
                Step::Wanted(wanted) => (wanted, Next::More),
                Step::Message(Next::More) => continue,
                Step::Message(Next::Associate(_)) if !octets.is_empty() => (0, self.end(Failure::Malformed)),
                Step::Message(next) => (0, next),
            };
            let taken = octets.len().min(wanted.saturating_sub(self.len));
            if taken == 0 {
                return next;
            }
            self.message[self.len..][..taken].copy_from_slice(&octets[..taken]);
            self.len += taken;
            octets = &octets[taken..];
        }
    }

    /// Reads the message that is awaited, if it is whole.
    fn read(&mut self, client: IpAddr, users: Option<&Users>, out: &mut Vec<u8>) -> Step {
        let octets = &self.message[..self.len];
        let read = match self.stage {
            Stage::Greeting => {
                wire::greeting(octets).map(|message| message.map(|offered| greet(offered, users, out)))
            }
            Stage::Login => wire::login(octets).map(|message| {
                message.map(|login| {
                    let good = users.is_some_and(|users| users.know(login));
                    out.extend([wire::LOGIN_VERSION, u8::from(!good)]);
                    if good { Ok(Stage::Request) } else { Err(Next::End(Failure::Login)) }
                })
            }),
            Stage::Request => wire::request(octets).map(|message| {
                message.map(|request| {
                    if request.command == wire::UDP_ASSOCIATE {
                        return Err(Next::Associate(gate::port_of(client, request.address)));
                    }
                    wire::write_reply(Reply::CommandNotSupported, NOWHERE, out);
                    Err(Next::End(Failure::Command))
                })
            }),
            Stage::Over => return Step::Message(Next::End(Failure::Malformed)),
        };
        let outcome = match read {
            Ok(Message::Begun(wanted)) => return Step::Wanted(wanted),
            Ok(Message::Whole(outcome)) => outcome,
            Err(Malformed::Version) => Err(Next::End(Failure::Malformed)),
            Err(Malformed::AddressType) => {
                wire::write_reply(Reply::AddressTypeNotSupported, NOWHERE, out);
                Err(Next::End(Failure::AddressType))
            }
        };
        self.message[..self.len].zeroize();
        self.len = 0;
        let (stage, next) = match outcome {
            Ok(stage) => (stage, Next::More),
            Err(next) => (Stage::Over, next),
        };
        self.stage = stage;
        Step::Message(next)
    }

    fn end(&mut self, failure: Failure) -> Next {
        self.stage = Stage::Over;
        Next::End(failure)
    }
}

enum Step {
    /// So many octets of the message are wanted, more than have come.
    Wanted(usize),
    /// It was whole.
    Message(Next),
}

/// Answers a greeting. The method is the one that is wanted here, or none.
fn greet(offered: &[u8], users: Option<&Users>, out: &mut Vec<u8>) -> Result<Stage, Next> {
    let (method, stage) = match users {
        Some(_) => (wire::METHOD_PASSWORD, Stage::Login),
        None => (wire::METHOD_NONE, Stage::Request),
    };
    let good = offered.contains(&method);
    out.extend([wire::VERSION, if good { method } else { wire::METHOD_REFUSED }]);
    if good { Ok(stage) } else { Err(Next::End(Failure::Method)) }
}

impl<T> Message<T> {
    /// The same of something else.
    fn map<U>(self, change: impl FnOnce(T) -> U) -> Message<U> {
        match self {
            Self::Begun(len) => Message::Begun(len),
            Self::Whole(whole) => Message::Whole(change(whole)),
        }
    }
}

#[cfg(test)]
mod tests;
