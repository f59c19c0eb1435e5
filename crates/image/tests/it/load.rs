//! Loads of what skopeo and docker write.

use std::fs::{self, File};
use std::process::{Command, Stdio};

use skete_image::{Image, LoadOptions, Source, Store};

use crate::common::{BUSYBOX, Place, file_in, in_the_making, run};

fn load(store: &Store, source: Source) -> Result<Vec<Image>, String> {
    store
        .load(source, &LoadOptions::default())
        .map_err(|error| {
            let line = error.line();
            assert_eq!(line.lines().count(), 1, "{line}");
            line
        })
}

fn load_path(store: &Store, path: &str) -> Image {
    let mut images = load(store, Source::Path(path.into())).unwrap();
    assert_eq!(images.len(), 1);
    images.remove(0)
}

#[test]
fn all_forms_of_an_image_give_the_same_layers() {
    let place = Place::new();
    let layout = place.layout("a", 3);
    let from = format!("oci:{layout}");
    let (docker, oci) = (place.text("docker.tar"), place.text("My Image.oci.tar"));
    place.copy(&from, &format!("docker-archive:{docker}:test/image:1"), &[]);
    place.copy(
        &from,
        &format!("oci-archive:{oci}:example.org/other:2"),
        &[],
    );
    let zipped = place.text("zipped.tar.gz");
    run("sh", &["-c", &format!("gzip -c '{docker}' > '{zipped}'")]);
    let expected = load_path(&place.store(), &place.text("layout"));
    assert_eq!(expected.names, ["localhost/layout:a"]);
    assert_eq!(
        file_in(&expected.layers[0], "bin/busybox"),
        fs::read(BUSYBOX).unwrap()
    );

    for (path, name) in [
        (&docker, "docker.io/test/image:1"),
        (&oci, "example.org/other:2"),
        (&zipped, "docker.io/test/image:1"),
    ] {
        let other = Place::new();
        let store = other.store();
        let image = load_path(&store, path);
        assert_eq!(
            (image.names, image.diff_ids),
            (vec![name.to_owned()], expected.diff_ids.clone())
        );
        for (one, other) in image.layers.iter().zip(&expected.layers) {
            assert_eq!(fs::read(one).unwrap(), fs::read(other).unwrap(), "{path}");
        }
        assert_eq!(in_the_making(&store), [] as [&str; 0]);
    }
}

#[test]
fn a_pipe_is_loaded_as_a_file_is() {
    let place = Place::new();
    let layout = place.layout("a", 2);
    let docker = place.text("docker.tar");
    place.copy(
        &format!("oci:{layout}"),
        &format!("docker-archive:{docker}:test/image:1"),
        &[],
    );
    // The second begins with a single byte and goes on later.
    for script in ["cat {}", "gzip -c {} | { head -c 1; sleep 0.1; cat; }"] {
        let mut command = Command::new("sh");
        command
            .args(["-c", &script.replace("{}", &docker)])
            .stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stream = Box::new(child.stdout.take().unwrap());
        let other = Place::new();
        let store = other.store();

        let images = load(&store, Source::Stream(stream)).unwrap();

        child.wait().unwrap();
        assert_eq!(images[0].names, ["docker.io/test/image:1"]);
        assert_eq!(in_the_making(&store), [] as [&str; 0]);
    }
}

/// Adds to a layout what docker 25 and later write with it, and makes the archive of both, with
/// the documents after the blobs as there.
fn docker_25_archive(place: &Place, names: &[&str]) -> String {
    let layout = place.path("layout");
    let text = fs::read(layout.join("index.json")).unwrap();
    let mut index: serde_json::Value = serde_json::from_slice(&text).unwrap();
    let entry = index["manifests"][0].clone();
    let named = |name: &&str| {
        let mut entry = entry.clone();
        entry["annotations"] = serde_json::json!({"io.containerd.image.name": name,
            "org.opencontainers.image.ref.name": name.rsplit_once(':').unwrap().1});
        entry
    };
    index["manifests"] = names.iter().map(named).collect();
    fs::write(layout.join("index.json"), index.to_string()).unwrap();
    // Its manifest.json says less than the layout and is not what counts.
    fs::write(layout.join("manifest.json"), "[]").unwrap();
    let archive = place.text("docker25.tar");
    let folder = layout.to_str().unwrap();
    run(
        "tar",
        &[
            "-C",
            folder,
            "-cf",
            &archive,
            "blobs",
            "index.json",
            "manifest.json",
            "oci-layout",
        ],
    );
    archive
}

