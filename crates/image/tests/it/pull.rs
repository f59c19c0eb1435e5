//! Pulls from a real registry.

use std::collections::HashMap;
use std::fs;
use std::sync::{Arc, Mutex};

use skete_image::{Credentials, Digest, Event, Policy, Registries};

use crate::common::{
    BUSYBOX, Place, Registry, file_in, in_the_making, options, pull, run, try_pull,
};

/// A place, a registry in it, and `test/image:1` of three layers there.
fn registry_with_image() -> (Place, Registry, String) {
    let place = Place::new();
    let registry = Registry::start(place.folder.path());
    let layout = place.layout("a", 3);
    let name = registry.name("test/image:1");
    place.copy(&format!("oci:{layout}"), &format!("docker://{name}"), &[]);
    (place, registry, name)
}

#[test]
fn a_pulled_image_has_its_layers_as_erofs_images_at_the_paths_of_their_diff_ids() {
    let (place, _registry, name) = registry_with_image();
    let store = place.store();

    let image = pull(&store, &name);

    assert_eq!(image.names, [name.as_str()]);
    assert_eq!(image.layers.len(), 3);
    for (path, diff_id) in image.layers.iter().zip(&image.diff_ids) {
        let hex = diff_id.hex();
        let place = format!("layers/sha256/{}/{hex}.erofs", &hex[..2]);
        assert_eq!(
            path.strip_prefix(store.root()).unwrap().to_str(),
            Some(place.as_str())
        );
    }
    assert_eq!(
        file_in(&image.layers[0], "bin/busybox"),
        fs::read(BUSYBOX).unwrap()
    );
    assert_eq!(file_in(&image.layers[2], "layers/2"), b"a 2");
    let config = image.config.config().as_ref().unwrap();
    assert_eq!(
        config.cmd().as_deref(),
        Some(&["/bin/busybox".to_owned()][..])
    );
    assert_eq!(config.user().as_deref(), Some("1000:1000"));
    let sizes: u64 = image
        .layers
        .iter()
        .map(|path| fs::metadata(path).unwrap().len())
        .sum();
    assert_eq!(image.size, sizes);
    let manifest = fs::read(store.blob_path(&image.manifest_digest.unwrap())).unwrap();
    assert_eq!(Digest::of(&manifest), image.manifest_digest.unwrap());
    assert_eq!(in_the_making(&store), [] as [&str; 0]);
}

#[test]
fn docker_schema_and_zstd_give_the_same_layers_as_oci_and_gzip() {
    let (place, registry, name) = registry_with_image();
    let layout = place.text("layout:a");
    let docker = registry.name("test/docker:1");
    let zstd = registry.name("test/zstd:1");
    place.copy(
        &format!("oci:{layout}"),
        &format!("docker://{docker}"),
        &["--format", "v2s2"],
    );
    let plain = format!("dir:{}", place.text("plain"));
    place.copy(&format!("oci:{layout}"), &plain, &["--dest-decompress"]);
    let recompressed = format!("oci:{}:zstd", place.text("zstd"));
    place.copy(
        &plain,
        &recompressed,
        &["--dest-compress", "--dest-compress-format", "zstd"],
    );
    // Else skopeo would take the gzip layers that it knows to be there.
    place.copy(
        &recompressed,
        &format!("docker://{zstd}"),
        &["--preserve-digests"],
    );
    let store = place.store();

    let expected = pull(&store, &name).layers;

    for (name, part) in [(&docker, "rootfs.diff.tar.gzip"), (&zstd, "tar+zstd")] {
        let name = format!("docker://{name}");
        let raw = run("skopeo", &["inspect", "--raw", "--tls-verify=false", &name]);
        assert!(raw.contains(part), "{raw}");
    }
    for name in [docker, zstd] {
        let place = Place::new();
        let store = place.store();
        let layers = pull(&store, &name).layers;
        for (one, other) in layers.iter().zip(&expected) {
            assert_eq!(fs::read(one).unwrap(), fs::read(other).unwrap(), "{name}");
        }
    }
}

#[test]
fn a_second_pull_fetches_nothing_and_the_policy_decides_whether_to_ask() {
    let (place, registry, name) = registry_with_image();
    let store = place.store();
    let first = pull(&store, &name);
    let mut options = options();
    let events = Arc::new(Mutex::new(Vec::new()));
    let seen = events.clone();
    options.progress = Arc::new(move |event: &Event<'_>| {
        seen.lock().unwrap().push(format!("{event:?}"));
    });

    options.policy = Policy::Always;
    let again = try_pull(&store, &name, &options).unwrap();

    assert_eq!((again.id, again.layers), (first.id, first.layers));
    let told = events.lock().unwrap().join("\n");
    assert!(
        told.contains("present: 3") && !told.contains("LayerStarted"),
        "{told}"
    );

    drop(registry);
    options.policy = Policy::Missing;
    assert_eq!(try_pull(&store, &name, &options).unwrap().id, first.id);
    options.policy = Policy::Never;
    assert_eq!(try_pull(&store, &name, &options).unwrap().id, first.id);
    let line = try_pull(&store, "nothing/here", &options).unwrap_err();
    assert!(
        line.contains("docker.io/nothing/here:latest") && line.contains("policy is never"),
        "{line}"
    );
    options.policy = Policy::Always;
    let line = try_pull(&store, &name, &options).unwrap_err();
    assert!(line.contains("cannot reach 127.0.0.1:"), "{line}");
}

