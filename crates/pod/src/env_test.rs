use super::*;
use crate::plan::PodPlan;

fn variables_of(env: &str, extra: &str) -> Vec<(String, String)> {
    let text = format!(
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: web\n  namespace: shop\n  labels: {{app.kubernetes.io/name: w, two: \"2\"}}\n  annotations: {{note: a \"b\"}}\nspec:\n  serviceAccountName: builder\n  containers:\n  - name: main\n    image: web:1\n    resources: {{limits: {{memory: 64Mi}}, requests: {{cpu: 300m, memory: 1Mi}}}}\n{env}\n{extra}"
    );
    let directory = tempfile::tempdir().unwrap();
    let plan: PodPlan = crate::plan::tests::planned(&text, directory.path());
    let addresses = Addresses {
        pod: &["10.88.0.7".parse().unwrap(), "fd00::7".parse().unwrap()],
        host: &["192.0.2.1".parse().unwrap()],
    };
    resolve(&plan.containers[0].variables, &addresses)
}

fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter()
        .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
        .collect()
}

const OBJECTS: &str = "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {A: from map, B: from map}\n---\napiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {B: from secret, password: $(A)}\n";

#[test]
fn later_variables_win_and_may_refer_to_earlier_ones() {
    let env = "    envFrom:\n    - configMapRef: {name: c}\n    - {prefix: P_, configMapRef: {name: c}}\n    - secretRef: {name: s}\n    - configMapRef: {name: gone, optional: true}\n    env:\n    - {name: C, value: \"$(A), $(B), $(LATER), $$(A)\"}\n    - {name: LATER, value: x}\n    - {name: A, value: own}\n    - {name: D, value: $(A)}\n    - {name: EMPTY}";
    let expected = pairs(&[
        ("A", "own"),
        ("B", "from secret"),
        ("P_A", "from map"),
        ("P_B", "from map"),
        ("password", "$(A)"),
        ("C", "from map, from secret, $(LATER), $(A)"),
        ("LATER", "x"),
        ("D", "own"),
        ("EMPTY", ""),
    ]);
    assert_eq!(variables_of(env, OBJECTS), expected);
}

#[test]
fn values_come_from_keys_fields_and_resources() {
    let mut env = String::from("    env:\n");
    let mut expected = Vec::new();
    let mut add = |name: &str, source: &str, value: Option<&str>| {
        env.push_str(&format!(
            "    - {{name: {name}, valueFrom: {{{source}}}}}\n"
        ));
        expected.extend(value.map(|value| (name.to_owned(), value.to_owned())));
    };
    add(
        "KEY",
        "configMapKeyRef: {name: c, key: A}",
        Some("from map"),
    );
    add(
        "SECRET",
        "secretKeyRef: {name: s, key: password}",
        Some("$(A)"),
    );
    add(
        "GONE",
        "secretKeyRef: {name: s, key: gone, optional: true}",
        None,
    );
    let fields = [
        ("metadata.name", "web"),
        ("metadata.namespace", "shop"),
        ("metadata.uid", "8d7e1c8a-6f0c-4d26-a9a7-0a4c7e0a6b55"),
        ("\"metadata.labels['app.kubernetes.io/name']\"", "w"),
        ("\"metadata.labels['none']\"", ""),
        ("\"metadata.annotations['note']\"", "a \"b\""),
        ("spec.nodeName", "laptop"),
        ("spec.serviceAccountName", "builder"),
        ("status.podIP", "10.88.0.7"),
        ("status.podIPs", "10.88.0.7,fd00::7"),
        ("status.hostIP", "192.0.2.1"),
    ];
    for (index, (path, value)) in fields.into_iter().enumerate() {
        add(
            &format!("F{index}"),
            &format!("fieldRef: {{fieldPath: {path}}}"),
            Some(value),
        );
    }
    let resources = [
        ("resource: limits.memory", "67108864"),
        ("resource: limits.memory, divisor: 1Mi", "64"),
        ("resource: requests.cpu", "1"),
        ("resource: requests.cpu, divisor: 1m", "300"),
        ("resource: requests.memory, divisor: 1Mi", "1"),
        ("resource: limits.cpu", "1"), // the VM's
        ("resource: limits.ephemeral-storage", "0"),
        (
            "containerName: main, resource: limits.memory, divisor: 1Gi",
            "1",
        ),
    ];
    for (index, (source, value)) in resources.into_iter().enumerate() {
        add(
            &format!("R{index}"),
            &format!("resourceFieldRef: {{{source}}}"),
            Some(value),
        );
    }
    assert_eq!(variables_of(&env, OBJECTS), expected);
}

#[test]
fn only_what_is_known_in_a_place_can_be_asked_for_there() {
    let parse = FieldPath::parse;
    assert_eq!(
        parse("metadata.labels", Scope::Volume),
        Ok(FieldPath::Labels)
    );
    assert!(parse("metadata.labels", Scope::Environment).is_err());
    assert!(parse("status.podIP", Scope::Environment).is_ok());
    assert!(parse("status.podIP", Scope::Volume).is_err());
    for path in [
        "",
        "metadata",
        "spec.containers",
        "metadata.labels[a]",
        "metadata.labels['a",
    ] {
        assert!(parse(path, Scope::Environment).is_err(), "{path}");
    }
}
