//! Tables on the terminal, in patronictl's form.

/// Draws a table under a title. The first row is the head.
pub fn draw(title: &str, rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns)
        .map(|column| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0))
        .collect();
    let line: String = widths.iter().fold("+".to_owned(), |line, width| line + &"-".repeat(width + 2) + "+");
    let titled = format!("+ {title} ");
    let top = if titled.chars().count() < line.len() {
        let rest: String = line.chars().skip(titled.chars().count()).collect();
        titled + &rest
    } else {
        titled + "+"
    };
    let mut text = top + "\n";
    for (index, row) in rows.iter().enumerate() {
        for (column, width) in widths.iter().enumerate() {
            let cell = row.get(column).map_or("", String::as_str);
            let pad = " ".repeat(width - cell.chars().count());
            text += &format!("| {cell}{pad} ");
        }
        text += "|\n";
        if index == 0 {
            text += &format!("{line}\n");
        }
    }
    text + &line
}

#[cfg(test)]
mod tests {
    use super::draw;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [vec!["Member".into(), "TL".into()], vec!["a".into(), "12".into()], vec!["wider-name".into()]];
        let rule = "+------------+----+";
        let expected =
            format!("+ Cluster: x +----+\n| Member     | TL |\n{rule}\n| a          | 12 |\n| wider-name |    |\n{rule}");
        assert_eq!(draw("Cluster: x", &rows), expected);
    }
}
