//! `skete doctor`.

use clap::Args;
use serde::Serialize;

use crate::doctor::{self, Row, Verdict};
use crate::failure::Failure;
use crate::output::{self, Document, Table};
use crate::paths::Paths;

/// Check whether this machine can run Pods, and safely. Changes nothing.
#[derive(Debug, Args)]
pub struct Doctor {
    /// How to show it
    #[arg(short, long, value_enum)]
    output: Option<Document>,
    /// Only what is not as it should be
    #[arg(short, long)]
    quiet: bool,
}

#[derive(Serialize)]
struct Report {
    verdict: Verdict,
    rows: Vec<Row>,
}

impl Doctor {
    /// Does it; exits with 0 if all is well, 1 if something could be better, 2 if Pods do not run
    /// or a wall is missing.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub fn run(&self, paths: &Paths) -> Result<u8, Failure> {
        let mut rows = doctor::examine(paths);
        let verdict = doctor::worst(&rows);
        if self.quiet {
            rows.retain(|row| row.verdict != Verdict::Pass);
        }
        match self.output {
            Some(format) => output::document(&Report { verdict, rows }, format)?,
            None => output::print(&text(&rows))?,
        }
        Ok(match verdict {
            Verdict::Pass => 0,
            Verdict::Warn => 1,
            Verdict::Fail => 2,
        })
    }
}

fn text(rows: &[Row]) -> String {
    let mut table = Table::new(&["CHECK", "VERDICT", "VALUE"]);
    for row in rows {
        table.row(vec![
            row.check.to_owned(),
            row.verdict.as_str().to_owned(),
            row.value.clone(),
        ]);
    }
    let mut text = table.render();
    for row in rows.iter().filter(|row| row.verdict != Verdict::Pass) {
        text.push_str(&format!(
            "\n{}: {}\n  why: {}\n  fix: {}\n",
            row.check, row.value, row.why, row.fix
        ));
    }
    text
}
