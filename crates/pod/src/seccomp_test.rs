use oci_spec::runtime::LinuxSeccomp;

use super::*;

// That the rules for amd64 are containerd's is shown by the specifications in testdata.

fn allowed(arch: &str, capabilities: &[&str], name: &str) -> bool {
    let profile = default_profile(arch, capabilities).unwrap();
    let rules = profile["syscalls"].as_array().unwrap();
    rules.iter().any(|rule| {
        let names = rule["names"].as_array().unwrap();
        rule["action"] == "SCMP_ACT_ALLOW" && names.contains(&Json::from(name))
    })
}

#[test]
fn capabilities_and_architecture_decide_on_rules() {
    assert!(allowed("amd64", &[], "read"));
    assert!(!allowed("amd64", &[], "mount"));
    assert!(allowed("amd64", &["CAP_SYS_ADMIN"], "mount"));
    assert!(!allowed("amd64", &["CAP_SYS_ADMIN"], "reboot"));
    assert!(allowed("amd64", &["CAP_SYS_BOOT"], "reboot"));
    assert!(allowed("amd64", &[], "arch_prctl"));
    assert!(!allowed("arm64", &[], "arch_prctl"));
    assert!(allowed("arm64", &[], "sync_file_range2"));
}

#[test]
fn profiles_are_valid_for_both_architectures() {
    for (arch, main) in [
        ("amd64", "SCMP_ARCH_X86_64"),
        ("arm64", "SCMP_ARCH_AARCH64"),
    ] {
        let profile = default_profile(arch, &["CAP_SYS_ADMIN"]).unwrap();
        let arches = profile["architectures"].as_array().unwrap();
        assert!(arches.contains(&Json::from(main)));
        let typed: LinuxSeccomp = serde_json::from_value(profile.clone()).unwrap();
        assert_eq!(
            typed.syscalls().as_ref().unwrap().len(),
            profile["syscalls"].as_array().unwrap().len()
        );
    }
}
