//! What the engine configures once: clock, entropy, name, network, scratch disk.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Mutex;

use rustix::mount::{MountFlags, mount};
use skete_agent_api::agent::ConfigureSandboxRequest;
use skete_agent_api::{HOSTS, RESOLV_CONF};

use crate::boot::RUN;
use crate::failure::{Failure, Kind};
use crate::network::Network;
use crate::worker::{Reply, Request, Worker};
use crate::{clock, disk, lock};

/// What the sandbox was configured to, and what was made for it.
#[derive(Default)]
pub(crate) struct Sandbox {
    state: Mutex<State>,
    pid_namespace: tokio::sync::Mutex<Option<i32>>,
}

#[derive(Default)]
struct State {
    configured: bool,
    share_pids: bool,
}

fn failed(what: &str) -> impl Fn(io::Error) -> Failure {
    let what = what.to_owned();
    move |error| Failure::new(Kind::Internal, format!("cannot {what}: {error}"))
}

impl Sandbox {
    /// Does all of it; a second call is refused.
    pub(crate) async fn configure(&self, wanted: &ConfigureSandboxRequest) -> Result<(), Failure> {
        {
            let mut state = lock(&self.state);
            if state.configured {
                return Err(Failure::new(
                    Kind::FailedPrecondition,
                    "the sandbox has been configured before",
                ));
            }
            state.configured = true;
            state.share_pids = wanted.share_process_namespace;
        }
        let done = Self::apply(wanted).await;
        if done.is_err() {
            lock(&self.state).configured = false;
        }
        done
    }

    async fn apply(wanted: &ConfigureSandboxRequest) -> Result<(), Failure> {
        clock::add_entropy(&wanted.entropy).map_err(failed("credit the entropy"))?;
        if wanted.realtime_ns > 0 {
            clock::set(wanted.realtime_ns).map_err(failed("set the clock"))?;
        }
        if !wanted.hostname.is_empty() {
            rustix::system::sethostname(wanted.hostname.as_bytes())
                .map_err(io::Error::from)
                .map_err(failed("set the hostname"))?;
        }
        let mut network = Network::open()?;
        for interface in &wanted.interfaces {
            network.interface(interface)?;
        }
        for route in &wanted.routes {
            network.route(route)?;
        }
        for (name, value) in &wanted.sysctls {
            set_sysctl(name, value)?;
        }
        fs::write(RESOLV_CONF, &wanted.resolv_conf).map_err(failed("write resolv.conf"))?;
        fs::write(HOSTS, &wanted.hosts).map_err(failed("write hosts"))?;
        mount_scratch(&wanted.scratch_serial).await
    }

    /// The first process of the namespace that containers share, made when it is first needed.
    pub(crate) async fn shared_pids(&self, spec: &[u8]) -> Result<Option<i32>, Failure> {
        let always = lock(&self.state).share_pids;
        if !always && !crate::spec::shares_pids(spec)? {
            return Ok(None);
        }
        let mut first = self.pid_namespace.lock().await;
        if let Some(pid) = *first {
            return Ok(Some(pid));
        }
        let pid = Worker::start(&Request::PidNamespace, None)
            .await?
            .pid()
            .await?;
        *first = Some(pid);
        Ok(Some(pid))
    }
}

/// Sets a kernel parameter by its name, with dots or slashes.
fn set_sysctl(name: &str, value: &str) -> Result<(), Failure> {
    let path = sysctl_path(name).ok_or_else(|| {
        Failure::new(
            Kind::InvalidArgument,
            format!("`{name}` is no kernel parameter"),
        )
    })?;
    fs::write(Path::new("/proc/sys").join(path), value).map_err(|error| {
        Failure::new(
            Kind::InvalidArgument,
            format!("cannot set the kernel parameter {name} to `{value}`: {error}"),
        )
    })
}

/// As sysctl(8) reads them: the first separator decides which character separates, and the other
/// one stands for itself the other way round (interfaces may have a dot in their names).
fn sysctl_path(name: &str) -> Option<String> {
    let first = name.find(['.', '/'])?;
    let path: String = if name[first..].starts_with('.') {
        name.chars()
            .map(|char| match char {
                '.' => '/',
                '/' => '.',
                other => other,
            })
            .collect()
    } else {
        name.to_owned()
    };
    let fits = path
        .split('/')
        .all(|part| !part.is_empty() && part != "." && part != "..");
    fits.then_some(path)
}

/// The disk of writable layers and emptyDirs. The engine has made the file system.
async fn mount_scratch(serial: &str) -> Result<(), Failure> {
    if serial.is_empty() {
        // Memory then: the tmpfs that it is on already.
        return Ok(());
    }
    let mut worker = Worker::start(&Request::FindDisk(serial.to_owned()), None).await?;
    let name = match worker.answer().await? {
        Reply::Name(name) => name,
        other => {
            return Err(Failure::new(
                Kind::Internal,
                format!("a worker answered {other:?}"),
            ));
        }
    };
    let target = format!("{RUN}/scratch");
    mount(
        disk::node(&name),
        target.as_str(),
        "ext4",
        MountFlags::NOATIME | MountFlags::NODEV,
        // It does not outlive the guest, so no order of writes has to be kept. What is removed is
        // given back to the host.
        c"nobarrier,discard",
    )
    .map_err(io::Error::from)
    .map_err(failed("mount the scratch disk as ext4"))
}

#[cfg(test)]
#[path = "sandbox_test.rs"]
mod tests;
