//! The receipt of a Pod: what it was given and what it used, out of its usage journal.

use clap::ValueEnum;
use skete_usage::{PodUse, Totals, Window};

use crate::failure::Failure;
use crate::output::{amount, duration, eprint_line};
use crate::paths::{NAMESPACE, Paths};
use crate::record::PodRecord;

/// How to show a receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// One line for people
    #[value(alias = "line")]
    Text,
    /// One line of JSON
    Json,
    /// Not at all
    None,
}

impl Form {
    /// Shows the receipt of a Pod that has ended, on standard error. One that never had a sandbox
    /// has none.
    pub fn show(self, paths: &Paths, record: &PodRecord) {
        if self == Self::None {
            return;
        }
        // How the Pod ended does not depend on it.
        if let Err(failure) = self.try_show(paths, record) {
            crate::complain(failure.message().unwrap_or_default());
        }
    }

    fn try_show(self, paths: &Paths, record: &PodRecord) -> Result<(), Failure> {
        let journals = paths.journals();
        for journal in journals.of_sandbox(&record.boot_id, NAMESPACE, record.id.as_str())? {
            let Some(used) = journal.fold(Window::ALL)? else {
                continue;
            };
            match self {
                Self::Json => eprint_line(&serde_json::to_string(&used)?),
                _ => crate::complain(&format!("Pod {}: {}", record.name, line(&used))),
            }
        }
        Ok(())
    }
}

/// The one line that `skete run` ends with.
fn line(used: &PodUse) -> String {
    let mut totals = Totals::default();
    totals.add(used);
    let size = used.spans.last().map(|span| span.provisioned);
    let size = size.unwrap_or_default();
    format!(
        "{}, {} vCPU, {} MiB: {} vCPU-s and {} MiB-s provisioned, {} vCPU-s and {} MiB-s used",
        duration(totals.time_ns),
        size.milli_vcpus.div_ceil(1000),
        size.memory_bytes >> 20,
        amount(totals.provisioned.milli_vcpu_ns, 1000 * SECOND),
        amount(totals.provisioned.memory_byte_ns, SECOND << 20),
        amount(u128::from(totals.used.cpu_ns), SECOND),
        amount(totals.used.memory_byte_ns, SECOND << 20),
    )
}

/// In nanoseconds.
const SECOND: u128 = 1_000_000_000;

#[cfg(test)]
#[path = "receipt_test.rs"]
mod tests;
