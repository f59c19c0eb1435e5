use super::*;

fn platform(text: &str) -> Platform {
    text.parse().unwrap()
}

#[test]
fn names_of_one_architecture_are_one() {
    assert_eq!(platform("linux/x86_64"), platform("linux/amd64"));
    assert_eq!(platform("linux/amd64/v1"), platform("linux/amd64"));
    assert_eq!(platform("linux/aarch64"), platform("linux/arm64/v8"));
    assert_eq!(platform("linux/arm"), platform("linux/arm/v7"));
    assert_eq!(platform("linux/arm/v6").to_string(), "linux/arm/v6");
}

#[test]
fn an_older_variant_runs_on_a_newer_machine_and_not_the_other_way_round() {
    let v7 = platform("linux/arm/v7");
    assert_eq!(v7.distance(&platform("linux/arm/v7")), Some(0));
    assert_eq!(v7.distance(&platform("linux/arm/v5")), Some(2));
    assert_eq!(platform("linux/arm/v6").distance(&v7), None);
    let plain = platform("linux/amd64");
    assert_eq!(plain.distance(&platform("linux/amd64/v3")), None);
    assert_eq!(platform("linux/amd64/v3").distance(&plain), Some(2));
    assert_eq!(plain.distance(&platform("linux/arm64")), None);
    assert_eq!(plain.distance(&platform("windows/amd64")), None);
}

#[test]
fn a_text_that_is_no_platform_is_refused() {
    for text in ["", "linux", "linux/", "a/b/c/d", "linux/am d64"] {
        assert!(text.parse::<Platform>().is_err(), "{text}");
    }
}
