use super::*;
use crate::testing::Random;

const HEAD: &str = "name = \"x\"\ntitle = \"X\"\nversion = \"1\"\ncurrency = \"USD\"\n";
const RATE: &str = "[[period.rate]]\nsku = \"vcpu\"\nmeter = \"vcpu\"\nprice = \"1\"\n";

/// What is said of a list.
fn said(text: &str) -> String {
    match PriceList::parse(text, "x.toml") {
        Ok(list) => panic!("taken: {list:?}"),
        Err(error) => error.to_string(),
    }
}

/// What is said of a good list with something more in it, from line 5 on.
fn said_of(more: &str) -> String {
    said(&format!("{HEAD}{more}"))
}

#[test]
fn what_cannot_be_read_is_told_with_its_line_and_field() {
    for (more, expected) in [
        (
            "colour = 1",
            "x.toml:5: unknown field `colour`, expected one of",
        ),
        (
            "time-zone = \"Mars\"",
            "x.toml:5: time-zone: \"Mars\" is not a time zone, as UTC or",
        ),
        (
            "[clock]\nminimum = \"60\"",
            "x.toml:6: minimum: \"60\" is not a length of time",
        ),
        (
            "[clock]\nstep = \"2d\"",
            "x.toml:6: step: \"2d\" is not a length of time",
        ),
        (
            "[size]\noverhead = { memory = \"64Mb\" }",
            "x.toml:6: memory: \"64Mb\" is not a quantity",
        ),
        (
            "[size]\nbasis = \"guessed\"",
            "x.toml:6: basis: unknown variant `guessed`",
        ),
        ("[[period]]\nfrom = \"soon\"", "x.toml:6: from: "),
        ("[[period]]\nfrom = 2026-02-30", "x.toml:6: "),
        (
            "[[period]]\nfrom = 07:00:00",
            "x.toml:6: from: 07:00:00 is not a date",
        ),
        (
            "[[discount]]\nname = \"a\"\npercent = 101",
            "x.toml:7: percent: 101 percent is more",
        ),
        (
            "[[discount]]\nname = \"a\"\npercent = 5\nhours = \"9-17\"",
            "x.toml:8: hours: \"9-17\" is",
        ),
    ] {
        let said = said_of(more);
        assert!(said.starts_with(expected), "{said}\n{expected}");
    }
    assert!(said("name = ").starts_with("x.toml:1: "));
    let euro = HEAD.replace("USD", "EURO");
    assert_eq!(
        said(&euro),
        "x.toml:4: currency: \"EURO\" is not a currency of ISO 4217, as USD or EUR"
    );
}

#[test]
fn a_price_that_is_not_exact_not_there_or_negative_is_told() {
    for (price, expected) in [
        (
            "price = 0.04",
            "x.toml:9: price: put 0.04 in quotes, as \"0.04048\": without them",
        ),
        ("price = \"-1\"", "x.toml:9: price: \"-1\" is negative"),
        (
            "price = \"1,5\"",
            "x.toml:9: price: \"1,5\" is not a decimal number as 0.04048",
        ),
        ("", "x.toml:7: has neither a price nor tiers"),
        (
            "tiers = [{ price = 1 }, { price = 2 }]",
            "x.toml:7: each tier but the last needs an",
        ),
        (
            "tiers = [{ price = 1, up-to = 1 }]",
            "x.toml:7: each tier but the last needs an",
        ),
        (
            "price = 1\ntiers = [{ price = 1 }]",
            "x.toml:7: has a price and tiers",
        ),
    ] {
        let rate = RATE.replace("price = \"1\"", price);
        let said = said_of(&format!("[[period]]\nfrom = 2026-01-01\n{rate}"));
        // The head has four lines, the period two, sku and meter come before the price.
        let expected = expected.replace("x.toml:9", "x.toml:10");
        assert!(said.starts_with(&expected), "{said}\n{expected}");
    }
}

#[test]
fn everything_that_does_not_fit_together_is_told_at_once() {
    let text = format!(
        "{HEAD}[[period]]\nfrom = 2026-02-01\n{RATE}\
         [[period]]\nfrom = 2026-01-01\nuntil = 2026-02-02\n{RATE}{RATE}\
         [[period]]\nfrom = 2025-01-02\nuntil = 2025-01-01\n"
    );
    assert_eq!(
        said(&text),
        "x.toml:5: overlaps the period before it: a moment has one price\n\
         x.toml:18: a second sku \"vcpu\" in this period\n\
         x.toml:18: never counts: \"vcpu\" before it is for all Pods already\n\
         x.toml:22: the period has no [[period.rate]]\n\
         x.toml:22: the period ends before it begins"
    );
}

