//! All volumes of the sandbox.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Read as _};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use rustix::fs::{FileType, Mode, OFlags, fstat};
use skete_agent_api::VOLUMES_DIR;
use skete_agent_api::agent::{PutVolumeRequest, ReadVolumeFileRequest, put_volume_request};

use crate::beneath;
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
                options: block.options,
            },
            Some(put_volume_request::Source::Image(disk)) => Source::Image(disk.into()),
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

/// Reads the beginning of a regular file of a volume; a container may have made it anything.
pub(crate) fn read(request: &ReadVolumeFileRequest) -> Result<Vec<u8>, Failure> {
    const MAX_BYTES: u64 = 1 << 20;
    let path = Path::new(&request.path);
    if !crate::is_id(&request.volume) || !beneath::is_plain(path) {
        return Err(Failure::new(
            Kind::InvalidArgument,
            format!(
                "`{}` of `{}` is no file of a volume",
                request.path, request.volume
            ),
        ));
    }
    let read = || {
        let root = beneath::open_root(&Path::new(VOLUMES_DIR).join(&request.volume))?;
        // A FIFO in its place must not hold PID 1 up.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = beneath::open(root.as_fd(), path, flags, Mode::empty(), true)?;
        if FileType::from_raw_mode(fstat(&file)?.st_mode) != FileType::RegularFile {
            return Err(io::Error::other("not a regular file"));
        }
        let mut content = Vec::new();
        fs::File::from(file)
            .take(request.max_bytes.min(MAX_BYTES))
            .read_to_end(&mut content)?;
        Ok(content)
    };
    read().map_err(|error: io::Error| {
        let kind = match error.kind() {
            io::ErrorKind::NotFound => Kind::NotFound,
            _ => Kind::Internal,
        };
        Failure::new(
            kind,
            format!("cannot read {} of a volume: {error}", request.path),
        )
    })
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
