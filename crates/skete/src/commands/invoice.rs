//! `skete invoice`.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use skete_billing::{FocusError, FocusWriter, Invoice as Bill, Month, Pricing, Tally, Tenant};
use skete_usage::{PodUse, Window};

use super::prices;
use super::usage::read_uses;
use crate::failure::Failure;
use crate::output::{self, Document, Table};
use crate::paths::Paths;

/// Longest record of a Pod, in bytes.
const MAX_RECORD: u64 = 16 << 20;

/// Make the invoice of a tenant's month.
#[derive(Debug, Args)]
pub struct Invoice {
    /// The tenant: a Namespace, by name or UID
    #[arg(long, value_name = "NAMESPACE")]
    tenant: String,
    /// The month, as 2026-11
    #[arg(long, value_name = "MONTH")]
    month: Month,
    /// The price list, by name or file
    #[arg(short, long, value_name = "NAME|FILE", env = prices::ENV, hide_env_values = true)]
    prices: String,
    /// Records of Pods, as `skete usage -o jsonl` writes them; without it, this machine's journals
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    /// Look into the ledger and not into the journals: it knows those too that are gone
    #[arg(long, conflicts_with = "from")]
    ledger: bool,
    /// Who sends it
    #[arg(long, value_name = "NAME", default_value = "Skete")]
    issuer: String,
    /// How to show it
    #[arg(short, long, value_enum, default_value = "table")]
    output: Format,
}

/// What `skete invoice -o` takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A table
    Table,
    /// JSON
    Json,
    /// The table's lines as CSV
    Csv,
    /// A row for each Pod, item and hour, in FOCUS 1.2 as CSV
    Focus,
    /// A page to print
    Html,
}

impl Invoice {
    /// Does it.
    ///
    /// # Errors
    /// The price list or a record is wrong, or standard output cannot be written. A journal that is
    /// damaged is told of and not counted, and the exit code says so.
    pub fn run(&self, paths: &Paths) -> Result<u8, Failure> {
        let list = prices::find(&self.prices)?;
        let pricing = Pricing::new(&list, self.month.window(&list.zone));
        let tenant = Tenant::new(&self.tenant);
        let mut code = 0;
        let mut journals = Vec::new();
        if self.from.is_none() {
            // Of a Pod's whole life: on it depends what a part of it costs.
            let owned = |used: &PodUse| tenant.owns(&used.pod);
            (journals, code) = read_uses(paths, self.ledger, Window::ALL, owned)?;
        }
        let mut tally = Tally::new(&pricing, tenant.clone());
        self.for_each_use(&journals, |pod_use| Ok(tally.add(pod_use)?))?;
        let invoice = Bill::new(&tally)?;
        match self.output {
            Format::Table => output::print(&table(&invoice))?,
            Format::Json => output::document(&invoice, Document::Json)?,
            Format::Html => output::print(&invoice.to_html(&self.issuer))?,
            Format::Csv => invoice
                .write_csv(std::io::stdout().lock())
                .map_err(output::write_failure)?,
            Format::Focus => {
                let prices = tally.settle()?;
                let out = BufWriter::new(std::io::stdout().lock());
                let mut rows = FocusWriter::new(out, &invoice, &prices, tenant, &self.issuer)
                    .map_err(focus_failure)?;
                self.for_each_use(&journals, |pod_use| {
                    rows.add(pod_use).map_err(focus_failure)
                })?;
                rows.finish().map_err(focus_failure)?;
            }
        }
        Ok(code)
    }

    /// Looks at every Pod of the file, or of the journals.
    fn for_each_use(
        &self,
        journals: &[PodUse],
        mut each: impl FnMut(&PodUse) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        match &self.from {
            Some(file) => for_each_record(file, each),
            None => journals.iter().try_for_each(&mut each),
        }
    }
}

fn focus_failure(error: FocusError) -> Failure {
    match error {
        FocusError::Write(error) => output::write_failure(error),
        other => other.into(),
    }
}

/// Reads records of Pods, one in JSON a line; empty lines are left out.
fn for_each_record(
    path: &Path,
    mut each: impl FnMut(&PodUse) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let shown = path.display();
    let cannot = |error| Failure::own(format!("cannot read {shown}: {error}"));
    let mut reader = BufReader::with_capacity(1 << 20, File::open(path).map_err(cannot)?);
    let mut line = Vec::new();
    for number in 1u64.. {
        line.clear();
        let read = std::io::Read::take(&mut reader, MAX_RECORD).read_until(b'\n', &mut line);
        if read.map_err(cannot)? == 0 {
            break;
        }
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        if line.len() as u64 == MAX_RECORD && line.last() != Some(&b'\n') {
            return Err(Failure::own(format!(
                "{shown}:{number}: longer than {MAX_RECORD} bytes"
            )));
        }
        let pod_use = serde_json::from_slice(&line).map_err(|error| {
            Failure::own(format!("{shown}:{number}: not a record of a Pod: {error}"))
        })?;
        each(&pod_use).map_err(|failure| match failure.message() {
            Some(message) => Failure::own(format!("{shown}:{number}: {message}")),
            None => failure,
        })?;
    }
    Ok(())
}

fn table(invoice: &Bill) -> String {
    let (first, last) = invoice.days();
    let mut text = format!(
        "Invoice for {}, {} to {} ({}), by {} {}: {}\n\n",
        invoice.tenant,
        first,
        last,
        invoice.time_zone,
        invoice.price_list.name,
        invoice.price_list.version,
        prices::count(invoice.pods, "Pod"),
    );
    let mut lines = Table::new(&["ITEM", "QUANTITY", "UNIT", "PRICE", "DISCOUNT", "AMOUNT"]);
    for line in &invoice.lines {
        let discount = line.discount.as_ref();
        lines.row(vec![
            line.sku.clone(),
            line.quantity.clone(),
            line.unit.to_owned(),
            line.unit_price.clone(),
            discount
                .map(|d| format!("{}: {}", d.name, d.percent))
                .unwrap_or_default(),
            line.amount.clone(),
        ]);
    }
    let total = ["total", "", "", "", "", &invoice.total].map(str::to_owned);
    lines.row(total.to_vec());
    text.push_str(&lines.render());
    let mut workloads = Table::new(&["WORKLOAD", "PODS", "AMOUNT"]);
    for workload in &invoice.workloads {
        workloads.row(vec![
            format!("{}/{}", workload.kind, workload.name),
            workload.pods.to_string(),
            workload.amount.clone(),
        ]);
    }
    text.push('\n');
    text.push_str(&workloads.render());
    text.push_str(&format!("\nAmounts are in {}.", invoice.currency));
    if invoice.running > 0 {
        text.push_str(&format!(
            " {} still ran: charged so far.",
            prices::count(invoice.running, "Pod")
        ));
    }
    if invoice.bounded > 0 {
        text.push_str(&format!(
            " {} ended unseen: up to the last sign.",
            prices::count(invoice.bounded, "Pod")
        ));
    }
    text.push('\n');
    text
}

#[cfg(test)]
#[path = "invoice_test.rs"]
mod tests;
