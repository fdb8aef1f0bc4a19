//! Tables in a terminal: names to the left, numbers to the right.

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

/// The table as text; every column but the first `names` is set to the right.
pub fn text_table(head: &[&str], names: usize, rows: &[Vec<String>]) -> String {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(head).add_rows(rows);
    for column in table.column_iter_mut().skip(names) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.to_string()
}

/// A number with four significant digits, in plain notation where that is short.
pub fn number(value: f64) -> String {
    let power = if value == 0.0 { 0 } else { value.abs().log10().floor() as i32 };
    match power {
        _ if !value.is_finite() => value.to_string(),
        -3..=5 => format!("{value:.*}", (3 - power).max(0) as usize),
        _ => format!("{value:.3e}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_four_digits() {
        let texts = [0.0, 1.0, 123.456, 0.012344, 12345.6, 1.5e-6, -0.5].map(number);
        assert_eq!(texts, ["0.000", "1.000", "123.5", "0.01234", "12346", "1.500e-6", "-0.5000"]);
    }
}
