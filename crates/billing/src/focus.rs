//! A bill's rows for programs: FOCUS 1.2, the FinOps Open Cost and Usage Specification, as CSV.
//!
//! A row is what one Pod is charged by one line of the price list within one hour. Each row is
//! exact in itself: its list cost is its quantity times its price, digit by digit. A quantity is
//! cut to nine digits such that a Pod's rows sum to its quantity; what cutting and the rounding of
//! the invoice leave over is the last row, so that all rows sum to the invoice's total.

use std::io::Write;

use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::Zero;
use skete_usage::{PodUse, Window};
use thiserror::Error;

use crate::charge::{ChargeError, Charges, Line, Pricing, billed_bounds};
use crate::decimal::{DIGITS, Decimal};
use crate::invoice::{Invoice, timestamp};
use crate::money::{decimal, rounded};
use crate::prices::Prices;
use crate::tally::{Seen, TallyError, Tenant};

/// Digits of quantities.
const QUANTITY_DIGITS: u32 = 9;
/// Digits of costs: those of a quantity and of a price.
const COST_DIGITS: u32 = QUANTITY_DIGITS + DIGITS;
const SECOND_NS: i64 = 1_000_000_000;
const HOUR_NS: i64 = 3600 * SECOND_NS;
/// What it is called that is sold.
const SERVICE: &str = "Pods";

const COLUMNS: [&str; 46] = [
    "BillingAccountId",
    "BillingAccountName",
    "SubAccountId",
    "SubAccountName",
    "InvoiceId",
    "InvoiceIssuerName",
    "ProviderName",
    "PublisherName",
    "ServiceProviderName",
    "HostProviderName",
    "BillingCurrency",
    "PricingCurrency",
    "BillingPeriodStart",
    "BillingPeriodEnd",
    "ChargePeriodStart",
    "ChargePeriodEnd",
    "ChargeCategory",
    "ChargeClass",
    "ChargeDescription",
    "ChargeFrequency",
    "ServiceCategory",
    "ServiceSubcategory",
    "ServiceName",
    "ResourceId",
    "ResourceName",
    "ResourceType",
    "SkuId",
    "SkuMeter",
    "SkuPriceId",
    "SkuPriceDetails",
    "PricingCategory",
    "CommitmentDiscountStatus",
    "PricingQuantity",
    "PricingUnit",
    "ConsumedQuantity",
    "ConsumedUnit",
    "ListUnitPrice",
    "ContractedUnitPrice",
    "PricingCurrencyListUnitPrice",
    "PricingCurrencyContractedUnitPrice",
    "ListCost",
    "ContractedCost",
    "EffectiveCost",
    "BilledCost",
    "PricingCurrencyEffectiveCost",
    "Tags",
];

/// Rows that cannot be written.
#[derive(Debug, Error)]
pub enum FocusError {
    /// A Pod cannot be on the bill.
    #[error(transparent)]
    Tally(#[from] TallyError),
    /// The output.
    #[error("cannot write")]
    Write(#[from] std::io::Error),
}

impl From<ChargeError> for FocusError {
    fn from(error: ChargeError) -> Self {
        Self::Tally(error.into())
    }
}

impl From<csv::Error> for FocusError {
    fn from(error: csv::Error) -> Self {
        Self::Write(error.into())
    }
}

/// Writes the rows of an invoice, one Pod after the other.
pub struct FocusWriter<'a, W: Write> {
    csv: csv::Writer<W>,
    invoice: &'a Invoice,
    issuer: &'a str,
    tenant: Tenant,
    prices: &'a Prices<'a>,
    /// What a Pod had, not rounded to what it is charged for.
    consumed: Pricing<'static>,
    seen: Seen,
    /// The sum of the rows, in units of the last digit.
    billed: BigInt,
}

impl<'a, W: Write> FocusWriter<'a, W> {
    /// Begins with the columns' names.
    ///
    /// # Errors
    /// If they cannot be written.
    pub fn new(
        out: W,
        invoice: &'a Invoice,
        prices: &'a Prices<'a>,
        tenant: Tenant,
        issuer: &'a str,
    ) -> Result<Self, FocusError> {
        let mut csv = csv::Writer::from_writer(out);
        csv.write_record(COLUMNS)?;
        Ok(Self {
            csv,
            invoice,
            issuer,
            tenant,
            prices,
            consumed: prices.pricing().unrounded(),
            seen: Seen::default(),
            billed: BigInt::zero(),
        })
    }

