//! The programs of the cluster, built from the Go modules in `tests/cluster`, once for each set
//! of inputs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command::{Failure, digest, output, run};
use crate::{cache, repository, stage};

/// Raised when a build's flags change.
const RECIPE: u32 = 1;

/// One Go module of `tests/cluster`, which pins the versions of what is built from it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Module {
    /// containerd, its client and its shim for runc.
    Containerd,
    /// Kubernetes, its tests and the programs of their images.
    Kubernetes,
    /// CoreDNS.
    Coredns,
    /// metrics-server, for `kubectl top` and HorizontalPodAutoscalers.
    MetricsServer,
}

/// All of them.
pub(crate) const MODULES: [Module; 4] = [
    Module::Containerd,
    Module::Kubernetes,
    Module::Coredns,
    Module::MetricsServer,
];

/// A program: its name, its module and its package.
pub(crate) struct Program(pub(crate) &'static str, Module, &'static str);

/// What a node runs.
pub(crate) const NODE: &[Program] = &[
    containerd(
        "containerd",
        "github.com/containerd/containerd/v2/cmd/containerd",
    ),
    containerd(
        "containerd-shim-runc-v2",
        "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2",
    ),
    containerd("ctr", "github.com/containerd/containerd/v2/cmd/ctr"),
    kubernetes("kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver"),
    kubernetes(
        "kube-controller-manager",
        "k8s.io/kubernetes/cmd/kube-controller-manager",
    ),
    kubernetes("kube-scheduler", "k8s.io/kubernetes/cmd/kube-scheduler"),
    kubernetes("kube-proxy", "k8s.io/kubernetes/cmd/kube-proxy"),
    kubernetes("kubelet", "k8s.io/kubernetes/cmd/kubelet"),
    kubernetes("kubectl", "k8s.io/kubernetes/cmd/kubectl"),
    Program("coredns", Module::Coredns, "."),
    Program(
        "metrics-server",
        Module::MetricsServer,
        "sigs.k8s.io/metrics-server/cmd/metrics-server",
    ),
];

/// The program of the image that most Pods of tests run.
pub(crate) const AGNHOST: Program = kubernetes("agnhost", "k8s.io/kubernetes/test/images/agnhost");
/// Programs of the other images that Kubernetes' own tests run.
pub(crate) const IMAGES: &[Program] = &[
    kubernetes("nnp", "k8s.io/kubernetes/test/images/nonewprivs"),
    kubernetes(
        "regression-issue-74839",
        "k8s.io/kubernetes/test/images/regression-issue-74839",
    ),
    kubernetes(
        "consumer",
        "k8s.io/kubernetes/test/images/resource-consumer",
    ),
    kubernetes(
        "consume-cpu",
        "k8s.io/kubernetes/test/images/resource-consumer/consume-cpu",
    ),
];
/// Kubernetes' own tests and what runs them side by side.
pub(crate) const TESTS: &[Program] = &[
    kubernetes("ginkgo", "github.com/onsi/ginkgo/v2/ginkgo"),
    kubernetes("e2e.test", "k8s.io/kubernetes/test/e2e"),
];

const fn containerd(name: &'static str, package: &'static str) -> Program {
    Program(name, Module::Containerd, package)
}

const fn kubernetes(name: &'static str, package: &'static str) -> Program {
    Program(name, Module::Kubernetes, package)
}

