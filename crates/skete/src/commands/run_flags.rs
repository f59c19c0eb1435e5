//! The flags of `skete run IMAGE`, and the Pod that they make.

use std::collections::BTreeMap;
use std::net::{IpAddr, TcpListener};
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use k8s_openapi::api::core::v1::{
    Capabilities, Container, ContainerPort, EmptyDirVolumeSource, EnvVar, HostAlias, Pod,
    PodDNSConfig, PodDNSConfigOption, PodSecurityContext, PodSpec, ResourceRequirements,
    SeccompProfile, SecurityContext, Sysctl, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use skete_pod::annotations;

use crate::failure::Failure;

/// docker's grace period, in seconds.
const GRACE: i64 = 10;
/// A file of variables has at most so many bytes.
const MAX_ENV_FILE: u64 = 1 << 20;

/// Flags that say what is in a Pod file otherwise.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Options for an image")]
pub struct Flags {
    /// A variable, NAME=VALUE; without a value, this command's own
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    env: Vec<String>,
    /// A file of variables
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,
    /// Publish a port: [IP:][HOST_PORT:]PORT[/PROTOCOL], or ranges of ports
    #[arg(short, long, value_name = "PORT")]
    publish: Vec<String>,
    /// Run this instead of what the image's entrypoint says
    #[arg(long, value_name = "COMMAND")]
    entrypoint: Option<String>,
    /// Directory to start in
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<String>,
    /// User, names or numbers
    #[arg(short, long, value_name = "USER[:GROUP]")]
    user: Option<String>,
    /// Numbers of further groups
    #[arg(long, value_name = "GID")]
    group_add: Vec<i64>,
    /// Host name
    #[arg(short = 'H', long, value_name = "NAME")]
    hostname: Option<String>,
    /// Memory: 512m, 2g, 512Mi
    #[arg(short, long, value_name = "SIZE")]
    memory: Option<String>,
    /// Processors: 0.5, 2
    #[arg(long, value_name = "NUMBER")]
    cpus: Option<String>,
    /// What the container may write to disk: 2g, 512Mi
    #[arg(long, value_name = "SIZE")]
    ephemeral_storage: Option<String>,
    /// A label
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    label: Vec<String>,
    /// An annotation
    #[arg(long, value_name = "NAME=VALUE")]
    annotation: Vec<String>,
    /// The root file system cannot be written
    #[arg(long)]
    read_only: bool,
    /// A directory in memory: DIR[:size=SIZE]
    #[arg(long, value_name = "DIR")]
    tmpfs: Vec<String>,
    /// Size of /dev/shm
    #[arg(long, value_name = "SIZE")]
    shm_size: Option<String>,
    /// A capability more
    #[arg(long, value_name = "NAME")]
    cap_add: Vec<String>,
    /// A capability less
    #[arg(long, value_name = "NAME")]
    cap_drop: Vec<String>,
    /// Everything that the guest's kernel allows
    #[arg(long)]
    privileged: bool,
    /// no-new-privileges, seccomp=unconfined
    #[arg(long, value_name = "OPTION")]
    security_opt: Vec<String>,
    /// Network: default or none
    #[arg(long, visible_alias = "net", value_name = "NETWORK")]
    network: Option<String>,
    /// A name server
    #[arg(long, value_name = "IP")]
    dns: Vec<String>,
    /// A domain in which short names are looked up
    #[arg(long, value_name = "DOMAIN")]
    dns_search: Vec<String>,
    /// An option for the resolver
    #[arg(long, value_name = "OPTION")]
    dns_option: Vec<String>,
    /// A line for /etc/hosts: NAME:IP
    #[arg(long, value_name = "NAME:IP")]
    add_host: Vec<String>,
    /// A kernel parameter of the guest
    #[arg(long, value_name = "NAME=VALUE")]
    sysctl: Vec<String>,
    /// When to start the container again
    #[arg(long, value_enum, value_name = "POLICY")]
    restart: Option<Restart>,
    /// Seconds between the request to end and SIGKILL
    #[arg(long, value_name = "SECONDS")]
    stop_timeout: Option<i64>,
    /// End the Pod after so many seconds
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<i64>,
    /// Nothing of the host's file system is shared with a guest
    #[arg(short, long, hide = true)]
    volume: Vec<String>,
}

/// docker's words for Kubernetes' restart policies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Restart {
    /// Never
    #[value(alias = "never")]
    No,
    /// If its exit code was not 0
    OnFailure,
    /// Always
    #[value(alias = "unless-stopped")]
    Always,
}

