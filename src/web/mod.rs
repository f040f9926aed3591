//! What is shown at the address that `--metrics` names: the snapshot and its history, as a page for
//! people, as JSON for that page, and as metrics for Prometheus.
//!
//! The page is three small files without assets of others, which a strict policy keeps so: it asks for
//! the snapshot each second, and draws.

pub mod history;
pub mod metrics;

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::net::{Content, Fresh, Site};
use crate::tunnel::snapshot::Snapshot;
use history::History;

/// What is shown serves all that ask within this time.
const FRESH_FOR: Duration = Duration::from_millis(200);
/// What is no page has nothing to load.
const NOTHING: &str = "default-src 'none'";
/// The page has its own files and nobody else's, and is in nobody else's page.
const OWN_FILES: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
                         connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const JSON: &str = "application/json";
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// The page's files: path, media type, contents.
const FILES: [(&str, &str, &str); 6] = [
    ("/", "text/html; charset=utf-8", include_str!("page/index.html")),
    ("/page.css", "text/css; charset=utf-8", include_str!("page/page.css")),
    ("/page.js", SCRIPT, include_str!("page/page.js")),
    ("/curves.js", SCRIPT, include_str!("page/curves.js")),
    ("/words.js", SCRIPT, include_str!("page/words.js")),
    ("/icon.svg", "image/svg+xml", include_str!("page/icon.svg")),
];

/// See the module.
#[derive(Debug)]
pub struct Web {
    history: History,
    /// Nothing: as soon as may be.
    next_point: Option<Instant>,
    metrics: Fresh,
    snapshot: Fresh,
    past: Fresh,
}

impl Default for Web {
    fn default() -> Self {
        let fresh = || Fresh::new(FRESH_FOR);
        Self {
            history: History::default(),
            next_point: None,
            metrics: fresh(),
            snapshot: fresh(),
            past: fresh(),
        }
    }
}

impl Site for Web {
    fn content(&mut self, now: Instant, path: &str, snapshot: &dyn Fn() -> Snapshot) -> Option<Content> {
        let (media_type, body) = match path {
            "/metrics" => {
                let text = || metrics::text(&snapshot()).into_bytes();
                (metrics::MEDIA_TYPE, self.metrics.or_else(now, text))
            }
            "/snapshot.json" => (JSON, self.snapshot.or_else(now, || json(&snapshot()))),
            "/history.json" => (JSON, self.past.or_else(now, || json(&self.history.view()))),
            _ => {
                let (_, media_type, contents) = FILES.iter().find(|(at, ..)| *at == path)?;
                let body = Arc::from(contents.as_bytes());
                return Some(Content { media_type, policy: OWN_FILES, body });
            }
        };
        Some(Content { media_type, policy: NOTHING, body })
    }

    fn due(&self) -> Option<Instant> {
        self.next_point
    }

    fn note(&mut self, now: Instant, snapshot: &Snapshot) {
        self.history.note(snapshot);
        // What was missed while the machine slept is not made up for.
        self.next_point = Some((self.next_point.unwrap_or(now) + history::INTERVAL).max(now));
    }
}

fn json(shown: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(shown).expect("what is shown has nothing that is no JSON")
}
