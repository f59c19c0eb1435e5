use super::*;

const REPORT: &str = r#"[{"SpecReports": [
    {"LeafNodeType": "SynchronizedBeforeSuite", "State": "passed", "RunTime": 1},
    {"LeafNodeType": "It", "ContainerHierarchyTexts": ["[sig-a] A", "b"], "LeafNodeText": "works [x] ",
     "State": "passed", "RunTime": 1500000000},
    {"LeafNodeType": "It", "ContainerHierarchyTexts": ["[sig-a] A"], "LeafNodeText": "breaks",
     "State": "panicked", "RunTime": 0, "Failure": {"Message": "\n told you\nmore"}},
    {"LeafNodeType": "It", "ContainerHierarchyTexts": [], "LeafNodeText": "left out", "State": "skipped"},
    {"LeafNodeType": "It", "ContainerHierarchyTexts": ["[sig-b]"], "LeafNodeText": "elsewhere",
     "State": "skipped", "Failure": {"Message": "needs two nodes"}}
]}]"#;

fn strings(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn tests_that_ran_are_read_with_the_reason_of_their_end() {
    let tests = parse(REPORT).expect("a report");
    let seen: Vec<_> = tests
        .iter()
        .map(|test| {
            (
                test.name.as_str(),
                test.outcome,
                test.why.as_str(),
                test.seconds,
            )
        })
        .collect();
    assert_eq!(
        seen,
        [
            ("[sig-a] A b works [x]", Outcome::Passed, "", 1.5),
            ("[sig-a] A breaks", Outcome::Failed, "told you", 0.0),
            (
                "[sig-b] elsewhere",
                Outcome::Skipped,
                "needs two nodes",
                0.0
            ),
        ]
    );
    assert!(parse("{").is_err());
}

#[test]
fn a_test_that_passes_with_runc_counts_against_a_run_unless_it_passes_or_is_refused() {
    let baseline = strings(&["[sig-a] A b works [x]", "[sig-b] elsewhere", "gone", "host"]);
    let refused = Refused::parse("# because: it is the host's\nhost\n");
    let tests = parse(REPORT).expect("a report");
    let rows = rows(&baseline, &baseline, &refused, &tests);
    let against: Vec<&str> = rows
        .iter()
        .filter(|row| row.counts_against())
        .map(|row| row.name.as_str())
        .collect();
    assert_eq!(against, ["[sig-a] A breaks", "[sig-b] elsewhere", "gone"]);
    let host = rows.iter().find(|row| row.name == "host").expect("a row");
    assert!(host.line().ends_with("refused  host   # it is the host's"));
    let last = summary(&rows, "skete").lines().last().map(str::to_owned);
    let numbers: Vec<String> = last
        .iter()
        .flat_map(|line| line.split_whitespace().skip(1).map(str::to_owned))
        .collect();
    assert_eq!(numbers, ["4", "1", "1", "1", "1", "1"]);
}

#[test]
fn names_are_found_literally() {
    let names = strings(&["a [b] (c) d.e|f", "g"]);
    assert_eq!(exactly(names.iter()), r"(a \[b\] \(c\) d\.e\|f|g) *$");
}

#[test]
fn the_refused_tests_are_all_in_the_baseline_and_have_reasons() {
    let dir = crate::repository().join("tests/cluster");
    let read = |name| std::fs::read_to_string(dir.join(name)).expect(name);
    let baseline = names(&read("e2e-baseline-runc.txt"));
    let refused = Refused::parse(&read("e2e-refused.txt"));
    for (name, reason) in &refused.0 {
        assert!(baseline.contains(name), "{name}");
        assert!(!reason.is_empty(), "{name}");
    }
}
