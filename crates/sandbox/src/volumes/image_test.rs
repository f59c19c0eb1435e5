use super::*;

const STATE: &str = "/run/containerd/io.containerd.grpc.v1.cri/image-volumes";

#[test]
fn only_images_of_the_sandbox_itself_are_taken() {
    let source = format!("{STATE}/5ab/d1ce/etc/app");
    let (root, below) = split(source.as_ref(), "5ab").unwrap();
    assert_eq!(root, Path::new(&format!("{STATE}/5ab/d1ce")));
    assert_eq!(below, Path::new("etc/app"));
    assert_eq!(split(source.as_ref(), "6cd"), None);
    assert_eq!(split(format!("{STATE}/5ab").as_ref(), "5ab"), None);
}

#[test]
fn the_layers_of_an_overlay_are_the_files_that_they_are_mounted_from() {
    let mounts = mountinfo::parse(
        "40 1 0:50 / /t/1/1 ro - erofs /layers/1.erofs ro\n\
         41 1 0:51 / /t/1/2 ro - erofs /layers/2.erofs ro\n\
         42 1 0:52 / /image rw - overlay overlay rw,lowerdir=/t/1/2:/t/1/1,upperdir=/u,volatile\n",
    );
    let layers = layers_in(&mounts, "/image".as_ref()).unwrap();
    assert_eq!(
        layers,
        ["/layers/1.erofs", "/layers/2.erofs"].map(PathBuf::from)
    );
    assert_eq!(layers_in(&mounts, "/t/1/1".as_ref()).unwrap(), layers[..1]);
}

#[test]
fn an_overlay_of_directories_of_the_host_is_no_image_of_layers() {
    let mounts = mountinfo::parse(
        "40 1 254:0 / / rw - ext4 /dev/vda rw\n\
         42 1 0:52 / /image rw - overlay overlay rw,lowerdir=/etc,upperdir=/u\n",
    );
    let refused = layers_in(&mounts, "/image".as_ref());
    assert!(
        matches!(refused, Err(ImageError::NotALayer(_))),
        "{refused:?}"
    );
}

#[test]
fn a_layer_that_is_spread_over_several_devices_is_refused() {
    let mounts = mountinfo::parse("40 1 0:50 / /image ro - erofs /fsmeta.erofs ro,device=/l/1\n");
    let refused = layers_in(&mounts, "/image".as_ref());
    assert!(
        matches!(refused, Err(ImageError::NotALayer(_))),
        "{refused:?}"
    );
}
