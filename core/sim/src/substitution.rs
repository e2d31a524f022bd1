//! Bad changes of the engine's own source, as a committed list of exact substitutions.
//!
//! All of them are compiled into one scratch copy, each behind its number, and chosen when it runs: `old` becomes
//! `if mutant(N) { new } else { old }`. So a substitution stands where an expression or a statement does. One whose old text is not
//! found exactly once is an error: the list follows the source.

use crate::case::Case;
use std::{fs, path::Path};

/// One replaced stretch of source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// The file, from the root of the repository.
    pub file: String,
    /// What it says.
    pub old: String,
    /// What it says in the mutant.
    pub new: String,
}

/// One bad change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Substitution {
    /// Its name.
    pub name: String,
    /// What it breaks.
    pub why: String,
    /// Why no schedule shows it, where that is so.
    pub unseen: Option<String>,
    /// A seed that shows it and is tried first: for what few schedules show.
    pub seed: Option<Case>,
    /// Where.
    pub edits: Vec<Edit>,
}

/// Reads a list: `# name`, `! what it breaks`, perhaps `~ why no schedule shows it` or `? seed that shows it`, then per edit `@ file`,
/// lines of `- old` and of `+ new`. Other lines are notes.
pub fn parse(text: &str) -> Result<Vec<Substitution>, String> {
    let mut list: Vec<Substitution> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let place = |what: &str| format!("line {}: {what}", number + 1);
        let Some((mark, rest)) = line.split_once(' ') else { continue };
        match mark {
            "#" => {
                list.push(Substitution { name: rest.to_owned(), why: String::new(), unseen: None, seed: None, edits: Vec::new() })
            }
            "?" => {
                let seed = rest.parse().map_err(|why: String| place(&why))?;
                list.last_mut().ok_or_else(|| place("a seed of nothing"))?.seed = Some(seed);
            }
            "~" => list.last_mut().ok_or_else(|| place("a reason of nothing"))?.unseen = Some(rest.to_owned()),
            "!" => list.last_mut().ok_or_else(|| place("a reason of nothing"))?.why = rest.to_owned(),
            "@" => {
                let edit = Edit { file: rest.to_owned(), old: String::new(), new: String::new() };
                list.last_mut().ok_or_else(|| place("an edit of nothing"))?.edits.push(edit);
            }
            "-" | "+" => {
                let edit = list.last_mut().and_then(|last| last.edits.last_mut()).ok_or_else(|| place("text of no file"))?;
                let side = if mark == "-" { &mut edit.old } else { &mut edit.new };
                if !side.is_empty() {
                    side.push('\n');
                }
                side.push_str(rest);
            }
            _ => {}
        }
    }
    match list.iter().find(|one| one.why.is_empty() || one.edits.is_empty()) {
        Some(bare) => Err(format!("{} has no reason or no edit", bare.name)),
        None => Ok(list),
    }
}

/// Text in which `old` stands once, with the choice in its place.
fn choose(text: &str, edit: &Edit, call: &str) -> Result<String, String> {
    let Edit { old, new, file } = edit;
    match text.matches(old.as_str()).count() {
        1 => Ok(text.replacen(old.as_str(), &format!("(if {call} {{ {new} }} else {{ {old} }})"), 1)),
        found => Err(format!("{file} has {found} times: {old}")),
    }
}

/// Puts the choice into the copy under `root`.
pub fn replace(root: &Path, edit: &Edit, call: &str) -> Result<(), String> {
    let path = root.join(&edit.file);
    let told = |error: std::io::Error| format!("{}: {error}", path.display());
    let text = fs::read_to_string(&path).map_err(told)?;
    fs::write(&path, choose(&text, edit, call)?).map_err(told)
}

/// Makes every substitution, numbered from one, in the copy under `root`.
pub fn apply(list: &[Substitution], root: &Path) -> Result<(), String> {
    for (number, substitution) in list.iter().enumerate() {
        for edit in &substitution.edits {
            let home = if edit.file.starts_with("core/engine/") { "crate" } else { "tanist_engine" };
            replace(root, edit, &format!("{home}::mutant({})", number + 1))
                .map_err(|error| format!("{}: {error}", substitution.name))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_list_applies_to_the_source_as_it_is() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let list = parse(include_str!("../mutants/engine.txt")).unwrap();
        for edit in list.iter().flat_map(|substitution| &substitution.edits) {
            let text = fs::read_to_string(root.join(&edit.file)).unwrap();
            choose(&text, edit, "mutant(1)").unwrap();
        }
    }

    #[test]
    fn what_stands_twice_or_not_at_all_is_refused() {
        let edit = |old: &str| Edit { file: "f".into(), old: old.into(), new: "b".into() };
        assert_eq!(choose("x = a;", &edit("a"), "m(1)").unwrap(), "x = (if m(1) { b } else { a });");
        assert!(choose("a + a", &edit("a"), "m(1)").is_err());
        assert!(choose("c", &edit("a"), "m(1)").is_err());
        assert!(parse("# one\n@ f\n- a\n+ b\n").is_err(), "no reason");
        assert!(parse("# one\n! why\n? x\n@ f\n- a\n+ b\n").is_err(), "no seed");
        assert_eq!(parse("# one\n! why\n? 7\n@ f\n- a\n+ b\n").unwrap()[0].seed, Some(7.into()));
    }
}
