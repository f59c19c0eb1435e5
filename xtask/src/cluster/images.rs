//! The images of the cluster's Pods, made here, since there is no registry to fetch them from, and
//! put into the node's own registry.
//!
//! They are stand-ins for the images that Kubernetes' own tests name: built from the same sources
//! where those are Kubernetes' own, and from Debian's where the originals are Alpine's.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use super::layers::Layers;
use super::{Cluster, programs};
use crate::command::{Failure, digest, run};
use crate::image::{Layer, archive, layer};
use crate::{packages, stage};

/// Which images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Set {
    /// Those that most Pods run.
    Small,
    /// All that Kubernetes' own tests run.
    Tests,
}

/// Raised when what is below or in `layers.rs` changes.
const RECIPE: u32 = 1;
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// One image.
struct Image {
    set: Set,
    /// Its layers' names in `layers.rs`, the lowest first.
    layers: &'static [&'static str],
    /// The `config` of its configuration, without the variables of its environment.
    config: &'static str,
    /// In the registry, without the registry's name.
    names: &'static [&'static str],
}

const IMAGES: &[Image] = &[
    Image {
        set: Set::Small,
        layers: &["pause"],
        config: r#""Entrypoint":["/pause"],"User":"65535:65535""#,
        names: &["pause:3.10.1"],
    },
    Image {
        set: Set::Small,
        layers: &["base"],
        config: r#""Cmd":["sh"]"#,
        names: &[
            "library/busybox:latest",
            "e2e-test-images/busybox:1.36.1-1",
            "e2e-test-images/busybox:1.37.0-1",
        ],
    },
    Image {
        set: Set::Small,
        layers: &["base", "tools", "agnhost"],
        config: r#""Entrypoint":["/agnhost"],"Cmd":["pause"],"ExposedPorts":{"80/tcp":{},"5000/tcp":{},"8080/tcp":{},"8081/tcp":{},"9376/tcp":{}}"#,
        names: &["e2e-test-images/agnhost:2.56"],
    },
    Image {
        set: Set::Small,
        layers: &["base", "postgres"],
        config: r#""Cmd":["postgres"],"User":"999:999""#,
        names: &["library/postgres:15"],
    },
    Image {
        set: Set::Tests,
        layers: &["base"],
        config: r#""Cmd":["sh"],"User":"1234""#,
        names: &["e2e-test-images/nonroot:1.4"],
    },
    Image {
        set: Set::Tests,
        layers: &["base", "nnp"],
        config: r#""Cmd":["nnp"]"#,
        names: &["e2e-test-images/nonewprivs:1.3"],
    },
    Image {
        set: Set::Tests,
        layers: &["base", "regression"],
        config: r#""Entrypoint":["/regression-issue-74839"]"#,
        names: &["e2e-test-images/regression-issue-74839:1.2"],
    },
    Image {
        set: Set::Tests,
        layers: &["base", "consumer"],
        config: r#""Entrypoint":["/consumer"],"ExposedPorts":{"8080/tcp":{}}"#,
        names: &["e2e-test-images/resource-consumer:1.13"],
    },
    Image {
        set: Set::Tests,
        layers: &["base", "httpd"],
        config: r#""Cmd":["/bin/httpd","-f","-p","80","-h","/usr/local/apache2/htdocs"],"ExposedPorts":{"80/tcp":{}},"WorkingDir":"/usr/local/apache2""#,
        names: &[
            "e2e-test-images/httpd:2.4.38-4",
            "e2e-test-images/httpd:2.4.39-4",
        ],
    },
    Image {
        set: Set::Tests,
        layers: &["base", "nginx"],
        config: r#""Cmd":["/bin/httpd","-f","-p","80","-h","/usr/share/nginx/html"],"ExposedPorts":{"80/tcp":{}},"WorkingDir":"/usr/share/nginx""#,
        names: &[
            "e2e-test-images/nginx:1.14-4",
            "e2e-test-images/nginx:1.15-4",
        ],
    },
    Image {
        set: Set::Tests,
        layers: &["base", "tools"],
        config: r#""Cmd":["sh"]"#,
        names: &[
            "e2e-test-images/jessie-dnsutils:1.7",
            "e2e-test-images/ipc-utils:1.3",
        ],
    },
    Image {
        set: Set::Tests,
        layers: &["base", "tools", "agnhost", "kitten"],
        config: r#""Entrypoint":["/agnhost"],"Cmd":["test-webserver"],"ExposedPorts":{"80/tcp":{}}"#,
        names: &["e2e-test-images/kitten:1.7"],
    },
    Image {
        set: Set::Tests,
        layers: &["base", "tools", "agnhost", "nautilus"],
        config: r#""Entrypoint":["/agnhost"],"Cmd":["test-webserver"],"ExposedPorts":{"80/tcp":{}}"#,
        names: &["e2e-test-images/nautilus:1.7"],
    },
];

