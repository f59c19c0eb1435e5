use serde_json::Value;
use skete_usage::Controller;

use super::*;
use crate::testing::{NOVEMBER, SECOND, list, pod_use, size, span};

/// A vCPU-second costs 1, a GiB-second 0.5, and each Pod 7.
const PRICES: &str = r#"
name = "test"
title = "Test"
version = "1"
currency = "EUR"

[[period]]
from = 1970-01-01

[[period.rate]]
sku = "vcpu"
meter = "vcpu"
price = "3600"

[[period.rate]]
sku = "memory"
meter = "memory"
price = "1800"

[[period.rate]]
sku = "pod"
meter = "pod"
price = "7"
"#;

/// A machine of 4 vCPUs and 8 GiB that runs since the beginning of November.
pub(super) fn node() -> Node {
    Node {
        cluster: "c".to_owned(),
        name: "node-1".to_owned(),
        size: size(4000, 8192),
        since_ns: NOVEMBER,
    }
}

/// 1 vCPU and 2 GiB: 2 a second, and 7 once.
fn pod(uid: &str, namespace: &str, name: &str, from_s: i64, length_s: i64) -> PodUse {
    let from = NOVEMBER + from_s * SECOND;
    let mut used = pod_use(uid, vec![span(from, length_s * SECOND, size(1000, 2048))]);
    used.pod.namespace = namespace.to_owned();
    used.pod.name = name.to_owned();
    used
}

fn ask_of(prices: &str, pods: &[PodUse], parameters: &str) -> Result<Value, QueryError> {
    let list = list(prices);
    let now_ns = NOVEMBER + 100 * SECOND;
    let known = Known {
        pods,
        fine: None,
        list: &list,
        node: &node(),
        now_ns,
        unreadable: 0,
    };
    let query = Query::parse(parameters, now_ns)?;
    Ok(serde_json::from_str(&allocation(&query, known)?).unwrap())
}

/// The first 100 seconds of November.
const WINDOW: &str = "window=2026-11-01T00:00:00Z,2026-11-01T00:01:40Z";

fn ask(pods: &[PodUse], parameters: &str) -> Value {
    ask_of(PRICES, pods, &format!("{WINDOW}&{parameters}")).unwrap_or_else(|e| panic!("{e}"))
}

fn keys(set: &Value) -> Vec<&str> {
    set.as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect()
}

#[test]
fn a_worked_example_has_all_its_figures() {
    let mut used = pod("u1", "a", "web", 10, 30);
    used.spans[0].used.cpu_ns = 15 * 1_000_000_000;
    used.spans[0].used.memory_byte_ns = 30 * 1_000_000_000 * (1 << 30);
    used.pod.controller = Some(Controller {
        kind: "Job".to_owned(),
        name: "j".to_owned(),
    });
    let answer = ask(&[used], "");
    assert_eq!(answer["code"], 200);
    let set = &answer["data"][0];
    assert_eq!(keys(set), ["c/node-1/a/web@u1/__unallocated__"]);
    let one = &set["c/node-1/a/web@u1/__unallocated__"];
    for (field, expected) in [
        ("cpuCost", 30.0),
        ("ramCost", 30.0),
        ("externalCost", 7.0),
        ("totalCost", 67.0),
        ("minutes", 0.5),
        ("cpuCores", 1.0),
        ("cpuCoreRequestAverage", 1.0),
        ("cpuCoreUsageAverage", 0.5),
        ("cpuEfficiency", 0.5),
        ("ramEfficiency", 0.5),
        ("totalEfficiency", 0.5),
        ("ramBytes", 2.0 * f64::from(1 << 30)),
    ] {
        assert_eq!(one[field].as_f64(), Some(expected), "{field}");
    }
    assert_eq!(one["start"], "2026-11-01T00:00:10Z");
    assert_eq!(one["end"], "2026-11-01T00:00:40Z");
    assert_eq!(one["properties"]["controllerKind"], "Job");
}

