//! `skete ledger`.

use std::io::{self, Write};
use std::ops::Range;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use jiff::Timestamp;
use serde::Serialize;
use skete_ledger::{
    ALL_HOURS, By, Hash, HourRow, Ledger as Book, LedgerError, Problem, Quantities, hour_begins,
};

use super::logs::since;
use super::usage::{FIGURES, figures_of};
use crate::failure::{Failure, OWN_ERROR, chain};
use crate::output::{self, Document, Table};
use crate::paths::Paths;

/// The ledger.
#[derive(Debug, Subcommand)]
pub enum Ledger {
    /// Take in what is new in this machine's usage journals, and close the hours that are over
    Ingest(Ingest),
    /// Show what the ledger holds
    Status(Status),
    /// Check that nothing in it was changed, and that every sum is right
    Verify(Verify),
    /// Show what each Namespace was given and used, at once, from the sums of the hours
    Usage(Usage),
    /// Write out what was given and used in each hour
    Export(Export),
    /// Copy the ledger to a new file, while others use it
    Backup(Backup),
}

impl Ledger {
    /// Does it.
    ///
    /// # Errors
    /// What the command could not do.
    pub fn run(&self, paths: &Paths) -> Result<u8, Failure> {
        match self {
            Self::Ingest(_) => ingest(paths),
            Self::Status(_) => status(&Book::open(&paths.ledger())?),
            Self::Verify(verify) => verify.run(&Book::open(&paths.ledger())?),
            Self::Usage(usage) => usage.run(&Book::open(&paths.ledger())?),
            Self::Export(export) => export.run(&Book::open(&paths.ledger())?),
            Self::Backup(backup) => {
                Book::open(&paths.ledger())?.backup(&backup.file)?;
                Ok(0)
            }
        }
    }
}

/// Take in what is new in this machine's usage journals.
///
/// However often it is done, and whenever it is killed, every record counts once. A journal that is
/// damaged is told of and not taken; the others are.
#[derive(Debug, Args)]
pub struct Ingest {}

fn ingest(paths: &Paths) -> Result<u8, Failure> {
    // What happens from now on may be in a journal before its hour is closed, or not.
    let hour = Timestamp::now().as_second().div_euclid(3600);
    let mut ledger = Book::create(&paths.ledger())?;
    let ingested = ledger.ingest(paths.journals().all()?)?;
    let closed = ledger.close_before(hour)?;
    for refused in &ingested.refused {
        crate::complain(&format!("not taken: {}", chain(refused)));
    }
    output::print(&format!(
        "{} records of {} journals taken, {closed} hours closed\n",
        ingested.records, ingested.journals
    ))?;
    Ok(if ingested.refused.is_empty() {
        0
    } else {
        OWN_ERROR
    })
}

/// Show what the ledger holds.
#[derive(Debug, Args)]
pub struct Status {}

fn status(ledger: &Book) -> Result<u8, Failure> {
    let status = ledger.status()?;
    let mut table = Table::new(&["LEDGER", &ledger.path().display().to_string()]);
    let mut row = |name: &str, value: String| table.row(vec![name.to_owned(), value]);
    row("SIZE", output::bytes(status.bytes));
    row("PODS", status.pods.to_string());
    let running = status.running;
    row(
        "SANDBOXES",
        format!("{} ({running} running)", status.journals),
    );
    row("RECORDS", status.records.to_string());
    if let Some((start, end)) = status.time_ns {
        row("FROM", time(start)?);
        row("UNTIL", time(end)?);
    }
    if let Some((hour, hash)) = status.closed {
        row("CLOSED", format!("before {}", hour_begins(hour + 1)));
        row("HASH", hash.to_string());
    }
    output::print(&table.render())?;
    Ok(0)
}

fn time(ns: i64) -> Result<String, Failure> {
    Ok(Timestamp::from_nanosecond(ns.into())?.to_string())
}

/// Check that nothing in the ledger was changed.
///
/// The records of every hour that is closed have the hash that they had then, every journal is
/// whole, and every sum is what its records come to.
#[derive(Debug, Args)]
pub struct Verify {
    /// A hash that was noted before, on an invoice for instance: one of the hours must have it
    #[arg(long, value_name = "HASH")]
    expect: Option<Hash>,
}

impl Verify {
    fn run(&self, ledger: &Book) -> Result<u8, Failure> {
        let mut code = 0;
        let verified = ledger.verify(self.expect, |finding| {
            crate::complain(&finding.to_string());
            code = OWN_ERROR;
        })?;
        if let Some(hash) = self.expect {
            match verified.expected {
                Some(hour) => {
                    let end = hour_begins(hour + 1);
                    output::print(&format!("{hash} covers everything before {end}\n"))?;
                }
                None => {
                    crate::complain(&format!("no closed hour has the hash {hash}"));
                    code = OWN_ERROR;
                }
            }
        }
        output::print(&format!(
            "checked: {} closed hours, {} journals, {} sums\n",
            verified.hours, verified.journals, verified.sums
        ))?;
        Ok(code)
    }
}

/// A stretch of whole hours.
#[derive(Debug, Args)]
struct Hours {
    /// Only from then on: a whole hour, as 2026-01-31T12:00:00Z
    #[arg(long, value_name = "TIME", value_parser = since)]
    since: Option<Timestamp>,
    /// Only until then, exclusive: a whole hour
    #[arg(long, value_name = "TIME", value_parser = since)]
    until: Option<Timestamp>,
}

