//! Where commands write: data, and notes for people.

use std::fmt;
use std::io::{self, BufWriter, Write};

use serde::Serialize;

/// How data is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people
    #[default]
    Text,
    /// One JSON object per line
    Json,
}

/// The streams of a command.
pub struct Output {
    data: BufWriter<Box<dyn Write + Send>>,
    notes: Box<dyn Write + Send>,
}

impl Output {
    /// Data goes to `data`, buffered; notes go to `notes`.
    pub fn new(data: impl Write + Send + 'static, notes: impl Write + Send + 'static) -> Output {
        Output { data: BufWriter::new(Box::new(data)), notes: Box::new(notes) }
    }

    /// Standard output and standard error.
    pub fn standard() -> Output {
        Output::new(io::stdout(), io::stderr())
    }

    /// Writes one line of data.
    pub(crate) fn line(&mut self, line: impl fmt::Display) -> io::Result<()> {
        writeln!(self.data, "{line}")
    }

    /// Writes one record as a line of JSON.
    pub(crate) fn json(&mut self, record: &impl Serialize) -> io::Result<()> {
        serde_json::to_writer(&mut self.data, record)?;
        writeln!(self.data)
    }

    /// Writes rows in aligned columns, under a header.
    pub(crate) fn table(&mut self, header: &[&str], rows: &[Vec<String>]) -> io::Result<()> {
        let header = header.iter().map(|cell| (*cell).to_owned()).collect();
        self.aligned(std::iter::once(&header).chain(rows))
    }

    /// Writes rows in aligned columns.
    pub(crate) fn rows(&mut self, rows: &[Vec<String>]) -> io::Result<()> {
        self.aligned(rows.iter())
    }

    fn aligned<'a>(
        &mut self,
        rows: impl Iterator<Item = &'a Vec<String>> + Clone,
    ) -> io::Result<()> {
        let mut widths: Vec<usize> = Vec::new();
        for row in rows.clone() {
            widths.resize(widths.len().max(row.len()), 0);
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        for row in rows {
            let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
            let line = cells.collect::<Vec<_>>().join("  ");
            writeln!(self.data, "{}", line.trim_end())?;
        }
        Ok(())
    }

    /// Hands buffered data on.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.data.flush()
    }

    /// Tells people something. A closed error stream is nothing to fail for.
    pub(crate) fn note(&mut self, text: impl fmt::Display) {
        let _ = writeln!(self.notes, "{text}");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use sink::Shared;

    use super::*;

    /// A sink that a test can read.
    mod sink {
        use std::io::{self, Write};
        use std::sync::{Arc, Mutex};

        #[derive(Clone, Default)]
        pub(super) struct Shared(pub(super) Arc<Mutex<Vec<u8>>>);

        impl Write for Shared {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.lock().unwrap().extend_from_slice(bytes);
                Ok(bytes.len())
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
    }

    // Columns are as wide as their widest cell, and lines have no trailing blanks.
    #[test]
    fn tables_are_aligned() {
        let sink = Shared(Arc::default());
        let mut output = Output::new(sink.clone(), io::sink());
        let rows = [vec!["a".to_owned(), "1".to_owned()], vec!["long".to_owned(), String::new()]];
        output.table(&["NAME", "N"], &rows).unwrap();
        output.flush().unwrap();
        let text = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text, "NAME  N\na     1\nlong\n");
    }
}
