//! `/explain`: the flight recorder's memory, oldest first.

use super::Api;
use tanist_patroni::rest_text;

/// The body.
pub(super) fn body(api: &Api) -> String {
    rest_text(&api.story.lines())
}
