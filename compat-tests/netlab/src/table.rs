//! A table of text, aligned, that Markdown reads as well.

/// Lines of a table: the first column to the left, the others to the right.
pub(crate) fn lines(head: &[String], rows: &[Vec<String>]) -> Vec<String> {
    let widths: Vec<usize> = head
        .iter()
        .enumerate()
        .map(|(i, title)| {
            let cells = rows.iter().filter_map(|row| row.get(i));
            cells
                .chain([title])
                .map(|c| c.chars().count())
                .max()
                .unwrap_or(0)
                .max(3)
        })
        .collect();
    let line = |cells: &[String]| {
        let padded = widths.iter().enumerate().map(|(i, width)| {
            let cell = cells.get(i).map_or("", String::as_str);
            if i == 0 {
                format!("{cell:<width$}")
            } else {
                format!("{cell:>width$}")
            }
        });
        format!("| {} |", padded.collect::<Vec<_>>().join(" | "))
    };
    let rule = widths.iter().enumerate().map(|(i, width)| {
        let dashes = "-".repeat(width - usize::from(i > 0));
        if i == 0 { dashes } else { dashes + ":" }
    });
    let rule = format!("| {} |", rule.collect::<Vec<_>>().join(" | "));
    let mut out = vec![line(head), rule];
    out.extend(rows.iter().map(|row| line(row)));
    out
}

/// A number with this many decimals; a dash where there is none.
pub(crate) fn number(value: Option<f64>, decimals: usize) -> String {
    value.map_or_else(|| "-".to_owned(), |v| format!("{v:.decimals$}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let head = ["engine", "s"].map(str::to_owned);
        let rows = [
            vec!["a".to_owned(), "12.5".to_owned()],
            vec!["chunkcast".to_owned()],
        ];
        assert_eq!(
            lines(&head, &rows),
            [
                "| engine    |    s |",
                "| --------- | ---: |",
                "| a         | 12.5 |",
                "| chunkcast |      |",
            ]
        );
    }

    #[test]
    fn numbers_are_rounded_and_missing_ones_shown() {
        assert_eq!(number(Some(1.25), 1), "1.2");
        assert_eq!(number(Some(2.0), 2), "2.00");
        assert_eq!(number(None, 2), "-");
    }
}
