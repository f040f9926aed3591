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

use crate::net::{Content, Fresh, Missing, Site, following};
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
    /// The history as it is shown, until its next point.
    past: Option<Arc<[u8]>>,
}

impl Default for Web {
    fn default() -> Self {
        let fresh = || Fresh::new(FRESH_FOR);
        Self {
            history: History::default(),
            next_point: None,
            metrics: fresh(),
            snapshot: fresh(),
            past: None,
        }
    }
}

impl Site for Web {
    fn content(
        &mut self,
        now: Instant,
        path: &str,
        snapshot: &dyn Fn() -> Option<Snapshot>,
    ) -> Result<Content, Missing> {
        let (media_type, body) = match path {
            "/metrics" => {
                let text = || Some(metrics::text(&snapshot()?).into_bytes());
                (metrics::MEDIA_TYPE, self.metrics.or_else(now, text))
            }
            "/snapshot.json" => (JSON, self.snapshot.or_else(now, || Some(json(&snapshot()?)))),
            "/history.json" => {
                let past = self.past.get_or_insert_with(|| json(&self.history.view()).into());
                (JSON, Some(Arc::clone(past)))
            }
            _ => {
                let (_, media_type, contents) =
                    FILES.iter().find(|(at, ..)| *at == path).ok_or(Missing::Path)?;
                let body = Arc::from(contents.as_bytes());
                return Ok(Content { media_type, policy: OWN_FILES, body });
            }
        };
        Ok(Content { media_type, policy: NOTHING, body: body.ok_or(Missing::Snapshot)? })
    }

    fn due(&self) -> Option<Instant> {
        self.next_point
    }

    fn note(&mut self, now: Instant, snapshot: &Snapshot) {
        self.history.note(snapshot);
        self.past = None;
        self.next_point = Some(following(self.next_point.unwrap_or(now), history::INTERVAL, now));
    }
}

fn json(shown: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(shown).expect("what is shown has nothing that is no JSON")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tunnel::Tunnel;

    /// A site with a tunnel, at a time in seconds.
    struct Shown {
        web: Web,
        tunnel: Tunnel,
        begin: Instant,
    }

    impl Shown {
        fn new() -> Self {
            #[expect(clippy::disallowed_methods, reason = "any instant will do")]
            let begin = Instant::now();
            Self { web: Web::default(), tunnel: Tunnel::quiet_server(begin), begin }
        }

        fn at(&self, seconds: f64) -> Instant {
            self.begin + Duration::from_secs_f64(seconds)
        }

        fn note(&mut self, seconds: f64) {
            let now = self.at(seconds);
            self.web.note(now, &self.tunnel.snapshot(now));
        }

        fn history(&mut self, seconds: f64) -> Arc<[u8]> {
            let now = self.at(seconds);
            let snapshot = || Some(self.tunnel.snapshot(now));
            self.web.content(now, "/history.json", &snapshot).expect("it is shown").body
        }
    }

    #[test]
    fn points_have_their_interval_and_a_machine_that_slept_has_one() {
        let mut shown = Shown::new();
        for (noted, due) in [(0.0, 5.0), (5.1, 10.0), (10.0, 15.0), (1000.0, 1005.0), (1005.0, 1010.0)] {
            shown.note(noted);
            assert_eq!(shown.web.due(), Some(shown.at(due)), "after {noted} s");
        }
    }

    #[test]
    fn the_history_is_built_once_for_each_point_and_has_the_newest() {
        let mut shown = Shown::new();
        shown.note(0.0);
        let first = shown.history(0.0);
        assert!(Arc::ptr_eq(&first, &shown.history(4.95)));
        shown.note(5.0);
        let second = String::from_utf8(shown.history(5.0).to_vec()).expect("JSON is UTF-8");
        assert!(second.contains("\"at_s\":[0.0,5.0]"), "{second}");
    }
}