/// What else of the command line is the Pod's.
#[derive(Debug)]
pub(crate) struct What<'a> {
    pub(crate) name: &'a str,
    pub(crate) image: &'a str,
    pub(crate) command: &'a [String],
    pub(crate) tty: bool,
    pub(crate) stdin: bool,
    pub(crate) pull_policy: &'a str,
}

impl Flags {
    /// The first flag that was given: none of them goes with a Pod file.
    pub(crate) fn given(&self) -> Option<&'static str> {
        let given = [
            ("--env", !self.env.is_empty()),
            ("--env-file", !self.env_file.is_empty()),
            ("--publish", !self.publish.is_empty()),
            ("--entrypoint", self.entrypoint.is_some()),
            ("--workdir", self.workdir.is_some()),
            ("--user", self.user.is_some()),
            ("--group-add", !self.group_add.is_empty()),
            ("--hostname", self.hostname.is_some()),
            ("--memory", self.memory.is_some()),
            ("--cpus", self.cpus.is_some()),
            ("--ephemeral-storage", self.ephemeral_storage.is_some()),
            ("--label", !self.label.is_empty()),
            ("--annotation", !self.annotation.is_empty()),
            ("--read-only", self.read_only),
            ("--tmpfs", !self.tmpfs.is_empty()),
            ("--shm-size", self.shm_size.is_some()),
            ("--cap-add", !self.cap_add.is_empty()),
            ("--cap-drop", !self.cap_drop.is_empty()),
            ("--privileged", self.privileged),
            ("--security-opt", !self.security_opt.is_empty()),
            ("--network", self.network.is_some()),
            ("--dns", !self.dns.is_empty()),
            ("--dns-search", !self.dns_search.is_empty()),
            ("--dns-option", !self.dns_option.is_empty()),
            ("--add-host", !self.add_host.is_empty()),
            ("--sysctl", !self.sysctl.is_empty()),
            ("--restart", self.restart.is_some()),
            ("--stop-timeout", self.stop_timeout.is_some()),
            ("--timeout", self.timeout.is_some()),
            ("--volume", !self.volume.is_empty()),
        ];
        given
            .into_iter()
            .find(|(_, given)| *given)
            .map(|(name, _)| name)
    }

    /// The Pod that the flags describe.
    pub(crate) fn pod(&self, what: &What<'_>) -> Result<Pod, Failure> {
        if let Some(volume) = self.volume.first() {
            return Err(Failure::own(format!(
                "--volume {volume}: nothing of the host's file system is shared with a Pod's \
                 guest; use --tmpfs, or a Pod file with a ConfigMap, Secret or emptyDir"
            )));
        }
        let (volumes, mounts) = self.memory_volumes()?;
        let container = Container {
            name: what.name.to_owned(),
            image: Some(what.image.to_owned()),
            image_pull_policy: Some(what.pull_policy.to_owned()),
            command: self.entrypoint.as_ref().map(|e| vec![literal(e)]),
            args: some(what.command.iter().map(|word| literal(word)).collect()),
            env: some(self.variables()?),
            ports: some(self.ports()?),
            working_dir: self.workdir.clone(),
            tty: what.tty.then_some(true),
            stdin: what.stdin.then_some(true),
            stdin_once: what.stdin.then_some(true),
            resources: self.resources()?,
            security_context: self.security_context()?,
            volume_mounts: some(mounts),
            ..Container::default()
        };
        let has_dns =
            !(self.dns.is_empty() && self.dns_search.is_empty() && self.dns_option.is_empty());
        Ok(Pod {
            metadata: ObjectMeta {
                name: Some(what.name.to_owned()),
                labels: some_map(pairs(&self.label)),
                annotations: some_map(self.annotations(what.name)?),
                ..ObjectMeta::default()
            },
            spec: Some(PodSpec {
                containers: vec![container],
                volumes: some(volumes),
                hostname: self.hostname.clone(),
                restart_policy: Some(
                    match self.restart {
                        Some(Restart::Always) => "Always",
                        Some(Restart::OnFailure) => "OnFailure",
                        Some(Restart::No) | None => "Never",
                    }
                    .to_owned(),
                ),
                termination_grace_period_seconds: Some(self.stop_timeout.unwrap_or(GRACE)),
                active_deadline_seconds: self.timeout,
                dns_config: has_dns.then(|| self.dns_config()),
                dns_policy: (!self.dns.is_empty()).then(|| "None".to_owned()),
                host_aliases: some(self.host_aliases()?),
                security_context: self.pod_security_context()?,
                ..PodSpec::default()
            }),
            ..Pod::default()
        })
    }

    fn variables(&self) -> Result<Vec<EnvVar>, Failure> {
        let mut all = Vec::new();
        for path in &self.env_file {
            let told = |e: &dyn std::fmt::Display| {
                Failure::own(format!("--env-file {}: {e}", path.display()))
            };
            let bytes = crate::files::read_bounded(path, MAX_ENV_FILE).map_err(|e| told(&e))?;
            let text = String::from_utf8(bytes).map_err(|e| told(&e))?;
            let lines = text.lines().map(str::trim_start);
            let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
            all.extend(lines.map(str::to_owned));
        }
        all.extend(self.env.iter().cloned());
        let mut variables: Vec<EnvVar> = Vec::new();
        for variable in all {
            let (name, value) = match variable.split_once('=') {
                Some((name, value)) => (name.to_owned(), value.to_owned()),
                None => match std::env::var(&variable) {
                    Ok(value) => (variable, value),
                    // As docker: what this command does not have is not passed on.
                    Err(_) => continue,
                },
            };
            variables.retain(|v| v.name != name);
            variables.push(EnvVar {
                name,
                value: Some(literal(&value)),
                value_from: None,
            });
        }
        Ok(variables)
    }

    fn ports(&self) -> Result<Vec<ContainerPort>, Failure> {
        let mut ports = Vec::new();
        for text in &self.publish {
            let published =
                publish(text).map_err(|why| Failure::own(format!("--publish {text}: {why}")))?;
            ports.extend(published);
        }
        Ok(ports)
    }

    fn resources(&self) -> Result<Option<ResourceRequirements>, Failure> {
        let mut limits = BTreeMap::new();
        if let Some(memory) = &self.memory {
            limits.insert("memory".to_owned(), size("--memory", memory)?);
        }
        if let Some(cpus) = &self.cpus {
            limits.insert("cpu".to_owned(), Quantity(cpus.clone()));
        }
        if let Some(storage) = &self.ephemeral_storage {
            let storage = size("--ephemeral-storage", storage)?;
            limits.insert("ephemeral-storage".to_owned(), storage);
        }
        Ok((!limits.is_empty()).then(|| ResourceRequirements {
            limits: Some(limits),
            ..ResourceRequirements::default()
        }))
    }

    fn security_context(&self) -> Result<Option<SecurityContext>, Failure> {
        let mut context = SecurityContext::default();
        if let Some((user, group)) = self.numeric_user() {
            context.run_as_user = Some(user);
            context.run_as_group = group;
        }
        context.read_only_root_filesystem = self.read_only.then_some(true);
        context.privileged = self.privileged.then_some(true);
        let names = |names: &[String]| {
            let name = |name: &String| {
                let upper = name.to_ascii_uppercase();
                upper.strip_prefix("CAP_").unwrap_or(&upper).to_owned()
            };
            some(names.iter().map(name).collect())
        };
        if !(self.cap_add.is_empty() && self.cap_drop.is_empty()) {
            context.capabilities = Some(Capabilities {
                add: names(&self.cap_add),
                drop: names(&self.cap_drop),
            });
        }
        for option in &self.security_opt {
            match option.replace(':', "=").as_str() {
                "no-new-privileges" | "no-new-privileges=true" => {
                    context.allow_privilege_escalation = Some(false);
                }
                "seccomp=unconfined" => {
                    context.seccomp_profile = Some(SeccompProfile {
                        type_: "Unconfined".to_owned(),
                        localhost_profile: None,
                    });
                }
                _ => {
                    return Err(Failure::own(format!(
                        "--security-opt {option}: want no-new-privileges or seccomp=unconfined"
                    )));
                }
            }
        }
        Ok((context != SecurityContext::default()).then_some(context))
    }

    fn pod_security_context(&self) -> Result<Option<PodSecurityContext>, Failure> {
        let mut sysctls = Vec::new();
        for text in &self.sysctl {
            let (name, value) = text
                .split_once('=')
                .ok_or_else(|| Failure::own(format!("--sysctl {text}: want NAME=VALUE")))?;
            sysctls.push(Sysctl {
                name: name.to_owned(),
                value: value.to_owned(),
            });
        }
        let context = PodSecurityContext {
            sysctls: some(sysctls),
            supplemental_groups: some(self.group_add.clone()),
            ..PodSecurityContext::default()
        };
        Ok((context != PodSecurityContext::default()).then_some(context))
    }

    /// The user, if it is given by numbers alone.
    fn numeric_user(&self) -> Option<(i64, Option<i64>)> {
        let user = self.user.as_ref()?;
        match user.split_once(':') {
            None => Some((user.parse().ok()?, None)),
            Some((user, group)) => Some((user.parse().ok()?, Some(group.parse().ok()?))),
        }
    }

    fn annotations(&self, container: &str) -> Result<BTreeMap<String, String>, Failure> {
        let mut all = pairs(&self.annotation);
        if let (Some(user), None) = (&self.user, self.numeric_user()) {
            let key = format!("{}{container}", annotations::USER_PREFIX);
            all.insert(key, user.clone());
        }
        match self.network.as_deref() {
            None | Some("default" | "bridge") => {}
            Some("none") => {
                all.insert(annotations::NETWORK.to_owned(), "none".to_owned());
            }
            Some(other) => {
                return Err(Failure::own(format!(
                    "--network {other}: want default or none"
                )));
            }
        }
        Ok(all)
    }

    fn dns_config(&self) -> PodDNSConfig {
        let option = |text: &String| {
            let (name, value) = match text.split_once(':') {
                Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                None => (text.clone(), None),
            };
            PodDNSConfigOption {
                name: Some(name),
                value,
            }
        };
        PodDNSConfig {
            nameservers: some(self.dns.clone()),
            searches: some(self.dns_search.clone()),
            options: some(self.dns_option.iter().map(option).collect()),
        }
    }

    fn host_aliases(&self) -> Result<Vec<HostAlias>, Failure> {
        let alias = |text: &String| {
            let want = || Failure::own(format!("--add-host {text}: want NAME:IP"));
            let (name, ip) = text.split_once([':', '=']).ok_or_else(want)?;
            let ip = ip.trim_start_matches('[').trim_end_matches(']');
            ip.parse::<IpAddr>().map_err(|_| want())?;
            Ok(HostAlias {
                ip: ip.to_owned(),
                hostnames: Some(vec![name.to_owned()]),
            })
        };
        self.add_host.iter().map(alias).collect()
    }

    fn memory_volumes(&self) -> Result<(Vec<Volume>, Vec<VolumeMount>), Failure> {
        let mut wanted: Vec<(String, Option<Quantity>)> = Vec::new();
        for text in &self.tmpfs {
            let (path, options) = text.split_once(':').unwrap_or((text, ""));
            let mut limit = None;
            for option in options.split(',').filter(|o| !o.is_empty()) {
                match option.strip_prefix("size=") {
                    Some(text) => limit = Some(size("--tmpfs", text)?),
                    // What a Pod's volume is anyway.
                    None if matches!(option, "rw" | "nosuid" | "nodev") => {}
                    None => {
                        return Err(Failure::own(format!(
                            "--tmpfs {text}: {option:?} is not honoured, only size= is"
                        )));
                    }
                }
            }
            wanted.push((path.to_owned(), limit));
        }
        if let Some(text) = &self.shm_size {
            wanted.push(("/dev/shm".to_owned(), Some(size("--shm-size", text)?)));
        }
        let mut volumes = Vec::new();
        let mut mounts = Vec::new();
        for (index, (path, limit)) in wanted.into_iter().enumerate() {
            let name = format!("tmpfs-{index}");
            volumes.push(Volume {
                name: name.clone(),
                empty_dir: Some(EmptyDirVolumeSource {
                    medium: Some("Memory".to_owned()),
                    size_limit: limit,
                }),
                ..Volume::default()
            });
            mounts.push(VolumeMount {
                name,
                mount_path: path,
                ..VolumeMount::default()
            });
        }
        Ok((volumes, mounts))
    }
}

