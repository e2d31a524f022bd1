//! Waiting for a condition, never for a time.

use std::time::{Duration, Instant};

/// Asks `probe` until it gives something, and says how long that took. Fails the test after `limit`, with the last complaint.
pub fn until<T>(what: &str, limit: Duration, mut probe: impl FnMut() -> Result<T, String>) -> T {
    let begun = Instant::now();
    loop {
        match probe() {
            Ok(value) => {
                println!("  {what}: after {:.3} s", begun.elapsed().as_secs_f64());
                return value;
            }
            Err(complaint) if begun.elapsed() > limit => panic!("{what}: not within {limit:?}: {complaint}"),
            Err(_) => std::thread::sleep(Duration::from_millis(10)),
        }
    }
}
