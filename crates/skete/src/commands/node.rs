//! `skete node`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use skete_node::install::Install;
use skete_node::label::Label;
use skete_node::metrics;
use skete_node::status::{Look, Pod, Status};
use skete_node::uninstall::Uninstall;

use crate::doctor::{self, Row, Verdict};
use crate::failure::Failure;
use crate::output::{self, Document, Table, bytes, rough};
use crate::paths::Paths;

/// Make this machine a Kubernetes node that runs Pods in microVMs.
#[derive(Debug, Subcommand)]
pub enum Node {
    /// Put the runtime in place and tell containerd of it; again: bring it up to date
    Install(InstallArgs),
    /// Leave the node as it was before
    Uninstall(UninstallArgs),
    /// Show Pods, what they use of the node, and what is wrong
    Status(StatusArgs),
    /// Print metrics in Prometheus' text format
    Metrics(Place),
}

/// Where the runtime is.
#[derive(Debug, Args)]
pub struct Place {
    /// Directory to install into
    #[arg(long, default_value = "/opt/skete", value_name = "DIR")]
    prefix: PathBuf,
    /// containerd's program [default: containerd on PATH]
    #[arg(long, value_name = "FILE")]
    containerd: Option<PathBuf>,
}

/// `skete node install`.
#[derive(Debug, Args)]
pub struct InstallArgs {
    #[command(flatten)]
    place: Place,
    /// containerd's configuration
    #[arg(
        long,
        default_value = "/etc/containerd/config.toml",
        value_name = "FILE"
    )]
    containerd_config: PathBuf,
    /// Do not restart containerd
    #[arg(long)]
    no_restart: bool,
    /// Name of the runtime for RuntimeClasses; may be given several times
    #[arg(long = "handler", default_value = "skete", value_name = "NAME")]
    handlers: Vec<String>,
    /// Annotation that Pods may have: io.skete.vcpus, io.skete.memory or
    /// io.skete.ephemeral-storage-bytes; may be given several times [default: none]
    #[arg(long = "allow-annotation", value_name = "NAME")]
    allow_annotations: Vec<String>,
    /// File or directory of the host of which Pods may have a copy, by `hostPath`; may be given
    /// several times [default: none]
    #[arg(long = "allow-host-path", value_name = "PATH")]
    allow_host_paths: Vec<PathBuf>,
    /// What the usage journal of every Pod of this node tells price lists, for example spot=true;
    /// may be given several times [default: none]
    #[arg(long = "usage-annotation", value_name = "NAME=VALUE", value_parser = annotation)]
    usage_annotations: Vec<(String, String)>,
    /// Install though KVM does not work here: Pods are then emulated, and no wall is around them
    #[arg(long)]
    allow_emulation: bool,
    /// Credentials to label the node with [default: the kubelet's, where kubeadm puts them]
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// The node's name [default: this machine's]
    #[arg(long, value_name = "NAME")]
    node_name: Option<String>,
}

/// `skete node uninstall`.
#[derive(Debug, Args)]
pub struct UninstallArgs {
    #[command(flatten)]
    place: Place,
    /// Do not restart containerd
    #[arg(long)]
    no_restart: bool,
    /// Go on though Pods run, or the node's label cannot be taken away
    #[arg(short, long)]
    force: bool,
}

/// `skete node status`.
#[derive(Debug, Args)]
pub struct StatusArgs {
    #[command(flatten)]
    place: Place,
    /// How to show it
    #[arg(short, long, value_enum)]
    output: Option<Document>,
}

impl Node {
    /// Does it. `status` exits with 1 if something is wrong.
    ///
    /// # Errors
    /// What could not be done.
    pub fn run(&self, paths: &Paths) -> Result<u8, Failure> {
        match self {
            Self::Install(args) => args.run(paths),
            Self::Uninstall(args) => args.run(paths),
            Self::Status(args) => args.run(paths),
            Self::Metrics(place) => {
                output::print(&metrics::text(&place.look(paths).status()?))?;
                Ok(0)
            }
        }
    }
}

impl Place {
    fn look(&self, paths: &Paths) -> Look {
        Look {
            run_root: paths.run_root.clone(),
            state_root: paths.root.clone(),
            prefix: self.prefix.clone(),
            containerd: self.containerd.clone(),
        }
    }
}