/// Kubernetes expands `$(NAME)`; what is typed is meant as it stands.
fn literal(text: &str) -> String {
    text.replace('$', "$$")
}

fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}

fn some_map(map: BTreeMap<String, String>) -> Option<BTreeMap<String, String>> {
    (!map.is_empty()).then_some(map)
}

fn pairs(list: &[String]) -> BTreeMap<String, String> {
    let pair = |text: &String| match text.split_once('=') {
        Some((name, value)) => (name.to_owned(), value.to_owned()),
        None => (text.clone(), String::new()),
    };
    list.iter().map(pair).collect()
}

/// A size as docker has it (`512m`: binary), or as Kubernetes has it (`512Mi`).
fn size(flag: &str, text: &str) -> Result<Quantity, Failure> {
    let wrong = || Failure::own(format!("{flag} {text}: want a size like 512m, 2g or 512Mi"));
    let lower = text.to_ascii_lowercase();
    let digits = lower.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor: f64 = match &lower[digits.len()..] {
        "" | "b" => 1.0,
        "k" | "kb" => 1024.0,
        "m" | "mb" => 1024.0 * 1024.0,
        "g" | "gb" => 1024.0 * 1024.0 * 1024.0,
        "t" | "tb" => 1024.0 * 1024.0 * 1024.0 * 1024.0,
        "ki" | "mi" | "gi" | "ti" => return Ok(Quantity(text.to_owned())),
        _ => return Err(wrong()),
    };
    let number: f64 = digits.parse().map_err(|_| wrong())?;
    let bytes = number * factor;
    if !(1.0..=9e18).contains(&bytes) {
        return Err(wrong());
    }
    Ok(Quantity(format!("{}", bytes as u64)))
}

