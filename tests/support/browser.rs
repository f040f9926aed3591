//! A browser that a test drives: Chromium without a window, by its WebDriver (W3C WebDriver).

use std::net::SocketAddr;
use std::path::Path;
use std::{fs, thread};

use base64ct::{Base64, Encoding};
use serde_json::{Value, json};

use super::http::request;
use super::process::{PATIENCE, Running, RuntimeFolder};
use super::wait::poll_until;

/// One page that is open.
pub(crate) struct Browser {
    driver: SocketAddr,
    session: String,
    // The driver and its files, which end with it.
    _driver: Running,
    _profile: RuntimeFolder,
}

impl Browser {
    /// Starts a browser whose driver listens here.
    pub(crate) fn start(driver: SocketAddr) -> Self {
        let profile = RuntimeFolder::new();
        let port = format!("--port={}", driver.port());
        let running = Running::start("chromedriver", &[&port], &[]);
        let data = format!("--user-data-dir={}", profile.path().display());
        let arguments = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-dev-shm-usage",
            &data,
        ];
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "goog:chromeOptions": { "args": arguments },
            "goog:loggingPrefs": { "browser": "ALL" },
        } } });
        assert!(poll_until(PATIENCE, || request(driver, "GET", "/status", "").is_ok()), "the driver listens");
        let mut started = Err("never asked".to_owned());
        // A machine that is busy takes its time.
        let begun = || {
            started = ask(driver, "POST", "/session", &wanted);
            started.is_ok()
        };
        poll_until(PATIENCE, begun);
        let value = started.expect("a session");
        let session = value["sessionId"].as_str().expect("its id").to_owned();
        Self { driver, session, _driver: running, _profile: profile }
    }

    fn command(&self, method: &str, what: &str, wanted: &Value) -> Value {
        let path = format!("/session/{}{what}", self.session);
        ask(self.driver, method, &path, wanted).unwrap_or_else(|error| panic!("{what} {wanted}: {error}"))
    }

    /// Opens a page.
    pub(crate) fn open(&self, url: &str) {
        self.command("POST", "/url", &json!({ "url": url }));
    }

    /// What an expression of JavaScript is worth.
    pub(crate) fn value(&self, expression: &str) -> Value {
        let script = json!({ "script": format!("return {expression}"), "args": [] });
        self.command("POST", "/execute/sync", &script)
    }

    /// Waits until an expression is true.
    pub(crate) fn wait_until(&self, expression: &str) {
        let reached = poll_until(PATIENCE, || self.value(expression) == Value::Bool(true));
        let shown = self.value("document.body.innerText");
        assert!(reached, "{expression} is not true within {PATIENCE:?}; the page shows {shown}");
    }

    /// A window of this many pixels, on a screen of this colour scheme.
    pub(crate) fn look(&self, width: u32, height: u32, scheme: &str) {
        let cdp = |command: &str, parameters: Value| {
            self.command("POST", "/goog/cdp/execute", &json!({ "cmd": command, "params": parameters }))
        };
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600 });
        cdp("Emulation.setDeviceMetricsOverride", size);
        let scheme = json!({ "name": "prefers-color-scheme", "value": scheme });
        cdp("Emulation.setEmulatedMedia", json!({ "features": [scheme] }));
    }

    /// Writes a picture of the page to a file.
    pub(crate) fn picture(&self, file: &Path) {
        let png = self.command("GET", "/screenshot", &Value::Null);
        let png = Base64::decode_vec(png.as_str().expect("a picture")).expect("in Base64");
        fs::write(file, png).expect("a test's file is written");
    }

    /// The errors that the page's console has got since the last call.
    pub(crate) fn errors(&self) -> Vec<String> {
        let lines = self.command("POST", "/se/log", &json!({ "type": "browser" }));
        let lines = lines.as_array().expect("a list").iter();
        let errors = lines.filter(|line| line["level"] == "SEVERE");
        errors.map(|line| line["message"].to_string()).collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The driver ends its browser with the session; a panic on the way is told already.
        let ended = ask(self.driver, "DELETE", &format!("/session/{}", self.session), &Value::Null);
        if let (Err(error), false) = (ended, thread::panicking()) {
            panic!("the browser does not end: {error}");
        }
    }
}

/// Asks the driver. Returns its value, or its complaint.
fn ask(driver: SocketAddr, method: &str, path: &str, wanted: &Value) -> Result<Value, String> {
    let body = if wanted.is_null() { String::new() } else { wanted.to_string() };
    let answer = request(driver, method, path, &body).map_err(|error| error.to_string())?;
    let mut json: Value = serde_json::from_str(&answer.body).map_err(|error| error.to_string())?;
    let value = json["value"].take();
    if answer.status == 200 { Ok(value) } else { Err(value.to_string()) }
}
