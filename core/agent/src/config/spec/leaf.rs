//! Values as people write them in patroni.yml: a number where a text is meant, `on` for true, one text with commas for a list.

use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, SeqAccess, Visitor},
};
use std::fmt;

/// A text; a whole number or a boolean counts as what was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::config) struct Text(pub(in crate::config) String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextVisitor).map(Self)
    }
}

struct TextVisitor;

impl Visitor<'_> for TextVisitor {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text (in quotes if need be)")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<String, E> {
        Ok(text.to_owned())
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<String, E> {
        Ok(number.to_string())
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<String, E> {
        Ok(number.to_string())
    }

    fn visit_bool<E: de::Error>(self, flag: bool) -> Result<String, E> {
        Ok(flag.to_string())
    }
}

/// A boolean, also in YAML 1.1's and PostgreSQL's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) struct Flag(pub(in crate::config) bool);

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FlagVisitor;
        impl Visitor<'_> for FlagVisitor {
            type Value = bool;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("true or false")
            }

            fn visit_bool<E: de::Error>(self, flag: bool) -> Result<bool, E> {
                Ok(flag)
            }

            fn visit_str<E: de::Error>(self, word: &str) -> Result<bool, E> {
                let flag = tanist_patroni::parse_bool(&serde_json::Value::from(word));
                flag.ok_or_else(|| E::invalid_type(de::Unexpected::Str(word), &self))
            }
        }
        deserializer.deserialize_any(FlagVisitor).map(Self)
    }
}

/// A whole number, not negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) struct Number(pub(in crate::config) u64);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NumberVisitor;
        impl Visitor<'_> for NumberVisitor {
            type Value = u64;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a whole number, not negative")
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<u64, E> {
                Ok(number)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<u64, E> {
                text.trim().parse().map_err(|_| E::invalid_type(de::Unexpected::Str(text), &self))
            }
        }
        deserializer.deserialize_any(NumberVisitor).map(Self)
    }
}

/// A list of texts, or one text with commas. Single quotes around an element are taken off, as Patroni's variables have them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::config) struct List(pub(in crate::config) Vec<String>);

impl List {
    /// From one text with commas.
    pub(in crate::config) fn of(text: &str) -> Self {
        let trimmed = text.trim().trim_start_matches('[').trim_end_matches(']');
        let element = |part: &str| part.trim().trim_matches(['\'', '"']).to_owned();
        Self(trimmed.split(',').map(element).filter(|element| !element.is_empty()).collect())
    }
}

impl<'de> Deserialize<'de> for List {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ListVisitor;
        impl<'de> Visitor<'de> for ListVisitor {
            type Value = List;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of texts, or one text with commas")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<List, E> {
                Ok(List::of(text))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<List, A::Error> {
                let mut elements = Vec::new();
                while let Some(Text(element)) = list.next_element()? {
                    elements.push(element);
                }
                Ok(List(elements))
            }
        }
        deserializer.deserialize_any(ListVisitor)
    }
}

/// Options of a program as Patroni takes them: a list of names and of maps with one value, or a map. Kept without leading dashes:
/// `data-checksums`, `encoding=UTF8`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::config) struct Options(pub(in crate::config) Vec<String>);

impl<'de> Deserialize<'de> for Options {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OptionsVisitor;
        impl<'de> Visitor<'de> for OptionsVisitor {
            type Value = Options;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of options, each a name or `name: value`")
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<Options, E> {
                Ok(Options(vec![bare(name)]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Options, A::Error> {
                let mut options = Options::default();
                while let Some(Options(more)) = list.next_element()? {
                    options.0.extend(more);
                }
                Ok(options)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Options, A::Error> {
                let mut options = Options::default();
                while let Some((name, value)) = map.next_entry::<Text, Option<Text>>()? {
                    let name = bare(&name.0);
                    options.0.push(match value.map(|Text(value)| value) {
                        None => name,
                        Some(value) if value == "true" => name,
                        Some(value) => format!("{name}={value}"),
                    });
                }
                Ok(options)
            }
        }
        deserializer.deserialize_any(OptionsVisitor)
    }
}

fn bare(name: &str) -> String {
    name.trim().trim_start_matches('-').to_owned()
}