/// Where the registry of all nodes keeps its images, for this set of inputs.
pub(crate) fn registry() -> Result<PathBuf, Failure> {
    Ok(dir()?.join("registry"))
}

fn dir() -> Result<PathBuf, Failure> {
    let mut inputs = format!("{RECIPE}\n");
    for dir in programs::dirs()? {
        inputs += &format!("{}\n", dir.display());
    }
    let key = digest(&inputs).map_err(|error| Failure::io("run sha256sum", &error))?;
    Ok(programs::store().join(format!("images-{key}")))
}

/// Makes the images of a set and puts those into the registry that are not in it.
pub(crate) fn push(cluster: &Cluster, set: Set) -> Result<(), Failure> {
    let dir = dir()?;
    let wanted = || {
        let in_set = move |image: &&Image| image.set == Set::Small || set == Set::Tests;
        IMAGES.iter().filter(in_set)
    };
    // One at a time, for all clusters have the registry's directory in common.
    fs::create_dir_all(&dir).map_err(|error| Failure::io(dir.display(), &error))?;
    let _lock = super::lock(&dir.join("lock"))?;
    let missing: Vec<&Image> = wanted()
        .filter(|image| !dir.join(image.mark()).exists())
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    packages::ensure(&[packages::BUILD, packages::IMAGES])?;
    let mut needed = vec![&programs::AGNHOST];
    if set == Set::Tests {
        needed.extend(programs::IMAGES);
    }
    programs::build(&needed)?;
    let work = dir.join("work");
    let result = stage::step("images of Pods", || {
        let layers = Layers::new(&work)?;
        missing.iter().try_for_each(|image| {
            image.push(cluster, &layers, &work.join("image"))?;
            let mark = dir.join(image.mark());
            fs::write(&mark, "").map_err(|error| Failure::io(mark.display(), &error))
        })
    });
    let _ = fs::remove_dir_all(&work);
    result
}

impl Image {
    /// A file that says that it is in the registry.
    fn mark(&self) -> String {
        format!("pushed-{}", self.names[0].replace(['/', ':'], "-"))
    }

    fn push(&self, cluster: &Cluster, layers: &Layers, work: &Path) -> Result<(), Failure> {
        let _ = fs::remove_dir_all(work);
        fs::create_dir_all(work).map_err(|error| Failure::io(work.display(), &error))?;
        let parts: Vec<Layer> = self
            .layers
            .iter()
            .map(|name| layer(&layers.root(name)?, &work.join(format!("{name}.tar"))))
            .collect::<Result<_, _>>()?;
        let config = format!(r#"{},"Env":["{PATH}"]"#, self.config);
        let file = work.join("image.archive");
        archive(self.names[0], &config, &parts, &file)?;
        for name in self.names {
            let mut skopeo = cluster.enter("skopeo");
            skopeo
                .args([
                    "copy",
                    "--quiet",
                    "--insecure-policy",
                    "--dest-tls-verify=false",
                ])
                .arg(format!("docker-archive:{}", file.display()))
                .arg(format!("docker://127.0.0.1:5000/{name}"))
                .stdout(Stdio::null());
            run(&mut skopeo)?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "images_test.rs"]
mod tests;
