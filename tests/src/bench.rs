//! What the benchmarks print alike: where and when they ran, and how values are spread.

/// The commit and the load of the machine, on one line: without them a figure says nothing.
pub fn circumstances() -> String {
    let git = std::process::Command::new("git").args(["rev-parse", "--short", "HEAD"]).output();
    let git = git.map_or_else(|_| "unknown".into(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    format!("commit {git}, load average {}", load.split(' ').take(3).collect::<Vec<_>>().join(" "))
}

/// Least, median, most.
///
/// # Panics
/// Without a value.
pub fn spread(mut values: Vec<f64>) -> (f64, f64, f64) {
    values.sort_by(f64::total_cmp);
    (values[0], values[values.len() / 2], values[values.len() - 1])
}
