//! Names, removal, pruning, holding, on images that were loaded.

use skete_image::{Image, LoadOptions, Source, Store};

use crate::common::{Place, files_below};

/// A store with `localhost/a:latest` and `localhost/b:latest`, which share their first layer.
fn store_with_two() -> (Place, Store, Image, Image) {
    let place = Place::new();
    place.layout("a", 2);
    place.layout("b", 3);
    let store = place.store();
    let load = store.load(Source::Path(place.path("layout")), &LoadOptions::default());
    let mut images = load.unwrap();
    let b = images.pop().unwrap();
    let a = images.pop().unwrap();
    assert_eq!(a.layers[0], b.layers[0]);
    (place, store, a, b)
}

fn layers(store: &Store) -> usize {
    files_below(&store.root().join("layers")).len()
}

#[test]
fn an_image_is_found_by_name_id_and_the_beginning_of_its_id() {
    let (_place, store, a, b) = store_with_two();
    for what in [
        "localhost/layout:a",
        &a.id.to_string(),
        &a.id.hex(),
        &a.id.hex()[..12],
    ] {
        assert_eq!(store.get(what).unwrap().unwrap().id, a.id, "{what}");
    }
    let manifest = format!("localhost/layout@{}", b.manifest_digest.unwrap());
    assert_eq!(store.get(&manifest).unwrap().unwrap().id, b.id);
    for what in ["layout:a", "localhost/layout", "", "sha256:", "../a"] {
        assert!(store.get(what).unwrap().is_none(), "{what}");
    }
    let names: Vec<_> = store
        .list()
        .unwrap()
        .into_iter()
        .flat_map(|image| image.names)
        .collect();
    assert_eq!(names, ["localhost/layout:a", "localhost/layout:b"]);
}

#[test]
fn a_removed_image_takes_along_only_what_no_other_has() {
    let (_place, store, a, b) = store_with_two();
    assert_eq!(layers(&store), 4);

    let removed = store.remove(&["localhost/layout:b"], false).unwrap();

    assert_eq!(
        (removed.untagged, removed.deleted),
        (vec!["localhost/layout:b".to_owned()], vec![b.id])
    );
    assert!(removed.freed > 0);
    assert_eq!(layers(&store), 2);
    assert!(a.layers.iter().all(|layer| layer.is_file()));
    assert_eq!(files_below(&store.root().join("blobs")).len(), 2);
    let error = store
        .remove(&["localhost/layout:a", "no/such"], false)
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "no image no/such in the store; see: skete image ls"
    );
    assert!(
        store.get("localhost/layout:a").unwrap().is_some(),
        "all or none"
    );
    store.remove(&[&a.id.hex()[..8]], false).unwrap();
    for folder in ["layers", "blobs", "images", "names"] {
        assert_eq!(files_below(&store.root().join(folder)), [] as [&str; 0]);
    }
}

#[test]
fn an_image_that_a_pod_holds_is_refused_and_kept_by_force_only_in_its_layers() {
    let (_place, store, a, _b) = store_with_two();
    drop(store.hold("pod-1", &a).unwrap());
    let again = Store::open(store.root()).unwrap();
    assert_eq!(again.owners().unwrap(), ["pod-1"]);

    let error = again.remove(&["localhost/layout:a"], false).unwrap_err();
    assert_eq!(
        error.to_string(),
        "image localhost/layout:a is used by pod-1; remove that first, or force it"
    );
    let pruned = again.prune(true).unwrap();
    assert_eq!(pruned.untagged, ["localhost/layout:b"]);
    assert_eq!(layers(&store), 2);

    again.remove(&["localhost/layout:a"], true).unwrap();
    assert!(again.get("localhost/layout:a").unwrap().is_none());
    again.prune(true).unwrap();
    assert!(
        a.layers.iter().all(|layer| layer.is_file()),
        "the Pod still reads them"
    );

    again.release("pod-1").unwrap();
    assert_eq!(layers(&store), 0);
    again.release("pod-1").unwrap();
    assert!(store.hold("../x", &a).is_err());
    assert!(store.hold("pod-2", &a).is_err(), "it is gone");
}

#[test]
fn a_name_that_moves_on_leaves_an_image_that_prune_takes() {
    let (place, store, a, b) = store_with_two();
    let mut options = LoadOptions::default();
    options.name = Some("localhost/layout:a".to_owned());
    place.copy(
        &format!("oci:{}", place.text("layout:b")),
        &format!("oci:{}", place.text("other:x")),
        &[],
    );
    store
        .load(Source::Path(place.path("other")), &options)
        .unwrap();
    assert_eq!(store.get("localhost/layout:a").unwrap().unwrap().id, b.id);
    assert!(
        store
            .get(&a.id.to_string())
            .unwrap()
            .unwrap()
            .names
            .is_empty()
    );
    let error = store
        .remove(&[&b.id.to_string()], false)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("several names (localhost/layout:a, localhost/layout:b)"),
        "{error}"
    );

    let pruned = store.prune(false).unwrap();

    assert_eq!((pruned.untagged.len(), pruned.deleted), (0, vec![a.id]));
    assert_eq!(store.list().unwrap().len(), 1);
    assert_eq!(layers(&store), 3);
}
