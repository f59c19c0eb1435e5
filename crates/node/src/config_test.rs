#![allow(clippy::unwrap_used)]

use super::*;

fn main_file(text: &str) -> Main {
    Main::parse(Path::new("/etc/containerd/config.toml"), text).unwrap()
}

/// As people and tools write them.
const FILES: &[&str] = &[
    "version = 3\n",
    "version = 3",
    "# Ours.\nversion = 3   # the third\n\n\n[grpc]\n  address = '/run/c.sock' # here\n\n# end\n",
    "version = 4\nroot = \"/x\"\n\n# about plugins\n[plugins]\n  [plugins.'io.containerd.cri.v1.runtime']\n    enable_cdi = true\n",
    "version = 3\nimports = []\n",
    "version = 3\nimports = [\"/etc/containerd/extra.toml\"] # one\noom_score = -999\n",
    "imports = [\n  'a.toml', # first\n  'b/c*.toml',\n]\nversion = 3\n[debug]\nlevel = 'info'\n",
    "version = 3\n\n[[stream]]\nx = 1\n[[stream]]\nx = 2\n",
];

#[test]
fn an_import_that_is_added_and_removed_leaves_the_file_as_it_was() {
    for text in FILES {
        let pattern = "/etc/containerd/conf.d/*.toml";
        let mut main = main_file(text);
        // A last line without an end gets one.
        assert_eq!(main.text().trim_end(), text.trim_end());
        assert_eq!(main.drop_in_directory(), None);

        main.add_import(pattern);
        let with = main.text();
        let again = main_file(&with);
        assert_eq!(again.imports().last(), Some(pattern));
        assert_eq!(
            again.drop_in_directory(),
            Some("/etc/containerd/conf.d".into())
        );
        // Every line that was there is there, in its place.
        let mut lines = with.lines();
        let changed = text.contains("imports =");
        for line in text.lines().filter(|l| !l.contains("imports =")) {
            assert!(
                changed || lines.any(|found| found == line),
                "{line:?} is not in\n{with}"
            );
        }

        let mut main = main_file(&with);
        main.remove_import(pattern);
        // An empty list says what no list says.
        let wanted = text.replace("imports = []\n", "");
        assert_eq!(main.text().trim_end(), wanted.trim_end());
    }
}

#[test]
fn a_directory_whose_files_are_all_imported_is_found() {
    let directory = |imports: &str| {
        main_file(&format!("version = 3\nimports = [{imports}]\n")).drop_in_directory()
    };
    assert_eq!(directory("'/a/*.toml'"), Some("/a".into()));
    assert_eq!(directory("'/a/*'"), Some("/a".into()));
    assert_eq!(
        directory("'conf.d/*.toml'"),
        Some("/etc/containerd/conf.d".into())
    );
    assert_eq!(
        directory("'/a.toml', '/a/b*.toml', '/b/*/*.toml', '/c/*.toml'"),
        Some("/c".into())
    );
    assert_eq!(directory("'/a/nvidia*.toml'"), None);
}

#[test]
fn what_is_too_old_or_no_toml_is_refused_in_one_line_that_names_the_file() {
    let refused = |text: &str| {
        let error = Main::parse(Path::new("/etc/containerd/config.toml"), text).unwrap_err();
        let line = error.to_string();
        assert!(line.contains("/etc/containerd/config.toml"), "{line}");
        assert!(!line.contains('\n'), "{line}");
        line
    };
    assert!(refused("version = 2\n").contains("version 2, Skete needs 3"));
    assert!(refused("").contains("version 1"));
    assert!(refused("version = 'three'\n").contains("containerd config migrate"));
    assert!(refused("version = 3\n[plugins\n").contains("TOML"));
    assert!(refused("version = 3\nimports = 'x'\n").contains("imports"));
    assert!(refused("version = 3\nimports = [3]\n").contains("imports"));
}

#[test]
fn the_imported_file_is_toml_whatever_the_path() {
    let handlers = ["skete".to_owned(), "skete-large".to_owned()];
    let differs = ["walking".to_owned()];
    let drop_in = DropIn {
        version: 4,
        handlers: &handlers,
        shim: Path::new("/opt/a \"b\"\\c/shim"),
        differs: &differs,
        unpack_for_handler: true,
    };

    let document: DocumentMut = drop_in.text().parse().unwrap();

    let runtimes = &document["plugins"][RUNTIME]["containerd"]["runtimes"];
    for handler in &handlers {
        let runtime = &runtimes[handler];
        assert_eq!(
            runtime["runtime_type"].as_str(),
            Some("/opt/a \"b\"\\c/shim")
        );
        assert!(runtime.get("pod_annotations").is_none());
        let platform = &document["plugins"][IMAGES]["runtime_platforms"][handler];
        assert_eq!(platform["snapshotter"].as_str(), Some("erofs"));
    }
    let order = document["plugins"][DIFF]["default"].as_array().unwrap();
    let order: Vec<_> = order.iter().filter_map(Value::as_str).collect();
    assert_eq!(order, ["erofs", "walking"]);
}