    /// Writes the rows of a Pod, if it is on the invoice.
    ///
    /// # Errors
    /// If it cannot be charged, or a row not be written.
    pub fn add(&mut self, pod_use: &PodUse) -> Result<(), FocusError> {
        if !self.tenant.owns(&pod_use.pod) || !self.seen.is_new(pod_use)? {
            return Ok(());
        }
        let pricing = self.prices.pricing();
        let Some(bounds) = billed_bounds(pricing.list(), pod_use, pricing.window())? else {
            return Ok(());
        };
        let (mut priced, mut used) = (Cut::default(), Cut::default());
        let mut hour = bounds.from_ns.div_euclid(HOUR_NS).saturating_mul(HOUR_NS);
        while hour < bounds.to_ns {
            let part = Window::of_length(hour, HOUR_NS.unsigned_abs());
            hour = part.to_ns;
            let Some(part) = part.intersect(bounds) else {
                continue;
            };
            let charges = pricing.charge_within(pod_use, part)?;
            let consumed = self.consumed.charge_within(pod_use, part)?;
            let period = billed_bounds(pricing.list(), pod_use, part)?.unwrap_or(part);
            for (line, quantity) in charges.iter() {
                let pricing_quantity = priced.next(self.prices, line, quantity);
                let consumed = used.next(self.prices, line, consumed.quantity(line));
                self.row(pod_use, period, line, &pricing_quantity, &consumed)?;
            }
        }
        Ok(())
    }

    fn row(
        &mut self,
        pod_use: &PodUse,
        period: Window,
        line: Line,
        quantity: &BigInt,
        consumed: &BigInt,
    ) -> Result<(), FocusError> {
        let pricing = self.prices.pricing();
        let rate = pricing.rate(line);
        let list = pricing.list();
        let pod = &pod_use.pod;
        let price = rounded(self.prices.unit(line), DIGITS);
        let list_cost = quantity * &price;
        let left = BigRational::from_integer(list_cost.clone()) * self.prices.rest(line);
        let cost = rounded(&left, 0);
        self.billed += &cost;
        let start = whole_seconds(period.from_ns);
        let end = whole_seconds(period.to_ns.saturating_add(SECOND_NS - 1));
        let since = timestamp(list.periods[line.period].start_ns);
        let discount = pricing.discount(line).map(|discount| {
            let percent = Decimal::from(discount.percent);
            format!(", less {percent} % ({})", discount.name)
        });
        let description = format!(
            "{} of Pod {}/{}{}",
            rate.sku,
            pod.namespace,
            pod.name,
            discount.unwrap_or_default()
        );
        let namespace = pod.namespace_uid.as_ref().unwrap_or(&pod.namespace);
        let tags = serde_json::to_string(&pod.labels).unwrap_or_default();
        let costs = number(&list_cost, COST_DIGITS);
        let price = number(&price, DIGITS);
        let billed = number(&cost, COST_DIGITS);
        self.record(&Row {
            period: [&start, &end],
            category: ["Usage", &description, "Usage-Based"],
            resource: [
                &format!("{namespace}/{}", pod.uid),
                &format!("{}/{}", pod.namespace, pod.name),
                "Pod",
            ],
            sku: [
                &rate.sku,
                rate.meter.name(),
                &format!("{}/{}/{}/{since}", list.name, list.version, rate.sku),
                "Standard",
            ],
            quantity: [
                &number(quantity, QUANTITY_DIGITS),
                rate.unit_name(),
                &number(consumed, QUANTITY_DIGITS),
                rate.unit_name(),
            ],
            price: &price,
            costs: [&costs, &costs, &billed, &billed, &billed],
            tags: &tags,
        })
    }

