//! Tables and other text for a terminal.

use std::io::{self, IsTerminal, Write};

use anyhow::Context;
use jiff::{Timestamp, Unit};

pub use crate::text::clean;

/// Prints a table; columns are as wide as their widest cell.
pub fn columns<const N: usize>(
    out: &mut impl Write,
    head: [&str; N],
    rows: impl Iterator<Item = [String; N]>,
) -> io::Result<()> {
    let rows: Vec<_> = rows.collect();
    let mut widths = head.map(str::len);
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    writeln!(out, "{}", bold(&line(&head, &widths)))?;
    for row in &rows {
        writeln!(out, "{}", line(row, &widths))?;
    }
    Ok(())
}

fn line(cells: &[impl AsRef<str>], widths: &[usize]) -> String {
    let cells = cells.iter().zip(widths);
    let padded: Vec<_> = cells.map(|(cell, width)| format!("{:width$}", cell.as_ref())).collect();
    padded.join("  ").trim_end().to_owned()
}

/// In bold, where standard output is a terminal that shows it.
pub fn bold(text: &str) -> String {
    if is_coloured() { format!("\x1b[1m{text}\x1b[0m") } else { text.to_owned() }
}

/// Styles are for terminals, and not for those who do not want them (no-color.org).
pub fn is_coloured() -> bool {
    let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    io::stdout().is_terminal() && !unwanted
}

/// To the second.
pub fn instant(instant: Timestamp) -> String {
    instant.round(Unit::Second).unwrap_or(instant).to_string()
}

/// What came of printing: whoever closes the pipe has seen enough.
pub fn printed(result: io::Result<()>) -> anyhow::Result<()> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(error).context("cannot print")
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_end_without_spaces() {
        let rows = [["a".to_owned(), "b".to_owned()], ["länger".to_owned(), "c".to_owned()]];
        let mut out = Vec::new();
        columns(&mut out, ["X", "Y"], rows.into_iter()).expect("written");
        let text = String::from_utf8(out).expect("text");
        assert_eq!(text, "X       Y\na       b\nlänger  c\n");
    }
}
