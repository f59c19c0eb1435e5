//! What has to fit together in a price list.

use std::collections::BTreeSet;
use std::ops::Range;

use toml::Spanned;

use crate::file::{File, PeriodTable, Report};
use crate::list::{Period, PriceList};
use crate::rules::{Basis, Configuration, Discount, Memory, Meter, Rate, SizeRule};
use crate::values::{Amount, Zone};

/// Most discounts of a list: those that hold at a moment are a set of bits.
pub(crate) const MAX_DISCOUNTS: usize = 64;
/// Most configurations of a list.
const MAX_CONFIGURATIONS: u64 = 10_000;

/// The list, if nothing is wrong; what is wrong goes into the report.
pub(crate) fn list(file: File, report: &mut Report<'_>) -> Option<PriceList> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let name = file.name.get_ref();
    if name.is_empty() || name.len() > 63 || !name.chars().all(plain) {
        let message = format!("{name:?} is not a name of small letters, digits and hyphens");
        report.add(file.name.span(), message);
    }
    if file.version.get_ref().trim().is_empty() {
        report.add(file.version.span(), "is empty; write a date or a number");
    }
    let size = match file.size {
        Some(size) => {
            check_size(size.get_ref(), size.span(), report);
            size.into_inner()
        }
        None => SizeRule::default(),
    };
    let mut periods = Vec::new();
    for table in file.period {
        let span = table.span();
        if let Some(period) = period(table, size.basis, &file.time_zone, report) {
            periods.push((period, span));
        }
    }
    let periods = in_order(periods, report);
    if periods.is_empty() {
        report.add(0..0, "there is no [[period]] with prices in it");
    }
    Some(PriceList {
        name: file.name.into_inner(),
        title: file.title,
        version: file.version.into_inner(),
        source: file.source,
        currency: file.currency,
        zone: file.time_zone,
        clock: file.clock,
        size,
        periods,
        discounts: discounts(file.discount, report),
    })
}

/// Periods by their beginning; one that names no end ends where the next begins.
fn in_order(mut periods: Vec<(Period, Range<usize>)>, report: &mut Report<'_>) -> Vec<Period> {
    periods.sort_by_key(|(period, _)| period.start_ns);
    for index in 1..periods.len() {
        let next_start = periods[index].0.start_ns;
        let before = &mut periods[index - 1].0;
        if before.end_ns == i64::MAX {
            before.end_ns = next_start;
        }
        if before.end_ns > next_start || before.start_ns == next_start {
            let message = "overlaps the period before it: a moment has one price";
            report.add(periods[index].1.clone(), message);
        }
    }
    periods.into_iter().map(|(period, _)| period).collect()
}

fn period(
    table: Spanned<PeriodTable>,
    basis: Basis,
    zone: &Zone,
    report: &mut Report<'_>,
) -> Option<Period> {
    let span = table.span();
    let table = table.into_inner();
    let mut rates = Vec::new();
    if let Some(hardware) = table.hardware {
        match hardware.get_ref().rates() {
            Ok(own) => rates.extend(own),
            Err(message) => report.add(hardware.span(), message),
        }
    }
    let own = rates.len();
    for rate in table.rate {
        check_rate(&rate, basis, report);
        check_place(&rate, &rates, report);
        rates.push(rate.into_inner());
    }
    if rates.is_empty() {
        report.add(span.clone(), "the period has no [[period.rate]]");
    }
    for meter in Meter::ALL {
        let mut of_meter = rates
            .iter()
            .skip(own)
            .filter(|rate| rate.meter == meter)
            .peekable();
        let some = of_meter.peek().is_some();
        if some && !of_meter.any(|rate| rate.selector.is_all()) {
            let message = format!(
                "{} has no rate for all other Pods: add one without match, with price = \"0\" if \
                 they pay nothing",
                meter.name()
            );
            report.add(span.clone(), message);
        }
    }
    if table.until.is_some_and(|until| until <= table.from) {
        report.add(span, "the period ends before it begins");
        return None;
    }
    Some(Period {
        start_ns: zone.moment(table.from.0),
        end_ns: table.until.map_or(i64::MAX, |until| zone.moment(until.0)),
        rates,
    })
}

/// Whether a rate can ever count after those before it.
fn check_place(rate: &Spanned<Rate>, before: &[Rate], report: &mut Report<'_>) {
    let new = rate.get_ref();
    if before.iter().any(|rate| rate.sku == new.sku) {
        report.add(
            rate.span(),
            format!("a second sku {:?} in this period", new.sku),
        );
    }
    let hidden = |rate: &&Rate| rate.meter == new.meter && rate.selector.is_all();
    if let Some(first) = before.iter().find(hidden) {
        let message = format!(
            "never counts: {:?} before it is for all Pods already",
            first.sku
        );
        report.add(rate.span(), message);
    }
}