    fn record(&mut self, row: &Row<'_>) -> Result<(), FocusError> {
        let invoice = self.invoice;
        let account = invoice.namespace_uid.as_ref().unwrap_or(&invoice.tenant);
        let period = [invoice.start, invoice.end].map(|moment| moment.to_string());
        let id = format!("{account}/{}", invoice.start);
        let fields = [account, &invoice.tenant, account, &invoice.tenant, &id]
            .into_iter()
            .map(String::as_str)
            .chain([self.issuer; 5])
            .chain([invoice.currency.as_str(); 2])
            .chain([period[0].as_str(), &period[1]])
            .chain(row.period)
            .chain([row.category[0], "", row.category[1], row.category[2]])
            .chain(["Compute", "Containers", SERVICE])
            .chain(row.resource)
            .chain([row.sku[0], row.sku[1], row.sku[2], "", row.sku[3], ""])
            .chain(row.quantity)
            .chain([row.price; 4])
            .chain(row.costs)
            .chain([row.tags]);
        Ok(self.csv.write_record(fields)?)
    }

    /// Writes the row that makes the sum that of the invoice.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn finish(mut self) -> Result<(), FocusError> {
        let digits = self.prices.pricing().list().currency.digits();
        let minor: BigInt = self
            .invoice
            .total
            .replace('.', "")
            .parse()
            .unwrap_or_default();
        let total = minor * BigInt::from(10u32).pow(COST_DIGITS - digits);
        let rounding = total - &self.billed;
        let [start, end] = [self.invoice.start, self.invoice.end].map(|moment| moment.to_string());
        let rounding = number(&rounding, COST_DIGITS);
        self.record(&Row {
            period: [&start, &end],
            category: ["Adjustment", "Rounding to what can be paid", "One-Time"],
            resource: [""; 3],
            sku: [""; 4],
            quantity: [""; 4],
            price: "",
            costs: [&rounding; 5],
            tags: "{}",
        })?;
        Ok(self.csv.flush()?)
    }
}

/// What differs from row to row.
struct Row<'a> {
    period: [&'a str; 2],
    category: [&'a str; 3],
    resource: [&'a str; 3],
    sku: [&'a str; 4],
    quantity: [&'a str; 4],
    price: &'a str,
    costs: [&'a str; 5],
    tags: &'a str,
}

/// Cuts a Pod's quantities to digits such that the parts sum to the whole, cut.
#[derive(Default)]
struct Cut(Charges);

impl Cut {
    /// The next part of a line's quantity, in units of the last digit.
    fn next(&mut self, prices: &Prices<'_>, line: Line, quantity: u128) -> BigInt {
        let cut = |charges: &Charges| {
            let units = prices.units(line, charges.quantity(line));
            (units * BigInt::from(10u32).pow(QUANTITY_DIGITS))
                .floor()
                .to_integer()
        };
        let before = cut(&self.0);
        // The Pod's whole quantity was added up once already: it does fit.
        let _ = self.0.put(line, quantity);
        cut(&self.0) - before
    }
}

/// A number with a point, which tells types apart in CSV, and no needless zeros.
fn number(units: &BigInt, digits: u32) -> String {
    let text = decimal(units, digits);
    let short = text.trim_end_matches('0');
    if short.ends_with('.') {
        format!("{short}0")
    } else {
        short.to_owned()
    }
}

/// A moment without its part of a second.
fn whole_seconds(ns: i64) -> String {
    timestamp(ns.div_euclid(SECOND_NS) * SECOND_NS).to_string()
}

#[cfg(test)]
#[path = "focus_test.rs"]
mod tests;
