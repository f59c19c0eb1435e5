use super::*;
use skete_pod::{Manifest, PodContext};

fn plan(layers: &[&str]) -> ContainerPlan {
    let manifest = Manifest::parse(
        b"apiVersion: v1\nkind: Pod\nmetadata: {name: p}\n\
          spec: {containers: [{name: c, image: i, command: [x]}]}\n",
        "test",
    )
    .unwrap();
    let root = std::path::Path::new("/");
    let context = PodContext {
        uid: "u",
        pods_dir: root,
        sandbox_dir: root,
        log_dir: root,
        cgroup_parent: "",
        node_name: "n",
        resolv_conf: "",
    };
    let pod = skete_pod::plan(&manifest, &context).unwrap();
    ContainerPlan {
        place: 0,
        name: "c".into(),
        init: false,
        sidecar: false,
        restart: Restart::Never,
        tty: false,
        stdin: false,
        stop_signal: 15,
        layers: layers.iter().map(PathBuf::from).collect(),
        pod: pod.containers[0].clone(),
        image: ImageConfig::default(),
        sandbox_id: "s".into(),
        addresses: Vec::new(),
    }
}

#[test]
fn the_topmost_layer_comes_first_and_the_overlay_last() {
    let mounts = plan(&["/low", "/middle", "/top"]).rootfs();

    let sources: Vec<_> = mounts.iter().map(|m| m.source.as_str()).collect();
    assert_eq!(sources, ["/top", "/middle", "/low", "overlay"]);
    assert!(
        mounts[..3]
            .iter()
            .all(|m| m.type_ == "erofs" && m.options == ["ro", "loop"])
    );
    assert_eq!(mounts[3].type_, "format/mkdir/overlay");
    assert_eq!(mounts[3].options, ["lowerdir={{ overlay 0 2 }}"]);
}

#[test]
fn one_layer_alone_is_no_range() {
    let mounts = plan(&["/only"]).rootfs();
    assert_eq!(mounts[1].options, ["lowerdir={{ mount 0 }}"]);
}

#[test]
fn restarts_wait_as_the_kubelets_do() {
    let mut back_off = BackOff::default();
    let short = Duration::from_secs(1);
    let waits: Vec<_> = (0..8).map(|_| back_off.after(short).as_secs()).collect();
    assert_eq!(waits, [0, 10, 20, 40, 80, 160, 300, 300]);

    assert_eq!(back_off.after(Duration::from_secs(600)), Duration::ZERO);
}

#[test]
fn restart_policies_look_at_the_exit_code() {
    assert!(Restart::Always.applies(0));
    assert!(!Restart::OnFailure.applies(0));
    assert!(Restart::OnFailure.applies(1));
    assert!(!Restart::Never.applies(1));
}
