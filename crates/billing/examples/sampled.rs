//! What a bill by samples is worth, beside one by every nanosecond: short Pods at random moments of
//! a day, by OpenCost's default rates. A Pod that is there at a sample is charged for the time
//! between two samples. `cargo run -p skete-billing --example sampled`

use std::collections::BTreeMap;
use std::error::Error;

use num_bigint::BigInt;
use num_traits::Zero;
use skete_billing::{Money, PriceList, Prices, Pricing, money};
use skete_usage::{Ended, Pod, PodUse, Size, Span, Used, Window};

const SECOND: u64 = 1_000_000_000;
/// 2026-11-01T00:00:00Z, in nanoseconds.
const DAY: i64 = 1_793_491_200_000_000_000;
/// OpenCost's default resolution.
const STEP: i64 = 300_000_000_000;
/// Pods of each length.
const PODS: u64 = 10_000;

fn main() -> Result<(), Box<dyn Error>> {
    let shipped = PriceList::shipped().find(|(name, _)| *name == "opencost");
    let (name, text) = shipped.ok_or("no such price list")?;
    let list = PriceList::parse(text, name)?;
    let pricing = Pricing::new(&list, Window::of_length(DAY, 2 * 86_400 * SECOND));
    println!(
        "| Pods of | charged nothing | error of one Pod, mean | error of all |\n|---|---|---|---|"
    );
    for (shown, length) in [
        ("5 s", 5),
        ("30 s", 30),
        ("2 min", 120),
        ("7 min", 420),
        ("61 min", 3660),
    ] {
        let (mut exact, mut sampled, mut errors) = (Money::zero(), Money::zero(), Money::zero());
        let mut free = 0;
        for index in 0..PODS {
            // Spread, and the same in every run.
            let spread = (index + length * PODS).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let start = DAY.saturating_add_unsigned((spread >> 8) % (86_400 * SECOND));
            let end = start.saturating_add_unsigned(length * SECOND);
            let one = cost(&pricing, start, end)?;
            let samples = end.div_euclid(STEP) - start.div_euclid(STEP);
            let of_step = cost(&pricing, DAY, DAY + STEP)?;
            let by_samples = of_step * BigInt::from(samples);
            free += u64::from(samples == 0);
            let error = &by_samples - &one;
            errors += if error < Money::zero() { -error } else { error };
            exact += one;
            sampled += by_samples;
        }
        let percent = |part: Money| {
            money::decimal(&money::rounded(&(part * BigInt::from(100) / &exact), 1), 1)
        };
        let free = Money::new((free * 100).into(), PODS.into());
        println!(
            "| {shown} | {} % | {} % | {} % |",
            money::decimal(&money::rounded(&free, 1), 1),
            percent(errors),
            percent(sampled - &exact)
        );
    }
    Ok(())
}

/// What a Pod of 1 vCPU and 1 GiB costs.
fn cost(pricing: &Pricing<'_>, start_ns: i64, end_ns: i64) -> Result<Money, Box<dyn Error>> {
    let size = Size {
        milli_vcpus: 1000,
        memory_bytes: 1 << 30,
        ..Size::default()
    };
    let charges = pricing.charge(&PodUse {
        pod: Pod {
            uid: "1".to_owned(),
            name: "short".to_owned(),
            namespace: "default".to_owned(),
            namespace_uid: None,
            labels: BTreeMap::new(),
            controller: None,
            node: "node".to_owned(),
            architecture: "amd64".to_owned(),
            runtime: "skete".to_owned(),
            annotations: BTreeMap::new(),
        },
        spans: vec![Span {
            start_ns,
            end_ns,
            provisioned: size,
            requested: size,
            limits: size,
            used: Used::default(),
        }],
        container_starts: 1,
        image_bytes: 0,
        ended: Ended::Seen,
    })?;
    Ok(Prices::settle(pricing, &charges).total(&charges))
}
