//! The flags of `run IMAGE [COMMAND…]`, as `podman run` has them, turned into a Pod of one
//! container: from there on there is one path.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use k8s_openapi::api::core::v1::{
    Capabilities, Container, ContainerPort, EmptyDirVolumeSource, EnvVar, HostAlias, Pod,
    PodDNSConfig, PodDNSConfigOption, PodSecurityContext, PodSpec, ResourceRequirements,
    SeccompProfile, SecurityContext, Sysctl, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Text;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use thiserror::Error;

use crate::annotations;
use crate::manifest::{Manifest, ManifestError};
use crate::names;
use crate::random::generate_name;
use crate::run_flags as flags;

/// Why flags make no Pod.
#[derive(Debug, Error)]
pub enum RunError {
    /// A flag's value is not right.
    #[error("{flag} {value:?}: {message}")]
    Flag {
        /// As `--publish`.
        flag: &'static str,
        /// What was given.
        value: String,
        /// What is wrong, and what to write instead.
        message: String,
    },
    /// A file of variables cannot be read.
    #[error("--env-file {}: cannot be read", path.display())]
    EnvFile {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// No random name could be made.
    #[error("no random name can be made")]
    Name(#[source] io::Error),
    /// What came of the flags is no Pod that can be run.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
}

/// The flags, as they were given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunOptions {
    /// The image's name.
    pub image: String,
    /// The words after the image: in place of the image's `CMD`.
    pub command: Vec<String>,
    /// `--entrypoint`: a word, or a list of words in JSON; empty for none. The image's `CMD` is
    /// then not used.
    pub entrypoint: Option<String>,
    /// `--name`; made of the image's if it is not given.
    pub name: Option<String>,
    /// `-h`, `--hostname`.
    pub hostname: Option<String>,
    /// `-e`, `--env`: `NAME=VALUE`, or `NAME` for the value that it has here.
    pub env: Vec<String>,
    /// `--env-file`: files with a variable on each line.
    pub env_file: Vec<PathBuf>,
    /// `-w`, `--workdir`.
    pub workdir: Option<String>,
    /// `-u`, `--user`: `USER[:GROUP]`, names or numbers.
    pub user: Option<String>,
    /// `--group-add`: numbers.
    pub group_add: Vec<String>,
    /// `-p`, `--publish`: `[[ADDRESS:]HOST_PORT:]PORT[/PROTOCOL]`, ports may be ranges.
    pub publish: Vec<String>,
    /// `-m`, `--memory`: `512m`, `1g`, `512Mi`.
    pub memory: Option<String>,
    /// `--cpus`: `1.5`.
    pub cpus: Option<String>,
    /// `--ephemeral-storage`: what it may write to disk, a size as for `memory`.
    pub ephemeral_storage: Option<String>,
    /// `--shm-size`: the size of `/dev/shm`.
    pub shm_size: Option<String>,
    /// `-v`, `--volume`: `PATH` for an empty directory. Directories of the host are refused.
    pub volume: Vec<String>,
    /// `--tmpfs`: `PATH[:size=64m]`.
    pub tmpfs: Vec<String>,
    /// `-l`, `--label`: `KEY=VALUE`.
    pub label: Vec<String>,
    /// `--annotation`: `KEY=VALUE`.
    pub annotation: Vec<String>,
    /// `--read-only`.
    pub read_only: bool,
    /// `--cap-add`.
    pub cap_add: Vec<String>,
    /// `--cap-drop`.
    pub cap_drop: Vec<String>,
    /// `--privileged`.
    pub privileged: bool,
    /// `--security-opt`: `no-new-privileges`, `seccomp=unconfined`.
    pub security_opt: Vec<String>,
    /// `--sysctl`: `NAME=VALUE`.
    pub sysctl: Vec<String>,
    /// `-t`, `--tty`.
    pub tty: bool,
    /// `-i`, `--interactive`.
    pub interactive: bool,
    /// `--network`: `none`, or `default` and its other name `bridge`.
    pub network: Option<String>,
    /// `--add-host`: `NAME:ADDRESS`.
    pub add_host: Vec<String>,
    /// `--dns`: in place of the host's servers.
    pub dns: Vec<String>,
    /// `--dns-search`.
    pub dns_search: Vec<String>,
    /// `--dns-option`.
    pub dns_option: Vec<String>,
    /// `--restart`: `no`, `on-failure`, `always`, `unless-stopped`.
    pub restart: Option<String>,
    /// `--pull`: `missing`, `always`, `never`.
    pub pull: Option<String>,
    /// `--stop-timeout`, in seconds.
    pub stop_timeout: Option<u32>,
    /// `--timeout`: ends the Pod after so many seconds.
    pub timeout: Option<u32>,
}

impl RunOptions {
    /// The Pod that the flags ask for; `environment` gives the variables of this process.
    ///
    /// # Errors
    /// [`RunError`] names the flag.
    pub fn manifest(
        &self,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Manifest, RunError> {
        let base = flags::base_name(&self.image);
        let name = match &self.name {
            Some(name) => {
                names::label(name).map_err(flag("--name", name))?;
                name.clone()
            }
            None => generate_name(&format!("{base}-")).map_err(RunError::Name)?,
        };
        let (user, group, named_user) = flags::user(self.user.as_deref());
        let mut annotations = self.map("--annotation", &self.annotation)?;
        if let Some(named) = named_user {
            annotations.insert(format!("{}{base}", annotations::USER_PREFIX), named);
        }
        if let Some(network) = &self.network {
            let network_name = flags::network(network).map_err(flag("--network", network))?;
            annotations.insert(annotations::NETWORK.to_owned(), network_name.to_owned());
        }
        let (volumes, volume_mounts) = self.volumes()?;
        let container = Container {
            name: base,
            image: Some(self.image.clone()),
            image_pull_policy: Some(self.pull_policy()?.to_owned()),
            command: self.entrypoint_words()?,
            args: self.args(),
            env: Some(self.variables(environment)?),
            working_dir: self.workdir.clone(),
            ports: Some(self.ports()?),
            resources: Some(self.resources()?),
            security_context: Some(SecurityContext {
                run_as_user: user,
                run_as_group: group,
                ..self.security_context()?
            }),
            stdin: Some(self.interactive),
            stdin_once: Some(self.interactive),
            tty: Some(self.tty),
            volume_mounts: Some(volume_mounts),
            ..Default::default()
        };
        let restart = self.restart.as_deref().unwrap_or("no");
        let pod = Pod {
            metadata: ObjectMeta {
                name: Some(name),
                labels: Some(self.map("--label", &self.label)?),
                annotations: Some(annotations),
                ..Default::default()
            },
            spec: Some(PodSpec {
                containers: vec![container],
                restart_policy: Some(
                    flags::restart(restart)
                        .map_err(flag("--restart", restart))?
                        .to_owned(),
                ),
                hostname: self.hostname.clone(),
                host_aliases: Some(self.host_aliases()?),
                dns_policy: (!self.dns.is_empty()).then(|| "None".to_owned()),
                dns_config: Some(self.dns_config()),
                active_deadline_seconds: self.timeout.map(i64::from),
                termination_grace_period_seconds: self.stop_timeout.map(i64::from),
                security_context: Some(self.pod_security_context()?),
                volumes: Some(volumes),
                ..Default::default()
            }),
            ..Default::default()
        };
        Ok(Manifest::new(&pod, "run")?)
    }

    fn map(
        &self,
        name: &'static str,
        entries: &[String],
    ) -> Result<BTreeMap<String, String>, RunError> {
        let pair = |entry: &String| {
            let (key, value) = entry.split_once('=').unwrap_or((entry, ""));
            names::qualified(key).map_err(flag(name, entry))?;
            Ok((key.to_owned(), value.to_owned()))
        };
        entries.iter().map(pair).collect()
    }

    fn entrypoint_words(&self) -> Result<Option<Vec<String>>, RunError> {
        let words = match self.entrypoint.as_deref() {
            None => return Ok(None),
            // No entrypoint at all: what follows the image is the whole command.
            Some("") => self.command.clone(),
            Some(list) if list.starts_with('[') => serde_json::from_str(list).map_err(|error| {
                flag("--entrypoint", list)(format!("is not a list of words in JSON: {error}"))
            })?,
            Some(word) => vec![word.to_owned()],
        };
        Ok(Some(
            words.iter().map(|word| flags::literal(word)).collect(),
        ))
    }

    fn args(&self) -> Option<Vec<String>> {
        if self.entrypoint.as_deref() == Some("") {
            return None;
        }
        Some(
            self.command
                .iter()
                .map(|word| flags::literal(word))
                .collect(),
        )
    }

    fn variables(
        &self,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Vec<EnvVar>, RunError> {
        let mut variables: Vec<EnvVar> = Vec::new();
        let mut set = |name: String, value: &str| {
            variables.retain(|other| other.name != name);
            variables.push(EnvVar {
                name,
                value: Some(flags::literal(value)),
                ..Default::default()
            });
        };
        for path in &self.env_file {
            let text = std::fs::read_to_string(path).map_err(|source| RunError::EnvFile {
                path: path.clone(),
                source,
            })?;
            for (name, value) in flags::env_file(&text, &environment)
                .map_err(|message| flag("--env-file", &path.to_string_lossy())(message))?
            {
                set(name, &value);
            }
        }
        for entry in &self.env {
            let (name, value) = match entry.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (entry.as_str(), environment(entry)),
            };
            names::environment(name).map_err(flag("--env", entry))?;
            if let Some(value) = value {
                set(name.to_owned(), &value);
            }
        }
        Ok(variables)
    }

    fn ports(&self) -> Result<Vec<ContainerPort>, RunError> {
        let mut ports = Vec::new();
        for text in &self.publish {
            ports.extend(flags::publish(text).map_err(flag("--publish", text))?);
        }
        Ok(ports)
    }

    fn resources(&self) -> Result<ResourceRequirements, RunError> {
        let mut limits = BTreeMap::new();
        let sizes = [
            ("memory", "--memory", &self.memory),
            (
                "ephemeral-storage",
                "--ephemeral-storage",
                &self.ephemeral_storage,
            ),
        ];
        for (resource, name, text) in sizes {
            if let Some(text) = text {
                let bytes = flags::bytes(text).map_err(flag(name, text))?;
                limits.insert(resource.to_owned(), Text(flags::bytes_text(bytes)));
            }
        }
        if let Some(text) = &self.cpus {
            let milli = flags::milli_cpus(text).map_err(flag("--cpus", text))?;
            limits.insert("cpu".to_owned(), Text(format!("{milli}m")));
        }
        Ok(ResourceRequirements {
            limits: Some(limits),
            ..Default::default()
        })
    }

    fn volumes(&self) -> Result<(Vec<Volume>, Vec<VolumeMount>), RunError> {
        let mut volumes = Vec::new();
        let mut mounts = Vec::new();
        let mut add = |path: &str, source: EmptyDirVolumeSource| {
            let name = format!("volume-{}", volumes.len());
            mounts.push(VolumeMount {
                name: name.clone(),
                mount_path: path.to_owned(),
                ..Default::default()
            });
            volumes.push(Volume {
                name,
                empty_dir: Some(source),
                ..Default::default()
            });
        };
        for text in &self.volume {
            let path = flags::volume(text).map_err(flag("--volume", text))?;
            add(path, EmptyDirVolumeSource::default());
        }
        let in_memory = |size: Option<u64>| EmptyDirVolumeSource {
            medium: Some("Memory".to_owned()),
            size_limit: size.map(|size| Text(flags::bytes_text(size))),
        };
        for text in &self.tmpfs {
            let (path, size) = flags::tmpfs(text).map_err(flag("--tmpfs", text))?;
            add(path, in_memory(size));
        }
        if let Some(text) = &self.shm_size {
            let size = flags::bytes(text).map_err(flag("--shm-size", text))?;
            add("/dev/shm", in_memory(Some(size)));
        }
        Ok((volumes, mounts))
    }

    fn security_context(&self) -> Result<SecurityContext, RunError> {
        let mut context = SecurityContext {
            privileged: Some(self.privileged),
            read_only_root_filesystem: Some(self.read_only),
            ..Default::default()
        };
        let lists = [("--cap-add", &self.cap_add), ("--cap-drop", &self.cap_drop)];
        for (name, list) in lists {
            for capability in list {
                crate::security::capability(capability).map_err(flag(name, capability))?;
            }
        }
        context.capabilities = Some(Capabilities {
            add: Some(self.cap_add.clone()),
            drop: Some(self.cap_drop.clone()),
        });
        for option in &self.security_opt {
            match option.as_str() {
                "no-new-privileges" | "no-new-privileges:true" | "no-new-privileges=true" => {
                    context.allow_privilege_escalation = Some(false);
                }
                "seccomp=unconfined" | "seccomp:unconfined" => {
                    context.seccomp_profile = Some(SeccompProfile {
                        type_: "Unconfined".to_owned(),
                        ..Default::default()
                    });
                }
                _ => {
                    let message = "is not one of no-new-privileges, seccomp=unconfined";
                    return Err(flag("--security-opt", option)(message.to_owned()));
                }
            }
        }
        Ok(context)
    }

    fn pod_security_context(&self) -> Result<PodSecurityContext, RunError> {
        let mut groups = Vec::new();
        for group in &self.group_add {
            let number = group
                .parse()
                .map_err(|_| flag("--group-add", group)("is not a group's number".to_owned()))?;
            groups.push(number);
        }
        let mut sysctls = Vec::new();
        for entry in &self.sysctl {
            let (name, value) = entry
                .split_once('=')
                .ok_or_else(|| flag("--sysctl", entry)("has to be NAME=VALUE".to_owned()))?;
            names::sysctl(name).map_err(flag("--sysctl", entry))?;
            sysctls.push(Sysctl {
                name: name.to_owned(),
                value: value.to_owned(),
            });
        }
        Ok(PodSecurityContext {
            supplemental_groups: Some(groups),
            sysctls: Some(sysctls),
            ..Default::default()
        })
    }

    fn host_aliases(&self) -> Result<Vec<HostAlias>, RunError> {
        let alias = |entry: &String| {
            let (name, ip) = flags::add_host(entry).map_err(flag("--add-host", entry))?;
            Ok(HostAlias {
                ip,
                hostnames: Some(vec![name]),
            })
        };
        self.add_host.iter().map(alias).collect()
    }

    fn dns_config(&self) -> PodDNSConfig {
        let option = |text: &String| {
            let (name, value) = match text.split_once(':') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (text.as_str(), None),
            };
            PodDNSConfigOption {
                name: Some(name.to_owned()),
                value,
            }
        };
        PodDNSConfig {
            nameservers: Some(self.dns.clone()),
            searches: Some(self.dns_search.clone()),
            options: Some(self.dns_option.iter().map(option).collect()),
        }
    }

    fn pull_policy(&self) -> Result<&'static str, RunError> {
        let text = self.pull.as_deref().unwrap_or("missing");
        flags::pull(text).map_err(flag("--pull", text))
    }
}

/// Makes the error for a flag of a message.
fn flag(flag: &'static str, value: &str) -> impl FnOnce(String) -> RunError {
    let value = value.to_owned();
    move |message| RunError::Flag {
        flag,
        value,
        message,
    }
}

#[cfg(test)]
#[path = "run_test.rs"]
mod tests;