#[test]
fn what_some_pods_would_get_for_nothing_is_told() {
    let arm = format!("{RATE}match = {{ architecture = \"arm64\" }}\n");
    let said = said_of(&format!("[[period]]\nfrom = 2026-01-01\n{arm}"));
    assert!(
        said.starts_with("x.toml:5: vcpu has no rate for all other Pods: add one without match"),
        "{said}"
    );
}

#[test]
fn a_table_with_a_hole_is_told() {
    let size = "[size]\nconfigurations = [\n  { vcpus = 1, memory = [\"1Gi\", \"8Gi\"] },\n  \
                { vcpus = 4, memory = { from = \"2Gi\", to = \"4Gi\", step = \"1Gi\" } },\n]\n";
    let said = said_of(&format!("{size}[[period]]\nfrom = 2026-01-01\n{RATE}"));
    assert_eq!(
        said,
        "x.toml:5: configurations: no one holds a Pod of 4000 thousandths of a vCPU and 8192 MiB, \
         though each of the two is in the table"
    );
}

#[test]
fn rules_that_contradict_each_other_are_told() {
    let period = format!("[[period]]\nfrom = 2026-01-01\n{RATE}");
    for (size, expected) in [
        (
            "basis = \"used\"\nstep = { vcpus = 1 }",
            "what was used is not rounded",
        ),
        (
            "memory-per-vcpu = { least = \"2Gi\", most = \"1Gi\" }",
            "memory-per-vcpu: most has to",
        ),
        (
            "step = { vcpus = 1 }\nconfigurations = [{ vcpus = 1, memory = [\"1Gi\"] }]",
            "configurations, or step and memory-per-vcpu: not both",
        ),
        (
            "configurations = [{ vcpus = 1, memory = { from = \"1Gi\", to = \"2Gi\", step = 0 } }]",
            "configurations: vcpus and memory have to be more than 0",
        ),
    ] {
        let said = said_of(&format!("[size]\n{size}\n{period}"));
        assert!(said.contains(expected), "{said}\n{expected}");
    }
    for (rate, expected) in [
        (
            "meter = \"pod\"\nper = \"hour\"",
            "pod is not of a time: leave per out",
        ),
        (
            "meter = \"gpu\"\nunit = \"GB\"",
            "gpu does not count bytes: leave unit out",
        ),
        (
            "meter = \"image\"\nincluded = \"1Gi\"",
            "image is no size of a Pod",
        ),
    ] {
        let rate = RATE.replace("meter = \"vcpu\"", rate);
        let said = said_of(&format!("[[period]]\nfrom = 2026-01-01\n{rate}"));
        assert!(said.contains(expected), "{said}\n{expected}");
    }
}

#[test]
fn a_period_without_an_end_ends_where_the_next_begins() {
    let text =
        format!("{HEAD}[[period]]\nfrom = 2026-01-01\n{RATE}[[period]]\nfrom = 2026-02-01\n{RATE}");
    let list = PriceList::parse(&text, "x.toml").unwrap();
    assert_eq!(list.periods[0].end_ns, list.periods[1].start_ns);
    assert_eq!(list.periods[1].end_ns, i64::MAX);
}

/// Whatever bytes of a good list are changed, there is an answer, and no panic.
#[test]
fn damaged_lists_are_answered() {
    let mut random = Random(20);
    let mut refused = 0;
    for (name, text) in PriceList::shipped() {
        for _ in 0..500 {
            let mut bytes = text.as_bytes().to_vec();
            for _ in 0..=random.below(3) {
                let at = usize::try_from(random.below(bytes.len() as u64)).unwrap();
                match random.below(3) {
                    0 => bytes[at] = random.of(b"\"[]{}=-.,0_9az\n "),
                    1 => drop(bytes.remove(at)),
                    _ => bytes.truncate(at.max(1)),
                }
            }
            if let Err(error) = PriceList::parse(&String::from_utf8_lossy(&bytes), name) {
                assert!(!error.problems.is_empty());
                assert!(
                    error.to_string().starts_with(&format!("{name}:")),
                    "{error}"
                );
                refused += 1;
            }
        }
    }
    assert!(refused > 1000, "only {refused} refused");
}
