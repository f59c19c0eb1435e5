//! What commands print: tables, JSON, YAML, names; quiet when nobody reads any more.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use clap::ValueEnum;
use jiff::Timestamp;
use serde::Serialize;

use crate::failure::Failure;

/// What `-o` takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A table with more columns.
    Wide,
    /// JSON.
    Json,
    /// YAML.
    Yaml,
    /// Names, one a line.
    Name,
}

/// What `-o` takes where there is no table with names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Document {
    /// JSON.
    Json,
    /// YAML.
    Yaml,
}

/// Prints text; a reader that has gone is no error but the end.
///
/// # Errors
/// Standard output cannot be written.
pub fn print(text: &str) -> Result<(), Failure> {
    print_bytes(text.as_bytes())
}

/// Prints bytes; a reader that has gone is no error but the end.
///
/// # Errors
/// Standard output cannot be written.
pub fn print_bytes(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)
        .and_then(|()| out.flush())
        .map_err(write_failure)
}

/// What comes of an error of writing to standard output: `| head` is no reason to say anything.
pub fn write_failure(error: io::Error) -> Failure {
    if error.kind() == io::ErrorKind::BrokenPipe {
        // As a program that SIGPIPE ends.
        return Failure::quiet(128 + 13);
    }
    Failure::own(format!("cannot write to standard output: {error}"))
}

/// Prints a value as JSON or YAML.
///
/// # Errors
/// Standard output cannot be written.
pub fn document(value: &impl Serialize, format: Document) -> Result<(), Failure> {
    let text = match format {
        Document::Json => {
            let mut text = serde_json::to_string_pretty(value)?;
            text.push('\n');
            text
        }
        Document::Yaml => serde_yaml_ng::to_string(value)?,
    };
    print(&text)
}

/// Whether standard error is a terminal: progress bars and hints go there.
pub fn is_interactive() -> bool {
    io::stderr().is_terminal()
}

/// A table with aligned columns.
#[derive(Debug)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these headings.
    pub fn new(headings: &[&str]) -> Self {
        Self {
            rows: vec![headings.iter().map(|&h| h.to_owned()).collect()],
        }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// Leaves the headings out.
    pub fn without_headings(&mut self) {
        self.rows.remove(0);
    }

    /// The table as text. Cells are two blanks apart; nothing stands at a line's end.
    pub fn render(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |cell: &String| cell.chars().count();
        let widths: Vec<usize> = (0..columns)
            .map(|i| {
                let cells = self.rows.iter().filter_map(|row| row.get(i));
                cells.map(width).max().unwrap_or(0)
            })
            .collect();
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for (cell, &column) in row.iter().zip(&widths) {
                line.push_str(cell);
                let blanks = column - width(cell) + 2;
                line.extend(std::iter::repeat_n(' ', blanks));
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// A time as people say it: `5 seconds`, `3 minutes`, `2 days`.
pub fn rough(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (count, unit) = match seconds {
        0 => return "less than a second".to_owned(),
        1..60 => (seconds, "second"),
        60..3600 => (seconds / 60, "minute"),
        3600..172_800 => (seconds / 3600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {unit}{plural}")
}

/// How long ago that was, as people say it; a time to come counts as now.
pub fn ago(then: Timestamp) -> String {
    format!("{} ago", rough(since(then)))
}

/// How long ago that was; a time to come counts as now.
pub fn since(then: Timestamp) -> Duration {
    let nanoseconds = Timestamp::now().as_nanosecond() - then.as_nanosecond();
    Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(0))
}

/// A number of bytes as people read it: `3.2 MiB`.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    let mut value = count as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// An amount in a unit, to hundredths while it is small: `1.29`, `724`. Whole numbers all the way.
pub fn amount(value: u128, unit: u128) -> String {
    let hundredths = value.saturating_mul(100).saturating_add(unit / 2) / unit;
    match hundredths {
        0..10_000 => format!("{}.{:02}", hundredths / 100, hundredths % 100),
        _ => (value.saturating_add(unit / 2) / unit).to_string(),
    }
}

/// A length of time in nanoseconds, as people say it: `1.29 s`, `2 h 3 min 4 s`.
pub fn duration(nanoseconds: u128) -> String {
    const SECOND: u128 = 1_000_000_000;
    if nanoseconds < 100 * SECOND {
        return format!("{} s", amount(nanoseconds, SECOND));
    }
    let whole = (nanoseconds + SECOND / 2) / SECOND;
    let (hours, minutes, seconds) = (whole / 3600, whole / 60 % 60, whole % 60);
    match hours {
        0 => format!("{minutes} min {seconds} s"),
        _ => format!("{hours} h {minutes} min {seconds} s"),
    }
}

/// Writes a line to standard error as it is.
pub fn eprint_line(line: &str) {
    // Nobody may be left to read it.
    let _ = writeln!(io::stderr(), "{line}");
}

/// A text cut to so many characters, with a mark where it was cut.
pub fn cut(text: &str, limit: usize) -> String {
    if text.chars().count() <= limit {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(limit.saturating_sub(1)).collect();
    short.push('…');
    short
}

#[cfg(test)]
#[path = "output_test.rs"]
mod tests;
