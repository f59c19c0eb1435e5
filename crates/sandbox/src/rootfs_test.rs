use super::*;

fn mount(kind: &str, source: &str, options: &[&str]) -> Mount {
    Mount {
        type_: kind.into(),
        source: source.into(),
        options: options.iter().map(ToString::to_string).collect(),
        ..Mount::default()
    }
}

fn layer(name: &str) -> Mount {
    mount("erofs", name, &["ro", "loop"])
}

#[test]
fn the_snapshotters_overlay_gives_its_layers_lowest_first() {
    let mounts = [
        layer("/3.erofs"),
        layer("/2.erofs"),
        layer("/1.erofs"),
        mount(
            "format/mkdir/overlay",
            "overlay",
            &["upperdir=/u", "lowerdir={{ overlay 0 2 }}"],
        ),
    ];
    let rootfs = Rootfs::from_mounts(&mounts).unwrap();
    assert_eq!(
        rootfs.layers,
        ["/1.erofs", "/2.erofs", "/3.erofs"].map(PathBuf::from)
    );
    assert_eq!(rootfs.writable_bytes, 0);
}

#[test]
fn a_writable_disk_of_its_own_gives_its_size() {
    let mounts = [
        mount(
            "mkfs/ext4",
            "/rw.img",
            &["X-containerd.mkfs.size=67108864", "rw", "loop"],
        ),
        layer("/1.erofs"),
        mount(
            "format/mkdir/overlay",
            "overlay",
            &["lowerdir={{ mount 1 }}"],
        ),
    ];
    let rootfs = Rootfs::from_mounts(&mounts).unwrap();
    assert_eq!(
        rootfs,
        Rootfs {
            layers: vec!["/1.erofs".into()],
            writable_bytes: 64 << 20
        }
    );
}

#[test]
fn a_view_of_one_layer_is_that_layer() {
    assert_eq!(
        Rootfs::from_mounts(&[layer("/1.erofs")])
            .unwrap()
            .layers
            .len(),
        1
    );
}

#[test]
fn a_lowerdir_that_names_no_layer_is_refused() {
    let layers = [layer("/2.erofs"), layer("/1.erofs")];
    for option in [
        "lowerdir={{ overlay 0 2 }}",
        "lowerdir={{ overlay 0 9999999999 }}",
        "lowerdir={{ mount 7 }}",
        "lowerdir={{ overlay 0 }}",
        "lowerdir=/a:/b",
    ] {
        let overlay = mount("format/mkdir/overlay", "overlay", &[option]);
        let mounts: Vec<_> = layers.iter().cloned().chain([overlay]).collect();
        let refused = Rootfs::from_mounts(&mounts);
        assert_eq!(refused, Err(RootfsError::BadLowerdir(option.into())));
    }
}

#[test]
fn another_snapshotters_mounts_are_refused_with_the_cure() {
    let error = Rootfs::from_mounts(&[mount("overlay", "overlay", &["lowerdir=/a"])]);
    assert!(matches!(error, Err(RootfsError::BadLowerdir(_))));
    let error = Rootfs::from_mounts(&[mount("bind", "/snapshots/1/fs", &["rbind"])]).unwrap_err();
    assert!(
        error.to_string().contains("snapshotter = \"erofs\""),
        "{error}"
    );
}

#[test]
fn more_layers_than_fit_are_refused() {
    let mounts: Vec<_> = (0..=MAX_LAYERS).map(|i| layer(&format!("/{i}"))).collect();
    assert_eq!(
        Rootfs::from_mounts(&mounts),
        Err(RootfsError::TooManyLayers(MAX_LAYERS + 1))
    );
    assert_eq!(Rootfs::from_mounts(&[]), Err(RootfsError::NoLayers));
}
