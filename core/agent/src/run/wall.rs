//! Wall-clock time, for people only: nothing is decided by it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tanist_engine::Moment;

/// Milliseconds since 1970.
pub fn millis() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// A moment of the past as Unix time, by the clocks of now.
pub fn unix_of(moment: Moment, now: Moment) -> u64 {
    (millis() / 1_000).saturating_sub(now.since(moment).as_secs())
}

/// Now, as Python's `isoformat` shows it in UTC, which is what Patroni writes.
pub fn iso_now() -> String {
    iso(millis())
}

/// The same with a blank between date and time, as Python's `str` shows it.
pub fn iso_blank(millis: u64) -> String {
    iso(millis).replacen('T', " ", 1)
}

/// `2026-11-20T09:30:00.123000+00:00` for milliseconds since 1970.
pub fn iso(millis: u64) -> String {
    let (days, rest) = (millis / 86_400_000, millis % 86_400_000);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (rest / 3_600_000, rest / 60_000 % 60, rest / 1_000 % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}000+00:00", rest % 1_000)
}

/// Year, month, day of a day since 1970-01-01 (H. Hinnant, "chrono-Compatible Low-Level Date Algorithms", civil_from_days).
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let day_of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::iso;

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(iso(0), "1970-01-01T00:00:00.000000+00:00");
        assert_eq!(iso(951_782_400_000), "2000-02-29T00:00:00.000000+00:00");
        assert_eq!(iso(1_795_253_696_789), "2026-11-21T09:34:56.789000+00:00");
        assert_eq!(iso(4_107_542_399_000), "2100-02-28T23:59:59.000000+00:00");
    }
}
