//! The receipt of a Pod: what it was given, what it used and what it cost, out of its usage journal.

use clap::ValueEnum;
use serde::Serialize;
use skete_billing::{ChargeError, Decimal, Money, PriceList, Prices, Pricing, money, window_of};
use skete_usage::{PodUse, Totals, Window};

use crate::commands::prices;
use crate::failure::{Failure, chain};
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
    /// has none. With a price list it tells the cost, too.
    pub fn show(self, paths: &Paths, record: &PodRecord, prices: Option<&PriceList>) {
        if self == Self::None {
            return;
        }
        // How the Pod ended does not depend on it.
        if let Err(failure) = self.try_show(paths, record, prices) {
            crate::complain(failure.message().unwrap_or_default());
        }
    }

    fn try_show(
        self,
        paths: &Paths,
        record: &PodRecord,
        prices: Option<&PriceList>,
    ) -> Result<(), Failure> {
        let journals = paths.journals();
        for journal in journals.of_sandbox(&record.boot_id, NAMESPACE, record.id.as_str())? {
            let Some(used) = journal.fold(Window::ALL)? else {
                continue;
            };
            let cost = match prices.map(|list| Cost::of(&used, list)).transpose() {
                Ok(cost) => cost,
                Err(error) => {
                    crate::complain(&chain(&error));
                    None
                }
            };
            match self {
                Self::Json => eprint_line(&serde_json::to_string(&Receipt { used: &used, cost })?),
                _ => {
                    let cost = cost.map(|cost| cost.line()).unwrap_or_default();
                    crate::complain(&format!("Pod {}: {}{cost}", record.name, line(&used)));
                }
            }
        }
        Ok(())
    }
}

/// A receipt in JSON.
#[derive(Serialize)]
struct Receipt<'a> {
    #[serde(flatten)]
    used: &'a PodUse,
    #[serde(skip_serializing_if = "Option::is_none")]
    cost: Option<Cost>,
}

/// What a Pod cost.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Cost {
    /// Rounded to the digits of a price list.
    amount: String,
    currency: String,
    price_list: String,
    version: String,
    #[serde(skip)]
    exact: Money,
}

impl Cost {
    /// What a Pod cost by itself, for all its time.
    fn of(used: &PodUse, list: &PriceList) -> Result<Self, ChargeError> {
        let pricing = Pricing::new(list, window_of(list, [used]));
        let charges = pricing.charge(used)?;
        let exact = Prices::settle(&pricing, &charges).total(&charges);
        Ok(Self {
            amount: money::short(&exact, Decimal::DIGITS),
            currency: list.currency.to_string(),
            price_list: list.name.clone(),
            version: list.version.clone(),
            exact,
        })
    }

    fn line(&self) -> String {
        let amount = prices::decimal(&self.exact, prices::DIGITS);
        format!("; {amount} {} by {}", self.currency, self.price_list)
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
