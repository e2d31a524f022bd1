//! Patroni's tolerant scalars: booleans in several words, sizes with units, and values of any type as text.

use serde_json::Value;

/// A boolean as Patroni understands it: JSON's own, or one of PostgreSQL's words in any case.
pub fn parse_bool(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(flag) => Some(*flag),
        Value::Number(number) => match number.as_u64() {
            Some(0) => Some(false),
            Some(1) => Some(true),
            _ => None,
        },
        Value::String(word) => match word.to_ascii_lowercase().as_str() {
            "on" | "true" | "yes" | "1" => Some(true),
            "off" | "false" | "no" | "0" => Some(false),
            _ => None,
        },
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// A number of bytes: digits, also with a decimal point, then nothing or one of PostgreSQL's units (`B`, `kB`, `MB`, `GB`, `TB`;
/// powers of 1024, case counts).
pub fn parse_bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let shift = match unit.trim_start() {
        "" | "B" => 0,
        "kB" => 10,
        "MB" => 20,
        "GB" => 30,
        "TB" => 40,
        _ => return None,
    };
    match number.split_once('.') {
        None => number.parse::<u64>().ok()?.checked_mul(1 << shift),
        Some(_) => {
            let bytes = number.parse::<f64>().ok()? * f64::from(1_u32 << 10).powi(shift / 10);
            // Above 2^53 the fraction says nothing any more; refuse rather than round.
            (bytes < 9_007_199_254_740_992.0).then_some(bytes.round() as u64)
        }
    }
}

/// A scalar as the text PostgreSQL understands: `on` and `off` for booleans. `None` for null, lists and maps.
pub fn scalar_text(value: &Value) -> Option<String> {
    match value {
        Value::Bool(true) => Some("on".to_owned()),
        Value::Bool(false) => Some("off".to_owned()),
        Value::Number(number) => Some(number.to_string()),
        Value::String(text) => Some(text.clone()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn booleans_in_all_their_words() {
        for yes in [json!(true), json!("on"), json!("YES"), json!("True"), json!(1), json!("1")] {
            assert_eq!(parse_bool(&yes), Some(true), "{yes}");
        }
        for no in [json!(false), json!("off"), json!("No"), json!("false"), json!(0)] {
            assert_eq!(parse_bool(&no), Some(false), "{no}");
        }
        for neither in [json!(null), json!("maybe"), json!(2), json!([]), json!("")] {
            assert_eq!(parse_bool(&neither), None, "{neither}");
        }
    }

    #[test]
    fn sizes_with_units() {
        assert_eq!(parse_bytes("1048576"), Some(1_048_576));
        assert_eq!(parse_bytes("10MB"), Some(10 << 20));
        assert_eq!(parse_bytes(" 1 kB "), Some(1024));
        assert_eq!(parse_bytes("1.5GB"), Some(3 << 29));
        assert_eq!(parse_bytes("7 B"), Some(7));
        for bad in ["", "MB", "10mb", "-1", "1..2", "99999999999999TB", "9999999999.5TB", "1 parsec"] {
            assert_eq!(parse_bytes(bad), None, "{bad}");
        }
    }
}
