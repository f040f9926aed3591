//! Under which token the event loop is told of what. A socket of the tunnel has its id. What else there is has numbers that
//! no id has, also where a token has 32 bits: ids count below [`SocketId::RELAYS`], and that bit never stands without
//! [`SocketId::LISTENS`].

use std::ops::Range;

use mio::Token;

use crate::tunnel::link::SocketId;

/// A number that no socket has.
const fn free(number: usize) -> Token {
    Token(SocketId::RELAYS as usize + number)
}

pub(super) const WAKER: Token = free(0);
pub(super) const SIGNALS: Token = free(1);
pub(super) const SOCKS5: Token = free(2);
/// Those of SOCKS5 clients' connections.
pub(super) const SOCKS5_CLIENTS: Range<usize> = free(3).0..SocketId::LISTENS as usize;

/// The token under which a socket's readiness is told.
pub(super) const fn of(id: SocketId) -> Token {
    Token(id.0 as usize)
}

/// The socket that has this token, which is none of those above.
pub(super) const fn socket(Token(id): Token) -> SocketId {
    SocketId(id as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_socket_has_the_token_of_something_else() {
        const KINDS: [u32; 3] = [0, SocketId::LISTENS, SocketId::LISTENS | SocketId::RELAYS];
        for id in
            [0, 1, SocketId::RELAYS - 1].into_iter().flat_map(|id| KINDS.map(|kind| SocketId(id | kind)))
        {
            let token = of(id);
            assert_eq!(socket(token), id);
            assert!(![WAKER, SIGNALS, SOCKS5].contains(&token), "{id:?}");
            assert!(!SOCKS5_CLIENTS.contains(&token.0), "{id:?}");
        }
    }
}
