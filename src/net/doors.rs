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
        match (token, &mut self.control, &mut self.site) {
            (CONTROL, Some(control), _) => control.conversations.note(),
            (HTTP, _, Some((door, _))) => door.conversations.note(),
            _ => {}
        }
    }

    /// Whether there is something to do at once.
    pub(super) fn are_asked(&self) -> bool {
        self.control.as_ref().is_some_and(|control| control.conversations.are_asked())
            || self.site.as_ref().is_some_and(|(door, _)| door.conversations.are_asked())
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
        if let Some(control) = &mut self.control {
            control.serve(now, registry, CONTROL, || {
                let mut json = serde_json::to_vec(&tunnel.snapshot(now)).expect("a snapshot is JSON");
                json.push(b'\n');
                json
            });
        }
        if let Some((door, site)) = &mut self.site {
            if site.due().is_none_or(|due| now >= due) {
                site.note(now, &tunnel.snapshot(now));
            }
            door.serve(now, registry, HTTP, |path| site.content(now, path, &|| tunnel.snapshot(now)));
        }
    }
}
