//! Where others may ask what the tunnel does: the control socket and the HTTP door. Each is served after
//! the packets of a turn.

use std::io;
use std::time::Instant;

use mio::{Registry, Token};

use super::control::Control;
use super::http::{HttpDoor, Site};
use crate::tunnel::Tunnel;

/// Beyond all socket ids, as the event loop's other tokens.
pub(super) const CONTROL: Token = Token(usize::MAX - 3);
pub(super) const HTTP: Token = Token(usize::MAX - 4);

/// See the module.
#[derive(Default)]
pub(super) struct Doors {
    control: Option<Control>,
    site: Option<(HttpDoor, Box<dyn Site>)>,
    /// Whether something may be to do at the control socket ...
    control_asked: bool,
    /// ... and at the HTTP door.
    http_asked: bool,
}

impl Doors {
    pub(super) fn open_control(&mut self, registry: &Registry, mut control: Control) -> io::Result<()> {
        control.conversations.register(registry, CONTROL)?;
        self.control = Some(control);
        Ok(())
    }

    pub(super) fn open_http(
        &mut self,
        registry: &Registry,
        mut door: HttpDoor,
        site: Box<dyn Site>,
    ) -> io::Result<()> {
        door.conversations.register(registry, HTTP)?;
        self.site = Some((door, site));
        Ok(())
    }

    /// Notes what the system tells.
    pub(super) fn note(&mut self, token: Token) {
        self.control_asked |= token == CONTROL;
        self.http_asked |= token == HTTP;
    }

    /// Whether there is something to do at once.
    pub(super) const fn are_asked(&self) -> bool {
        self.control_asked || self.http_asked
    }

    /// When there is something to do, whatever happens.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let control = self.control.as_ref().and_then(|control| control.conversations.deadline());
        let http = self
            .site
            .iter()
            .flat_map(|(door, site)| door.conversations.deadline().into_iter().chain(site.due()));
        control.into_iter().chain(http).min()
    }

    /// Answers whoever asks.
    pub(super) fn answer(&mut self, now: Instant, registry: &Registry, tunnel: &Tunnel) {
        let is_due = |deadline: Option<Instant>| deadline.is_some_and(|deadline| now >= deadline);
        if let Some(control) = &mut self.control
            && (self.control_asked || is_due(control.conversations.deadline()))
        {
            self.control_asked = control.serve(now, registry, CONTROL, || {
                let mut json = serde_json::to_vec(&tunnel.snapshot(now)).expect("a snapshot is JSON");
                json.push(b'\n');
                json
            });
        }
        if let Some((_, site)) = &mut self.site
            && site.due().is_none_or(|due| now >= due)
        {
            site.note(now, &tunnel.snapshot(now));
        }
        if let Some((door, site)) = &mut self.site
            && (self.http_asked || is_due(door.conversations.deadline()))
        {
            self.http_asked =
                door.serve(now, registry, HTTP, |path| site.content(now, path, &|| tunnel.snapshot(now)));
        }
    }
}
