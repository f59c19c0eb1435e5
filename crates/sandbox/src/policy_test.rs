#![allow(clippy::unwrap_used)]

use super::*;

fn check(allowed: &[&str], annotations: &[&str]) -> Result<(), String> {
    let policy = Policy {
        allow_annotations: allowed.iter().map(|&key| key.to_owned()).collect(),
        ..Policy::default()
    };
    policy
        .check(annotations.iter().map(|&key| (key, "1")))
        .map_err(|error| error.to_string())
}

#[test]
fn no_annotation_of_ours_counts_unless_it_is_allowed() {
    assert_eq!(
        check(&[], &["kubernetes.io/config.seen", "io.sketeers"]),
        Ok(())
    );
    assert_eq!(check(&["io.skete.vcpus"], &["io.skete.vcpus"]), Ok(()));
    let line = check(&["io.skete.vcpus"], &["io.skete.vcpus", "io.skete.memory"]).unwrap_err();
    assert!(
        line.contains("io.skete.memory") && line.contains("--allow-annotation"),
        "{line}"
    );
    let line = check(&[], &["io.skete.unknown"]).unwrap_err();
    assert!(
        line.contains("io.skete.unknown") && !line.contains("--allow"),
        "{line}"
    );
}

#[test]
fn a_path_of_the_host_is_allowed_by_where_it_leads() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap();
    for name in ["open", "closed"] {
        std::fs::create_dir(root.join(name)).unwrap();
        std::fs::write(root.join(name).join("file"), name).unwrap();
    }
    std::os::unix::fs::symlink("../closed", root.join("open/out")).unwrap();
    let policy = Policy {
        allow_host_paths: [root.join("open")].into(),
        ..Policy::default()
    };
    let file = root.join("open/file");
    assert_eq!(policy.host_path(&file), Some(file));
    for refused in [
        "closed/file",
        "open/out/file",
        "open/../closed",
        "open/none",
        "",
    ] {
        assert_eq!(policy.host_path(&root.join(refused)), None, "{refused}");
    }
    assert_eq!(Policy::default().host_path(&root), None);
}

#[test]
fn a_pod_never_chooses_what_makes_its_vm() {
    let hypervisor = annotations::HYPERVISOR;
    assert!(check(&[hypervisor], &[hypervisor]).is_err());
}

#[test]
fn a_policy_is_read_and_one_that_cannot_be_read_allows_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("policy.json");
    assert_eq!(Policy::load(&path).unwrap(), Policy::default());
    std::fs::write(&path, r#"{"allowAnnotations": ["io.skete.memory"]}"#).unwrap();
    let policy = Policy::load(&path).unwrap();
    assert!(policy.check([("io.skete.memory", "1Gi")]).is_ok());
    std::fs::write(&path, r#"{"allowAnnotation": []}"#).unwrap();
    assert!(Policy::load(&path).is_err());
}
