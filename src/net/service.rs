//! What a service manager such as systemd is told, where one has started us and asks for it (sd_notify(3)):
//! when we are ready, how we are doing, that we end or read our configuration again, and that the event loop still
//! turns. The loop itself says so, so that a loop that hangs is noticed.

use std::time::{Duration, Instant};

use log::warn;

use crate::tunnel::health::Health;

/// How often it is looked whether there is something to tell.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Service {
    manager: Option<Manager>,
}

/// What is known of the manager, and what it knows.
#[derive(Debug)]
struct Manager {
    /// How often it wants to hear that the loop turns; `None`: it does not ask.
    watchdog: Option<Duration>,
    /// When something is to be told at the latest.
    due: Instant,
    /// How it was told that we are doing.
    told: Option<String>,
    /// Why the configuration was not taken when it was read the last time.
    failure: Option<String>,
    stage: Stage,
    /// Whether the log has said that the manager cannot be told anything.
    complained: bool,
}

/// How far we are, as the manager knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Starting,
    Ready,
    /// Ready, and reading the configuration again.
    Reloading,
}

impl Service {
    /// Finds out whether there is a manager to tell.
    pub(super) fn from_env(now: Instant) -> Self {
        let manager = protocol::watchdog().map(|watchdog| Manager {
            // Twice as often as it must be, as sd_watchdog_enabled(3) has it.
            watchdog: watchdog.map(|limit| limit / 2),
            due: now,
            told: None,
            failure: None,
            stage: Stage::Starting,
            complained: false,
        });
        Self { manager }
    }

    /// When [`turn`](Self::turn) has something to do.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.manager.as_ref().map(|manager| manager.due)
    }

    /// Tells what is new. To be called every turn.
    pub(super) fn turn(&mut self, now: Instant, health: impl FnOnce() -> Health) {
        let Some(manager) = &mut self.manager else { return };
        // Who waits for us to be ready wants to know at once.
        if manager.stage == Stage::Ready && now < manager.due {
            return;
        }
        let health = health();
        let mut news = Vec::new();
        // Who was ready once stays so: without a path, a new start is no better.
        if manager.stage == Stage::Reloading || manager.stage == Stage::Starting && health.is_ready() {
            manager.stage = Stage::Ready;
            news.push("READY=1".to_owned());
        }
        let status = match &manager.failure {
            // Each line is a word of its own to systemd, and a file's name may hold anything.
            Some(failure) => format!("STATUS={health}; {}", failure.replace(char::is_control, " ")),
            None => format!("STATUS={health}"),
        };
        if manager.told.as_ref() != Some(&status) {
            news.push(status.clone());
            manager.told = Some(status);
        }
        if now >= manager.due {
            manager.due =
                now + manager.watchdog.map_or(LOOK_INTERVAL, |watchdog| watchdog.min(LOOK_INTERVAL));
            if manager.watchdog.is_some() {
                news.push("WATCHDOG=1".to_owned());
            }
        }
        if !news.is_empty() {
            manager.tell(&news.join("\n"));
        }
    }

    /// The configuration is about to be read again; the next turn says that this is done.
    pub(super) fn reloading(&mut self) {
        if let Some(manager) = &mut self.manager
            && manager.stage == Stage::Ready
        {
            manager.stage = Stage::Reloading;
            manager.tell(&protocol::reloading());
        }
    }

    /// The configuration was read again, and taken, or not for this reason. `systemctl reload` succeeds either way, so
    /// our status tells.
    pub(super) fn reloaded(&mut self, failure: Option<String>) {
        if let Some(manager) = &mut self.manager {
            manager.failure = failure;
        }
    }

    /// We are about to end.
    pub(super) fn stopping(&mut self) {
        if let Some(manager) = &mut self.manager {
            manager.tell("STOPPING=1");
        }
    }
}

impl Manager {
    fn tell(&mut self, news: &str) {
        if let Err(error) = protocol::send(news)
            && !self.complained
        {
            self.complained = true;
            warn!("cannot tell the service manager at NOTIFY_SOCKET how it goes: {error}");
        }
    }
}

#[cfg(unix)]
mod protocol {
    use std::time::Duration;
    use std::{env, io};

    use sd_notify::NotifyState;

    /// How often the manager wants to hear of us, if there is one.
    pub(super) fn watchdog() -> Option<Option<Duration>> {
        env::var_os("NOTIFY_SOCKET").map(|_| sd_notify::watchdog_enabled())
    }

    pub(super) fn send(news: &str) -> io::Result<()> {
        sd_notify::notify(&[NotifyState::Custom(news)])
    }

    /// With the time, which systemd 253 and later want to know.
    pub(super) fn reloading() -> String {
        let time = NotifyState::monotonic_usec_now().map(|time| format!("\n{time}"));
        NotifyState::Reloading.to_string() + &time.unwrap_or_default()
    }
}

/// Elsewhere no manager speaks this protocol.
#[cfg(not(unix))]
mod protocol {
    use std::io;
    use std::time::Duration;

    pub(super) fn watchdog() -> Option<Option<Duration>> {
        None
    }

    pub(super) fn send(_: &str) -> io::Result<()> {
        Ok(())
    }

    pub(super) fn reloading() -> String {
        String::new()
    }
}
