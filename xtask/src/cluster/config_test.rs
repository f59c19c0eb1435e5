use super::*;

#[test]
fn every_name_in_a_template_gets_its_value() {
    let values = [
        ("DIR", "/d"),
        ("RUN", "/r"),
        ("NODE", "n"),
        ("REGISTRY", "/g"),
        ("USER", "u"),
    ];
    for (path, template) in FILES.iter().chain([&("kubeconfig", KUBECONFIG)]) {
        let text = fill(template, &values);
        assert!(!text.contains('@'), "{path}: {text}");
    }
    assert_eq!(fill("@DIR@/@USER@@DIR@", &values), "/d/u/d");
}