fn check_rate(rate: &Spanned<Rate>, basis: Basis, report: &mut Report<'_>) {
    let span = rate.span();
    let rate = rate.get_ref();
    let meter = rate.meter.name();
    let mut add = |message: String| report.add(span.clone(), message);
    if rate.sku.trim().is_empty() {
        add("sku is empty".to_owned());
    }
    match (rate.price, rate.tiers.is_empty()) {
        (None, true) => add("has neither a price nor tiers".to_owned()),
        (Some(_), false) => add("has a price and tiers; the tiers have prices".to_owned()),
        _ => {}
    }
    if let Some((last, others)) = rate.tiers.split_last() {
        let bounds: Vec<_> = others.iter().map(|tier| tier.up_to).collect();
        let rising = bounds.iter().all(Option::is_some) && bounds.is_sorted_by(|a, b| a < b);
        if last.up_to.is_some() || !rising {
            add("each tier but the last needs an up-to, higher than the one before it".to_owned());
        }
    }
    if rate.per.is_some() && !rate.meter.is_timed() {
        add(format!("{meter} is not of a time: leave per out"));
    }
    if rate.unit.is_some() && !rate.meter.is_bytes() {
        add(format!("{meter} does not count bytes: leave unit out"));
    }
    if rate.included.is_some() && !rate.meter.is_timed() {
        add(format!(
            "{meter} is no size of a Pod: write what is free as a tier of price \"0\""
        ));
    }
    if basis == Basis::Used && matches!(rate.meter, Meter::Storage | Meter::Gpu) {
        add(format!(
            "of {meter} is not known how much was used: take the basis \"max\""
        ));
    }
}

fn check_size(size: &SizeRule, span: Range<usize>, report: &mut Report<'_>) {
    let mut add = |message: &str| report.add(span.clone(), message);
    let shaped = SizeRule {
        basis: size.basis,
        ..SizeRule::default()
    } != *size;
    if shaped && matches!(size.basis, Basis::Used | Basis::Max) {
        add("what was used is not rounded: take the basis \"provisioned\" or \"requested\"");
    }
    if let Some(ratio) = size.memory_per_vcpu {
        let (least, most) = (ratio.least.whole(), ratio.most.whole());
        if most == 0 || least > most {
            add("memory-per-vcpu: most has to be more than 0, and no less than least");
        }
    }
    if size.configurations.is_empty() {
        return;
    }
    if size.memory_per_vcpu.is_some() || size.step != Default::default() {
        add("configurations, or step and memory-per-vcpu: not both");
    }
    let mut count = 0;
    let mut largest = (0, 0);
    for row in &size.configurations {
        let vcpus = row.vcpus.thousandths();
        match bounds(&row.memory) {
            Some((most, sizes)) if vcpus > 0 => {
                count += sizes;
                let (cpu, memory) = largest;
                largest = (vcpus.max(cpu), most.max(memory));
            }
            _ => add(
                "configurations: vcpus and memory have to be more than 0, and memory has to rise \
                 to its last amount in whole steps",
            ),
        }
    }
    if count > MAX_CONFIGURATIONS {
        add("more than 10000 configurations");
    }
    // Whatever is no larger than this one finds a place: without it the table has a hole.
    let holds = |row: &Configuration| {
        let most = bounds(&row.memory).map(|(most, _)| most);
        (row.vcpus.thousandths(), most) == (largest.0, Some(largest.1))
    };
    if count > 0 && !size.configurations.iter().any(holds) {
        add(&format!(
            "configurations: no one holds a Pod of {} thousandths of a vCPU and {} MiB, though each \
             of the two is in the table",
            largest.0,
            largest.1 >> 20
        ));
    }
}

/// The most memory, and how many sizes there are; `None` if they do not rise.
fn bounds(memory: &Memory) -> Option<(u64, u64)> {
    match memory {
        Memory::Each(amounts) => {
            let rising = amounts.is_sorted_by(|a, b| a.whole() < b.whole());
            let least = amounts.first().map_or(0, |amount| amount.whole());
            let most = amounts.last().map_or(0, |amount| amount.whole());
            (rising && least > 0).then_some((most, amounts.len() as u64))
        }
        Memory::Steps { from, to, step } => {
            let [from, to, step] = [from, to, step].map(|amount: &Amount| amount.whole());
            let fits = from > 0 && step > 0 && from <= to && (to - from) % step == 0;
            fits.then(|| (to, (to - from) / step + 1))
        }
    }
}

fn discounts(tables: Vec<Spanned<Discount>>, report: &mut Report<'_>) -> Vec<Discount> {
    if let Some(one_too_many) = tables.get(MAX_DISCOUNTS) {
        report.add(one_too_many.span(), "more than 64 discounts");
    }
    let mut names = BTreeSet::new();
    for table in &tables {
        let discount = table.get_ref();
        if !names.insert(&discount.name) {
            report.add(
                table.span(),
                format!("a second discount {:?}", discount.name),
            );
        }
        if let (Some(from), Some(until)) = (discount.from, discount.until)
            && until <= from
        {
            report.add(table.span(), "the discount ends before it begins");
        }
    }
    tables.into_iter().map(Spanned::into_inner).collect()
}
