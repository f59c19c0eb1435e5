use std::collections::BTreeMap;

use super::*;
use crate::testing::{NOVEMBER, a_months_pods, money, shipped, tally, window};
use crate::{Money, Pricing};

type Rows = Vec<BTreeMap<String, String>>;

/// The invoice of these Pods and its rows.
fn rows(list: &str, pods: &[PodUse]) -> (Invoice, Rows) {
    let list = shipped(list);
    let pricing = Pricing::new(&list, window(30 * 86_400));
    let tally = tally(&pricing, "team-a", pods);
    let invoice = Invoice::new(&tally).unwrap();
    let prices = tally.settle().unwrap();
    let mut text = Vec::new();
    let tenant = Tenant::new("team-a");
    let mut writer = FocusWriter::new(&mut text, &invoice, &prices, tenant, "ACME").unwrap();
    for pod_use in pods {
        writer.add(pod_use).unwrap();
    }
    writer.finish().unwrap();
    let rows = csv::Reader::from_reader(&text[..])
        .deserialize()
        .collect::<Result<_, _>>()
        .unwrap();
    (invoice, rows)
}

/// A number that may be below zero.
fn signed(text: &str) -> Money {
    match text.strip_prefix('-') {
        Some(text) => -wide(text),
        None => wide(text),
    }
}

/// A number with more digits than a price has.
fn wide(text: &str) -> Money {
    let (whole, fraction) = text.split_once('.').unwrap();
    let digits: BigInt = format!("{whole}{fraction}").parse().unwrap();
    let scale = BigInt::from(10u32).pow(fraction.len().try_into().unwrap());
    Money::new(digits, scale)
}

#[test]
fn all_rows_sum_to_the_invoice() {
    for list in ["fargate", "own-hardware", "opencost", "cloud-run"] {
        let (invoice, rows) = rows(list, &a_months_pods(100));
        let billed: Money = rows.iter().map(|row| signed(&row["BilledCost"])).sum();
        assert_eq!(billed, money(&invoice.total), "{list}");
        let last = rows.last().unwrap();
        assert_eq!(last["ChargeCategory"], "Adjustment");
        // Half a cent, and what cutting loses: a billionth of a unit for each Pod and item.
        let rounding = signed(&last["BilledCost"]);
        assert!(
            rounding < money("0.0051") && rounding > -money("0.0051"),
            "{rounding}"
        );
        assert!(rows.len() > 1000, "{}", rows.len());
    }
}

#[test]
fn every_row_is_exact_in_itself_and_lies_within_an_hour() {
    for list in ["fargate", "opencost"] {
        let (_, rows) = rows(list, &a_months_pods(100));
        for row in rows.iter().filter(|row| row["ChargeCategory"] == "Usage") {
            let list_cost = wide(&row["ListUnitPrice"]) * wide(&row["PricingQuantity"]);
            assert_eq!(list_cost, wide(&row["ListCost"]));
            for cost in ["ContractedCost", "EffectiveCost", "BilledCost"] {
                assert_eq!(row[cost], row["ListCost"]);
            }
            let [start, end] = ["ChargePeriodStart", "ChargePeriodEnd"]
                .map(|column| row[column].parse::<jiff::Timestamp>().unwrap().as_second());
            assert!(start < end, "{row:?}");
            assert_eq!(
                start.div_euclid(3600),
                (end - 1).div_euclid(3600),
                "{row:?}"
            );
            assert!(start >= NOVEMBER / SECOND_NS && end <= NOVEMBER / SECOND_NS + 30 * 86_400);
        }
    }
}

#[test]
fn a_pods_rows_sum_to_what_it_is_charged_for_and_what_it_had() {
    let pods = a_months_pods(100);
    let list = shipped("fargate");
    let pricing = Pricing::new(&list, window(30 * 86_400));
    let (_, rows) = rows("fargate", &pods);
    for pod_use in &pods {
        let id = format!("ns-1/{}", pod_use.pod.uid);
        let mut sums: BTreeMap<&str, Money> = BTreeMap::new();
        let mut consumed = Money::default();
        for row in rows.iter().filter(|row| row["ResourceId"] == id) {
            *sums.entry(&row["SkuId"]).or_default() += wide(&row["PricingQuantity"]);
            if row["SkuMeter"] == "vcpu" {
                consumed += wide(&row["ConsumedQuantity"]);
            }
        }
        let charges = pricing.charge(pod_use).unwrap();
        for (line, quantity) in charges.iter() {
            let rate = pricing.rate(line);
            let exact = Money::new(quantity.into(), rate.unit_size().into());
            let less = exact - &sums[rate.sku.as_str()];
            assert!(less >= Money::zero() && less < money("0.000000001"));
        }
        let span = pod_use.spans[0];
        let had =
            span.start_ns.max(pricing.window().from_ns)..span.end_ns.min(pricing.window().to_ns);
        let had = BigInt::from((had.end - had.start).max(0)) * span.requested.milli_vcpus;
        let less = Money::new(had, BigInt::from(3_600_000_000_000_000u64)) - consumed;
        assert!(
            less >= Money::zero() && less < money("0.000000001"),
            "{less}"
        );
    }
}

#[test]
fn a_discount_is_in_what_is_billed_and_not_in_what_is_listed() {
    let mut pods = a_months_pods(20);
    for run in &mut pods {
        run.pod
            .labels
            .insert("io.skete/can-wait".to_owned(), "true".to_owned());
    }
    let (_, rows) = rows("own-hardware", &pods);
    let less = rows
        .iter()
        .filter(|row| row["ChargeDescription"].contains("less 40 %"));
    let mut count = 0;
    for row in less {
        assert_eq!(
            wide(&row["BilledCost"]),
            rounded_to(wide(&row["ListCost"]) * money("0.6"))
        );
        count += 1;
    }
    assert!(count > 10);
}

fn rounded_to(value: Money) -> Money {
    let scale = BigInt::from(10u32).pow(COST_DIGITS);
    Money::new(rounded(&value, COST_DIGITS), scale)
}

#[test]
fn labels_are_tags_whatever_is_in_them() {
    let (_, rows) = rows("fargate", &a_months_pods(3));
    let tags: BTreeMap<String, String> = serde_json::from_str(&rows[0]["Tags"]).unwrap();
    assert_eq!(tags["app"], "a, \"b\"");
    assert_eq!(rows[0]["InvoiceIssuerName"], "ACME");
}