#[test]
fn steps_sum_to_the_window() {
    let pods = [pod("u1", "a", "web", -5, 30), pod("u2", "a", "db", 33, 200)];
    let total = |set: &Value| set["a"]["totalCost"].as_f64().unwrap_or(0.0);
    let whole = total(&ask(&pods, "aggregate=namespace")["data"][0]);
    let steps = ask(&pods, "aggregate=namespace&step=7s");
    let steps = steps["data"].as_array().unwrap();
    assert_eq!(steps.len(), 15);
    assert_eq!(steps.iter().map(total).sum::<f64>(), whole);
    // 25 s and 67 s at 2 a second, and one Pod that began in it.
    assert_eq!(whole, 50.0 + 134.0 + 7.0);
    let accumulated = ask(&pods, "aggregate=namespace&step=7s&accumulate=true");
    assert_eq!(accumulated["data"].as_array().unwrap().len(), 1);
    assert_eq!(total(&accumulated["data"][0]), whole);
}

#[test]
fn a_pod_name_that_another_tenant_uses_too_crosses_nothing() {
    let pods = [
        pod("u1", "a", "web", 0, 10),
        pod("u2", "b", "web", 0, 20),
        pod("u3", "a", "web", 30, 10),
    ];
    let set = &ask(&pods, "aggregate=pod")["data"][0];
    assert_eq!(keys(set), ["web@u1", "web@u2", "web@u3"]);
    assert_eq!(set["web@u2"]["totalCost"].as_f64(), Some(47.0));
    assert_eq!(set["web@u2"]["properties"]["namespace"], "b");
}

#[test]
fn a_pod_of_a_second_or_a_millisecond_costs_what_it_costs() {
    let prices = PRICES
        .replace("\"3600\"", "\"0.04\"")
        .replace("\"1800\"", "\"0.004\"")
        .replace("\"7\"", "\"0\"");
    let mut short = pod("u1", "a", "job", 10, 1);
    let query = format!("{WINDOW}&aggregate=namespace");
    let cost = |used: &PodUse| {
        let answer = ask_of(&prices, std::slice::from_ref(used), &query).unwrap();
        answer["data"][0]["a"]["cpuCost"].to_string()
    };
    // 0.04 / 3600, with all digits.
    assert!(
        cost(&short).starts_with("0.0000111111") || cost(&short).starts_with("1.11111111"),
        "{}",
        cost(&short)
    );
    short.spans[0].end_ns = short.spans[0].start_ns + 1_000_000;
    assert!(cost(&short).parse::<f64>().unwrap() > 0.0);
}

#[test]
fn no_minutes_are_negative_and_a_window_cuts_a_pod_at_both_ends() {
    let pods = [pod("u1", "a", "web", -50, 1000)];
    let one = &ask(&pods, "aggregate=namespace")["data"][0]["a"];
    assert_eq!(one["start"], "2026-11-01T00:00:00Z");
    assert_eq!(one["end"], "2026-11-01T00:01:40Z");
    assert_eq!(one["minutes"].as_f64(), Some(100.0 / 60.0));
    let before = ask(&[pod("u1", "a", "web", -50, 50)], "aggregate=namespace");
    assert!(keys(&before["data"][0]).is_empty());
}

#[test]
fn a_minimum_is_charged_where_the_pod_no_longer_is() {
    let prices = PRICES.replace("[[period]]", "[clock]\nminimum = \"60s\"\n\n[[period]]");
    let query = format!("{WINDOW}&aggregate=namespace&step=20s");
    let answer = ask_of(&prices, &[pod("u1", "a", "web", 0, 10)], &query).unwrap();
    let costs = answer["data"].as_array().unwrap().iter();
    let costs: Vec<_> = costs.map(|set| set["a"]["totalCost"].as_f64()).collect();
    assert_eq!(costs, [Some(47.0), Some(40.0), Some(40.0), None, None]);
    assert_eq!(answer["data"][1]["a"]["minutes"].as_f64(), Some(1.0 / 3.0));
}

#[test]
fn idle_is_what_of_the_machine_no_pod_had() {
    let pods = [pod("u1", "a", "web", 0, 50)];
    let set = &ask(&pods, "aggregate=namespace&includeIdle=true")["data"][0];
    // 4 vCPUs × 100 s less 50, and (8 GiB × 100 s less 100) / 2.
    assert_eq!(set["__idle__"]["cpuCost"].as_f64(), Some(350.0));
    assert_eq!(set["__idle__"]["ramCost"].as_f64(), Some(350.0));
    let before = "window=2026-10-01T00:00:00Z,2026-10-02T00:00:00Z&includeIdle=true";
    let before = ask_of(PRICES, &pods, before).unwrap();
    assert!(
        keys(&before["data"][0]).is_empty(),
        "the machine did not run"
    );
}

