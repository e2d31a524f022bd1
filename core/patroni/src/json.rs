//! JSON text as Python's `json.dumps` writes it, which is what Patroni's values look like in a store and on the wire.
//!
//! Two differences from serde_json matter to somebody who compares bytes: everything beyond ASCII is escaped, and REST bodies have a
//! blank after each comma and colon (values in the store have none).

use serde::Serialize;
use serde_json::{Serializer, ser::Formatter};
use std::io::{self, Write};

/// As `json.dumps(value, separators=(',', ':'))`: a value for the store.
pub fn dcs_text<T: Serialize>(value: &T) -> String {
    text(value, Python { comma: b",", colon: b":" })
}

/// As `json.dumps(value)`: a REST body.
pub fn rest_text<T: Serialize>(value: &T) -> String {
    text(value, Python { comma: b", ", colon: b": " })
}

/// Our own forms serialise into memory and have text keys, so neither way of failing exists; an empty text would be refused by
/// every reader.
fn text<T: Serialize>(value: &T, formatter: Python) -> String {
    let mut out = Vec::with_capacity(256);
    match value.serialize(&mut Serializer::with_formatter(&mut out, formatter)) {
        Ok(()) => String::from_utf8(out).unwrap_or_default(),
        Err(_) => String::new(),
    }
}

struct Python {
    comma: &'static [u8],
    colon: &'static [u8],
}

impl Python {
    fn separate<W: ?Sized + Write>(&self, writer: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { writer.write_all(self.comma) }
    }
}

impl Formatter for Python {
    fn begin_array_value<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.separate(writer, first)
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.separate(writer, first)
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(self.colon)
    }

    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let mut units = [0; 2];
        for character in fragment.chars() {
            if (' '..='~').contains(&character) {
                writer.write_all(&[character as u8])?;
            } else {
                for unit in character.encode_utf16(&mut units) {
                    write!(writer, "\\u{unit:04x}")?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn separators_and_escapes_are_those_of_python() {
        let value = json!({"name": "узел \u{1f418}\u{7f}\"\n", "list": [1, null, true]});
        let escaped = r#""\u0443\u0437\u0435\u043b \ud83d\udc18\u007f\"\n""#;
        assert_eq!(dcs_text(&value), format!(r#"{{"list":[1,null,true],"name":{escaped}}}"#));
        assert_eq!(rest_text(&value), format!(r#"{{"list": [1, null, true], "name": {escaped}}}"#));
    }
}
