//! What this process takes.

/// Resident memory, in MiB.
pub(crate) fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("a process");
    let line = status.lines().find(|l| l.starts_with("VmRSS:"));
    let kib = line.and_then(|l| l.split_whitespace().nth(1)).expect("kB");
    kib.parse::<f64>().expect("a number") / 1024.0
}

/// Processor time so far, in seconds.
pub(crate) fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("a process");
    let rest = stat.rsplit_once(')').expect("a name").1;
    let ticks = rest.split_whitespace().skip(11).take(2);
    let ticks = ticks.map(|t| t.parse::<f64>().expect("utime and stime"));
    ticks.sum::<f64>() / 100.0 // Linux counts in hundredths for programs
}
