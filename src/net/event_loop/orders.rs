//! What signals ask of a running program: to end, to read its files again, to report.

use std::sync::atomic::Ordering;
use std::time::Instant;

use log::{Level, error, info};

use super::EventLoop;
use crate::net::reread::Reread;
use crate::net::signals::Signal;
use crate::tunnel::change::Change;
use crate::tunnel::chronicle::Kind;

impl EventLoop {
    pub(super) fn take_signals(&mut self, now: Instant) {
        let Some((signals, _)) = &mut self.signals else { return };
        for signal in signals.pending().collect::<Vec<_>>() {
            match signal {
                Signal::Stop(name) => {
                    info!("stopped by {name}");
                    self.stopper.stopped.store(true, Ordering::Release);
                }
                Signal::Reload => self.reload(now),
                Signal::Report => self.reports.asked(&self.tunnel.snapshot(now)),
            }
        }
    }

    fn reload(&mut self, now: Instant) {
        let Some((_, reload)) = &mut self.signals else { return };
        self.service.reloading();
        match reload() {
            Reread::Nothing(text) => {
                self.note_reload(None);
                self.tunnel.tell(now, Level::Info, Kind::Reload, text);
            }
            Reread::Refused { text, more } => {
                self.note_reload(Some(text.clone()));
                self.tunnel.tell(now, Level::Error, Kind::Reload, text);
                more.iter().for_each(|text| error!("{text}"));
            }
            Reread::News { file, config, report_every, mut changes } => {
                self.note_reload(None);
                changes.extend(self.tunnel.changes(&config));
                let same = if changes.is_empty() { ": nothing is different" } else { "" };
                let text = format!("{file} was read again{same}");
                self.tunnel.tell(now, Level::Info, Kind::Reload, text);
                for Change { text, level } in changes {
                    self.tunnel.tell(now, level, Kind::Reload, text);
                }
                self.tunnel.reconfigure(now, *config);
                self.reports.set_every(now, report_every);
            }
        }
    }
    /// Has all who show it know that the file was read again, and why nothing of it is in use, if it is not.
    fn note_reload(&mut self, failure: Option<String>) {
        self.tunnel.note_reload(failure.is_some());
        self.service.reloaded(failure);
    }
}
