//! Text in columns.

/// A table: the first column is flush left, all others flush right; heads have one or more lines.
pub(super) struct Grid {
    heads: Vec<Vec<String>>,
    rows: Vec<Vec<String>>,
}

impl Grid {
    /// One head a column; `|` parts its lines.
    pub(super) fn new<'a>(heads: impl IntoIterator<Item = &'a str>) -> Self {
        let heads = heads
            .into_iter()
            .map(|head| head.split('|').map(str::to_owned).collect())
            .collect();
        let rows = Vec::new();
        Self { heads, rows }
    }

    /// One cell a column.
    pub(super) fn row(&mut self, cells: Vec<String>) {
        debug_assert_eq!(cells.len(), self.heads.len(), "one cell a column");
        self.rows.push(cells);
    }

    /// Lines of equal columns, two spaces between them, each ended by a newline; columns with no cell but `-` are left out.
    pub(super) fn render(&self) -> String {
        let kept: Vec<usize> = (0..self.heads.len())
            .filter(|i| *i == 0 || self.rows.iter().any(|row| row[*i] != "-"))
            .collect();
        let width = |i: &usize| {
            let cells = self.rows.iter().map(|row| &row[*i]);
            let chars = |cell: &String| cell.chars().count();
            cells.chain(&self.heads[*i]).map(chars).max().unwrap_or(0)
        };
        let widths: Vec<usize> = kept.iter().map(width).collect();
        let line = |cell: &dyn Fn(usize) -> String| {
            let cells = kept.iter().zip(&widths).map(|(i, width)| match i {
                0 => format!("{:<width$}", cell(*i)),
                _ => format!("{:>width$}", cell(*i)),
            });
            let cells: Vec<String> = cells.collect();
            format!("{}\n", cells.join("  ").trim_end())
        };
        let high = self.heads.iter().map(Vec::len).max().unwrap_or(0);
        let mut out = String::new();
        for at in 0..high {
            // flush with the bottom line
            let head = |i: usize| {
                let lines = &self.heads[i];
                let above = high - lines.len();
                at.checked_sub(above)
                    .map_or_else(String::new, |at| lines[at].clone())
            };
            out += &line(&head);
        }
        for row in &self.rows {
            out += &line(&|i| row[i].clone());
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_under_heads_of_several_lines() {
        let mut grid = Grid::new(["name", "of|all", "empty", "n"]);
        grid.row(["long name", "1", "-", "10"].map(str::to_owned).to_vec());
        grid.row(["b", "20.5", "-", "-"].map(str::to_owned).to_vec());
        let expected = "             of\n\
                        name        all   n\n\
                        long name     1  10\n\
                        b          20.5   -\n";
        assert_eq!(grid.render(), expected);
    }
}