impl Hours {
    fn range(&self) -> Result<Range<i64>, Failure> {
        let since = hour("--since", self.since)?.unwrap_or(ALL_HOURS.start);
        let until = hour("--until", self.until)?.unwrap_or(ALL_HOURS.end);
        match since < until {
            true => Ok(since..until),
            false => Err(Failure::own(
                "--until is not after --since: there is no time between them",
            )),
        }
    }
}

/// Show what each Namespace was given and used, from the sums of the hours.
///
/// A month of a hundred thousand Pods takes no time worth mentioning; `skete usage --ledger` adds the
/// records up anew, for any window and by anything.
#[derive(Debug, Args)]
pub struct Usage {
    #[command(flatten)]
    hours: Hours,
    /// How to show it: without it, as a table
    #[arg(short, long, value_enum)]
    output: Option<Document>,
}

impl Usage {
    fn run(&self, ledger: &Book) -> Result<u8, Failure> {
        let namespaces = ledger.namespaces(self.hours.range()?)?;
        if let Some(document) = self.output {
            output::document(&namespaces, document)?;
            return Ok(0);
        }
        let mut table = Table::new(&[&["NAMESPACE", "PODS"], &FIGURES[..]].concat());
        for of in &namespaces {
            let mut row = vec![of.namespace.clone(), of.pods.to_string()];
            row.extend(figures_of(&of.quantities.totals()));
            table.row(row);
        }
        output::print(&table.render())?;
        Ok(0)
    }
}

/// Write out what was given and used in each hour, in whole nanoseconds and bytes.
#[derive(Debug, Args)]
pub struct Export {
    #[command(flatten)]
    hours: Hours,
    /// What a row is about
    #[arg(long, value_enum, value_name = "WHAT", default_value = "pod")]
    by: What,
    /// How to write it
    #[arg(short, long, value_enum, default_value = "csv")]
    output: Form,
}

/// What a row is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    /// A Pod's sandbox
    Pod,
    /// A Namespace
    Namespace,
}

/// How to write rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// With a line of headings
    Csv,
    /// A JSON object a line
    Jsonl,
}

/// Where rows go.
enum Rows<W: Write> {
    Csv(Box<csv::Writer<W>>),
    Jsonl(io::BufWriter<W>),
}

#[derive(Serialize)]
struct Line<'a> {
    hour: String,
    #[serde(flatten)]
    row: &'a HourRow,
}

impl Export {
    fn run(&self, ledger: &Book) -> Result<u8, Failure> {
        let hours = self.hours.range()?;
        let by = match self.by {
            What::Pod => By::Sandbox,
            What::Namespace => By::Namespace,
        };
        let mut rows =
            Rows::new(self.output, by, io::stdout().lock()).map_err(output::write_failure)?;
        ledger
            .hours(hours, by, |row| rows.row(row))
            .map_err(failure)?;
        rows.end().map_err(output::write_failure)?;
        Ok(0)
    }
}

/// The hour that begins at a time.
fn hour(flag: &str, time: Option<Timestamp>) -> Result<Option<i64>, Failure> {
    let Some(time) = time else { return Ok(None) };
    let whole = time.as_nanosecond() % i128::from(skete_usage::HOUR_NS) == 0;
    match whole {
        true => Ok(Some(time.as_second().div_euclid(3600))),
        false => Err(Failure::own(format!(
            "{flag} {time} is not a whole hour: the ledger's sums are of whole hours"
        ))),
    }
}

/// Whoever has gone is not told.
fn failure(error: LedgerError) -> Failure {
    match error.source {
        Problem::Write(error) => output::write_failure(error),
        _ => error.into(),
    }
}

impl<W: Write> Rows<W> {
    fn new(form: Form, by: By, out: W) -> io::Result<Self> {
        let mut csv = match form {
            Form::Jsonl => return Ok(Self::Jsonl(io::BufWriter::new(out))),
            Form::Csv => csv::Writer::from_writer(out),
        };
        let who: &[&str] = match by {
            By::Sandbox => &[
                "hour",
                "namespace",
                "namespaceUid",
                "pod",
                "podUid",
                "node",
                "sandbox",
            ],
            By::Namespace => &["hour", "namespace", "namespaceUid"],
        };
        csv.write_record(who.iter().chain(&Quantities::NAMES))
            .map_err(of_csv)?;
        Ok(Self::Csv(Box::new(csv)))
    }

    fn row(&mut self, row: &HourRow) -> io::Result<()> {
        let hour = hour_begins(row.hour);
        let csv = match self {
            Self::Jsonl(out) => {
                serde_json::to_writer(&mut *out, &Line { hour, row })?;
                return out.write_all(b"\n");
            }
            Self::Csv(csv) => csv,
        };
        let mut fields = vec![hour, row.namespace.clone(), row.namespace_uid.clone()];
        if let Some(sandbox) = &row.sandbox {
            let who = [
                &sandbox.pod,
                &sandbox.pod_uid,
                &sandbox.node,
                &sandbox.sandbox,
            ];
            fields.extend(who.map(String::clone));
        }
        fields.extend(row.quantities.values().iter().map(u128::to_string));
        csv.write_record(fields).map_err(of_csv)
    }

    fn end(self) -> io::Result<()> {
        match self {
            Self::Csv(mut csv) => csv.flush(),
            Self::Jsonl(mut out) => out.flush(),
        }
    }
}

/// The error below it, of whose kind csv tells nothing: a reader that has gone is none.
fn of_csv(error: csv::Error) -> io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        other => io::Error::other(format!("{other:?}")),
    }
}

/// Copy the ledger to a new file.
#[derive(Debug, Args)]
pub struct Backup {
    /// The file, which must not be there
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

#[cfg(test)]
#[path = "ledger_test.rs"]
mod tests;
