//! What a running program takes of the machine.

use std::fs;
use std::time::Duration;

use rustix::process::Pid;

/// Memory that a process has in use, in KiB.
pub(super) fn memory_kib(process: Pid) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("the process runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it has memory");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// Processor time that a process has used since its start.
pub(super) fn processor_time(process: Pid) -> Duration {
    /// The unit of proc(5)'s times: Linux tells programs hundredths, whatever it counts in itself.
    const TICK: Duration = Duration::from_millis(10);
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).expect("the process runs");
    // Behind its name, which may have anything in it but stands in brackets, field 3 comes first.
    let (_, fields) = stat.rsplit_once(')').expect("its name stands in brackets");
    let ticks =
        fields.split_whitespace().skip(11).take(2).map(|field| field.parse::<u32>().expect("a number"));
    TICK * ticks.sum::<u32>()
}
