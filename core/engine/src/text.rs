//! A short text that is copied and compared all the time: names of members.
//!
//! Up to 22 bytes lie in the value itself, so that copying takes no memory from the heap and comparing two takes a few instructions;
//! longer ones are shared.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::{cmp::Ordering, fmt, ops::Deref, sync::Arc};

/// What fits into the value, as large as a `String`.
const SHORT: usize = 22;

/// An immutable text; see the module.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Text(Kept);

/// The form follows from the length, so equal texts have equal forms.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Kept {
    /// Unused bytes are zero.
    Short { length: u8, bytes: [u8; SHORT] },
    /// Longer than that.
    Long(Arc<str>),
}

impl Text {
    /// The text.
    #[inline]
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Kept::Short { length, bytes } => {
                bytes.get(..usize::from(*length)).and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default()
            }
            Kept::Long(text) => text,
        }
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        let mut bytes = [0; SHORT];
        match (bytes.get_mut(..text.len()), u8::try_from(text.len())) {
            (Some(place), Ok(length)) => {
                place.copy_from_slice(text.as_bytes());
                Self(Kept::Short { length, bytes })
            }
            _ => Self(Kept::Long(Arc::from(text))),
        }
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self::from(text.as_str())
    }
}

impl From<Text> for String {
    fn from(text: Text) -> Self {
        text.as_str().to_owned()
    }
}

impl Default for Text {
    fn default() -> Self {
        Self::from("")
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl PartialEq<str> for Text {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for Text {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl PartialEq<String> for Text {
    fn eq(&self, other: &String) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<Text> for String {
    fn eq(&self, other: &Text) -> bool {
        self == other.as_str()
    }
}

impl Ord for Text {
    #[inline]
    fn cmp(&self, other: &Self) -> Ordering {
        match (&self.0, &other.0) {
            // Zeros sort before everything, and what differs in them only differs in length.
            (Kept::Short { length, bytes }, Kept::Short { length: others, bytes: other }) => {
                let first = |bytes: &[u8; SHORT]| bytes.first_chunk::<16>().map(|chunk| u128::from_be_bytes(*chunk));
                let last = |bytes: &[u8; SHORT]| bytes.last_chunk::<8>().map(|chunk| u64::from_be_bytes(*chunk));
                (first(bytes), last(bytes), length).cmp(&(first(other), last(other), others))
            }
            _ => self.as_str().cmp(other.as_str()),
        }
    }
}

impl PartialOrd for Text {
    #[inline]
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_told_apart_and_ordered_as_text_is() {
        let long = "x".repeat(SHORT);
        let longer = "x".repeat(SHORT + 1);
        let texts = [
            "",
            "\0",
            "a",
            "a\0",
            "a\0b",
            "b",
            "ä",
            "n10",
            "n2",
            "a name of 17 bytes",
            "a name of 17 bytet",
            &long,
            &longer,
            "xy",
        ];
        for one in texts {
            assert_eq!(Text::from(one).as_str(), one);
            for other in texts {
                let (left, right) = (Text::from(one), Text::from(other));
                assert_eq!(left == right, one == other, "{one:?} {other:?}");
                assert_eq!(left.cmp(&right), one.cmp(other), "{one:?} {other:?}");
            }
        }
        assert_eq!(size_of::<Text>(), size_of::<String>());
    }
}
