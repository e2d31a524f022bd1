//! Quoting for PostgreSQL's files and SQL: what goes in comes out of the server's parser unchanged, whatever it contains.
//! NUL is excluded by [`crate::Settings::validate`].

/// A value in `postgresql.conf`: single quotes, with the escapes that `guc-file.l` undoes.
pub(crate) fn guc(value: &str) -> String {
    let mut out = String::with_capacity(value.len() + 2);
    out.push('\'');
    for c in value.chars() {
        match c {
            '\'' => out.push_str("''"),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            c => out.push(c),
        }
    }
    out.push('\'');
    out
}

/// The inverse of [`guc`]; `None`: it is not one of its texts.
pub(crate) fn unquote(text: &str) -> Option<String> {
    let mut inner = text.strip_prefix('\'')?.strip_suffix('\'')?.chars();
    let mut out = String::new();
    while let Some(c) = inner.next() {
        out.push(match c {
            '\'' => inner.next().filter(|c| *c == '\'')?,
            '\\' => match inner.next()? {
                'n' => '\n',
                'r' => '\r',
                other => other,
            },
            c => c,
        });
    }
    Some(out)
}

/// A value in a libpq connection string.
pub(crate) fn conninfo(value: &str) -> String {
    if !value.is_empty() && value.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-./:".contains(&b)) {
        return value.to_owned();
    }
    let mut out = String::with_capacity(value.len() + 2);
    out.push('\'');
    for c in value.chars() {
        if matches!(c, '\'' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('\'');
    out
}

/// A field of a password file.
pub(crate) fn pgpass(field: &str) -> String {
    field.replace('\\', "\\\\").replace(':', "\\:")
}

/// An SQL identifier.
pub(crate) fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// An SQL string constant, right for both settings of `standard_conforming_strings`.
pub(crate) fn literal(text: &str) -> String {
    if text.contains('\\') {
        format!(" E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
    } else {
        format!("'{}'", text.replace('\'', "''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_breaks_out() {
        assert_eq!(guc("it's"), "'it''s'");
        assert_eq!(guc("a\\'\nb = 1"), "'a\\\\''\\nb = 1'");
        for text in ["", "it's", "a\\'\nb = 1\r", "128MB"] {
            assert_eq!(unquote(&guc(text)).as_deref(), Some(text));
        }
        assert_eq!(unquote("'a'b'"), None);
        assert_eq!(conninfo("node-1.example"), "node-1.example");
        assert_eq!(conninfo(""), "''");
        assert_eq!(conninfo("x' host=evil \\"), "'x\\' host=evil \\\\'");
        assert_eq!(pgpass("p:w\\"), "p\\:w\\\\");
        assert_eq!(identifier("a\"b"), "\"a\"\"b\"");
        assert_eq!(literal("a'b"), "'a''b'");
        assert_eq!(literal("a\\'b"), " E'a\\\\''b'");
    }
}
