//! Reads the fields of one JSON object, strictly: present with the right type, or an error that names key and field.

use crate::{DecodeError, MAX_VALUE, parse_bool};
use serde_json::{Map, Value};
use tanist_engine::{Epoch, Lsn, MemberName, Timeline};

/// Longest text accepted in a field: names, URLs, reasons.
const MAX_TEXT: usize = 4096;
/// Longest member name; PostgreSQL cuts `application_name` at 63 bytes, stores allow more.
const MAX_NAME: usize = 255;

/// Parses a value of the store or a body, whatever it holds.
pub(crate) fn parse(key: &'static str, bytes: &[u8]) -> Result<Value, DecodeError> {
    if bytes.len() > MAX_VALUE {
        return Err(DecodeError::TooLong { key, size: bytes.len(), limit: MAX_VALUE });
    }
    serde_json::from_slice(bytes).map_err(|error| DecodeError::Syntax { key, line: error.line(), column: error.column() })
}

/// Text that is no JSON, such as the value of `leader`.
pub(crate) fn plain_text<'a>(key: &'static str, bytes: &'a [u8]) -> Result<&'a str, DecodeError> {
    if bytes.len() > MAX_TEXT {
        return Err(DecodeError::TooLong { key, size: bytes.len(), limit: MAX_TEXT });
    }
    std::str::from_utf8(bytes).map_err(|_| DecodeError::Wrong { key, field: String::new(), expected: "text" })
}

/// A member name: not empty, bounded, without characters that would leave its place in a key or a line of output.
pub(crate) fn member_name(key: &'static str, field: &str, text: &str) -> Result<MemberName, DecodeError> {
    let bad = text.is_empty() || text.len() > MAX_NAME || text.contains('/') || text.chars().any(char::is_control);
    if bad {
        return Err(DecodeError::Wrong { key, field: field.to_owned(), expected: "a member name" });
    }
    Ok(MemberName(text.into()))
}

/// The fields of one object.
pub(crate) struct Fields {
    key: &'static str,
    map: Map<String, Value>,
}

impl Fields {
    /// Parses an object.
    pub(crate) fn parse(key: &'static str, bytes: &[u8]) -> Result<Self, DecodeError> {
        Self::of(key, parse(key, bytes)?)
    }

    /// Takes an object.
    pub(crate) fn of(key: &'static str, value: Value) -> Result<Self, DecodeError> {
        match value {
            Value::Object(map) => Ok(Self { key, map }),
            _ => Err(DecodeError::Wrong { key, field: String::new(), expected: "a JSON object" }),
        }
    }

    pub(crate) fn wrong(&self, field: &str, expected: &'static str) -> DecodeError {
        DecodeError::Wrong { key: self.key, field: field.to_owned(), expected }
    }

    /// The error for a field that has to be there.
    pub(crate) fn missing(&self, field: &str) -> DecodeError {
        DecodeError::Missing { key: self.key, field: field.to_owned() }
    }

    /// The field's value; null counts as absent, as in Patroni.
    pub(crate) fn take(&mut self, field: &str) -> Option<Value> {
        self.map.remove(field).filter(|value| !value.is_null())
    }

    pub(crate) fn text(&mut self, field: &str) -> Result<Option<String>, DecodeError> {
        match self.take(field) {
            None => Ok(None),
            Some(Value::String(text)) if text.len() <= MAX_TEXT => Ok(Some(text)),
            Some(_) => Err(self.wrong(field, "a text of at most 4096 bytes")),
        }
    }

    pub(crate) fn name(&mut self, field: &str) -> Result<Option<MemberName>, DecodeError> {
        match self.text(field)? {
            None => Ok(None),
            Some(text) if text.is_empty() => Ok(None),
            Some(text) => member_name(self.key, field, &text).map(Some),
        }
    }

    pub(crate) fn flag(&mut self, field: &str) -> Result<Option<bool>, DecodeError> {
        match self.take(field) {
            None => Ok(None),
            Some(value) => parse_bool(&value).map(Some).ok_or_else(|| self.wrong(field, "true or false")),
        }
    }

    /// A whole number; a text of digits is accepted, as Patroni does.
    pub(crate) fn number(&mut self, field: &str) -> Result<Option<u64>, DecodeError> {
        let number = match self.take(field) {
            None => return Ok(None),
            Some(Value::Number(number)) => number.as_u64(),
            Some(Value::String(text)) => text.parse().ok(),
            Some(_) => None,
        };
        number.map(Some).ok_or_else(|| self.wrong(field, "a whole number, not negative"))
    }

    pub(crate) fn lsn(&mut self, field: &str) -> Result<Option<Lsn>, DecodeError> {
        Ok(self.number(field)?.map(Lsn))
    }

    pub(crate) fn timeline(&mut self, field: &str) -> Result<Option<Timeline>, DecodeError> {
        match self.number(field)? {
            None => Ok(None),
            Some(number) => match u32::try_from(number) {
                Ok(number) => Ok(Some(Timeline(number))),
                Err(_) => Err(self.wrong(field, "a timeline number (32 bits)")),
            },
        }
    }

    pub(crate) fn epoch(&mut self, field: &str) -> Result<Epoch, DecodeError> {
        match self.number(field)? {
            Some(number) if number < Epoch::LIMIT => Ok(Epoch(number)),
            Some(_) => Err(self.wrong(field, "an epoch (below 2^53)")),
            None => Err(self.missing(field)),
        }
    }

    pub(crate) fn map(&mut self, field: &str) -> Result<Map<String, Value>, DecodeError> {
        match self.take(field) {
            None => Ok(Map::new()),
            Some(Value::Object(map)) => Ok(map),
            Some(_) => Err(self.wrong(field, "a JSON object")),
        }
    }

    /// The names of the fields that nobody has taken, null or not.
    pub(crate) fn rest(self) -> Vec<String> {
        self.map.into_iter().map(|(name, _)| name).collect()
    }
}