#[test]
fn an_index_gives_the_image_of_the_platform_and_says_what_it_has() {
    let place = Place::new();
    let registry = Registry::start(place.folder.path());
    let layout = place.layout("one", 1);
    place.layout("two", 2);
    run(
        "umoci",
        &["config", "--image", &layout, "--architecture", "amd64"],
    );
    run(
        "umoci",
        &[
            "config",
            "--image",
            &place.text("layout:two"),
            "--architecture",
            "riscv64",
        ],
    );
    let multi = place.text("multi");
    index_layout(
        &place.text("layout"),
        &[("one", "amd64"), ("two", "riscv64")],
        &multi,
    );
    let name = registry.name("test/multi:1");
    place.copy(
        &format!("oci:{multi}"),
        &format!("docker://{name}"),
        &["--all"],
    );
    let store = place.store();
    let mut options = options();

    for (platform, layers) in [("linux/amd64", 1), ("linux/riscv64", 2)] {
        options.platform = platform.parse().unwrap();
        let image = try_pull(&store, &name, &options).unwrap();
        assert_eq!(
            (image.layers.len(), image.platform.to_string().as_str()),
            (layers, platform)
        );
    }
    options.platform = "linux/s390x".parse().unwrap();
    let line = try_pull(&store, &name, &options).unwrap_err();
    assert!(
        line.ends_with("it has no image for linux/s390x; it has linux/amd64, linux/riscv64"),
        "{line}"
    );
}

#[test]
fn a_registry_behind_tls_is_trusted_by_its_certificate_and_not_without() {
    let place = Place::new();
    let (key, certificate) = (place.text("key.pem"), place.text("certificate.pem"));
    run(
        "openssl",
        &[
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=test",
            "-addext",
            "subjectAltName=IP:127.0.0.1",
            "-addext",
            "basicConstraints=CA:FALSE",
            "-keyout",
            &key,
            "-out",
            &certificate,
        ],
    );
    let tls = format!("{{certificate: {certificate}, key: {key}}}");
    let registry = Registry::start_with_tls(place.folder.path(), &tls);
    let layout = place.layout("a", 1);
    let name = registry.name("test:1");
    place.copy(&format!("oci:{layout}"), &format!("docker://{name}"), &[]);
    let store = place.store();
    let file = place.path("registries.toml");
    let mut options = options();

    let line = try_pull(&store, &name, &options).unwrap_err();
    assert!(
        line.contains("answered 400"),
        "plain HTTP, as loopback is by default: {line}"
    );

    let secure = format!("[registry.\"{}\"]\ninsecure = false\n", registry.address);
    fs::write(&file, &secure).unwrap();
    options.registries = Registries::read(&file).unwrap();
    let line = try_pull(&store, &name, &options).unwrap_err();
    assert!(
        line.contains("cannot reach") && line.contains("certificate"),
        "{line}"
    );

    fs::write(&file, format!("{secure}ca = \"{key}\"\n")).unwrap();
    options.registries = Registries::read(&file).unwrap();
    let line = try_pull(&store, &name, &options).unwrap_err();
    assert!(
        line.contains(&format!(
            "cannot use the certificates in {key}: it has none"
        )),
        "{line}"
    );

    fs::write(&file, format!("{secure}ca = \"{certificate}\"\n")).unwrap();
    options.registries = Registries::read(&file).unwrap();
    assert_eq!(try_pull(&store, &name, &options).unwrap().layers.len(), 1);
}

/// Makes a layout whose only entry is an index of tags of another.
fn index_layout(from: &str, tags: &[(&str, &str)], to: &str) {
    run("cp", &["-r", from, to]);
    let text = fs::read_to_string(format!("{from}/index.json")).unwrap();
    let index: serde_json::Value = serde_json::from_str(&text).unwrap();
    let by_tag: HashMap<_, _> = index["manifests"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| {
            (
                entry["annotations"]["org.opencontainers.image.ref.name"]
                    .as_str()
                    .unwrap(),
                entry,
            )
        })
        .collect();
    let entries: Vec<_> = tags
        .iter()
        .map(|(tag, arch)| {
            let mut entry = by_tag[tag].clone();
            entry.as_object_mut().unwrap().remove("annotations");
            entry["platform"] = serde_json::json!({"os": "linux", "architecture": arch});
            entry
        })
        .collect();
    let media_type = "application/vnd.oci.image.index.v1+json";
    let inner =
        serde_json::json!({"schemaVersion": 2, "mediaType": media_type, "manifests": entries});
    let inner = serde_json::to_vec(&inner).unwrap();
    let digest = Digest::of(&inner);
    fs::write(format!("{to}/blobs/sha256/{}", digest.hex()), &inner).unwrap();
    let outer = serde_json::json!({"schemaVersion": 2, "manifests": [
        {"mediaType": media_type, "digest": digest.to_string(), "size": inner.len()}]});
    fs::write(
        format!("{to}/index.json"),
        serde_json::to_vec(&outer).unwrap(),
    )
    .unwrap();
}

