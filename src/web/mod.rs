//! What is shown at the address that `--metrics` names: the snapshot, for programs.

pub mod metrics;

use std::time::{Duration, Instant};

use crate::net::{Content, Fresh, Site};
use crate::tunnel::snapshot::Snapshot;

/// What is shown serves all that ask within this time.
const FRESH_FOR: Duration = Duration::from_millis(200);
/// What is no page has nothing to load.
const NOTHING: &str = "default-src 'none'";

/// See the module.
#[derive(Debug)]
pub struct Web {
    metrics: Fresh,
}

impl Default for Web {
    fn default() -> Self {
        Self { metrics: Fresh::new(FRESH_FOR) }
    }
}

impl Site for Web {
    fn content(&mut self, now: Instant, path: &str, snapshot: &dyn Fn() -> Snapshot) -> Option<Content> {
        match path {
            "/metrics" => Some(Content {
                media_type: metrics::MEDIA_TYPE,
                policy: NOTHING,
                body: self.metrics.or_else(now, || metrics::text(&snapshot()).into_bytes()),
            }),
            _ => None,
        }
    }
}
