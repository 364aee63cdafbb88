//! Tables that are read as they are printed and as Markdown.

/// Text in the first column, figures in the others.
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new<const N: usize>(columns: [&str; N]) -> Self {
        Self {
            rows: vec![columns.map(str::to_owned).into()],
        }
    }

    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.into());
    }

    pub(crate) fn print(&self) {
        let widths: Vec<usize> = (0..self.rows[0].len())
            .map(|column| self.rows.iter().map(move |row| row[column].chars().count()))
            .map(|widths| widths.max().unwrap_or_default())
            .collect();
        for (number, row) in self.rows.iter().enumerate() {
            print_row(row, &widths);
            if number == 0 {
                print_rule(&widths);
            }
        }
    }
}

fn print_row(row: &[String], widths: &[usize]) {
    print!("| {:<1$} |", row[0], widths[0]);
    for (cell, width) in row.iter().zip(widths).skip(1) {
        print!(" {cell:>width$} |");
    }
    println!();
}

fn print_rule(widths: &[usize]) {
    print!("| {} |", "-".repeat(widths[0]));
    for width in &widths[1..] {
        print!(" {}: |", "-".repeat(width.saturating_sub(1)));
    }
    println!();
}