impl InstallArgs {
    fn run(&self, paths: &Paths) -> Result<u8, Failure> {
        let rows = doctor::before_installation(paths);
        check(&rows, self.allow_emulation)?;
        let own = std::env::current_exe()?;
        // PREFIX/bin/skete.
        let source = own.ancestors().nth(2).map(PathBuf::from);
        let done = Install {
            root: "/".into(),
            source: source.unwrap_or_else(|| "/".into()),
            prefix: self.place.prefix.clone(),
            containerd: self.place.containerd.clone(),
            containerd_config: self.containerd_config.clone(),
            handlers: self.handlers.clone(),
            allow_annotations: self.allow_annotations.clone(),
            allow_host_paths: self.allow_host_paths.clone(),
            usage_annotations: self.usage_annotations.iter().cloned().collect(),
            restart: !self.no_restart,
            label: Label::of_this_node(self.kubeconfig.as_deref(), self.node_name.as_deref()),
            node: self.node_name.clone(),
        }
        .run()?;
        output::print(&format!(
            "installed {} in {}\n{}",
            done.version,
            self.place.prefix.display(),
            left(&done.left, done.restarted)
        ))?;
        Ok(0)
    }
}

/// Refuses a machine that cannot do it.
fn annotation(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("want NAME=VALUE, for example spot=true".to_owned()),
    }
}

fn check(rows: &[Row], allow_emulation: bool) -> Result<(), Failure> {
    for row in rows {
        match row.verdict {
            Verdict::Pass => {}
            Verdict::Fail => {
                let Row {
                    check, value, fix, ..
                } = row;
                return Err(Failure::own(format!("{check}: {value}: {fix}")));
            }
            Verdict::Warn if allow_emulation => {
                crate::complain(&format!("{}: {}", row.check, row.value));
            }
            Verdict::Warn => {
                return Err(Failure::own(format!(
                    "{}: {}; {}. Without it Pods are emulated, and no wall is around them: \
                     --allow-emulation to try things out",
                    row.check, row.value, row.fix
                )));
            }
        }
    }
    Ok(())
}

/// What was done to containerd, and what an administrator has to do.
fn left(left: &[String], restarted: bool) -> String {
    let mut text = String::new();
    if restarted {
        text.push_str("restarted containerd\n");
    }
    for line in left {
        text.push_str(&format!("left to do: {line}\n"));
    }
    text
}

impl UninstallArgs {
    fn run(&self, paths: &Paths) -> Result<u8, Failure> {
        let pods = self.place.look(paths).pods()?;
        let done = Uninstall {
            root: "/".into(),
            prefix: self.place.prefix.clone(),
            restart: !self.no_restart,
            force: self.force,
            pods: pods
                .iter()
                .filter(|pod| pod.is_containerds())
                .map(Pod::name)
                .collect(),
        }
        .run()?;
        output::print(&format!(
            "removed what was in {}\n{}",
            self.place.prefix.display(),
            left(&done.left, done.restarted)
        ))?;
        Ok(0)
    }
}

impl StatusArgs {
    fn run(&self, paths: &Paths) -> Result<u8, Failure> {
        let status = self.place.look(paths).status()?;
        match self.output {
            Some(format) => output::document(&status, format)?,
            None => output::print(&text(&status))?,
        }
        let well = status.problems.is_empty() && status.pods.iter().all(|p| p.problems.is_empty());
        Ok(u8::from(!well))
    }
}

fn text(status: &Status) -> String {
    let mut text = String::new();
    if let Some(installation) = &status.installation {
        text.push_str(&format!(
            "{} in {}, handlers: {}\n",
            installation.version,
            installation.prefix.display(),
            installation.handlers.join(", ")
        ));
    }
    if !status.pods.is_empty() {
        text.push('\n');
        text.push_str(&table(&status.pods));
        let parts: Vec<String> = status
            .memory
            .iter()
            .map(|(part, used)| format!("{} {}", part.as_str(), bytes(*used)))
            .collect();
        let total: u64 = status.memory.values().sum();
        text.push_str(&format!(
            "memory: {} ({})\n",
            bytes(total),
            parts.join(", ")
        ));
    }
    for pod in &status.pods {
        for problem in &pod.problems {
            text.push_str(&format!("wrong: {}: {problem}\n", pod.name()));
        }
    }
    for problem in &status.problems {
        text.push_str(&format!("wrong: {problem}\n"));
    }
    text
}

fn table(pods: &[Pod]) -> String {
    let mut table = Table::new(&["POD", "STATE", "AGE", "VCPUS", "GUEST", "USED", "CPU", "BY"]);
    for pod in pods {
        let used: u64 = pod.memory.values().sum();
        table.row(vec![
            pod.name(),
            format!("{:?}", pod.state),
            rough(std::time::Duration::from_secs(pod.age_seconds)),
            pod.description.vcpus.to_string(),
            bytes(pod.description.memory_mib << 20),
            bytes(used),
            format!("{:.1} s", pod.cpu_seconds),
            pod.containerd_namespace.clone(),
        ]);
    }
    table.render()
}

#[cfg(test)]
#[path = "node_test.rs"]
mod tests;
