//! What a Pod's use costs, exactly.
//!
//! Three steps, none of which reads or writes anything:
//!
//! 1. [`PriceList::parse`] reads a price list and says by line what is wrong with it.
//! 2. [`Pricing::charge`] turns a Pod's use within a window into [`Charges`]: whole numbers, which
//!    add up in any order, and over any cuts of the window.
//! 3. [`Prices::settle`] looks at the quantities of the whole bill, and prices them. Money is a
//!    fraction until it is shown.
//!
//! An [`Invoice`] does all three for a tenant's month; an [`estimate`] does it for a Pod that is
//! not there yet.
#![forbid(unsafe_code)]

mod charge;
mod check;
mod currency;
mod decimal;
mod estimate;
mod file;
mod focus;
mod hardware;
mod html;
mod invoice;
mod list;
pub mod money;
pub mod opencost;
mod parse;
mod prices;
mod rules;
mod size;
mod tally;
#[cfg(test)]
mod testing;
mod timeline;
mod values;

pub use charge::{ChargeError, Charges, Line, Pricing, window_of};
pub use currency::{Currency, CurrencyError};
pub use decimal::{Decimal, DecimalError};
pub use estimate::{Estimate, MONTH_HOURS, Template, estimate};
pub use file::{ListError, Problem};
pub use focus::{FocusError, FocusWriter};
pub use invoice::{Invoice, InvoiceDiscount, InvoiceLine, Month, PriceListName, WorkloadCost};
pub use list::{Period, PriceList};
pub use money::Money;
pub use prices::Prices;
pub use rules::{
    Amounts, Basis, Beyond, ByteUnit, Clock, Configuration, Discount, Memory, Meter, Per, Rate,
    Ratio, Selector, SizeRule, Tier,
};
pub use size::NoConfiguration;
pub use tally::{Seen, Tally, TallyError, Tenant};
pub use values::{Amount, Date, Day, Hours, Length, Percent, Zone};
