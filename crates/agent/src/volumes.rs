//! All volumes of the sandbox.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use skete_agent_api::VOLUMES_DIR;
use skete_agent_api::agent::{PutVolumeRequest, put_volume_request};

use crate::delete::Remove;
use crate::failure::{Failure, Kind};
use crate::lock;
use crate::volume::FileVolume;
use crate::volume_mount::{MountVolume, Source};
use crate::worker::{self, Request};

/// What the engine has put into the guest, by name.
#[derive(Default)]
pub(crate) struct Volumes {
    known: Mutex<HashMap<String, Known>>,
}

enum Known {
    Files(FileVolume),
    Mounted,
}

impl Volumes {
    /// Makes a volume, or replaces the files of one.
    pub(crate) async fn put(&self, request: PutVolumeRequest) -> Result<(), Failure> {
        let name = request.name;
        if !crate::is_id(&name) {
            return Err(Failure::new(
                Kind::InvalidArgument,
                format!("`{name}` is no name for a volume"),
            ));
        }
        let target = Path::new(VOLUMES_DIR).join(&name);
        let source = match request.source {
            Some(put_volume_request::Source::Files(files)) => {
                return self.put_files(&name, &target, files.entries, files.more);
            }
            Some(put_volume_request::Source::Scratch(_)) => Source::Scratch,
            Some(put_volume_request::Source::Tmpfs(_)) => Source::Tmpfs,
            Some(put_volume_request::Source::Block(block)) => Source::Block {
                serial: block.serial,
                fs_type: block.fs_type,
                read_only: block.read_only,
            },
            _ => {
                return Err(Failure::new(
                    Kind::InvalidArgument,
                    format!("the volume `{name}` has no source this agent knows"),
                ));
            }
        };
        {
            let mut known = lock(&self.known);
            if known.contains_key(&name) {
                return Err(exists(&name));
            }
            known.insert(name.clone(), Known::Mounted);
        }
        let mounted = worker::run(&Request::MountVolume(MountVolume {
            target,
            source,
            size_limit: request.size_limit,
            mode: request.mode,
            gid: request.gid,
        }))
        .await;
        if mounted.is_err() {
            lock(&self.known).remove(&name);
        }
        mounted
    }

    fn put_files(
        &self,
        name: &str,
        target: &Path,
        entries: Vec<skete_agent_api::agent::File>,
        more: bool,
    ) -> Result<(), Failure> {
        let mut known = lock(&self.known);
        let volume = known
            .entry(name.to_owned())
            .or_insert_with(|| Known::Files(FileVolume::default()));
        let Known::Files(volume) = volume else {
            return Err(exists(name));
        };
        volume.add(entries)?;
        if more {
            return Ok(());
        }
        match fs::create_dir(target) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(Failure::new(
                    Kind::Internal,
                    format!("cannot make the volume {name}: {error}"),
                ));
            }
            _ => {}
        }
        remove_later(volume.swap(target)?);
        Ok(())
    }
}

fn exists(name: &str) -> Failure {
    Failure::new(
        Kind::AlreadyExists,
        format!("a volume `{name}` of another kind exists already"),
    )
}

fn remove_later(trees: Vec<PathBuf>) {
    for path in trees {
        tokio::spawn(async move {
            if let Err(failure) = worker::run(&Request::Remove(Remove { path })).await {
                eprintln!("skete-agent: {failure}");
            }
        });
    }
}
