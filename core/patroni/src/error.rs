//! Why a value from outside was not accepted.

/// Longest value of one key, in bytes. etcd's own limit for a request is 1.5 MiB, Consul's for a value 512 KiB; Patroni's values are
/// a few kilobytes.
pub const MAX_VALUE: usize = 256 * 1024;

/// A value that was not accepted. Names the key or body it was read from and, where there is one, the field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Longer than allowed; it was not looked at.
    #[error("{key}: {size} bytes are more than the {limit} that are allowed")]
    TooLong {
        /// Where it was read from.
        key: &'static str,
        /// Its length.
        size: usize,
        /// The longest accepted.
        limit: usize,
    },
    /// Not text, or not JSON.
    #[error("{key}: is not valid JSON (line {line}, column {column})")]
    Syntax {
        /// Where it was read from.
        key: &'static str,
        /// Where in it.
        line: usize,
        /// Where in it.
        column: usize,
    },
    /// A field that has to be there is not.
    #[error("{key}: {field} is missing")]
    Missing {
        /// Where it was read from.
        key: &'static str,
        /// The field, as a dotted path.
        field: String,
    },
    /// A field has the wrong type or a value out of its range. An empty field name stands for the whole value.
    #[error("{key}: {}must be {expected}", prefix(.field))]
    Wrong {
        /// Where it was read from.
        key: &'static str,
        /// The field, as a dotted path.
        field: String,
        /// What would have been accepted.
        expected: &'static str,
    },
}

impl DecodeError {
    /// The field, as a dotted path; empty when the whole value is meant.
    pub fn field(&self) -> &str {
        match self {
            Self::TooLong { .. } | Self::Syntax { .. } => "",
            Self::Missing { field, .. } | Self::Wrong { field, .. } => field,
        }
    }
}

fn prefix(field: &str) -> String {
    if field.is_empty() { String::new() } else { format!("{field} ") }
}
