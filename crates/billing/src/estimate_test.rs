use super::*;
use crate::money::{decimal, rounded};
use crate::testing::{NOVEMBER, money, shipped, size};

fn template(milli_vcpus: u64, memory_mib: u64, pods: u64) -> Template {
    Template {
        name: "web".to_owned(),
        namespace: "team-a".to_owned(),
        labels: BTreeMap::new(),
        annotations: BTreeMap::new(),
        architecture: "amd64".to_owned(),
        provisioned: size(1000, 560),
        requested: size(milli_vcpus, memory_mib),
        limits: Size::default(),
        pods,
    }
}

fn estimated(list: &str, template: &Template) -> Estimate {
    estimate(&shipped(list), template, NOVEMBER).unwrap()
}

#[test]
fn a_pod_is_estimated_as_it_would_be_charged() {
    let costs = estimated("fargate", &template(1000, 8192, 1));
    assert_eq!(costs.charged, size(2000, 9216));
    assert_eq!(costs.hour, money("0.120965"));
    assert_eq!(costs.month, money("0.120965") * BigInt::from(730));
    // A minute at least.
    assert_eq!(costs.least, money("0.120965") / BigInt::from(60));
    let three = estimated("fargate", &template(1000, 8192, 3));
    assert_eq!(three.month, costs.month * BigInt::from(3));
}

#[test]
fn where_use_is_charged_a_pod_is_taken_to_use_what_it_asks_for() {
    let costs = estimated("opencost", &template(2000, 1024, 1));
    assert_eq!(costs.hour, money("0.067459"));
}

#[test]
fn what_is_free_each_month_is_free_once_for_all_pods() {
    assert_eq!(
        estimated("cloud-run", &template(0, 0, 0)).month,
        Money::default()
    );
    let one = estimated("cloud-run", &template(0, 0, 1));
    let three = estimated("cloud-run", &template(0, 0, 3));
    // 3 × 2,628,000 s of 1 vCPU and 0.546875 GiB, less what is free.
    assert_eq!(decimal(&rounded(&three.month, 4), 4), "145.3151");
    assert!(three.month > one.month * BigInt::from(3));
}

#[test]
fn a_pod_that_no_configuration_holds_is_told() {
    let list = shipped("fargate");
    let error = estimate(&list, &template(99_000, 1, 1), NOVEMBER).unwrap_err();
    assert_eq!(
        error.to_string(),
        "Pod team-a/web (estimate): price list \"fargate\""
    );
}
