//! `synchronous_standby_names`: the forms the engine uses, as text and back.

use std::collections::BTreeSet;
use tanist_engine::{MemberName, SyncNames};

/// Matches no standby: no member may have this name.
pub const RESERVED: &str = "__tanist_nobody__";

/// The longest `application_name` that PostgreSQL does not cut.
const LONGEST: usize = 63;

/// Whether PostgreSQL keeps this as an `application_name` and it can be told from the reserved name and the wildcard.
pub fn is_valid_member(name: &MemberName) -> bool {
    let text = &name.0;
    (1..=LONGEST).contains(&text.len())
        && text.bytes().all(|b| (0x20..0x7f).contains(&b))
        && text != "*"
        && !text.eq_ignore_ascii_case(RESERVED)
}

/// The value of the parameter.
pub fn render(names: &SyncNames) -> String {
    match names {
        SyncNames::Nobody => String::new(),
        SyncNames::Reserved => list("FIRST", 1, [RESERVED].into_iter()),
        // An empty list, or none of a list, would mean "commits wait for nobody", which only `Nobody` may say.
        SyncNames::FirstOf { count: 0, .. } | SyncNames::AnyOf { count: 0, .. } => render(&SyncNames::Reserved),
        SyncNames::FirstOf { standbys, .. } | SyncNames::AnyOf { standbys, .. } if standbys.is_empty() => {
            render(&SyncNames::Reserved)
        }
        SyncNames::FirstOf { count, standbys } => list("FIRST", *count, standbys.iter().map(|name| name.0.as_str())),
        SyncNames::AnyOf { count, standbys } => list("ANY", *count, standbys.iter().map(|name| name.0.as_str())),
    }
}

fn list<'a>(method: &str, count: u32, names: impl Iterator<Item = &'a str>) -> String {
    let quoted: Vec<String> = names.map(|name| format!("\"{}\"", name.replace('"', "\"\""))).collect();
    format!("{method} {count} ({})", quoted.join(", "))
}

/// The names that a value of ours stands for; `None` for any other value.
pub fn parse(value: &str) -> Option<SyncNames> {
    if value.is_empty() {
        return Some(SyncNames::Nobody);
    }
    let (any, rest) = match value.strip_prefix("ANY ") {
        Some(rest) => (true, rest),
        None => (false, value.strip_prefix("FIRST ")?),
    };
    let (number, rest) = rest.split_once(" (")?;
    let count = number.parse().ok().filter(|count| *count > 0 && number.bytes().all(|digit| digit.is_ascii_digit()))?;
    let mut rest = rest.strip_suffix(')')?;
    let mut members = BTreeSet::new();
    loop {
        rest = rest.strip_prefix('"')?;
        let mut name = String::new();
        loop {
            let at = rest.find('"')?;
            name.push_str(&rest[..at]);
            rest = &rest[at + 1..];
            match rest.strip_prefix('"') {
                Some(after) => {
                    name.push('"');
                    rest = after;
                }
                None => break,
            }
        }
        members.insert(MemberName(name.into()));
        if rest.is_empty() {
            break;
        }
        rest = rest.strip_prefix(", ")?;
    }
    let reserved = members.len() == 1 && members.iter().all(|name| name.0 == RESERVED);
    Some(match (reserved, any) {
        (true, _) => SyncNames::Reserved,
        (false, true) => SyncNames::AnyOf { count, standbys: members },
        (false, false) => SyncNames::FirstOf { count, standbys: members },
    })
}

/// What a walsender does not show of its names: whether any or the first count, and how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Form {
    any: bool,
    count: u32,
}

/// The form of these names as they are rendered. Whose priorities are all zero releases nobody, so that of none does not matter.
pub(crate) fn form(names: &SyncNames) -> Form {
    let (count, _) = names.demand().unwrap_or((1, &BTreeSet::new()));
    Form { any: matches!(names, SyncNames::AnyOf { .. }), count }
}

/// The `sync_priority` that a walsender for this `application_name` has once these names reached it. PostgreSQL compares without
/// regard to case and counts from one.
pub(crate) fn priority(names: &SyncNames, application_name: &str) -> i32 {
    let Some((_, members)) = names.demand() else { return 0 };
    // With `ANY` PostgreSQL gives everybody the priority 1.
    if matches!(names, SyncNames::AnyOf { .. }) {
        return i32::from(members.iter().any(|name| name.0.eq_ignore_ascii_case(application_name)));
    }
    let at = members.iter().position(|name| name.0.eq_ignore_ascii_case(application_name));
    at.and_then(|at| i32::try_from(at + 1).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_back() {
        for names in [
            SyncNames::Nobody,
            SyncNames::Reserved,
            SyncNames::one("b".into()),
            SyncNames::AnyOf { count: 2, standbys: ["b".into(), "c".into()].into() },
            SyncNames::FirstOf { count: 2, standbys: ["a, b".into(), "q\"uo\"\"te".into(), "with ) brace".into()].into() },
        ] {
            assert_eq!(parse(&render(&names)), Some(names));
        }
        assert_eq!(render(&SyncNames::one("a\"b".into())), "FIRST 1 (\"a\"\"b\")");
        for other in [
            "*",
            "a",
            "ANY 0 (\"a\")",
            "FIRST +2 (\"a\")",
            "FIRST 1 (a)",
            "FIRST 1 (\"a\"",
            "FIRST 1 ()",
            "FIRST 1 (\"a\" \"b\")",
        ] {
            assert_eq!(parse(other), None, "{other}");
        }
    }

    #[test]
    fn an_empty_list_never_loosens() {
        assert_eq!(parse(&render(&SyncNames::FirstOf { count: 1, standbys: BTreeSet::new() })), Some(SyncNames::Reserved));
    }

    #[test]
    fn priorities_count_from_one() {
        let names = SyncNames::FirstOf { count: 1, standbys: ["a".into(), "b".into()].into() };
        assert_eq!((priority(&names, "A"), priority(&names, "b"), priority(&names, "c")), (1, 2, 0));
        let any = SyncNames::AnyOf { count: 1, standbys: ["a".into(), "b".into()].into() };
        assert_eq!((priority(&any, "A"), priority(&any, "b"), priority(&any, "c")), (1, 1, 0));
        assert_eq!(priority(&SyncNames::Reserved, "a"), 0);
        assert_eq!(priority(&SyncNames::Nobody, "a"), 0);
    }
}
