use num_traits::Zero;

use super::*;
use crate::testing::{NOVEMBER, Random, SECOND, cost, list, money, pod_use, size, span, window};
use crate::{Money, Prices};

const LIST: &str = r#"
name = "test"
title = "A list for tests"
version = "1"
currency = "USD"
[clock]
step = "1s"
minimum = "60s"
[[period]]
from = 2026-11-01
until = 2026-12-01
[[period.rate]]
sku = "vcpu"
meter = "vcpu"
price = "3.6"
[[period.rate]]
sku = "start"
meter = "pod"
price = "0.01"
"#;

#[test]
fn a_minimum_is_charged_as_though_the_last_span_had_gone_on() {
    let list = list(LIST);
    let run = pod_use("a", vec![span(NOVEMBER, 10 * SECOND, size(1000, 0))]);
    // A thousandth for each second of a vCPU, and a hundredth for the Pod.
    let cost = |from, until| {
        let window = Window::new(NOVEMBER + from * SECOND, NOVEMBER + until * SECOND).unwrap();
        cost(&list, &run, window)
    };
    assert_eq!(cost(0, 3600), money("0.07"));
    assert_eq!(cost(0, 10), money("0.02"));
    assert_eq!(cost(10, 60), money("0.05"));
    assert_eq!(cost(60, 3600), Money::zero());
}

#[test]
fn a_pod_that_still_runs_is_charged_for_what_there_is() {
    let list = list(LIST);
    let mut run = pod_use("a", vec![span(NOVEMBER, SECOND + 1, size(1000, 0))]);
    run.ended = Ended::Running;
    assert_eq!(
        cost(&list, &run, window(3600)),
        money("0.011") + money("0.000000000001")
    );
}

#[test]
fn paused_time_is_free_and_counts_for_no_minimum() {
    let list = list(LIST);
    let spans = [0, 3600].map(|at| span(NOVEMBER + at * SECOND, 20 * SECOND, size(1000, 0)));
    let run = pod_use("a", spans.to_vec());
    assert_eq!(cost(&list, &run, window(86_400)), money("0.07"));
}

#[test]
fn a_pod_without_spans_costs_nothing() {
    let list = list(LIST);
    let run = pod_use("a", Vec::new());
    assert_eq!(cost(&list, &run, window(86_400)), Money::zero());
}

/// Why a Pod cannot be charged.
fn refused(list: &PriceList, run: &PodUse, window: Window) -> String {
    Pricing::new(list, window)
        .charge(run)
        .unwrap_err()
        .to_string()
}

#[test]
fn what_cannot_be_charged_is_told_with_the_pods_name() {
    let list = list(LIST);
    let two = |at| {
        let spans = [0, at].map(|at| span(NOVEMBER + at, 10, size(1000, 0)));
        pod_use("a", spans.to_vec())
    };
    let name = "Pod team-a/pod-a (a)";
    for at in [9, -5, -10] {
        let said = refused(&list, &two(at), window(60));
        assert_eq!(
            said,
            format!("{name}: its spans of time overlap, or end before they begin")
        );
    }
    let back = pod_use("a", vec![span(NOVEMBER, -1, size(1000, 0))]);
    assert!(refused(&list, &back, window(60)).contains("end before they begin"));
    let december = pod_use(
        "a",
        vec![span(NOVEMBER, 31 * 86_400 * SECOND, size(1000, 0))],
    );
    assert_eq!(
        refused(&list, &december, window(32 * 86_400)),
        format!("{name}: price list \"test\" has no prices for 2026-12-01T00:00:00Z")
    );
    let mut endless = pod_use("a", vec![span(i64::MIN, 0, size(u64::MAX, 0))]);
    endless.spans[0].end_ns = i64::MAX;
    assert!(refused(&list, &endless, window(60)).contains("larger than any machine's"));
    let large = pod_use("a", vec![span(NOVEMBER, 1, size(99_000, 0))]);
    let fargate = crate::testing::shipped("fargate");
    let error = Pricing::new(&fargate, window(60))
        .charge(&large)
        .unwrap_err();
    assert_eq!(error.to_string(), format!("{name}: price list \"fargate\""));
}

#[test]
fn a_limit_is_a_request_where_there_is_no_other() {
    let list = crate::testing::shipped("fargate");
    let mut run = pod_use("a", vec![span(NOVEMBER, 3600 * SECOND, size(1000, 8192))]);
    let by_request = cost(&list, &run, window(3600));
    run.spans[0].requested.memory_bytes = 0;
    assert_eq!(cost(&list, &run, window(3600)), by_request);
    run.spans[0].requested.memory_bytes = 1 << 30;
    assert!(cost(&list, &run, window(3600)) < by_request);
}

#[test]
fn of_several_discounts_the_first_that_holds_counts_alone() {
    let list = list(&format!(
        "{LIST}[[discount]]\nname = \"spot\"\npercent = 50\nmeters = [\"vcpu\"]\n\
         match = {{ labels = {{ spot = \"yes\" }} }}\n\
         [[discount]]\nname = \"all\"\npercent = \"10\"\n"
    ));
    let mut run = pod_use("a", vec![span(NOVEMBER, 60 * SECOND, size(1000, 0))]);
    assert_eq!(cost(&list, &run, window(60)), money("0.063"));
    run.pod.labels.insert("spot".to_owned(), "yes".to_owned());
    assert_eq!(cost(&list, &run, window(60)), money("0.039"));
}

/// Whatever a record says, there is an answer.
#[test]
fn records_beyond_all_measure_are_charged_or_refused() {
    let mut random = Random(3);
    let mut refused = 0;
    for name in ["fargate", "gke-autopilot", "opencost", "own-hardware"] {
        let list = crate::testing::shipped(name);
        let pricing = Pricing::new(&list, window(30 * 86_400));
        for _ in 0..500 {
            let mut some = || random.of(&[0, 1, 1000, 1 << 40, i64::MAX as u64, u64::MAX]);
            let mut size = || Size {
                milli_vcpus: some(),
                memory_bytes: some(),
                storage_bytes: some(),
                gpus: some(),
            };
            let (provisioned, requested, limits) = (size(), size(), size());
            let used = Used {
                cpu_ns: some(),
                memory_byte_ns: u128::from(some()) * u128::from(some()),
                network_sent_bytes: some(),
                ..Used::default()
            };
            let at = random.of(&[i64::MIN, 0, NOVEMBER, NOVEMBER + 1, i64::MAX - 1]);
            let spans = vec![Span {
                start_ns: at,
                end_ns: random.of(&[i64::MIN, at, NOVEMBER + 10, i64::MAX]),
                provisioned,
                requested,
                limits,
                used,
            }];
            match pricing.charge(&pod_use("a", spans)) {
                Ok(charges) => drop(Prices::settle(&pricing, &charges).total(&charges)),
                Err(_) => refused += 1,
            }
        }
    }
    assert!(refused > 100, "{refused}");
}
