//! Processes that are measured, and what the system says they cost.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::Result;

/// A process that ends with this value.
pub struct Daemon(Child);

impl Daemon {
    /// This program once more, as a daemon; ready when this returns.
    pub fn this(args: &[&str], key: &str) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        let mut child = command.args(args).env("MPTUNNEL_KEY", key).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("it is piped")).read_line(&mut line)?;
        if line.trim() != "listening" {
            return Err(format!("the daemon did not start: {line}").into());
        }
        Ok(Self(child))
    }

    /// Processor time so far, of all its threads (/proc/PID/task/TID/schedstat counts nanoseconds).
    pub fn cpu(&self) -> Result<Duration> {
        let mut sum = 0;
        for task in std::fs::read_dir(format!("/proc/{}/task", self.0.id()))? {
            let schedstat = std::fs::read_to_string(task?.path().join("schedstat"))?;
            sum += schedstat.split(' ').next().unwrap_or_default().parse::<u64>()?;
        }
        Ok(Duration::from_nanos(sum))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Whether socat can be started.
pub fn has_socat() -> bool {
    Command::new("socat").arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}

/// One socat as a bridge to `to`. Returns where it listens.
pub fn socat(to: SocketAddr) -> Result<(SocketAddr, Daemon)> {
    let listen = free_port()?;
    let child = Command::new("socat")
        .arg(format!("udp-listen:{},bind={}", listen.port(), listen.ip()))
        .arg(format!("udp:{to}"))
        .spawn()?;
    Ok((listen, Daemon(child)))
}

/// A port of the loopback that was free a moment ago.
pub fn free_port() -> Result<SocketAddr> {
    Ok(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}