#[test]
fn labels_and_controllers_aggregate_and_what_is_missing_is_unallocated() {
    let mut labelled = pod("u1", "a", "web", 0, 10);
    labelled
        .pod
        .labels
        .insert("app".to_owned(), "shop".to_owned());
    labelled.pod.controller = Some(Controller {
        kind: "ReplicaSet".to_owned(),
        name: "web-1".to_owned(),
    });
    let pods = [labelled, pod("u2", "a", "db", 0, 10)];
    let of = |aggregate: &str| {
        let answer = ask(&pods, &format!("aggregate={aggregate}"));
        keys(&answer["data"][0]).join(" ")
    };
    assert_eq!(of("label:app"), "__unallocated__ app=shop");
    assert_eq!(of("namespace,label:app"), "a/__unallocated__ a/app=shop");
    assert_eq!(of("controller"), "__unallocated__ replicaset:web-1");
    assert_eq!(
        of("controllerKind,controller"),
        "ReplicaSet/web-1 __unallocated__/__unallocated__"
    );
    assert_eq!(of("service"), "__unallocated__");
}

#[test]
fn a_filter_chooses_and_a_hostile_name_stays_text() {
    let mut hostile = pod("u1", "a", "web", 0, 10);
    hostile
        .pod
        .labels
        .insert("x".to_owned(), "\"</script>\n\u{1}".to_owned());
    let pods = [hostile, pod("u2", "b", "db", 0, 10)];
    let answer = ask(&pods, "aggregate=label:x&filter=namespace:%22a%22");
    assert_eq!(keys(&answer["data"][0]), ["x=\"</script>\n\u{1}"]);
}

#[test]
fn what_cannot_be_answered_is_refused_by_its_name() {
    for (query, told) in [
        ("", "\"window\" is missing"),
        ("window=x", "is no window"),
        ("window=1d&aggregate=pods", "there is no \"pods\""),
        ("window=1d&aggregate=label:", "there is no \"label:\""),
        ("window=1d&agregate=pod", "\"agregate\" is not known"),
        ("window=1d&shareIdle=true", "\"shareIdle\" is not supported"),
        ("window=1d&step=1s", "more than 10000 steps"),
        ("window=1d&step=0h", "\"0h\" is no time"),
        ("window=1d&accumulate=maybe", "neither true nor false"),
        ("window=1d&filter=namespace", "want :"),
    ] {
        let error = Query::parse(query, NOVEMBER).unwrap_err().to_string();
        assert!(error.contains(told), "{query}: {error}");
    }
    assert_eq!(
        error(400, "a \"quote\""),
        r#"{"code":400,"message":"a \"quote\""}"#
    );
}

#[test]
fn pods_that_cannot_be_charged_are_told_of() {
    let prices = PRICES.replace("1970-01-01", "2027-01-01");
    let query = format!("{WINDOW}&aggregate=namespace");
    let answer = ask_of(&prices, &[pod("u1", "a", "web", 0, 10)], &query).unwrap();
    let warning = answer["warning"].as_str().unwrap();
    assert!(
        warning.starts_with("not counted: ") && warning.contains("u1"),
        "{warning}"
    );
}

#[test]
fn summary_and_assets_have_opencosts_form() {
    let list = list(PRICES);
    let now_ns = NOVEMBER + 100 * SECOND;
    let pods = [pod("u1", "a", "web", 0, 10)];
    let known = Known {
        pods: &pods,
        fine: None,
        list: &list,
        node: &node(),
        now_ns,
        unreadable: 2,
    };
    let query = Query::parse(&format!("{WINDOW}&aggregate=namespace"), now_ns).unwrap();
    let answer: Value = serde_json::from_str(&summary(&query, known).unwrap()).unwrap();
    let one = &answer["data"]["sets"][0]["allocations"]["a"];
    assert_eq!(one["totalCost"].as_f64(), Some(27.0));
    assert_eq!(answer["data"]["step"], 100_000_000_000u64);
    assert!(
        answer["warning"]
            .as_str()
            .unwrap()
            .contains("2 usage journals")
    );
    let answer: Value = serde_json::from_str(&assets(&query, known).unwrap()).unwrap();
    let node = &answer["data"]["c/Compute/Kubernetes/Node/node-1"];
    assert_eq!(node["cpuCost"].as_f64(), Some(400.0));
    assert_eq!(node["totalCost"].as_f64(), Some(800.0));
}

