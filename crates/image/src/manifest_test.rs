use super::*;

const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn manifest_of(config_type: &str, layer_type: &str, layers: usize) -> String {
    let layer = format!(r#"{{"mediaType": "{layer_type}", "size": 3, "digest": "sha256:{HEX}"}}"#);
    let layers = vec![layer; layers].join(",");
    format!(
        r#"{{"schemaVersion": 2, "config": {{"mediaType": "{config_type}", "size": 2,
            "digest": "sha256:{HEX}"}}, "layers": [{layers}]}}"#
    )
}

const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";

fn index_of(platforms: &[(&str, &str, Option<&str>)]) -> String {
    let entries: Vec<String> = platforms
        .iter()
        .enumerate()
        .map(|(n, (os, arch, variant))| {
            let variant = variant.map_or(String::new(), |v| format!(r#", "variant": "{v}""#));
            format!(
                r#"{{"mediaType": "application/vnd.oci.image.manifest.v1+json", "size": {n},
                    "digest": "sha256:{HEX}",
                    "platform": {{"os": "{os}", "architecture": "{arch}"{variant}}}}}"#
            )
        })
        .collect();
    format!(
        r#"{{"schemaVersion": 2, "manifests": [{}]}}"#,
        entries.join(",")
    )
}

fn parse(text: &str) -> Result<Document, Error> {
    super::parse(text.as_bytes(), &Limits::default())
}

fn chosen(index: &str, wanted: &str) -> Result<u64, Error> {
    let Document::Index(entries) = parse(index)? else {
        panic!("not an index");
    };
    choose(&entries, &wanted.parse().unwrap()).map(|entry| entry.blob.size)
}

#[test]
fn both_families_of_media_types_are_taken() {
    for (config, layer) in [
        (OCI_CONFIG, "application/vnd.oci.image.layer.v1.tar"),
        (OCI_CONFIG, "application/vnd.oci.image.layer.v1.tar+gzip"),
        (OCI_CONFIG, "application/vnd.oci.image.layer.v1.tar+zstd"),
        (
            "application/vnd.docker.container.image.v1+json",
            "application/vnd.docker.image.rootfs.diff.tar.gzip",
        ),
    ] {
        let document = parse(&manifest_of(config, layer, 2)).unwrap();
        assert!(
            matches!(document, Document::Manifest(m) if m.layers.len() == 2),
            "{layer}"
        );
    }
}

#[test]
fn what_is_not_taken_is_said_in_one_line() {
    let layer = |kind: &str| manifest_of(OCI_CONFIG, kind, 1);
    for (document, part) in [
        (
            layer("application/vnd.oci.image.layer.v1.tar+gzip+encrypted"),
            "is encrypted",
        ),
        (
            layer("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"),
            "is foreign",
        ),
        (
            layer("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"),
            "is foreign",
        ),
        (
            layer("application/vnd.oci.image.layer.v1.tar+xz"),
            "unknown type",
        ),
        (
            manifest_of("application/vnd.cncf.helm.config.v1+json", "x", 1),
            "artifact of type application/vnd.cncf.helm",
        ),
        (
            manifest_of(OCI_CONFIG, "application/vnd.oci.image.layer.v1.tar", 128),
            "it has 128 layers, more than the 127",
        ),
        (
            manifest_of(OCI_CONFIG, "x", 0).replace(r#""size": 2,"#, r#""size": 4194305,"#),
            "configuration has 4194305 bytes, more than the 4194304",
        ),
        (
            r#"{"schemaVersion": 1, "fsLayers": []}"#.to_owned(),
            "schema 1",
        ),
        (
            r#"{"manifests": [], "layers": []}"#.to_owned(),
            "both an index and a manifest",
        ),
        ("{".to_owned(), "malformed"),
        ("[]".to_owned(), "malformed"),
        (
            layer("application/vnd.oci.image.layer.v1.tar").replace("sha256:e", "md5:e"),
            "sha256",
        ),
        ("[".repeat(100_000), "malformed"),
    ] {
        let line = parse(&document).unwrap_err().to_string();
        assert!(line.contains(part), "{part}: {line}");
        assert_eq!(line.lines().count(), 1, "{line}");
    }
}

#[test]
fn the_best_platform_of_an_index_is_chosen() {
    let index = index_of(&[
        ("unknown", "unknown", None),
        ("linux", "arm64", Some("v8")),
        ("linux", "arm", Some("v5")),
        ("linux", "arm", Some("v7")),
        ("linux", "amd64", None),
        ("windows", "amd64", None),
    ]);
    for (wanted, entry) in [
        ("linux/amd64", 4),
        ("linux/arm64", 1),
        ("linux/arm/v7", 3),
        ("linux/arm/v6", 2),
    ] {
        assert_eq!(chosen(&index, wanted).unwrap(), entry, "{wanted}");
    }
}

#[test]
fn a_missing_platform_is_told_with_those_that_are_there() {
    let index = index_of(&[
        ("linux", "arm64", None),
        ("linux", "s390x", None),
        ("unknown", "unknown", None),
    ]);
    let line = chosen(&index, "linux/amd64").unwrap_err().to_string();
    assert_eq!(
        line,
        "it has no image for linux/amd64; it has linux/arm64, linux/s390x"
    );
    let line = chosen(&index_of(&[]), "linux/amd64")
        .unwrap_err()
        .to_string();
    assert_eq!(
        line,
        "it has no image for linux/amd64, nor for any other platform"
    );
}

#[test]
fn a_configuration_must_fit_platform_and_layers() {
    let text = format!(
        r#"{{"architecture": "arm64", "os": "linux", "config": {{"Env": null, "Cmd": ["sh"],
            "ExposedPorts": {{"80/tcp": {{}}}}, "Volumes": null, "Labels": null}},
            "rootfs": {{"type": "layers", "diff_ids": ["sha256:{HEX}"]}}, "history": null}}"#
    );
    let config = config(text.as_bytes()).unwrap();
    assert!(config.check(&"linux/arm64".parse().unwrap(), 1).is_ok());
    let line = config
        .check(&"linux/amd64".parse().unwrap(), 1)
        .unwrap_err()
        .to_string();
    assert!(
        line.starts_with("it is for linux/arm64, not for linux/amd64"),
        "{line}"
    );
    let line = config
        .check(&"linux/arm64".parse().unwrap(), 2)
        .unwrap_err()
        .to_string();
    assert!(line.contains("2 layers and its configuration 1"), "{line}");
    let bad = text.replace("sha256:e", "sha256:../e");
    assert!(super::config(bad.as_bytes()).is_err());
}
