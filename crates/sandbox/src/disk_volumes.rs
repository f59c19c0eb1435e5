//! The volumes of a sandbox whose file system is on a block device of the host: claimed there,
//! plugged in, and mounted by the guest.

use std::fs::File;
use std::path::PathBuf;

use skete_agent_api::agent;

use crate::block_device;
use crate::error::EngineError;
use crate::vm::Machine;
use crate::volumes::disk::{self, DiskVolume, FS_TYPE};

/// Those that belong to one sandbox. As long as this is there, neither the host nor another Pod
/// has their devices.
#[derive(Debug)]
pub(crate) struct DiskVolumes(Vec<Claimed>);

#[derive(Debug)]
struct Claimed {
    volume: DiskVolume,
    device: PathBuf,
    _claim: File,
}

impl DiskVolumes {
    /// Takes from the host what the kubelet has mounted for a Pod.
    ///
    /// # Errors
    /// If a device is in use, or its file system is none of the guest's.
    pub(crate) async fn claim(uid: &str) -> Result<Self, EngineError> {
        let mut claimed = Vec::new();
        for volume in disk::of_pod(uid)? {
            let device = block_device::node(volume.device)?;
            // The last unmount writes what the host still has of it in memory.
            let leave = move || volume.leave_host().map(|()| volume);
            let left = tokio::task::spawn_blocking(leave).await;
            let volume = left.map_err(|error| EngineError::Io {
                action: "unmount",
                path: device.clone(),
                source: error.into(),
            })??;
            claimed.push(Claimed {
                _claim: disk::claim(&device, volume.is_read_only()).await?,
                volume,
                device,
            });
        }
        Ok(Self(claimed))
    }

    /// Gives them to the guest; `mounted` hears where the kubelet has each, and its name in the
    /// guest.
    ///
    /// # Errors
    /// If the monitor or the guest refuses.
    pub(crate) async fn mount(
        &self,
        machine: &Machine,
        mounted: impl Fn(PathBuf, String),
    ) -> Result<(), EngineError> {
        for (index, Claimed { volume, device, .. }) in self.0.iter().enumerate() {
            let name = format!("disk-{index}");
            let read_only = volume.is_read_only();
            machine.attach_file(&name, device, read_only).await?;
            let mut put = agent::PutVolumeRequest {
                name: name.clone(),
                gid: volume.group(),
                ..Default::default()
            };
            put.set_block(agent::Block {
                serial: name.clone(),
                fs_type: FS_TYPE.to_owned(),
                read_only,
                options: volume.guest_options(),
                ..Default::default()
            });
            machine.put_volumes(&[put]).await?;
            mounted(volume.point.clone(), name);
        }
        Ok(())
    }
}
