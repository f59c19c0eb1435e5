#![allow(clippy::unwrap_used)]

use std::os::unix::fs::PermissionsExt;

use super::*;

#[test]
fn versions_are_read_as_releases_distributions_and_own_builds_tell_them() {
    for (said, version) in [
        (
            "containerd github.com/containerd/containerd/v2 v2.4.2 1a2b",
            Some((2, 4)),
        ),
        (
            "containerd github.com/containerd/containerd/v2 2.2.0~ds1-1 2.2.0~ds1",
            Some((2, 2)),
        ),
        (
            "containerd github.com/containerd/containerd/v2 v2.3.0-rc.1+unknown \n",
            Some((2, 3)),
        ),
        ("containerd containerd.io 1.7.27 05044ec0", Some((1, 7))),
        ("containerd, I think", None),
        ("nerdctl version 2.4.2", None),
    ] {
        assert_eq!(parse_version(said), version, "{said}");
    }
}

#[test]
fn a_containerd_that_is_too_old_or_none_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("containerd");
    let find = |said: &str| {
        std::fs::write(&program, format!("#!/bin/sh\necho {said}\n")).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        Containerd::find(Some(&program), Path::new("/nonexistent"))
            .unwrap_err()
            .to_string()
    };
    assert!(find("containerd containerd.io 1.7.27 05044ec0").contains("of version 1.7"));
    assert!(find("containerd containerd.io 2.1.4 x").contains("needs 2.2 or later"));
    assert!(find("hello").contains("hello"));
    let missing = Containerd::find(Some(&dir.path().join("none")), Path::new("/nonexistent"));
    assert!(missing.unwrap_err().to_string().contains("none"));
}

fn effective(version: (u32, u32), text: &str) -> Effective {
    Effective {
        document: text.parse().unwrap(),
        version,
    }
}

#[test]
fn the_effective_configuration_tells_runtimes_differs_and_address() {
    let new = effective(
        (2, 4),
        "version = 4
[plugins]
  [plugins.'io.containerd.cri.v1.images']
    discard_unpacked_layers = true
  [plugins.'io.containerd.cri.v1.runtime']
    [plugins.'io.containerd.cri.v1.runtime'.containerd]
      [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes]
        [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
          runtime_type = 'io.containerd.runc.v2'
  [plugins.'io.containerd.server.v1.grpc']
    address = '/x.sock'
  [plugins.'io.containerd.service.v1.diff-service']
    default = ['walking', 'mine']
",
    );
    assert_eq!(new.runtime_type("runc"), Some("io.containerd.runc.v2"));
    assert_eq!(new.runtime_type("skete"), None);
    assert_eq!(new.differs(), ["walking", "mine"]);
    assert!(new.discards_layers());
    assert!(new.pulls_unpack_erofs());
    assert_eq!(new.address(), "/x.sock");

    let old = effective((2, 2), "version = 3\n[grpc]\naddress = '/y.sock'\n");
    assert_eq!(old.address(), "/y.sock");
    assert!(!old.pulls_unpack_erofs());
    assert!(!old.discards_layers());

    let configured = |snapshotter: &str| {
        let text = format!(
            "[[plugins.'io.containerd.transfer.v1.local'.unpack_config]]\nsnapshotter = '{snapshotter}'\n"
        );
        effective((2, 4), &text).pulls_unpack_erofs()
    };
    assert!(configured("erofs"));
    assert!(!configured("overlayfs"));
}

#[test]
fn plugins_states_are_read() {
    let line = "io.containerd.differ.v1    erofs    linux/amd64,linux(+erofs)/amd64    ok        ";
    assert_eq!(
        parse_plugin(line),
        Some(("io.containerd.differ.v1 erofs".to_owned(), "ok".to_owned()))
    );
    assert_eq!(parse_plugin(""), None);
}
