use super::*;

/// As a journal is folded into it.
const USED: &str = r#"{
    "pod": {
        "uid": "u", "name": "hello", "namespace": "default",
        "node": "n", "architecture": "amd64", "runtime": "skete"
    },
    "spans": [{
        "startNs": 1764000000000000000, "endNs": 1764000001290000000,
        "provisioned": {"milliVcpus": 2000, "memoryBytes": 587202560},
        "requested": {}, "limits": {},
        "used": {"cpuNs": 1090000000, "memoryByteNs": 167772160000000000}
    }],
    "containerStarts": 1, "imageBytes": 0, "ended": "seen"
}"#;

#[test]
fn the_line_tells_time_size_provisioned_and_used() {
    let used: PodUse = serde_json::from_str(USED).unwrap();
    assert_eq!(
        line(&used),
        "1.29 s, 2 vCPU, 560 MiB: 2.58 vCPU-s and 722 MiB-s provisioned, \
         1.09 vCPU-s and 160 MiB-s used"
    );
}

#[test]
fn a_pod_without_any_time_has_a_line_too() {
    let mut used: PodUse = serde_json::from_str(USED).unwrap();
    used.spans.clear();
    assert!(line(&used).starts_with("0.00 s, 0 vCPU, 0 MiB: "));
}

#[test]
fn the_cost_is_exact_and_told_with_the_currency_and_the_list() {
    let used: PodUse = serde_json::from_str(USED).unwrap();
    let (name, text) = PriceList::shipped()
        .find(|(name, _)| *name == "fargate")
        .unwrap();
    let cost = Cost::of(&used, &PriceList::parse(text, name).unwrap()).unwrap();
    // 0.25 vCPU and 0.5 GB for the minimum of a minute: a price list rounds what was requested.
    let told = cost.line();
    assert!(told.ends_with(" USD by fargate"), "{told}");
    let json = serde_json::to_value(Receipt {
        used: &used,
        cost: Some(cost),
    })
    .unwrap();
    assert_eq!(json["pod"]["uid"], "u");
    assert_eq!(json["cost"]["currency"], "USD");
}
