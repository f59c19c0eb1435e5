//! The lists that come with Skete, against what their providers publish.

use crate::money::{decimal, rounded};
use crate::rules::Meter;
use crate::testing::{NOVEMBER, SECOND, cost, money, pod_use, shipped, size, span, window};
use skete_usage::PodUse;

use crate::{Money, PriceList, Pricing};

/// What a Pod of this size costs that ran so long.
fn ran(list: &str, milli_vcpus: u64, memory_mib: u64, ns: i64, digits: u32) -> String {
    let run = pod_use("a", vec![span(NOVEMBER, ns, size(milli_vcpus, memory_mib))]);
    let cost = cost(&shipped(list), &run, window(40 * 86_400));
    decimal(&rounded(&cost, digits), digits)
}

#[test]
fn every_shipped_list_is_one_and_has_its_files_name() {
    for (name, text) in PriceList::shipped() {
        let list = PriceList::parse(text, name).unwrap();
        assert_eq!(list.name, name);
    }
}

#[test]
fn fargates_smallest_pod_costs_what_is_published() {
    // (0.04048 ÷ 4 + 0.004445 ÷ 2) ÷ 3600 for each second, and a minute at least.
    assert_eq!(ran("fargate", 250, 256, SECOND, 9), "0.000205708");
    assert_eq!(ran("fargate", 250, 256, 60 * SECOND, 9), "0.000205708");
    let second = cost_of_second("fargate");
    assert_eq!(second, "0.00000342847");
}

/// What the sixty-first second costs.
fn cost_of_second(list: &str) -> String {
    let list = shipped(list);
    let run = |seconds| {
        let run = pod_use("a", vec![span(NOVEMBER, seconds * SECOND, size(250, 256))]);
        cost(&list, &run, window(86_400))
    };
    decimal(&rounded(&(run(61) - run(60)), 11), 11)
}

#[test]
fn fargate_rounds_time_up_to_the_second() {
    let longer = ran("fargate", 250, 256, 60 * SECOND + 1, 12);
    assert_eq!(longer, ran("fargate", 250, 256, 61 * SECOND, 12));
}

#[test]
fn fargates_example_is_charged_for_two_vcpus_and_nine_gb() {
    // 2 × 0.04048 + 9 × 0.004445
    assert_eq!(ran("fargate", 1000, 8192, 3600 * SECOND, 6), "0.120965");
}

#[test]
fn fargate_includes_twenty_gib_of_storage_and_arm_is_cheaper() {
    let list = shipped("fargate");
    let mut run = pod_use("a", vec![span(NOVEMBER, 3600 * SECOND, size(250, 256))]);
    let hour = |run: &PodUse| cost(&list, run, window(86_400));
    let without = hour(&run);
    run.spans[0].requested.storage_bytes = 20 << 30;
    assert_eq!(hour(&run), without);
    run.spans[0].requested.storage_bytes = 30 << 30;
    assert_eq!(hour(&run) - &without, money("0.00111"));
    run.spans[0].requested.storage_bytes = 0;
    run.pod.architecture = "arm64".to_owned();
    // 0.03238 ÷ 4 + 0.00356 ÷ 2
    assert_eq!(hour(&run), money("0.009875"));
}

#[test]
fn autopilot_has_no_minimum_and_spot_pods_are_cheaper() {
    // 0.25 × 0.0445 + 0.5 × 0.0049225 + 1 × 0.0000548 for an hour.
    assert_eq!(
        ran("gke-autopilot", 100, 128, 3600 * SECOND, 9),
        "0.013641050"
    );
    assert_eq!(ran("gke-autopilot", 100, 128, SECOND, 12), "0.000003789181");
    let mut run = pod_use("a", vec![span(NOVEMBER, 3600 * SECOND, size(1000, 4096))]);
    let spot = ("spot".to_owned(), "true".to_owned());
    run.pod.annotations.extend([spot]);
    let hour = cost(&shipped("gke-autopilot"), &run, window(86_400));
    assert_eq!(
        hour,
        money("0.0133") + money("0.0059068") + money("0.0000548")
    );
}

#[test]
fn cloud_run_rounds_to_a_tenth_of_a_second_and_its_first_seconds_are_free() {
    assert_eq!(ran("cloud-run", 1000, 512, 86_400 * SECOND, 2), "0.00");
    // 30 days of 1 vCPU and 512 MiB: (2,592,000 − 240,000) × 0.000018 + (1,296,000 − 450,000) ×
    // 0.000002.
    assert_eq!(
        ran("cloud-run", 1000, 512, 30 * 86_400 * SECOND, 6),
        "44.028000"
    );
    let run = pod_use("a", vec![span(NOVEMBER, SECOND + 1, size(1000, 0))]);
    let list = shipped("cloud-run");
    let pricing = Pricing::new(&list, window(60));
    let charges = pricing.charge(&run).unwrap();
    let vcpu = charges
        .iter()
        .find(|(line, _)| pricing.rate(*line).meter == Meter::Vcpu);
    assert_eq!(vcpu.unwrap().1, 1000 * 1_100_000_000);
}

#[test]
fn azures_example_of_five_minutes_a_day_comes_out() {
    // 1 vCPU and 1 GB, 300 s on each of 30 days.
    let spans = (0..30).map(|day| {
        span(
            NOVEMBER + day * 86_400 * SECOND,
            300 * SECOND,
            size(1000, 1024),
        )
    });
    let list = shipped("azure-container-instances");
    let costs = spans.map(|span| cost(&list, &pod_use("a", vec![span]), window(40 * 86_400)));
    let month: Money = costs.sum();
    // 30 × 300 × (0.0405 + 0.00445) ÷ 3600
    assert_eq!(month, money("0.112375"));
}

#[test]
fn opencost_charges_what_was_requested_or_used_whichever_was_more() {
    let list = shipped("opencost");
    let mut run = pod_use("a", vec![span(NOVEMBER, 3600 * SECOND, size(1000, 1024))]);
    let hour = |run: &PodUse| cost(&list, run, window(86_400));
    assert_eq!(hour(&run), money("0.031611") + money("0.004237"));
    run.spans[0].used.cpu_ns = 2 * 3_600_000_000_000;
    assert_eq!(hour(&run), money("0.063222") + money("0.004237"));
    run.spans[0].used.cpu_ns = 1;
    run.spans[0].used.memory_byte_ns = (3 << 30) * 3_600_000_000_000;
    run.spans[0].used.network_sent_bytes = 1 << 30;
    assert_eq!(
        hour(&run),
        money("0.031611") + money("0.012711") + money("0.12")
    );
}

#[test]
fn own_hardware_comes_to_a_price_that_pays_for_it() {
    let list = shipped("own-hardware");
    let prices: Vec<_> = list.periods[0]
        .rates
        .iter()
        .map(|rate| rate.price.unwrap())
        .collect();
    // 9000 ÷ 43800 h + 60 × 12 ÷ 8760 h + 0.525 kW × 0.25 = 0.4189212… for an hour; 70 % of it for
    // 60 vCPUs, 30 % for 240 GiB, of which 60 % are sold.
    let [vcpu, memory] = ["0.008145690639", "0.000872752568"].map(|t| t.parse().unwrap());
    assert_eq!(prices, [vcpu, memory]);
    let sold = (money("0.008145690639") * num_bigint::BigInt::from(60)
        + money("0.000872752568") * num_bigint::BigInt::from(240))
        * money("0.6");
    assert_eq!(decimal(&rounded(&sold, 6), 6), "0.418921");
}
