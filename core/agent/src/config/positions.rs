//! The line of every key in a YAML file, and keys that are given twice.
//!
//! Keys are dotted paths, list elements `[0]`, as in the messages of the YAML reader. What an alias stands for has the line of the
//! alias.

use saphyr_parser::{Event, Parser};
use std::collections::BTreeMap;

/// Lines by dotted path.
#[derive(Clone, Debug, Default)]
pub(super) struct Positions {
    lines: BTreeMap<String, usize>,
}

/// A collection that is being read.
enum Open {
    Map { path: String, key: Option<String> },
    List { path: String, next: usize },
}

impl Positions {
    /// Reads the first document. On failure: line and problem.
    pub(super) fn of(text: &str) -> Result<Self, (usize, String)> {
        let mut lines = BTreeMap::new();
        let mut open: Vec<Open> = Vec::new();
        for event in Parser::new_from_str(text) {
            let (event, span) = event.map_err(|error| (error.marker().line(), format!("is not valid YAML: {}", error.info())))?;
            let line = span.start.line();
            match event {
                Event::Scalar(value, ..) => match open.last_mut() {
                    Some(Open::Map { path, key: key @ None }) => {
                        let name = join(path, &value);
                        if let Some(first) = lines.insert(name.clone(), line) {
                            return Err((line, format!("{name}: is given twice, first in line {first}; remove one of them")));
                        }
                        *key = Some(value.into_owned());
                    }
                    _ => {
                        value_path(&mut open, &mut lines, line);
                    }
                },
                Event::Alias(_) => {
                    value_path(&mut open, &mut lines, line);
                }
                Event::MappingStart(..) => {
                    let path = value_path(&mut open, &mut lines, line);
                    open.push(Open::Map { path, key: None });
                }
                Event::SequenceStart(..) => {
                    let path = value_path(&mut open, &mut lines, line);
                    open.push(Open::List { path, next: 0 });
                }
                Event::MappingEnd | Event::SequenceEnd => {
                    open.pop();
                }
                Event::DocumentEnd => break,
                Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) => {}
            }
        }
        Ok(Self { lines })
    }

    /// The line of a key, or of the nearest one around it.
    pub(super) fn line_of(&self, key: &str) -> Option<usize> {
        let mut key = key;
        loop {
            if let Some(line) = self.lines.get(key) {
                return Some(*line);
            }
            key = &key[..key.rfind(['.', '['])?];
        }
    }

    /// Whether the file has exactly this key.
    pub(super) fn has(&self, key: &str) -> bool {
        self.lines.contains_key(key)
    }
}

/// The path of the value that begins here. A value completes the pair or element of the collection around it.
fn value_path(open: &mut [Open], lines: &mut BTreeMap<String, usize>, line: usize) -> String {
    match open.last_mut() {
        None => String::new(),
        // A collection as a key has no name; the YAML reader refuses it.
        Some(Open::Map { path, key }) => match key.take() {
            Some(key) => join(path, &key),
            None => path.clone(),
        },
        Some(Open::List { path, next }) => {
            let name = format!("{path}[{next}]");
            *next += 1;
            lines.insert(name.clone(), line);
            name
        }
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_elements_and_what_is_inside() {
        let text = "a: 1\nb:\n  c: [x, y]\n  d:\n  - e: 1\n    f: {g: 2}\n\nh: &n\n  i: 1\nj: *n\n";
        let positions = Positions::of(text).unwrap();
        for (key, line) in [("a", 1), ("b.c", 3), ("b.c[1]", 3), ("b.d[0].f.g", 6), ("h.i", 9), ("j.i", 10), ("b.d[0].zz", 5)] {
            assert_eq!(positions.line_of(key), Some(line), "{key}");
        }
        assert_eq!(positions.line_of("zz"), None);
        assert!(positions.has("b.c") && !positions.has("b.x"));
    }

    #[test]
    fn twice() {
        let (line, problem) = Positions::of("a: 1\nb: 2\na: 3\n").err().unwrap();
        assert_eq!((line, problem.as_str()), (3, "a: is given twice, first in line 1; remove one of them"));
    }

    #[test]
    fn not_yaml() {
        let (line, problem) = Positions::of("a: 1\nb: [1\nc: 2\n").err().unwrap();
        assert!(line >= 2 && problem.starts_with("is not valid YAML"), "{line} {problem}");
    }
}
