use super::*;

#[test]
fn a_pod_file_is_told_from_an_image_by_its_name() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("pod.yaml");
    std::fs::write(&file, b"").unwrap();
    let file = file.to_str().unwrap();

    assert_eq!(source(file).unwrap(), Source::File(Path::new(file)));
    assert_eq!(source("-").unwrap(), Source::Stdin);
    for image in [
        "busybox",
        "busybox:1.36",
        "localhost:5000/a/b:c",
        "docker.io/library/x",
    ] {
        assert_eq!(source(image).unwrap(), Source::Image(image));
    }
    for missing in [
        "nothing-here.yaml",
        "./nothing",
        "/nothing/at/all",
        "no.json",
    ] {
        assert!(source(missing).is_err(), "{missing}");
    }
}

#[test]
fn a_command_is_shown_as_one_would_type_it() {
    let words = ["sh", "-c", "echo it's", ""].map(str::to_owned);
    assert_eq!(typed(&words), r"sh -c 'echo it'\''s' ''");
}

#[test]
fn a_new_name_is_the_containers_too() {
    let mut manifest = Manifest::parse(
        b"apiVersion: v1\nkind: Pod\n\
          metadata: {name: old, annotations: {io.skete.user/old: web}}\n\
          spec: {containers: [{name: old, image: i}]}\n",
        "test",
    )
    .unwrap();

    rename(&mut manifest, "new");

    let metadata = &manifest.pod.metadata;
    assert_eq!(metadata.name.as_deref(), Some("new"));
    assert_eq!(
        metadata.annotations.as_ref().unwrap()["io.skete.user/new"],
        "web"
    );
    assert_eq!(manifest.pod.spec.unwrap().containers[0].name, "new");
}
