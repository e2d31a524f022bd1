//! The query part of a request path.

/// Parameters, in their order. Decoded as browsers encode forms: `+` is a blank, `%xx` a byte.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    pairs: Vec<(String, String)>,
}

impl Query {
    /// Most parameters that are looked at.
    const MAX: usize = 64;

    /// Reads what follows the question mark. Parameters without a value do not count, as in Patroni.
    pub fn parse(text: &str) -> Self {
        let pair = |part: &str| {
            let (name, value) = part.split_once('=')?;
            (!value.is_empty()).then(|| (decode(name), decode(value)))
        };
        Self { pairs: text.split('&').take(Self::MAX).filter_map(pair).collect() }
    }

    /// The first value of a parameter.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Name and first value of every parameter whose name begins so, without that beginning.
    pub fn with_prefix<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.pairs.iter().filter_map(move |(key, _)| Some((key.strip_prefix(prefix)?, self.get(key)?)))
    }
}

fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let hex = bytes.get(at + 1..at + 3).and_then(|digits| std::str::from_utf8(digits).ok());
        let escaped = hex.filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        match (byte, escaped.and_then(|digits| u8::from_str_radix(digits, 16).ok())) {
            (b'%', Some(decoded)) => {
                out.push(decoded);
                at += 2;
            }
            (b'+', _) => out.push(b' '),
            _ => out.push(byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded() {
        let query = Query::parse("lag=10MB&tag_site=a%20b+c&empty=&lag=1&odd=%2&tag_x=%d1%8f");
        assert_eq!(query.get("lag"), Some("10MB"));
        assert_eq!(query.get("empty"), None);
        assert_eq!(query.get("odd"), Some("%2"));
        assert_eq!(query.with_prefix("tag_").collect::<Vec<_>>(), [("site", "a b c"), ("x", "я")]);
        assert_eq!(Query::parse(""), Query::default());
    }
}
