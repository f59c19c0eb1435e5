use std::sync::RwLockReadGuard;

use super::*;
use crate::lock::tests::no_forks;
use crate::record::tests::example;

struct Root {
    _directory: tempfile::TempDir,
    paths: Paths,
    _no_forks: RwLockReadGuard<'static, ()>,
}

fn root() -> Root {
    let directory = tempfile::tempdir().unwrap();
    let paths = Paths::new(directory.path().join("root"), directory.path().join("run"));
    Root {
        _directory: directory,
        paths,
        _no_forks: no_forks(),
    }
}

#[test]
fn a_name_is_taken_once() {
    let root = root();
    let _lock = create(&root.paths, &example("one"), b"{}").unwrap();

    let error = create(&root.paths, &example("one"), b"{}").unwrap_err();

    assert!(matches!(error, PodsError::NameInUse { .. }), "{error}");
    assert_eq!(ids(&root.paths).unwrap().len(), 1);
    assert_eq!(active_ids(&root.paths).unwrap().len(), 1);
}

#[test]
fn a_pod_is_found_by_name_id_and_the_ids_beginning() {
    let root = root();
    let one = example("one");
    let _lock = create(&root.paths, &one, b"{}").unwrap();

    for reference in [
        "one",
        "pod/one",
        one.id.as_str(),
        one.id.short(),
        &one.id.as_str()[..3],
    ] {
        assert_eq!(
            find(&root.paths, reference).unwrap().id,
            one.id,
            "{reference}"
        );
    }
    for reference in ["two", "", "zz", "../one"] {
        let error = find(&root.paths, reference).unwrap_err();
        assert!(
            matches!(error, PodsError::NotFound(_)),
            "{reference}: {error}"
        );
    }
}

#[test]
fn a_beginning_that_fits_several_ids_is_refused() {
    let root = root();
    // Of seventeen ids two begin with the same digit.
    let locks: Vec<_> = (0..17)
        .map(|i| create(&root.paths, &example(&format!("p{i}")), b"{}").unwrap())
        .collect();
    let ids = ids(&root.paths).unwrap();
    let digit = (0..16)
        .map(|d| format!("{d:x}"))
        .find(|d| ids.iter().filter(|id| id.as_str().starts_with(d)).count() > 1)
        .unwrap();

    let error = find(&root.paths, &digit).unwrap_err();

    assert!(matches!(error, PodsError::Ambiguous { .. }), "{error}");
    drop(locks);
}

#[test]
fn a_pod_is_removed_once_its_follower_lets_go_of_it_and_also_when_that_was_faster() {
    for follower_removes in [false, true] {
        let root = root();
        let one = example("one");
        let lock = create(&root.paths, &one, b"{}").unwrap();
        std::thread::scope(|scope| {
            let removed = scope.spawn(|| remove(&root.paths, &one.id));
            if follower_removes {
                remove_held(&root.paths, &one.id).unwrap();
            }
            assert_eq!(ids(&root.paths).unwrap().is_empty(), follower_removes);
            drop(lock);
            removed.join().unwrap().unwrap();
        });
        assert!(ids(&root.paths).unwrap().is_empty());
        assert!(active_ids(&root.paths).unwrap().is_empty());
        remove(&root.paths, &one.id).unwrap();
    }
}

#[test]
fn the_newest_pod_is_listed_first_and_a_broken_record_not_at_all() {
    let root = root();
    let mut old = example("old");
    old.created = "2020-01-01T00:00:00Z".parse().unwrap();
    let _a = create(&root.paths, &old, b"{}").unwrap();
    let _b = create(&root.paths, &example("new"), b"{}").unwrap();
    let broken = example("broken");
    let _c = create(&root.paths, &broken, b"{}").unwrap();
    std::fs::write(root.paths.pod_record(&broken.id), b"?").unwrap();

    let names: Vec<_> = list(&root.paths)
        .unwrap()
        .into_iter()
        .map(|p| p.name)
        .collect();

    assert_eq!(names, ["new", "old"]);
}