impl Module {
    fn name(self) -> &'static str {
        match self {
            Self::Containerd => "containerd",
            Self::Kubernetes => "kubernetes",
            Self::Coredns => "coredns",
            Self::MetricsServer => "metrics-server",
        }
    }

    /// The module of the product itself, whose version the programs print.
    fn product(self) -> &'static str {
        match self {
            Self::Containerd => "github.com/containerd/containerd/v2",
            Self::Kubernetes => "k8s.io/kubernetes",
            Self::Coredns => "github.com/coredns/coredns",
            Self::MetricsServer => "sigs.k8s.io/metrics-server",
        }
    }

    /// Where its source is.
    fn source(self) -> PathBuf {
        repository().join("tests/cluster").join(self.name())
    }

    /// Where its programs are, or will be.
    pub(crate) fn dir(self) -> Result<PathBuf, Failure> {
        let mut inputs = format!("{RECIPE}\n{}\n", go_version()?);
        for file in ["go.mod", "go.sum", "main.go"] {
            let path = self.source().join(file);
            match fs::read_to_string(&path) {
                Ok(text) => inputs.push_str(&text),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(Failure::io(path.display(), &error)),
            }
        }
        let key = digest(&inputs).map_err(|error| Failure::io("run sha256sum", &error))?;
        Ok(store().join(format!("{}-{key}", self.name())))
    }

    /// The pinned version of the product.
    pub(crate) fn version(self) -> Result<String, Failure> {
        let path = self.source().join("go.mod");
        let text =
            fs::read_to_string(&path).map_err(|error| Failure::io(path.display(), &error))?;
        required(&text, self.product()).ok_or_else(|| {
            Failure::new(format!(
                "{} does not require {}",
                path.display(),
                self.product()
            ))
        })
    }

    /// Where the source of the product is: some of its files go into images.
    pub(crate) fn product_source(self) -> Result<PathBuf, Failure> {
        let mut go = self.go();
        go.args(["list", "-m", "-f", "{{.Dir}}", self.product()]);
        output(&mut go)
            .map(|dir| PathBuf::from(dir.trim()))
            .filter(|dir| dir.is_dir())
            .ok_or_else(|| Failure::new(format!("`go list -m {}` fails", self.product())))
    }

    fn go(self) -> Command {
        let mut go = Command::new("go");
        go.current_dir(self.source())
            .env("CGO_ENABLED", "0")
            .env("GOFLAGS", "-mod=readonly -trimpath -buildvcs=false");
        go
    }

    /// Flags that make the programs print their version, and drop what no test reads.
    fn flags(self) -> Result<Vec<String>, Failure> {
        let version = self.version()?;
        let mut ldflags = "-s -w".to_owned();
        let mut flags = Vec::new();
        match self {
            Self::Containerd => {
                ldflags += &format!(" -X {}/version.Version={version}", self.product());
                flags.push("-tags=no_btrfs,no_zfs,no_devmapper".to_owned());
            }
            Self::Kubernetes => {
                let mut numbers = version.trim_start_matches('v').split('.');
                let (major, minor) = (numbers.next(), numbers.next());
                for (name, value) in [
                    ("gitVersion", version.as_str()),
                    ("gitMajor", major.unwrap_or_default()),
                    ("gitMinor", minor.unwrap_or_default()),
                ] {
                    ldflags += &format!(" -X k8s.io/component-base/version.{name}={value}");
                }
            }
            Self::Coredns | Self::MetricsServer => {}
        }
        flags.push(format!("-ldflags={ldflags}"));
        Ok(flags)
    }
}

/// The version that a go.mod requires of a module.
fn required(go_mod: &str, module: &str) -> Option<String> {
    go_mod.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        let mut first = words.next()?;
        if first == "require" {
            first = words.next()?;
        }
        (first == module).then(|| words.next())?.map(str::to_owned)
    })
}

/// Where everything of test clusters is kept between builds.
pub(crate) fn store() -> PathBuf {
    cache().join("cluster")
}

/// Builds those of the programs that are not there yet.
pub(crate) fn build(programs: &[&Program]) -> Result<(), Failure> {
    for Program(name, module, package) in programs {
        let dir = module.dir()?;
        if dir.join(name).exists() {
            continue;
        }
        fs::create_dir_all(&dir).map_err(|error| Failure::io(dir.display(), &error))?;
        // One build at a time: the second finds what the first has built.
        let _lock = super::lock(&dir.join("lock"))?;
        if dir.join(name).exists() {
            continue;
        }
        let what = format!("{name} {}", module.version()?);
        stage::step(&what, || compile(*module, package, &dir.join(name)))?;
    }
    Ok(())
}

/// Where a program is, once it is built.
pub(crate) fn path(name: &str) -> Result<PathBuf, Failure> {
    let known = || NODE.iter().chain([&AGNHOST]).chain(IMAGES).chain(TESTS);
    let Program(_, module, _) = known()
        .find(|program| program.0 == name)
        .ok_or_else(|| Failure::new(format!("no program of the cluster is called {name}")))?;
    Ok(module.dir()?.join(name))
}

/// The caller's PATH with the directories of the programs before it.
pub(crate) fn search_path() -> Result<std::ffi::OsString, Failure> {
    let mut path = dirs()?;
    let own = std::env::var_os("PATH").unwrap_or_default();
    path.extend(std::env::split_paths(&own));
    std::env::join_paths(path).map_err(Failure::chain)
}

/// The directories with all programs of the cluster.
pub(crate) fn dirs() -> Result<Vec<PathBuf>, Failure> {
    MODULES.into_iter().map(Module::dir).collect()
}

fn compile(module: Module, package: &str, program: &Path) -> Result<(), Failure> {
    let new = program.with_extension("new");
    let mut go = module.go();
    if package.ends_with("/test/e2e") {
        go.args(["test", "-c"]);
    } else {
        go.arg("build");
    }
    run(go.args(module.flags()?).arg("-o").arg(&new).arg(package))?;
    fs::rename(&new, program).map_err(|error| Failure::io(program.display(), &error))
}

/// Which Go builds; any from 1.21 on fetches the version that a module asks for.
fn go_version() -> Result<String, Failure> {
    output(Command::new("go").args(["env", "GOVERSION"])).ok_or_else(|| {
        Failure::new("the test cluster is built with Go, which is not there: install Go 1.26")
    })
}

#[cfg(test)]
#[path = "programs_test.rs"]
mod tests;
