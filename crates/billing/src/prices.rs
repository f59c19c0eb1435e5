//! What quantities cost.

use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::{One, Zero};

use crate::charge::{Charges, Line, Pricing};
use crate::decimal::{Decimal, ONE};
use crate::money::Money;
use crate::rules::Rate;

/// The prices of one bill. Tiers are settled by the quantity of the whole bill: all of its Pods pay
/// the same price, whichever came first.
#[derive(Debug)]
pub struct Prices<'a> {
    pricing: &'a Pricing<'a>,
    /// By period and rate: the price of a unit of [`Rate::unit_size`].
    units: Vec<Vec<BigRational>>,
}

impl<'a> Prices<'a> {
    /// Settles the prices of a bill of these quantities.
    #[must_use]
    pub fn settle(pricing: &'a Pricing<'a>, totals: &Charges) -> Self {
        let settled = |period: usize, index: usize, rate: &Rate| {
            let of_rate = |line: &Line| line.period == period && line.rate == index;
            let of_rate = totals.iter().filter(|(line, _)| of_rate(line));
            let total: BigInt = of_rate.map(|(_, quantity)| BigInt::from(quantity)).sum();
            unit_price(rate, &units_of(rate, total))
        };
        let periods = pricing.list().periods.iter().enumerate();
        let units = periods.map(|(period, p)| {
            let rates = p.rates.iter().enumerate();
            rates
                .map(|(index, rate)| settled(period, index, rate))
                .collect()
        });
        Self {
            pricing,
            units: units.collect(),
        }
    }

    /// The list that they are of, and the window.
    #[must_use]
    pub fn pricing(&self) -> &'a Pricing<'a> {
        self.pricing
    }

    /// The price of a unit, before discounts.
    #[must_use]
    pub fn unit(&self, line: Line) -> &BigRational {
        &self.units[line.period][line.rate]
    }

    /// A quantity of a line in its unit.
    #[must_use]
    pub fn units(&self, line: Line, quantity: u128) -> BigRational {
        units_of(self.pricing.rate(line), quantity.into())
    }

    /// What a quantity of a line costs before discounts.
    #[must_use]
    pub fn list_cost(&self, line: Line, quantity: u128) -> Money {
        self.units(line, quantity) * self.unit(line)
    }

    /// What is left to pay of a cost after the line's discount, as a factor.
    #[must_use]
    pub fn rest(&self, line: Line) -> BigRational {
        match self.pricing.discount(line) {
            Some(discount) => {
                let percent: Decimal = discount.percent.into();
                BigRational::one() - exact(percent) / BigInt::from(100u32)
            }
            None => BigRational::one(),
        }
    }

    /// What a quantity of a line costs.
    #[must_use]
    pub fn cost(&self, line: Line, quantity: u128) -> Money {
        self.list_cost(line, quantity) * self.rest(line)
    }

    /// What charges cost in all.
    #[must_use]
    pub fn total(&self, charges: &Charges) -> Money {
        let costs = charges
            .iter()
            .map(|(line, quantity)| self.cost(line, quantity));
        costs.sum()
    }
}

fn units_of(rate: &Rate, quantity: BigInt) -> BigRational {
    BigRational::new(quantity, rate.unit_size().into())
}

/// The price of a unit where so many are sold: the mean, if there are tiers.
fn unit_price(rate: &Rate, sold: &BigRational) -> BigRational {
    let per_unit = BigInt::from(rate.per_unit());
    let Some(first) = rate.tiers.first() else {
        return exact(rate.price.unwrap_or_default()) * per_unit;
    };
    if sold.is_zero() {
        return exact(first.price) * per_unit;
    }
    // Tiers count in the unit of the file.
    let sold_there = sold * &per_unit;
    let mut below = BigRational::zero();
    let mut cost = BigRational::zero();
    for tier in &rate.tiers {
        let up_to = match tier.up_to {
            Some(up_to) => exact(up_to).min(sold_there.clone()),
            None => sold_there.clone(),
        };
        if up_to > below {
            cost += (&up_to - &below) * exact(tier.price);
            below = up_to;
        }
    }
    cost / sold
}

/// The number as a fraction.
pub(crate) fn exact(number: Decimal) -> BigRational {
    BigRational::new(number.units().into(), ONE.into())
}
