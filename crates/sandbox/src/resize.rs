//! In-place resize: what containers may use changes while they run, and their VM with it.

use serde_json::Value;
use skete_agent_api::agent;
use skete_cri_api::GUEST_RESERVE_MIB;

use crate::agent::request;
use crate::error::EngineError;
use crate::sandbox::{Sandbox, agent_failed};
use crate::size::SizeError;

/// What a container may use; without a number, all that there is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Allowance {
    /// Bytes.
    memory: Option<u64>,
    /// Thousandths of a CPU.
    cpu: Option<u64>,
}

impl Allowance {
    /// Of OCI's object `linux.resources`.
    #[must_use]
    pub fn of(resources: &Value) -> Self {
        Self::default().changed(resources)
    }

    /// What is left after an update, in which what is not told stays as it is.
    #[must_use]
    pub fn changed(self, resources: &Value) -> Self {
        // The kernel's words for no limit are -1 and 0.
        let positive = |value: i64| u64::try_from(value).ok().filter(|value| *value > 0);
        let number = |value: &Value| value.as_i64();
        let period = number(&resources["cpu"]["period"]).and_then(positive);
        let memory = number(&resources["memory"]["limit"]);
        let quota = number(&resources["cpu"]["quota"]);
        Self {
            memory: memory.map_or(self.memory, positive),
            cpu: quota.map_or(self.cpu, |quota| {
                let period = period.unwrap_or(100_000);
                positive(quota).map(|quota| quota.saturating_mul(1000).div_ceil(period))
            }),
        }
    }

    /// What several may use together.
    fn sum(all: impl IntoIterator<Item = Self>) -> Self {
        let nothing = Self {
            memory: Some(0),
            cpu: Some(0),
        };
        let add = |a: Option<u64>, b: Option<u64>| Some(a?.saturating_add(b?));
        all.into_iter().fold(nothing, |sum, one| Self {
            memory: add(sum.memory, one.memory),
            cpu: add(sum.cpu, one.cpu),
        })
    }
}

impl Sandbox {
    /// Changes a container's limits, and the VM with them; `resources` is OCI's object
    /// `linux.resources`.
    ///
    /// # Errors
    /// If there is no such container, the guest refuses, or the VM cannot be that large; the
    /// limits are then as they were.
    pub async fn update(&self, container_id: &str, resources: &[u8]) -> Result<(), EngineError> {
        let container = self.container(container_id)?;
        let parsed: Value = serde_json::from_slice(resources).map_err(|error| {
            EngineError::InvalidArgument(format!("linux.resources cannot be read: {error}"))
        })?;
        // One at a time: each reckons with what the others have left.
        let _one = self.resizing.lock().await;
        let before = container.allowance();
        container.set_allowance(before.changed(&parsed));
        let updated = async {
            self.fit_machine().await?;
            let update = agent::UpdateContainerRequest {
                id: container_id.to_owned(),
                resources: resources.to_vec(),
                ..Default::default()
            };
            let rpc = self.machine()?.agent().rpc();
            rpc.update_container(request(), &update)
                .await
                .map(drop)
                .map_err(agent_failed)
        };
        let updated = updated.await;
        if updated.is_err() {
            container.set_allowance(before);
        }
        updated
    }

    /// Makes the VM as large as its containers' limits come to, as it was when it started. With a
    /// container that has no limit it stays as it is.
    async fn fit_machine(&self) -> Result<(), EngineError> {
        let all = self.all_containers();
        let sum = Allowance::sum(all.iter().map(|container| container.allowance()));
        if let Some(cpu) = sum.cpu
            && cpu.div_ceil(1000) > u64::from(self.size().vcpus)
        {
            return Err(SizeError::VcpusFixed {
                vcpus: self.size().vcpus,
                wanted: cpu.div_ceil(1000),
            }
            .into());
        }
        let Some(bytes) = sum.memory else {
            return Ok(());
        };
        let size = self
            .size()
            .with_memory(bytes.div_ceil(1 << 20) + GUEST_RESERVE_MIB);
        self.make_room(&size, sum.cpu)?;
        self.machine()?.set_memory(size.memory_mib).await?;
        // Until now it was used at the old size.
        self.look();
        self.meter.resized(size.memory_mib, sum.cpu, sum.memory);
        Ok(())
    }
}

#[cfg(test)]
#[path = "resize_test.rs"]
mod tests;
