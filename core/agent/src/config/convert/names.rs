//! Names of cluster, node and namespace. They become parts of keys, of PostgreSQL's settings, and of DNS names.

use super::super::{report::Report, spec::Text};
use tanist_engine::MemberName;

/// PostgreSQL cuts `application_name` and `cluster_name` here.
const LONGEST: usize = 63;

/// `name`.
pub(super) fn member(name: Option<Text>, report: &mut Report) -> Option<MemberName> {
    let Some(Text(name)) = name else {
        report.error("name", "is missing; give this node a name that no other node of the cluster has");
        return None;
    };
    let plain = !name.is_empty()
        && name.len() <= LONGEST
        && name.chars().all(|c| c.is_ascii_graphic() && !matches!(c, '/' | ',' | '"' | '*'));
    if !plain {
        report
            .error("name", "must have 1 to 63 printable ASCII characters without blanks, slashes, commas, quotes and asterisks");
        return None;
    }
    Some(MemberName(name.into()))
}

/// `scope`.
pub(super) fn scope(scope: Option<Text>, report: &mut Report) -> Option<String> {
    let Some(Text(scope)) = scope else {
        report.error("scope", "is missing; give the cluster a name");
        return None;
    };
    let plain = !scope.is_empty() && scope.len() <= LONGEST && scope.chars().all(|c| c.is_ascii_graphic() && c != '/');
    if !plain {
        report.error("scope", "must have 1 to 63 printable ASCII characters without blanks and slashes");
        return None;
    }
    Some(scope)
}

/// `namespace`, without slashes around it.
pub(super) fn namespace(namespace: Option<Text>, report: &mut Report) -> Option<String> {
    let Some(Text(namespace)) = namespace else { return Some("service".to_owned()) };
    let namespace = namespace.trim_matches('/');
    let plain =
        namespace.len() <= 255 && namespace.split('/').all(|part| !part.is_empty() && part.chars().all(|c| c.is_ascii_graphic()));
    if !plain {
        report.error("namespace", "must be a path of printable ASCII characters, for example service");
        return None;
    }
    Some(namespace.to_owned())
}

/// A domain name: labels of letters, digits, `-` and `_`. Returned in small letters without the dot at its end.
pub(super) fn domain(text: &str) -> Option<String> {
    let name = text.trim().trim_end_matches('.').to_ascii_lowercase();
    let label = |label: &str| {
        (1..=63).contains(&label.len()) && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    (!name.is_empty() && name.len() <= 253 && name.split('.').all(label)).then_some(name)
}
