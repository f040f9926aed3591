//! A Prometheus that asks the programs of a test each second.

use std::net::SocketAddr;

use serde_json::Value;

use super::setup::{Setup, free_address};
use crate::http::get;
use crate::process::Running;

/// A running Prometheus.
pub(super) struct Prometheus {
    at: SocketAddr,
    _process: Running,
}

impl Prometheus {
    /// Starts one that asks at these addresses, in the job of `examples/grafana/prometheus.yml`, and reads these files of
    /// rules. Programs that are missing are told of by the caller.
    pub(super) fn start(setup: &Setup, targets: [SocketAddr; 2], rules: &[String]) -> Self {
        let [client, server] = targets;
        let configuration = format!(
            "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}\nrule_files: {rules:?}\nscrape_configs:\n\
             - job_name: mptunnel\n  static_configs:\n  - targets: ['{client}', '{server}']\n"
        );
        let file = setup.write("prometheus.yml", &configuration);
        let data = setup.folder("prometheus");
        let at = free_address();
        let options =
            ["--config.file", &file, "--storage.tsdb.path", &data, "--web.listen-address", &at.to_string()];
        Self { at, _process: Running::start("prometheus", &options, &[]) }
    }

    /// What a query gives at the moment; nothing, too, while Prometheus starts.
    pub(super) fn results(&self, query: &str) -> Vec<Value> {
        let unreserved = |octet: u8| octet.is_ascii_alphanumeric() || b"-._~".contains(&octet);
        let encode =
            |octet| if unreserved(octet) { char::from(octet).into() } else { format!("%{octet:02X}") };
        let query: String = query.bytes().map(encode).collect();
        let answer = get(self.at, &format!("/api/v1/query?query={query}")).ok();
        let json = answer.and_then(|answer| serde_json::from_str::<Value>(&answer.body).ok());
        json.and_then(|json| json["data"]["result"].as_array().cloned()).unwrap_or_default()
    }
}
