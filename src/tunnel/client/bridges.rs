//! A client's bridges while it runs: what look-ups, sockets and uplinks do to them, and how the
//! configuration changes them.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Instant;

use super::{Client, SILENT_AFTER};
use crate::tunnel::bridge::Way;
use crate::tunnel::change::Change;
use crate::tunnel::choice::Policy;
use crate::tunnel::fabric::Fabric;
use crate::tunnel::link::{NameId, SocketId};
use crate::tunnel::path::Path;
use crate::tunnel::peer::Peer;
use crate::tunnel::probing::Probes;
use crate::tunnel::role::{Bridge, Copies};
use crate::tunnel::snapshot::{Outlook, Signs, Status};

/// A path is not looked up while fewer of its probes than this were not answered: one packet is easily lost.
const DOUBT_PROBES: u32 = 2;

impl Client {
    /// Looks a bridge up that owes answers. The old address stays in use.
    pub(super) fn doubt(&mut self, path: usize, now: Instant, fabric: &Fabric) {
        if self.is_in_doubt(path, now, fabric)
            && let Some(way) = &mut self.ways[path]
        {
            way.doubt(now);
        }
    }

    fn is_in_doubt(&self, path: usize, now: Instant, fabric: &Fabric) -> bool {
        self.probing.unanswered_in_a_row(path) >= DOUBT_PROBES
            && !fabric.peers[self.peer.0].paths[path].is_heard(now)
    }

    /// Takes the answer to a bridge's look-up.
    pub fn handle_resolved(
        &mut self,
        now: Instant,
        name: NameId,
        answer: Result<Vec<SocketAddr>, String>,
        fabric: &mut Fabric,
    ) {
        // The bridge may have been taken out since.
        let Some(path) = self.path_of(|way| way.name() == name) else { return };
        let heard = fabric.peers[self.peer.0].paths[path].heard;
        let healthy = heard.is_some() && !self.is_in_doubt(path, now, fabric);
        if self.ways[path].as_mut().is_some_and(|way| way.resolved(now, answer, healthy, fabric)) {
            self.relink(path, now, fabric);
        }
        fabric.wake_at(now);
    }

    /// A socket could not be opened.
    pub fn handle_socket_error(&mut self, now: Instant, socket: SocketId, fabric: &mut Fabric) {
        if socket.relays() {
            return self.close_association(socket, fabric);
        }
        if socket.listens() {
            return self.listener_failed(socket, fabric);
        }
        self.without_socket(now, socket, fabric, |way, fabric| way.socket_failed(now, fabric));
    }

    /// A bridge's uplink is missing, or another one by now.
    pub fn handle_uplink_lost(&mut self, now: Instant, socket: SocketId, reason: &str, fabric: &mut Fabric) {
        self.without_socket(now, socket, fabric, |way, fabric| way.uplink_lost(now, reason, fabric));
    }

    fn without_socket(
        &mut self,
        now: Instant,
        socket: SocketId,
        fabric: &mut Fabric,
        tell: impl FnOnce(&mut Way, &mut Fabric),
    ) {
        let Some(path) = self.path_of(|way| way.has(socket)) else { return };
        if let Some(way) = &mut self.ways[path] {
            tell(way, fabric);
        }
        self.probing.gone(path);
        self.relink(path, now, fabric);
        fabric.wake_at(now);
    }

    /// The way to a bridge has changed.
    pub(super) fn relink(&mut self, path: usize, now: Instant, fabric: &mut Fabric) {
        let link = self.ways[path].as_ref().and_then(Way::link);
        let peer = &mut fabric.peers[self.peer.0];
        peer.paths[path].relink(link);
        peer.update_carriers(now, &mut fabric.outbox);
        if link.is_some() {
            self.probing.begin_path(path);
            self.handshakes.hurry(now);
        }
    }

    /// Takes the bridges of a configuration that was read anew. One that stays (the same endpoint over
    /// the same uplink) keeps its path with its number, socket and measurements; only whether it is a
    /// backup may change.
    pub fn reconfigure(&mut self, now: Instant, bridges: Vec<Bridge>, copies: Copies, fabric: &mut Fabric) {
        let (paths, new) = self.matched(bridges);
        for (path, bridge) in paths {
            let Some(way) = &mut self.ways[path] else { continue };
            match bridge {
                Some(bridge) => way.set_backup(bridge.backup),
                None => {
                    way.close(fabric);
                    self.ways[path] = None;
                    fabric.peers[self.peer.0].paths[path].mtu.cuts_told = false;
                    let number = self.probing.restart(path);
                    self.leaving.begin(path, number);
                    self.relink(path, now, fabric);
                }
            }
        }
        for bridge in new {
            let path = self.ways.iter().position(Option::is_none).unwrap_or(self.ways.len());
            self.add(path, now, bridge, fabric);
        }
        self.set_policy(copies, fabric);
        fabric.wake_at(now);
    }

