use super::*;
use crate::plan::PodPlan;

fn planned(spec: &str) -> PodPlan {
    let text = format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: web}}\nspec:\n{spec}");
    let directory = tempfile::tempdir().unwrap();
    crate::plan::tests::planned(&text, directory.path())
}

fn container(name: &str, resources: &str) -> String {
    format!("  - {{name: {name}, image: \"web:1\", resources: {resources}}}\n")
}

#[test]
fn a_guest_is_as_large_as_its_containers_limits() {
    let limit = |cpu: &str, memory: &str| format!("{{limits: {{cpu: {cpu}, memory: {memory}}}}}");
    let main = |resources: &[String]| {
        let list = resources.iter().enumerate();
        let list = list.map(|(i, r)| container(&format!("m{i}"), r));
        format!("  containers:\n{}", list.collect::<String>())
    };
    let init = |resources: &[String], policy: &str| {
        let list = resources.iter().enumerate().map(|(i, r)| {
            container(&format!("i{i}"), r).replace("image:", &format!("{policy}image:"))
        });
        format!("  initContainers:\n{}", list.collect::<String>())
    };
    let none = "{}".to_owned();
    let sidecar = "restartPolicy: Always, ";
    let table = [
        ("nothing said", main(std::slice::from_ref(&none)), (1, 512)),
        ("one", main(&[limit("1500m", "96Mi")]), (2, 96)),
        ("rounded up", main(&[limit("1m", "1000001")]), (1, 1)),
        (
            "two",
            main(&[limit("1500m", "96Mi"), limit("600m", "32Mi")]),
            (3, 128),
        ),
        (
            "one of two",
            main(&[limit("2", "96Mi"), none.clone()]),
            (3, 608),
        ),
        (
            "a needy init container",
            init(&[limit("3", "256Mi"), limit("1", "1Mi")], "") + &main(&[limit("1", "64Mi")]),
            (3, 256),
        ),
        (
            "a modest init container",
            init(&[limit("1", "32Mi")], "") + &main(&[limit("1", "64Mi")]),
            (1, 64),
        ),
        (
            "a sidecar",
            init(&[limit("1", "32Mi")], sidecar) + &main(&[limit("1", "64Mi")]),
            (2, 96),
        ),
        (
            "the Pod itself",
            format!(
                "  resources: {}\n{}",
                limit("2", "200Mi"),
                main(std::slice::from_ref(&none))
            ),
            (2, 200),
        ),
    ];
    for (what, spec, (vcpus, memory_mib)) in table {
        let plan = planned(&spec);
        assert_eq!(plan.size, Size { vcpus, memory_mib }, "{what}");
        assert_eq!(Size::of_sandbox(&plan.sandbox), Ok(plan.size), "{what}");
    }
}

#[test]
fn annotations_decide_on_the_size_first() {
    let text = "apiVersion: v1\nkind: Pod\nmetadata: {name: web, annotations: {io.skete.vcpus: \"4\", io.skete.memory: 1.5Gi}}\nspec: {containers: [{name: main, image: \"web:1\", resources: {limits: {cpu: 1, memory: 64Mi}}}]}\n";
    let directory = tempfile::tempdir().unwrap();
    let plan = crate::plan::tests::planned(text, directory.path());
    assert_eq!((plan.size.vcpus, plan.size.memory_mib), (4, 1536));
    assert_eq!(Size::of_sandbox(&plan.sandbox), Ok(plan.size));
}

#[test]
fn cgroup_settings_are_the_kubelets() {
    let of = |resources: &str| {
        let plan = planned(&format!("  containers:\n{}", container("main", resources)));
        let r = plan.containers[0].resources.clone();
        (
            plan.qos,
            r.cpu_shares,
            r.cpu_quota,
            r.memory_limit_in_bytes,
            r.oom_score_adj,
        )
    };
    use QosClass::{BestEffort, Burstable, Guaranteed};
    assert_eq!(of("{}"), (BestEffort, 2, 0, 0, 1000));
    assert_eq!(
        of("{limits: {cpu: 500m, memory: 64Mi}}"),
        (Guaranteed, 512, 50_000, 64 << 20, -997)
    );
    assert_eq!(
        of("{limits: {cpu: 1m, memory: 64Mi}, requests: {memory: 16Mi, cpu: 1m}}"),
        (Burstable, 2, 1000, 64 << 20, 750)
    );
    assert_eq!(of("{requests: {cpu: 2}}"), (Burstable, 2048, 0, 0, 999));
    assert_eq!(
        of("{requests: {cpu: 1000}}"),
        (Burstable, 262_144, 0, 0, 999)
    );
}
