//! Raw block volumes: the host's block devices that a container's spec names, given to the guest
//! as disks. The host mounts none of them.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use crate::block_device::{self, Numbers};
use crate::error::EngineError;
use crate::vm::Machine;

/// The block devices that a container asks for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Path in the container, and the device.
    devices: Vec<(String, Numbers)>,
    /// Those that it may not write to.
    read_only: Vec<Numbers>,
}

/// The devices that a sandbox's VM has.
#[derive(Debug, Default)]
pub(crate) struct Blocks {
    attached: BTreeMap<Numbers, Attached>,
    /// Disks so far.
    count: u32,
}

#[derive(Debug)]
struct Attached {
    serial: String,
    /// Containers that have it.
    users: Vec<String>,
}

impl Wanted {
    /// Takes the host's numbers out of the rules of a spec: in the guest they name other devices.
    pub(crate) fn take(spec: &mut Value) -> Self {
        let linux = &mut spec["linux"];
        let devices: Vec<_> = list(&linux["devices"])
            .filter(|device| device["type"] == "b")
            .filter_map(|device| Some((device["path"].as_str()?.to_owned(), numbers(device)?)))
            .collect();
        if devices.is_empty() {
            return Self::default();
        }
        let is_wanted = |rule: &Value| {
            let same = |(_, wanted): &(String, Numbers)| numbers(rule) == Some(*wanted);
            rule["type"] == "b" && devices.iter().any(same)
        };
        let rules = &mut linux["resources"]["devices"];
        let writes = |rule: &Value| rule["access"].as_str().is_none_or(|a| a.contains('w'));
        let read_only = list(rules)
            .filter(|rule| is_wanted(rule) && rule["allow"] == true && !writes(rule))
            .filter_map(numbers)
            .collect();
        if let Some(rules) = rules.as_array_mut() {
            rules.retain(|rule| !is_wanted(rule));
        }
        Self { devices, read_only }
    }
}

impl Blocks {
    /// Plugs in what a container wants and the VM does not have yet; the serials of its devices by
    /// their paths.
    ///
    /// # Errors
    /// If a device cannot be opened or the monitor refuses; what was plugged in is to be given
    /// back by [`Self::release`].
    pub(crate) async fn attach(
        &mut self,
        machine: &Machine,
        container: &str,
        wanted: &Wanted,
    ) -> Result<HashMap<String, String>, EngineError> {
        let mut serials = HashMap::new();
        for (path, device) in &wanted.devices {
            if !self.attached.contains_key(device) {
                let serial = format!("block-{}", self.count);
                self.count += 1;
                let node = block_device::node(*device)?;
                let read_only = wanted.read_only.contains(device);
                machine.attach_file(&serial, &node, read_only).await?;
                let users = Vec::new();
                self.attached.insert(*device, Attached { serial, users });
            }
            if let Some(attached) = self.attached.get_mut(device) {
                attached.users.push(container.to_owned());
                serials.insert(path.clone(), attached.serial.clone());
            }
        }
        Ok(serials)
    }

    /// Unplugs what no container has any more.
    pub(crate) async fn release(&mut self, machine: &Machine, container: &str) {
        for attached in self.attached.values_mut() {
            attached.users.retain(|user| user != container);
        }
        let unused = |attached: &Attached| attached.users.is_empty();
        let gone: Vec<_> = (self.attached.iter())
            .filter(|(_, attached)| unused(attached))
            .map(|(device, attached)| (*device, attached.serial.clone()))
            .collect();
        for (device, serial) in gone {
            if let Err(error) = machine.detach(&serial).await {
                tracing::warn!(error = error.chain(), serial, "unplug");
            }
            self.attached.remove(&device);
        }
    }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn numbers(device: &Value) -> Option<Numbers> {
    Some((device["major"].as_u64()?, device["minor"].as_u64()?))
}

#[cfg(test)]
#[path = "blocks_test.rs"]
mod tests;
