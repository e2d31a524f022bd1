//! Text from guests, made fit to be passed on.

/// At most `max` bytes of `text`, whole characters, with a mark where something was left out.
pub(crate) fn clip(text: &str, max: usize) -> String {
    if text.len() <= max {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(max.saturating_sub('…'.len_utf8()));
    format!("{}…", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::clip;

    #[test]
    fn clips_between_characters() {
        assert_eq!(clip("äöü", 6), "äöü");
        assert_eq!(clip("äöüß", 6), "ä…");
        assert_eq!(clip("abc", 0), "…");
    }
}
