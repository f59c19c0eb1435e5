//! Prices of one's own machines, from what they cost.

use num_bigint::BigInt;
use num_rational::BigRational;
use serde::Deserialize;

use crate::decimal::{DIGITS, Decimal, ONE};
use crate::money;
use crate::rules::{Meter, Rate, Selector};
use crate::values::{Amount, Percent};

/// Hours of a year.
const YEAR: u32 = 8760;

/// What machines cost, and what they have.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Hardware {
    /// The price of the machines.
    pub purchase: Decimal,
    /// Years until they are written off.
    pub years: Decimal,
    /// Rent, network and hands, for a month.
    #[serde(default)]
    pub monthly: Decimal,
    /// Mean power in watts.
    pub watts: Decimal,
    /// Power of the whole site for that of its machines.
    pub power_usage_effectiveness: Option<Decimal>,
    /// The price of a kilowatt-hour.
    pub kilowatt_hour: Decimal,
    /// vCPUs for Pods.
    pub vcpus: Amount,
    /// Memory for Pods.
    pub memory: Amount,
    /// How much of them is sold, on average: who pays, pays for the rest too.
    pub utilisation: Percent,
    /// How much of the cost is the memory's.
    pub memory_share: Percent,
}

impl Hardware {
    /// The cost of an hour.
    fn hourly(&self) -> Option<BigRational> {
        let years = ratio(self.years);
        if self.years.is_zero() {
            return None;
        }
        let year = whole(YEAR);
        let effectiveness = self.power_usage_effectiveness.unwrap_or(Decimal::from(1));
        let written_off = ratio(self.purchase) / (years * &year);
        let monthly = ratio(self.monthly) * whole(12) / year;
        let kilowatts = ratio(self.watts) * ratio(effectiveness) / whole(1000);
        Some(written_off + monthly + kilowatts * ratio(self.kilowatt_hour))
    }

    /// A rate for vCPUs and one for memory, rounded to the last digit of a [`Decimal`].
    ///
    /// # Errors
    /// If years, vCPUs, memory or utilisation are nothing.
    pub(crate) fn rates(&self) -> Result<[Rate; 2], &'static str> {
        let zero = "years, vcpus, memory and utilisation have to be more than 0";
        let hourly = self.hourly().ok_or(zero)?;
        let (vcpus, memory) = (self.vcpus.thousandths(), self.memory.whole());
        let sold = ratio(self.utilisation.into()) / whole(100);
        if vcpus == 0 || memory == 0 || sold == whole(0) {
            return Err(zero);
        }
        let memory_share = ratio(self.memory_share.into()) / whole(100);
        let share = |share: BigRational, amount: BigRational| {
            let price = &hourly * share / (amount * &sold);
            let units = u128::try_from(money::rounded(&price, DIGITS));
            units
                .map(Decimal::from_units)
                .map_err(|_| "the price of an hour is too high")
        };
        let vcpus = BigRational::new(vcpus.into(), 1000.into());
        let gib = BigRational::new(memory.into(), BigInt::from(1u64 << 30));
        let rate = |meter, price| Rate {
            sku: format!("own-{}", Meter::name(meter)),
            meter,
            price: Some(price),
            tiers: Vec::new(),
            per: None,
            unit: None,
            included: None,
            selector: Selector::default(),
        };
        Ok([
            rate(Meter::Vcpu, share(whole(1) - &memory_share, vcpus)?),
            rate(Meter::Memory, share(memory_share, gib)?),
        ])
    }
}

fn whole(number: u32) -> BigRational {
    BigRational::from_integer(number.into())
}

fn ratio(number: Decimal) -> BigRational {
    BigRational::new(number.units().into(), ONE.into())
}
