//! Tables of text.

use std::io::IsTerminal;

use crate::cli::output::{print_line, printable};

/// The least width that a column which gives way is cut to.
const LEAST: usize = 12;

/// A column: its heading, and whether it is aligned to the right.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    pub(super) heading: &'static str,
    pub(super) right: bool,
    /// On a terminal that is too narrow it is cut.
    pub(super) gives_way: bool,
}

/// Text.
pub(super) const fn left(heading: &'static str) -> Column {
    Column {
        heading,
        right: false,
        gives_way: false,
    }
}

/// Numbers.
pub(super) const fn right(heading: &'static str) -> Column {
    Column {
        heading,
        right: true,
        gives_way: false,
    }
}

/// Text that is cut where there is no room.
pub(super) const fn name(heading: &'static str) -> Column {
    Column {
        heading,
        right: false,
        gives_way: true,
    }
}

/// Prints rows under their headings, as wide as the terminal if there is one.
pub(super) fn print(columns: &[Column], rows: Vec<Vec<String>>) {
    let terminal = std::io::stdout().is_terminal();
    let width = terminal
        .then(|| rustix::termios::tcgetwinsize(std::io::stdout()).ok())
        .flatten()
        .map(|size| usize::from(size.ws_col))
        .filter(|width| *width > 0);
    for line in lines(columns, rows, width) {
        print_line(&line);
    }
}

fn lines(columns: &[Column], rows: Vec<Vec<String>>, width: Option<usize>) -> Vec<String> {
    let heading = columns.iter().map(|c| c.heading.to_owned()).collect();
    let rows: Vec<Vec<String>> = std::iter::once(heading)
        .chain(rows)
        .map(|row: Vec<String>| {
            row.iter()
                .map(|cell| printable(cell).into_owned())
                .collect()
        })
        .collect();
    let length = |cell: &String| cell.chars().count();
    let mut widths: Vec<usize> = (0..columns.len())
        .map(|i| rows.iter().map(|row| length(&row[i])).max().unwrap_or(0))
        .collect();
    let all: usize = widths.iter().sum::<usize>() + 2 * columns.len().saturating_sub(1);
    let mut excess = all.saturating_sub(width.unwrap_or(usize::MAX));
    for (_, width) in columns.iter().zip(&mut widths).filter(|(c, _)| c.gives_way) {
        let cut = excess.min(width.saturating_sub(LEAST));
        *width -= cut;
        excess -= cut;
    }
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(columns).zip(&widths);
        let cells: Vec<String> = cells
            .map(|((cell, column), width)| {
                let mut cell = cell.clone();
                if length(&cell) > *width {
                    cell = cell.chars().take(width.saturating_sub(1)).collect();
                    cell.push('…');
                }
                match column.right {
                    true => format!("{cell:>width$}"),
                    false => format!("{cell:<width$}"),
                }
            })
            .collect();
        cells.join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_names_give_way() {
        let columns = [right("#"), name("NAME"), left("STATE")];
        let row = |n: &str, name: &str| vec![n.to_owned(), name.to_owned(), "seeding".to_owned()];
        let rows = vec![
            row("1", "übung"),
            row("10", "a-very-long-name-of-a-torrent"),
        ];
        let wide = lines(&columns, rows.clone(), None);
        assert_eq!(wide[1], " 1  übung                          seeding");
        assert_eq!(wide[2], "10  a-very-long-name-of-a-torrent  seeding");
        let narrow = lines(&columns, rows.clone(), Some(30));
        assert_eq!(narrow[0], " #  NAME               STATE");
        assert_eq!(narrow[2], "10  a-very-long-name…  seeding");
        let least = lines(&columns, rows, Some(1));
        assert_eq!(least[2], "10  a-very-long…  seeding");
    }
}