#[test]
fn metrics_are_by_namespace_and_pods_are_there_if_asked() {
    let list = list(PRICES);
    let mut running = pod("u1", "a\"\n", "web", 0, 10);
    running.ended = skete_usage::Ended::Running;
    let pods = [running, pod("u2", "b", "db", 0, 10)];
    let known = Known {
        pods: &pods,
        fine: None,
        list: &list,
        node: &node(),
        now_ns: NOVEMBER + 100 * SECOND,
        unreadable: 0,
    };
    let text = metrics(known, Detail::Namespace);
    for line in [
        "node_cpu_hourly_cost{instance=\"node-1\",node=\"node-1\"} 3600",
        "node_ram_hourly_cost{instance=\"node-1\",node=\"node-1\"} 1800",
        "skete_cost_total{namespace=\"b\",currency=\"EUR\"} 27",
        "skete_pods_running{namespace=\"a\\\"\\n\"} 1",
        "skete_vcpu_seconds_total{namespace=\"b\"} 10",
    ] {
        assert!(text.lines().any(|l| l == line), "{line}\n{text}");
    }
    assert!(!text.contains("u1"));
    let text = metrics(known, Detail::Pod);
    assert!(
        text.contains("container_cpu_allocation{container=\"\","),
        "{text}"
    );
}

#[test]
fn the_number_of_series_is_bounded() {
    let list = list(PRICES);
    let pods: Vec<_> = (0..1500)
        .map(|n| pod(&format!("u{n}"), &format!("n{n:04}"), "p", 0, 10))
        .collect();
    let known = Known {
        pods: &pods,
        fine: None,
        list: &list,
        node: &node(),
        now_ns: NOVEMBER + 100 * SECOND,
        unreadable: 0,
    };
    let text = metrics(known, Detail::Namespace);
    let series = text
        .lines()
        .filter(|l| l.starts_with("skete_cost_total{"))
        .count();
    assert_eq!(series, 1001);
    assert!(
        text.contains("namespace=\"__other__\",currency=\"EUR\"} 13500"),
        "{text}"
    );
}

#[test]
fn a_pod_in_shorter_spans_tells_when_something_was_used_and_changes_no_cost() {
    let list = list(&PRICES.replace("[[period]]", "[size]\nbasis = \"max\"\n\n[[period]]"));
    let now_ns = NOVEMBER + 100 * SECOND;
    let mut pods = [pod("u1", "a", "web", 0, 20)];
    pods[0].spans[0].used.cpu_ns = 20_000_000_000;
    let mut fine = pods[0].clone();
    fine.spans = vec![fine.spans[0], fine.spans[0]];
    fine.spans[0].end_ns = NOVEMBER + 10 * SECOND;
    fine.spans[0].used.cpu_ns = 20_000_000_000;
    fine.spans[1].start_ns = NOVEMBER + 10 * SECOND;
    fine.spans[1].used.cpu_ns = 0;
    let known = Known {
        pods: &pods,
        fine: Some(&fine),
        list: &list,
        node: &node(),
        now_ns,
        unreadable: 0,
    };
    let query = format!("{WINDOW}&aggregate=namespace&step=10s&filter=uid:%22u1%22");
    let query = Query::parse(&query, now_ns).unwrap();
    assert_eq!(query.pod(), Some("u1"));
    let answer: Value = serde_json::from_str(&allocation(&query, known).unwrap()).unwrap();
    let of = |step: usize, field: &str| answer["data"][step]["a"][field].as_f64();
    assert_eq!(of(0, "cpuCoreUsageAverage"), Some(2.0));
    assert_eq!(of(1, "cpuCoreUsageAverage"), Some(0.0));
    assert_eq!(of(0, "cpuCost"), Some(10.0));
    assert_eq!(of(1, "cpuCost"), Some(10.0));
}

#[test]
fn a_pod_that_waits_or_only_initialises_costs_as_long_as_its_machine_is_there() {
    let mut waiting = pod("u1", "a", "web", 0, 10);
    waiting.container_starts = 0;
    let one = &ask(&[waiting], "aggregate=namespace")["data"][0]["a"];
    assert_eq!(one["totalCost"].as_f64(), Some(27.0));
}