    /// The paths that there are, each with its bridge of these, if it stays; and the bridges that are new.
    fn matched(&self, bridges: Vec<Bridge>) -> (Vec<(usize, Option<Bridge>)>, VecDeque<Bridge>) {
        let mut new = VecDeque::from(bridges);
        let ways = self.ways.iter().enumerate().filter_map(|(path, way)| Some((path, way.as_ref()?)));
        let paths = ways.map(|(path, way)| {
            let at = new.iter().position(|bridge| bridge.is_same(way.bridge()));
            (path, at.and_then(|at| new.remove(at)))
        });
        (paths.collect(), new)
    }

    /// What is different in these bridges.
    pub(super) fn changed_bridges(&self, bridges: &[Bridge]) -> Option<Change> {
        let (paths, new) = self.matched(bridges.to_vec());
        let mut as_before = 0;
        let [mut gone, mut backups, mut no_backups] = [const { Vec::new() }; 3];
        for (path, bridge) in paths {
            let Some(way) = &self.ways[path] else { continue };
            let name = way.bridge().to_string();
            match bridge.map(|bridge| (bridge.backup, way.bridge().backup)) {
                None => gone.push(name),
                Some((true, false)) => backups.push(name),
                Some((false, true)) => no_backups.push(name),
                Some(_) => as_before += 1,
            }
        }
        let new = new.iter().map(Bridge::to_string).collect();
        let others = [
            ("new", new),
            ("taken out", gone),
            ("backup from now on", backups),
            ("backup no longer", no_backups),
        ];
        Change::of_list("bridges", as_before, &others)
    }

    /// Has the paths chosen as the user wants.
    pub(super) fn set_policy(&self, copies: Copies, fabric: &mut Fabric) {
        let is_backup = |way: &Option<Way>| way.as_ref().is_some_and(|way| way.bridge().backup);
        let backups = self.ways.iter().enumerate().filter(|(_, way)| is_backup(way));
        let backups = backups.map(|(path, _)| path).collect();
        fabric.peers[self.peer.0].steering.policy = Policy { copies, backups };
    }

    pub(super) fn add(&mut self, path: usize, now: Instant, bridge: Bridge, fabric: &mut Fabric) {
        let name = self.next_name();
        let way = Some(Way::new(now, self.peer, name, bridge));
        if path == self.ways.len() {
            self.ways.push(way);
            self.probing.add();
            fabric.peers[self.peer.0].paths.push(Path::default());
        } else {
            self.ways[path] = way;
            self.leaving.end(path);
        }
    }

    /// How a path is doing, by the replies that come. `None` where a bridge was taken out.
    pub fn outlook(&self, now: Instant, path: usize, peer: &Peer) -> Option<Outlook> {
        let Bridge { endpoint, bind, .. } = self.ways[path].as_ref()?.bridge();
        Some(Outlook {
            bridge: endpoint.to_string(),
            interface: bind.as_ref().map(ToString::to_string),
            rtt: self.probing.round_trip(path),
            signs: self.signs(now, path, peer)?,
        })
    }

    /// What is concluded from the replies of a path that come. `None` where a bridge was taken out.
    pub fn signs(&self, now: Instant, path: usize, peer: &Peer) -> Option<Signs> {
        let way = self.ways[path].as_ref()?;
        let Path { link, heard, .. } = &peer.paths[path];
        let age = heard.map(|heard| now.saturating_duration_since(heard));
        // Of a path that is seldom probed, nothing is heard for long.
        let answers = match age {
            Some(age) => age < SILENT_AFTER || !self.probing.is_silent(path),
            None => false,
        };
        let status = match link {
            _ if !way.is_resolved() => Status::Resolving,
            Some(_) if answers => Status::Up,
            Some(_) if heard.is_none() && !self.probing.is_silent(path) => Status::Probing,
            _ => Status::Silent,
        };
        let unanswered = Some(self.probing.unanswered_in_a_row(path));
        Some(Signs { status, unanswered, overdue: None })
    }

    /// How many bridges there are.
    pub fn bridge_count(&self) -> usize {
        self.ways.iter().flatten().count()
    }

    /// What became of a path's probes.
    pub fn probes(&self, now: Instant, path: usize) -> Probes {
        self.probing.counts(now, path)
    }

    /// Where a path's bridge may be: the addresses of its name, or its address.
    pub fn addresses(&self, path: usize) -> &[SocketAddr] {
        self.ways[path].as_ref().map_or(&[], Way::addresses)
    }

    /// The bridge behind one of our sockets, as the user named it.
    pub fn bridge_at(&self, socket: SocketId) -> Option<&Bridge> {
        let path = self.path_of(|way| way.has(socket))?;
        self.ways[path].as_ref().map(Way::bridge)
    }

    fn path_of(&self, is_it: impl Fn(&Way) -> bool) -> Option<usize> {
        self.ways.iter().position(|way| way.as_ref().is_some_and(&is_it))
    }
}
