use super::*;

fn roots() -> Roots {
    Roots {
        run: "/run/skete".into(),
        state: "/var/lib/skete".into(),
    }
}

#[test]
fn a_sandbox_lies_below_its_namespace() {
    let layout = Layout::new(&roots(), "k8s.io", "abc").unwrap();
    assert_eq!(layout.run(), Path::new("/run/skete/sandboxes/k8s.io/abc"));
    assert_eq!(
        layout.scratch(),
        Path::new("/var/lib/skete/sandboxes/k8s.io/abc/scratch.img")
    );
}

#[test]
fn the_ids_that_containerd_makes_fit_into_a_socket_path() {
    assert!(Layout::new(&roots(), "k8s.io", &"f".repeat(64)).is_ok());
}

#[test]
fn an_id_that_would_leave_its_directory_is_refused() {
    for id in ["", ".", "..", "../x", "a/b", "a b", "a\n"] {
        let refused = Layout::new(&roots(), "skete", id);
        assert!(
            matches!(refused, Err(LayoutError::BadName { .. })),
            "{id:?}"
        );
    }
}

#[test]
fn a_run_root_too_long_for_sockets_is_refused_with_the_cure() {
    let roots = Roots {
        run: format!("/{}", "d".repeat(60)).into(),
        ..roots()
    };
    let error = Layout::new(&roots, "skete", &"f".repeat(64)).unwrap_err();
    assert!(error.to_string().contains(RUN_ROOT_ENV), "{error}");
}

#[test]
fn removing_leaves_the_directories_of_other_sandboxes() {
    let dir = tempfile::tempdir().unwrap();
    let roots = Roots {
        run: dir.path().join("r"),
        state: dir.path().join("s"),
    };
    let [one, two] = ["one", "two"].map(|id| Layout::new(&roots, "skete", id).unwrap());
    one.create().unwrap();
    two.create().unwrap();
    one.remove().unwrap();
    assert!(!one.run().exists() && two.run().exists());
    two.remove().unwrap();
    two.remove().unwrap();
    assert!(!roots.sandboxes().join("skete").exists());
}