/// `[IP:][HOST_PORT:]PORT[/PROTOCOL]`, each port a number or a range.
fn publish(text: &str) -> Result<Vec<ContainerPort>, String> {
    let (rest, protocol) = text.rsplit_once('/').unwrap_or((text, "tcp"));
    let protocol = match protocol.to_ascii_lowercase().as_str() {
        "tcp" => "TCP",
        "udp" => "UDP",
        "sctp" => "SCTP",
        other => return Err(format!("{other:?} is not tcp, udp or sctp")),
    };
    let (rest, inside) = match rest.rsplit_once(':') {
        Some((rest, inside)) => (Some(rest), inside),
        None => (None, rest),
    };
    let inside = range(inside)?;
    let (ip, outside) = match rest {
        None => (None, None),
        Some(rest) => match rest.rsplit_once(':') {
            // An IPv6 address stands in brackets.
            Some((ip, port)) if !port.ends_with(']') => (Some(ip), Some(port)),
            _ if rest.starts_with('[') => (Some(rest), None),
            _ => (None, Some(rest)),
        },
    };
    let ip = match ip.map(|ip| ip.trim_start_matches('[').trim_end_matches(']')) {
        None | Some("") => None,
        Some(ip) => {
            let address = ip.parse::<IpAddr>();
            Some(address.map_err(|_| format!("{ip:?} is not an IP address"))?)
        }
    };
    let outside = match outside {
        None | Some("") => inside
            .iter()
            .map(|_| free_port())
            .collect::<Result<_, _>>()?,
        Some(ports) => range(ports)?,
    };
    if outside.len() != inside.len() {
        return Err("the two ranges of ports have different lengths".to_owned());
    }
    let port = |(host, container): (u16, u16)| ContainerPort {
        container_port: i32::from(container),
        host_port: Some(i32::from(host)),
        host_ip: ip.map(|ip| ip.to_string()),
        protocol: Some(protocol.to_owned()),
        name: None,
    };
    Ok(outside.into_iter().zip(inside).map(port).collect())
}

fn range(text: &str) -> Result<Vec<u16>, String> {
    let number = |text: &str| {
        let number: Option<u16> = text.parse().ok().filter(|n| *n > 0);
        number.ok_or_else(|| format!("{text:?} is not a port"))
    };
    let (first, last) = match text.split_once('-') {
        Some((first, last)) => (number(first)?, number(last)?),
        None => (number(text)?, number(text)?),
    };
    if first > last {
        return Err(format!("{text:?} is not a range of ports"));
    }
    if last - first >= 1024 {
        return Err(format!("{text:?} has more than 1024 ports"));
    }
    Ok((first..=last).collect())
}

fn free_port() -> Result<u16, String> {
    TcpListener::bind(("0.0.0.0", 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(|error| format!("no free port: {error}"))
}

#[cfg(test)]
#[path = "run_flags_test.rs"]
mod tests;
