use serde_json::json;

use super::*;

#[test]
fn limits_are_read_from_a_specification() {
    let allowance = Allowance::of(&json!({
        "memory": {"limit": 1024},
        "cpu": {"quota": 25_000, "period": 50_000, "shares": 512},
    }));
    let expected = Allowance {
        memory: Some(1024),
        cpu: Some(500),
    };
    assert_eq!(allowance, expected);
    let none = json!({"memory": {"limit": -1}, "cpu": {"quota": -1}});
    assert_eq!(Allowance::of(&none), Allowance::default());
    assert_eq!(Allowance::of(&Value::Null), Allowance::default());
}

#[test]
fn an_update_leaves_what_it_does_not_tell() {
    let before = Allowance::of(&json!({"memory": {"limit": 1024}, "cpu": {"quota": 10_000}}));
    let after = before.changed(&json!({"cpu": {"quota": 20_000, "period": 100_000}}));
    assert_eq!((after.memory, after.cpu), (Some(1024), Some(200)));
    let after = before.changed(&json!({"cpu": {"quota": -1}}));
    assert_eq!((after.memory, after.cpu), (Some(1024), None));
}

#[test]
fn one_without_a_limit_may_use_all() {
    let one = Allowance {
        memory: Some(1),
        cpu: None,
    };
    let two = Allowance {
        memory: Some(2),
        cpu: Some(1000),
    };
    let expected = Allowance {
        memory: Some(3),
        cpu: None,
    };
    assert_eq!(Allowance::sum([one, two]), expected);
}