#[test]
fn an_image_is_pulled_by_the_digest_of_its_manifest() {
    let (place, registry, name) = registry_with_image();
    let digest = pull(&place.store(), &name).manifest_digest.unwrap();
    let other = Place::new();
    let by_digest = registry.name(&format!("test/image@{digest}"));

    let image = pull(&other.store(), &by_digest);

    assert_eq!(image.names, [by_digest]);
    let wrong = registry.name(&format!("test/image@{}", Digest::of(b"no")));
    let line = try_pull(&other.store(), &wrong, &options()).unwrap_err();
    assert!(line.contains("does not exist or needs a login"), "{line}");
}

#[test]
fn what_a_registry_does_not_have_is_one_clear_line() {
    let (place, registry, _name) = registry_with_image();
    for missing in ["test/image:2", "no/such"] {
        let line = try_pull(&place.store(), &registry.name(missing), &options()).unwrap_err();
        let start = format!("cannot pull {}/{missing}", registry.address);
        assert!(
            line.starts_with(&start) && line.contains("does not exist or needs a login"),
            "{line}"
        );
    }
    assert!(place.store().list().unwrap().is_empty());
}

#[test]
fn a_mirror_is_asked_first_and_the_registry_is_when_the_mirror_has_it_not() {
    let (place, registry, _name) = registry_with_image();
    let file = place.path("registries.toml");
    let mirror = &registry.address;
    // A registry that nobody answers for, and a mirror before the one that has the image.
    let text = format!(
        "[registry.\"nobody.invalid\"]\nmirrors = [\"127.0.0.1:1\", \"{mirror}\"]\n\
         [registry.\"{mirror}\"]\nmirrors = [\"127.0.0.1:1\"]\n"
    );
    fs::write(&file, text).unwrap();
    let mut options = options();
    options.registries = Registries::read(&file).unwrap();
    let store = place.store();

    let image = try_pull(&store, "nobody.invalid/test/image:1", &options).unwrap();
    assert_eq!(image.names, ["nobody.invalid/test/image:1"]);
    try_pull(&store, &registry.name("test/image:1"), &options).unwrap();
    let line = try_pull(&store, "nobody.invalid/test/image:2", &options).unwrap_err();
    let mirrors = format!(
        "no mirror gave it (cannot reach 127.0.0.1:1: Connection refused (os error 111); {mirror} says"
    );
    assert!(
        line.contains(&mirrors) && line.contains("): cannot reach nobody.invalid: "),
        "{line}"
    );
    assert!(
        line.contains("check the name and this machine's DNS"),
        "{line}"
    );
}

/// `user:secret`, by bcrypt.
const HTPASSWD: &str = "user:$2b$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW";

#[test]
fn a_registry_with_passwords_takes_dockers_credentials_and_tells_when_they_are_wrong() {
    let place = Place::new();
    let htpasswd = place.path("htpasswd");
    fs::write(&htpasswd, HTPASSWD).unwrap();
    let auth = format!(
        "auth: {{htpasswd: {{realm: test, path: {}}}}}",
        htpasswd.display()
    );
    let registry = Registry::start_with(place.folder.path(), &auth);
    let layout = place.layout("a", 1);
    let name = registry.name("private:1");
    place.copy(
        &format!("oci:{layout}"),
        &format!("docker://{name}"),
        &["--dest-creds", "user:secret"],
    );
    let store = place.store();
    let mut options = options();

    let line = try_pull(&store, &name, &options).unwrap_err();
    assert!(
        line.contains(&format!("docker login {}", registry.address)),
        "{line}"
    );

    options.credentials = Some(Credentials::Password {
        user: "user".into(),
        password: "wrong".into(),
    });
    let line = try_pull(&store, &name, &options).unwrap_err();
    assert!(
        line.contains("refused the credentials") && !line.contains("wrong"),
        "{line}"
    );

    options.credentials = None;
    let config = place.path("config.json");
    let text = format!(
        r#"{{"auths": {{"{}": {{"auth": "dXNlcjpzZWNyZXQ="}}}}}}"#,
        registry.address
    );
    fs::write(&config, text).unwrap();
    options.docker_config = Some(config);
    assert_eq!(try_pull(&store, &name, &options).unwrap().layers.len(), 1);
}

#[test]
fn an_image_of_sixty_layers_is_pulled() {
    let place = Place::new();
    let registry = Registry::start(place.folder.path());
    let layout = place.layout("many", 60);
    let name = registry.name("many:1");
    place.copy(&format!("oci:{layout}"), &format!("docker://{name}"), &[]);

    let image = pull(&place.store(), &name);

    assert_eq!(image.layers.len(), 60);
    assert_eq!(file_in(&image.layers[59], "layers/59"), b"many 59");
}
