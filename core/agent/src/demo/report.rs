//! What is told after each fault, and whether it was what must be.

use std::{fmt, time::Duration};

/// What followed from one fault.
#[derive(Clone, Debug)]
pub struct Report {
    /// What was done.
    pub title: String,
    /// The longest time without an acknowledged write.
    pub gap: Duration,
    /// When our own name had followed, after the fault.
    pub own: Duration,
    /// When the name in BIND had followed, after the fault.
    pub bind: Duration,
    /// Callbacks delivered to plugins since the fault.
    pub callbacks: Vec<String>,
    /// Rows acknowledged since the beginning.
    pub acknowledged: usize,
    /// Rows found.
    pub found: usize,
    /// Acknowledged and not found.
    pub missing: Vec<i64>,
}

impl Report {
    /// Nothing that was acknowledged is missing.
    pub fn is_good(&self) -> bool {
        self.missing.is_empty()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { title, gap, own, bind, callbacks, acknowledged, found, missing } = self;
        writeln!(f, "\n    {title}")?;
        writeln!(f, "      write gap            {:>7} ms", gap.as_millis())?;
        writeln!(f, "      own name followed    {:>7} ms after the fault", own.as_millis())?;
        writeln!(f, "      BIND followed        {:>7} ms after the fault", bind.as_millis())?;
        writeln!(f, "      callbacks delivered  {:>7}    ({})", callbacks.len(), callbacks.join("; "))?;
        writeln!(f, "      rows acknowledged    {acknowledged:>7}")?;
        writeln!(f, "      rows found           {found:>7}")?;
        match missing.first() {
            None => writeln!(f, "      acknowledged, lost         0"),
            Some(first) => writeln!(f, "      ACKNOWLEDGED, LOST   {:>7}, the first of them number {first}", missing.len()),
        }
    }
}

/// The last words.
pub fn summary(reports: &[Report], doubtful: u64) -> String {
    let mut text = format!("\n  {:<70}{:>8}{:>10}{:>8}\n", "ms", "gap", "own name", "BIND");
    for Report { title, gap, own, bind, .. } in reports {
        text += &format!("  {title:<70}{:>8}{:>10}{:>8}\n", gap.as_millis(), own.as_millis(), bind.as_millis());
    }
    let (acknowledged, missing) = reports.last().map_or((0, 0), |last| (last.acknowledged, last.missing.len()));
    text += &format!(
        "  {acknowledged} rows acknowledged, {missing} of them lost; {doubtful} writes were sent and not acknowledged\n"
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(missing: Vec<i64>) -> Report {
        let ms = Duration::from_millis;
        let title = "kill -9".to_owned();
        Report { title, gap: ms(800), own: ms(750), bind: ms(760), callbacks: vec![], acknowledged: 100, found: 101, missing }
    }

    #[test]
    fn one_lost_row_is_not_good_and_is_shown() {
        let (good, bad) = (report(vec![]), report(vec![17]));
        assert!(good.is_good() && !bad.is_good());
        assert!(good.to_string().contains("lost         0") && bad.to_string().contains("number 17"));
        assert!(summary(&[good, bad], 3).contains("100 rows acknowledged, 1 of them lost; 3 writes"));
    }
}