#[test]
fn what_docker_25_saves_is_one_image_with_all_its_names() {
    let place = Place::new();
    place.layout("a", 2);
    let names = ["docker.io/test/image:1", "docker.io/test/image:2"];
    let archive = docker_25_archive(&place, &names);

    let image = load_path(&place.store(), &archive);

    assert_eq!(image.names, names);
    assert!(image.manifest_digest.is_some());
}

#[test]
fn what_is_no_archive_of_images_is_one_clear_line() {
    let place = Place::new();
    let layout = place.layout("a", 2);
    let docker = place.text("docker.tar");
    place.copy(
        &format!("oci:{layout}"),
        &format!("docker-archive:{docker}:test/image:1"),
        &[],
    );
    let length = fs::metadata(&docker).unwrap().len();
    let cut = place.text("cut.tar");
    fs::copy(&docker, &cut).unwrap();
    File::options()
        .write(true)
        .open(&cut)
        .unwrap()
        .set_len(length / 2)
        .unwrap();
    fs::write(place.path("empty"), "").unwrap();
    fs::write(place.path("text"), "x".repeat(2000)).unwrap();
    run(
        "tar",
        &[
            "-C",
            place.folder.path().to_str().unwrap(),
            "-cf",
            &place.text("other.tar"),
            "text",
        ],
    );
    let store = place.store();
    for (name, part) in [
        ("cut.tar", "cut short"),
        ("empty", "cut short"),
        ("text", "not a tar archive"),
        ("other.tar", "holds no image"),
        ("none", "cannot read it: No such file"),
    ] {
        let line = load(&store, Source::Path(place.path(name))).unwrap_err();
        let start = format!("cannot load {}: ", place.text(name));
        assert!(line.starts_with(&start) && line.contains(part), "{line}");
    }
    let line = load(&store, Source::Stream(Box::new(std::io::empty()))).unwrap_err();
    assert_eq!(line, "cannot load from standard input: it is empty");
    assert!(store.list().unwrap().is_empty());
    assert_eq!(in_the_making(&store), [] as [&str; 0]);
}

#[test]
fn a_layout_with_a_damaged_blob_names_it() {
    let place = Place::new();
    place.layout("a", 2);
    let store = place.store();
    let good = load_path(&store, &place.text("layout"));
    store.remove(&[&good.id.to_string()], false).unwrap();
    let manifest: serde_json::Value = {
        let digest = good.manifest_digest.unwrap();
        let text = fs::read(place.path(&format!("layout/blobs/sha256/{}", digest.hex()))).unwrap();
        serde_json::from_slice(&text).unwrap()
    };
    let layer = manifest["layers"][1]["digest"].as_str().unwrap();
    let blob = place.path(&format!("layout/blobs/sha256/{}", &layer[7..]));
    let mut bytes = fs::read(&blob).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&blob, bytes).unwrap();

    let line = load(&store, Source::Path(place.path("layout"))).unwrap_err();
    assert!(
        line.contains(&format!("layer {layer}: its digest is sha256:")),
        "{line}"
    );

    fs::remove_file(&blob).unwrap();
    let line = load(&store, Source::Path(place.path("layout"))).unwrap_err();
    assert!(line.contains("it has no blobs/sha256/"), "{line}");
    assert!(store.list().unwrap().is_empty());
}

#[test]
fn a_folder_cannot_lead_out_of_itself() {
    let place = Place::new();
    let folder = place.path("folder");
    fs::create_dir(&folder).unwrap();
    let outside = place.text("outside");
    fs::write(&outside, r#"{"schemaVersion": 2, "manifests": []}"#).unwrap();
    for config in [
        outside.as_str(),
        "../outside",
        "link",
        "folder/../../outside",
    ] {
        let _ = std::os::unix::fs::symlink(&outside, folder.join("link"));
        let docker = serde_json::json!([{"Config": config, "Layers": []}]);
        fs::write(folder.join("manifest.json"), docker.to_string()).unwrap();

        let line = load(&place.store(), Source::Path(folder.clone())).unwrap_err();
        // What lies outside would be called malformed.
        let unread = line.contains("cannot read it: ") || line.contains("it has no ");
        assert!(unread, "{config}: {line}");
    }
}

#[test]
fn a_given_name_takes_the_place_of_the_archives() {
    let place = Place::new();
    place.layout("a", 1);
    let mut options = LoadOptions::default();
    options.name = Some("mine:1".to_owned());
    let store = place.store();

    let images = store
        .load(Source::Path(place.path("layout")), &options)
        .unwrap();
    assert_eq!(images[0].names, ["docker.io/library/mine:1"]);

    place.layout("b", 1);
    let error = store
        .load(Source::Path(place.path("layout")), &options)
        .unwrap_err();
    assert!(error.line().contains("holds 2 images"), "{}", error.line());
}
