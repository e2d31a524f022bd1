//! Tables, in patronictl's forms: drawn for people, separated by tabs, JSON, YAML.

use super::remote::Format;
use serde_json::{Map, Value};

/// A table in the wanted form: its title is for people only, and so are empty cells. Cells are texts, numbers or null.
pub fn print(title: &str, head: &[&str], rows: &[Vec<Value>], format: Format) -> String {
    let object = |row: &Vec<Value>| {
        let fields = head.iter().zip(row).map(|(name, cell)| ((*name).to_owned(), cell.clone()));
        Value::Object(fields.collect::<Map<_, _>>())
    };
    let cells = || {
        let head = head.iter().map(|name| (*name).to_owned()).collect();
        std::iter::once(head).chain(rows.iter().map(|row| row.iter().map(text).collect())).collect::<Vec<Vec<String>>>()
    };
    match format {
        Format::Json => Value::Array(rows.iter().map(object).collect()).to_string(),
        Format::Yaml => {
            let objects: Vec<Value> = rows.iter().map(object).collect();
            serde_norway::to_string(&objects).unwrap_or_default().trim_end().to_owned()
        }
        Format::Tsv => cells().iter().map(|row| row.join("\t")).collect::<Vec<_>>().join("\n"),
        Format::Pretty => draw(title, &cells()),
    }
}

fn text(cell: &Value) -> String {
    match cell {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Draws a table under a title. The first row is the head.
fn draw(title: &str, rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns)
        .map(|column| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0))
        .collect();
    let line: String = widths.iter().fold("+".to_owned(), |line, width| line + &"-".repeat(width + 2) + "+");
    let titled = if title.is_empty() { line.clone() } else { format!("+ {title} ") };
    let top = if titled.chars().count() < line.len() {
        let rest: String = line.chars().skip(titled.chars().count()).collect();
        titled + &rest
    } else if title.is_empty() {
        titled
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
    use super::{Format, draw, print};
    use serde_json::json;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [vec!["Member".into(), "TL".into()], vec!["a".into(), "12".into()], vec!["wider-name".into()]];
        let rule = "+------------+----+";
        let expected =
            format!("+ Cluster: x +----+\n| Member     | TL |\n{rule}\n| a          | 12 |\n| wider-name |    |\n{rule}");
        assert_eq!(draw("Cluster: x", &rows), expected);
    }

    #[test]
    fn every_form_says_the_same() {
        let rows = [vec![json!(1), json!("a b")], vec![json!(2), json!(null)]];
        let form = |format| print("", &["TL", "Reason"], &rows, format);
        assert_eq!(
            form(Format::Pretty),
            "+----+--------+\n| TL | Reason |\n+----+--------+\n| 1  | a b    |\n| 2  |        |\n+----+--------+"
        );
        assert_eq!(form(Format::Tsv), "TL\tReason\n1\ta b\n2\t");
        assert_eq!(form(Format::Json), r#"[{"Reason":"a b","TL":1},{"Reason":null,"TL":2}]"#);
        assert_eq!(form(Format::Yaml), "- Reason: a b\n  TL: 1\n- Reason: null\n  TL: 2");
    }
}
