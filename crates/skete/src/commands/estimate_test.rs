use super::*;

#[test]
fn a_directorys_manifests_are_found_below_it_too_in_their_order() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    std::fs::create_dir(path("b")).unwrap();
    for name in ["c.yaml", "b/a.yml", "a.json", "notes.txt", "b/x.toml"] {
        std::fs::write(path(name), "").unwrap();
    }
    std::os::unix::fs::symlink(dir.path(), path("b/circle")).unwrap();
    let expected = ["a.json", "b/a.yml", "c.yaml"].map(path);
    assert_eq!(manifests(dir.path()).unwrap(), expected);
    // What is named is taken whatever its name is.
    assert_eq!(manifests(&path("notes.txt")).unwrap(), [path("notes.txt")]);
}

/// An estimate as the command line has it.
fn estimate_of(text: &str, prices: &[&str]) -> Report {
    let estimate = Estimate {
        manifests: Vec::new(),
        prices: Vec::new(),
        nodes: 5,
        arch: "amd64".to_owned(),
        annotations: Vec::new(),
        at: Some("2026-11-01T00:00:00Z".parse().unwrap()),
        output: None,
    };
    let lists: Vec<_> = prices
        .iter()
        .map(|name| prices::find(name).unwrap())
        .collect();
    let found = Workloads::parse(text.as_bytes(), "x.yaml").unwrap();
    estimate.report(&lists, &found.workloads).unwrap()
}

#[test]
fn each_workload_is_estimated_by_each_list_and_summed_up() {
    let template =
        "template: {spec: {containers: [{name: a, resources: {requests: {cpu: 1, memory: 8Gi}}}]}}";
    let text = format!(
        "kind: Deployment\nmetadata: {{name: web}}\nspec: {{replicas: 2, {template}}}\n---\n\
         kind: DaemonSet\nmetadata: {{name: log}}\nspec: {{{template}}}\n"
    );
    let report = estimate_of(&text, &["fargate", "opencost"]);
    let rows: Vec<_> = report
        .workloads
        .iter()
        .map(|row| {
            (
                row.name.as_str(),
                row.pods,
                row.price_list.as_str(),
                row.hour.as_str(),
            )
        })
        .collect();
    // Fargate's own example: 2 × 0.04048 + 9 × 0.004445 for each Pod.
    let expected = [
        ("web", 2, "fargate", "0.2419"),
        ("web", 2, "opencost", "0.1310"),
        ("log", 5, "fargate", "0.6048"),
        ("log", 5, "opencost", "0.3275"),
    ];
    assert_eq!(rows, expected);
    let totals: Vec<_> = report
        .totals
        .iter()
        .map(|total| total.hour.as_str())
        .collect();
    assert_eq!(totals, ["0.8468", "0.4585"]);
    let shown = table(&report, true);
    assert_eq!(shown.lines().count(), 1 + 4 + 2);
    assert!(
        shown.contains("DaemonSet/log   5     2 vCPU, 9.0 GiB  fargate"),
        "{shown}"
    );
}
