//! With `SKETE_TEST_CONTAINERD` set to a containerd, the configuration is put together by that;
//! else by a stand-in that puts main file and imports one after the other.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::testing::installation;
use crate::uninstall::Uninstall;

const STAND_IN: &str = r#"#!/bin/sh
[ "$1" = --version ] && echo 'containerd github.com/containerd/containerd/v2 v2.4.2 x' && exit
[ -f "$2" ] && cat "$2"
pattern=$(sed -n "s/^imports = .*[\"']\(.*conf\.d\/[^\"']*\)[\"'].*/\1/p" "$2")
case $pattern in
'') exit 0 ;;
/*) ;;
*) pattern=$(dirname "$2")/$pattern ;;
esac
for file in $pattern; do [ -f "$file" ] && grep -v ^version "$file"; done
exit 0
"#;

const CONFIG: &str =
    "# By hand.\nversion = 3\nroot = '/x'\n\n[grpc]\n  address = '/x.sock' # ours\n";

pub(crate) struct Node {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) install: Install,
}

impl Node {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let containerd = match std::env::var_os("SKETE_TEST_CONTAINERD") {
            Some(containerd) => containerd.into(),
            None => {
                let path = dir.path().join("containerd");
                fs::write(&path, STAND_IN).unwrap();
                fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
                path
            }
        };
        let root = dir.path().join("node");
        fs::create_dir(&root).unwrap();
        let install = Install {
            source: installation(dir.path(), "one"),
            prefix: root.join("opt/skete"),
            containerd: Some(containerd),
            containerd_config: root.join("etc/containerd/config.toml"),
            root,
            handlers: vec!["skete".to_owned()],
            allow_annotations: Vec::new(),
            allow_host_paths: Vec::new(),
            usage_annotations: Default::default(),
            restart: true,
            label: None,
            node: Some("worker-1".to_owned()),
        };
        Self { dir, install }
    }

    pub(crate) fn with_config(text: &str) -> Self {
        let node = Self::new();
        node.write("etc/containerd/config.toml", text);
        node
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.install.root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub(crate) fn read(&self, path: &str) -> String {
        fs::read_to_string(self.install.root.join(path)).unwrap()
    }

    pub(crate) fn uninstall(&self) -> Uninstall {
        Uninstall {
            root: self.install.root.clone(),
            prefix: self.install.prefix.clone(),
            restart: true,
            force: false,
            pods: Vec::new(),
        }
    }

    /// Every file and directory of the node, with what is in it.
    pub(crate) fn tree(&self) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
        let mut tree = BTreeMap::new();
        let mut pending = vec![self.install.root.clone()];
        while let Some(path) = pending.pop() {
            let content = if path.is_dir() {
                let entries = fs::read_dir(&path).unwrap();
                pending.extend(entries.map(|entry| entry.unwrap().path()));
                None
            } else {
                Some(fs::read(&path).unwrap())
            };
            tree.insert(path, content);
        }
        tree
    }

    fn effective(&self) -> Effective {
        let install = &self.install;
        Containerd::find(install.containerd.as_deref(), &install.containerd_config)
            .unwrap()
            .effective()
            .unwrap()
    }

    fn refused(&self) -> String {
        let before = self.tree();
        let error = self.install.run().unwrap_err();
        assert_eq!(self.tree(), before, "nothing is left behind");
        let levels = std::iter::successors(Some(&error as &dyn std::error::Error), |e| e.source());
        let line: Vec<String> = levels.map(ToString::to_string).collect();
        line.join(": ")
    }
}

#[test]
fn an_installed_node_hands_pods_to_the_shim_and_is_left_as_it_was() {
    for text in [
        CONFIG,
        "version = 3\nimports = ['conf.d/*.toml']\n",
        "version = 3",
    ] {
        let node = Node::with_config(text);
        let before = node.tree();

        let done = node.install.run().unwrap();

        let shim = node.install.prefix.join("current").join(SHIM);
        let effective = node.effective();
        assert_eq!(
            effective.runtime_type("skete").map(PathBuf::from),
            Some(shim.clone())
        );
        assert_eq!(effective.differs()[0], "erofs");
        assert!(shim.is_file());
        assert!(!done.restarted);
        assert!(
            done.left
                .iter()
                .any(|line| line.contains("current/libexec"))
        );
        let label = "kubectl label node worker-1 skete.io/runtime=true".to_owned();
        assert!(done.left.contains(&label));
        let main = node.read("etc/containerd/config.toml");
        for line in text.lines().filter(|line| !line.contains("imports")) {
            assert!(main.lines().any(|found| found == line), "{line:?}: {main}");
        }

        node.uninstall().run().unwrap();

        assert_eq!(node.tree(), before, "{text}");
    }
}

#[test]
fn a_node_without_a_configuration_gets_a_minimal_one_and_loses_it_again() {
    let node = Node::new();
    let before = node.tree();
    node.install.run().unwrap();
    assert!(node.effective().runtime_type("skete").is_some());
    node.uninstall().run().unwrap();
    assert_eq!(node.tree(), before);
}

#[test]
fn a_second_installation_changes_nothing_but_what_is_new() {
    let mut node = Node::with_config(CONFIG);
    let before = node.tree();
    let first = node.install.run().unwrap();
    let installed = node.tree();

    let again = node.install.run().unwrap();
    assert_eq!(node.tree(), installed);
    assert_eq!(again.version, first.version);
    // Nothing changed that containerd would have to be restarted for.
    assert!(!again.left.iter().any(|line| line.contains("restart")));

    node.install.source = installation(node.dir.path(), "two");
    node.install.handlers.push("skete-large".to_owned());
    node.install.allow_annotations = vec!["io.skete.memory".to_owned()];
    let upgraded = node.install.run().unwrap();
    assert_ne!(upgraded.version, first.version);
    assert!(node.effective().runtime_type("skete-large").is_some());
    let policy = Policy::load(&Programs::below(&node.install.prefix.join("current")).policy());
    assert!(
        policy
            .unwrap()
            .allow_annotations
            .contains("io.skete.memory")
    );
    let versions = fs::read_dir(node.install.prefix.join("versions")).unwrap();
    assert_eq!(versions.count(), 1, "nobody runs the old version");

    node.uninstall().run().unwrap();
    assert_eq!(node.tree(), before);
}

#[test]
fn files_that_are_not_imported_are_not_imported_afterwards() {
    let node = Node::with_config(CONFIG);
    node.write(
        "etc/containerd/conf.d/others.toml",
        "version = 3\nroot = '/other'\n",
    );
    let before = node.tree();
    node.install.run().unwrap();
    assert!(
        node.read("etc/containerd/config.toml")
            .contains("conf.d/skete*.toml")
    );
    node.uninstall().run().unwrap();
    assert_eq!(node.tree(), before);
}

#[test]
fn what_somebody_changes_after_the_installation_stays() {
    let node = Node::with_config(CONFIG);
    node.install.run().unwrap();
    let changed = node.read("etc/containerd/config.toml") + "\n[debug]\n  level = 'debug'\n";
    node.write("etc/containerd/config.toml", &changed);
    node.write("etc/containerd/conf.d/others.toml", "version = 3\n");

    node.uninstall().run().unwrap();

    assert_eq!(
        node.read("etc/containerd/config.toml"),
        format!("{CONFIG}\n[debug]\n  level = 'debug'\n")
    );
    assert!(!node.install.prefix.exists());
    assert_eq!(
        node.read("etc/containerd/conf.d/others.toml"),
        "version = 3\n"
    );
}

#[test]
fn what_cannot_be_installed_is_refused_in_one_line_and_leaves_nothing() {
    assert!(
        Node::with_config("version = 2\n")
            .refused()
            .contains("version 2")
    );
    assert!(
        Node::with_config("version = [\n")
            .refused()
            .contains("TOML")
    );
    let node = Node::with_config(
        "version = 3\n[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.skete]\n\
         runtime_type = 'io.containerd.runc.v2'\n",
    );
    assert!(
        node.refused()
            .contains("choose another name with --handler")
    );
    for handler in ["", "Skete", "a_b", "-a", &"a".repeat(64)] {
        let mut node = Node::with_config(CONFIG);
        node.install.handlers = vec![handler.to_owned()];
        assert!(
            node.refused().contains("no name for a RuntimeClass"),
            "{handler}"
        );
    }
    for annotation in ["io.skete.hypervisor", "kubernetes.io/x"] {
        let mut node = Node::with_config(CONFIG);
        node.install.allow_annotations = vec![annotation.to_owned()];
        assert!(node.refused().contains("cannot be allowed"));
    }
    let mut node = Node::with_config(CONFIG);
    fs::remove_file(node.install.source.join("share/skete/vmlinux")).unwrap();
    assert!(node.refused().contains("vmlinux is missing"));
    node.install.prefix = "opt/skete".into();
    assert!(node.refused().contains("absolute path"));
    node.install.containerd = Some("/nonexistent/containerd".into());
    node.install.prefix = node.install.root.join("opt");
    assert!(node.refused().contains("/nonexistent/containerd"));
}

#[test]
fn a_configuration_that_is_overruled_is_taken_back() {
    let node = Node::with_config("version = 3\nimports = ['conf.d/*.toml']\n");
    // Later by name, and so the last word.
    node.write(
        "etc/containerd/conf.d/zz.toml",
        "version = 3\n[plugins.'io.containerd.service.v1.diff-service']\ndefault = ['walking']\n",
    );
    let line = node.refused();
    // The stand-in finds the table twice.
    let wanted = ["Nothing was changed", "is no TOML"];
    assert!(wanted.iter().any(|wanted| line.contains(wanted)), "{line}");
}

#[test]
fn a_prefix_serves_one_containerd_and_one_command_at_a_time() {
    let mut node = Node::with_config(CONFIG);
    node.install.run().unwrap();
    let held = lock::take(&node.install.prefix).unwrap();
    assert!(node.refused().contains("works on"));
    assert!(
        node.uninstall()
            .run()
            .unwrap_err()
            .to_string()
            .contains("works on")
    );
    drop(held);
    node.write("other.toml", CONFIG);
    node.install.containerd_config = node.install.root.join("other.toml");
    assert!(node.refused().contains("run `skete node uninstall"));
}
