//! Makes a node one that runs Pods in microVMs.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use skete_sandbox::policy::{ALLOWABLE, Policy};
use skete_sandbox::programs::Programs;

use crate::config::{self, DROP_IN, DropIn, EROFS, Main};
use crate::containerd::{self, Containerd, Effective};
use crate::error::FileError;
use crate::files;
use crate::label::{self, Label};
use crate::lock;
use crate::program;
use crate::record::{self, Edit, Record};
use crate::systemd;
use crate::undo;
use crate::versions::{self, LIBEXEC, SHIM, Versions};

/// Has the kernel's module for EROFS loaded when the node starts; below the node's root directory.
const MODULES: &str = "etc/modules-load.d/skete.conf";

/// Why the node was left as it was.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A handler's name.
    #[error(
        "handler `{0}` is no name for a RuntimeClass's handler: use small letters, digits and `-`, \
         at most 63"
    )]
    BadHandler(String),
    /// Somebody else's handler.
    #[error(
        "containerd has a runtime `{0}` already, and it is not Skete's: choose another name with \
         --handler"
    )]
    HandlerTaken(String),
    /// An annotation that cannot be allowed.
    #[error("annotation `{0}` cannot be allowed: choose among {allowable}", allowable = ALLOWABLE.join(", "))]
    BadAnnotation(String),
    /// A path of the host to be allowed.
    #[error("--allow-host-path {0} has to be an absolute path, as a Pod's hostPath is")]
    BadHostPath(PathBuf),
    /// A path that has to be absolute.
    #[error("{0} has to be an absolute path: containerd starts the shim by it")]
    Relative(PathBuf),
    /// The prefix serves another containerd.
    #[error(
        "{prefix} is installed for {installed}: run `skete node uninstall --prefix {prefix}` first, \
         or choose another --prefix"
    )]
    OtherConfig {
        /// The prefix.
        prefix: PathBuf,
        /// The main file that it is installed for.
        installed: PathBuf,
    },
    /// The kernel cannot do what containerd's snapshotter asks of it.
    #[error(
        "this kernel has no EROFS, which containerd's snapshotter needs: use a kernel with CONFIG_EROFS_FS"
    )]
    NoErofs(#[source] program::Error),
    /// containerd reads another setting than ours.
    #[error(
        "containerd does not take what {0} says: another file that it imports later says otherwise. \
         Nothing was changed"
    )]
    NotEffective(PathBuf),
    /// containerd did not come back.
    #[error("containerd did not start with Skete's configuration; it has its old one again")]
    Restart(#[source] program::Error),
    /// Two at once.
    #[error(transparent)]
    Lock(#[from] lock::Error),
    /// containerd.
    #[error(transparent)]
    Containerd(#[from] containerd::Error),
    /// containerd's configuration.
    #[error(transparent)]
    Config(#[from] config::Error),
    /// What is installed.
    #[error(transparent)]
    Versions(#[from] versions::Error),
    /// The record.
    #[error(transparent)]
    Record(#[from] record::Error),
    /// A file.
    #[error(transparent)]
    File(#[from] FileError),
}

/// What to install, and where.
#[derive(Debug, Clone)]
pub struct Install {
    /// The node's root directory, `/` but in tests.
    pub root: PathBuf,
    /// The installation to copy, with `bin` and `share`.
    pub source: PathBuf,
    /// Where to put it.
    pub prefix: PathBuf,
    /// containerd's program; the one on `PATH` if there is none.
    pub containerd: Option<PathBuf>,
    /// containerd's main file.
    pub containerd_config: PathBuf,
    /// RuntimeClasses name the runtime so.
    pub handlers: Vec<String>,
    /// Annotations that Pods may have.
    pub allow_annotations: Vec<String>,
    /// Files and directories of the host of which Pods may have copies, by `hostPath`.
    pub allow_host_paths: Vec<PathBuf>,
    /// What usage journals tell price lists of every Pod of this node.
    pub usage_annotations: BTreeMap<String, String>,
    /// Whether to restart containerd if that is needed.
    pub restart: bool,
    /// The node to label, if it can be.
    pub label: Option<Label>,
    /// The node's name; this machine's if there is none.
    pub node: Option<String>,
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installed {
    /// The name of the version.
    pub version: String,
    /// Whether containerd was restarted.
    pub restarted: bool,
    /// What is left to do by hand, a line each.
    pub left: Vec<String>,
}

impl Install {
    /// Does it. A node that has it already is brought up to date.
    ///
    /// # Errors
    /// Something is not as it has to be; the node is then as it was.
    pub fn run(&self) -> Result<Installed, Error> {
        self.check()?;
        let containerd = Containerd::find(self.containerd.as_deref(), &self.containerd_config)?;
        let before = files::read_text(&self.containerd_config)?;
        let main = Main::parse(
            &self.containerd_config,
            before.as_deref().unwrap_or(Main::MINIMAL),
        )?;
        let effective = containerd.effective()?;
        let previous = Record::load(&self.prefix)?;
        self.check_previous(previous.as_ref(), &effective)?;
        let mut record = previous
            .clone()
            .unwrap_or_else(|| self.new_record(&main, &effective));
        record.handlers.clone_from(&self.handlers);
        record.will_make(&self.prefix);
        files::make_directories(&self.prefix)?;
        let lock = lock::take(&self.prefix)?;
        let unpacks = effective.pulls_unpack_erofs();
        let done = self.change(&containerd, &main, unpacks, before.as_deref(), &mut record);
        if done.is_err() && previous.is_none() {
            // The first error is the one to tell.
            let _ = undo::take_back(&self.prefix, &record);
            let _ = undo::remove_programs(&self.prefix, &record);
        }
        drop(lock);
        done.map(|mut done| {
            if effective.discards_layers() {
                done.left.push(format!(
                    "containerd removes layers once they are unpacked for one snapshotter: set \
                     discard_unpacked_layers = false in {}",
                    self.containerd_config.display()
                ));
            }
            done
        })
    }

    fn check(&self) -> Result<(), Error> {
        for handler in &self.handlers {
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            let bounded = (1..=63).contains(&handler.len());
            let hyphen = handler.starts_with('-') || handler.ends_with('-');
            if !bounded || hyphen || !handler.chars().all(plain) {
                return Err(Error::BadHandler(handler.clone()));
            }
        }
        for annotation in &self.allow_annotations {
            if !ALLOWABLE.contains(&annotation.as_str()) {
                return Err(Error::BadAnnotation(annotation.clone()));
            }
        }
        for path in [&self.prefix, &self.containerd_config] {
            if !path.is_absolute() {
                return Err(Error::Relative(path.clone()));
            }
        }
        let relative = |path: &&PathBuf| !path.is_absolute();
        if let Some(path) = self.allow_host_paths.iter().find(relative) {
            return Err(Error::BadHostPath(path.clone()));
        }
        Ok(())
    }

    fn check_previous(
        &self,
        previous: Option<&Record>,
        effective: &Effective,
    ) -> Result<(), Error> {
        let ours = previous.map_or(&[][..], |previous| previous.handlers.as_slice());
        let taken = |handler: &&String| {
            effective.runtime_type(handler).is_some() && !ours.contains(handler)
        };
        if let Some(handler) = self.handlers.iter().find(taken) {
            return Err(Error::HandlerTaken(handler.clone()));
        }
        match previous {
            Some(previous) if previous.containerd_config != self.containerd_config => {
                Err(Error::OtherConfig {
                    prefix: self.prefix.clone(),
                    installed: previous.containerd_config.clone(),
                })
            }
            _ => Ok(()),
        }
    }

    fn new_record(&self, main: &Main, effective: &Effective) -> Record {
        let beside = || {
            let directory = self.containerd_config.parent().unwrap_or(Path::new("/"));
            directory.join("conf.d")
        };
        let directory = main.drop_in_directory().unwrap_or_else(beside);
        let mut differs = effective.differs();
        differs.retain(|differ| differ != EROFS);
        Record::new(
            self.containerd_config.clone(),
            directory.join(DROP_IN),
            differs,
        )
    }

    /// Changes the node, each thing on record first.
    fn change(
        &self,
        containerd: &Containerd,
        main: &Main,
        unpacks: bool,
        before: Option<&str>,
        record: &mut Record,
    ) -> Result<Installed, Error> {
        let versions = Versions::below(&self.prefix);
        let old = (versions.current_name(), files::read_text(&record.drop_in)?);
        record.save(&self.prefix)?;
        let version = versions.add(&self.source)?;
        self.write_policy(&versions, &version)?;
        versions.switch(&version)?;
        let module = self.load_module(record)?;
        let unit = self.write_unit(&versions, record)?;
        let imported = self.write_import(main, before, record)?;
        let drop_in = DropIn {
            version: main.version(),
            handlers: &self.handlers,
            shim: &versions.current().join(SHIM),
            differs: &record.differs.clone(),
            unpack_for_handler: unpacks,
        };
        let dropped = old.1.as_deref() != Some(&drop_in.text());
        if dropped {
            self.make_parent(&record.drop_in.clone(), record)?;
            files::replace(&record.drop_in, &drop_in.text())?;
        }
        if let Err(error) = self.verify(containerd, &versions, record) {
            // An upgrade goes back to what it came from; all else is taken back by the caller.
            if let (Some(name), Some(text)) = &old {
                versions.switch(name)?;
                files::replace(&record.drop_in, text)?;
            }
            return Err(error);
        }
        let mut done = Installed {
            version,
            restarted: false,
            left: Vec::new(),
        };
        if module || unit || imported || dropped {
            self.restart(&versions, record, &mut done)?;
        }
        versions.remove_unused()?;
        self.set_label(record, &mut done)?;
        Ok(done)
    }

    fn write_policy(&self, versions: &Versions, version: &str) -> Result<(), Error> {
        let policy = Policy {
            allow_annotations: self.allow_annotations.iter().cloned().collect(),
            allow_host_paths: self.allow_host_paths.iter().cloned().collect(),
            node_name: self.node.clone(),
            usage_annotations: self.usage_annotations.clone(),
        };
        let path = Programs::below(&versions.directory(version)).policy();
        // Strings alone: it cannot fail.
        let text = serde_json::to_string(&policy).unwrap_or_default();
        Ok(files::replace(&path, &(text + "\n"))?)
    }

    /// Has EROFS now, and when the node starts again.
    fn load_module(&self, record: &mut Record) -> Result<bool, Error> {
        let known = || fs::read_to_string("/proc/filesystems").unwrap_or_default();
        let has_erofs = || known().lines().any(|line| line.trim() == EROFS);
        if !has_erofs() {
            let loaded = program::find_own("modprobe")
                .and_then(|modprobe| program::run(&modprobe, &[EROFS]));
            if let Err(error) = loaded
                && !has_erofs()
            {
                return Err(Error::NoErofs(error));
            }
        }
        // What is built in has no such file, and needs no loading.
        if !Path::new("/sys/module/erofs/initstate").exists() {
            return Ok(false);
        }
        let text = format!("# containerd's EROFS snapshotter needs it.\n{EROFS}\n");
        self.write_own(&self.root.join(MODULES), &text, record)
    }

    /// Puts our `mkfs.erofs` first on containerd's `PATH`.
    fn write_unit(&self, versions: &Versions, record: &mut Record) -> Result<bool, Error> {
        if !systemd::is_running(&self.root) {
            return Ok(false);
        }
        let present = systemd::unit_path().map_err(containerd::Error::from)?;
        let text = systemd::drop_in(&versions.current().join(LIBEXEC), present.as_deref());
        self.write_own(&self.root.join(systemd::DROP_IN), &text, record)
    }

    fn write_own(&self, path: &Path, text: &str, record: &mut Record) -> Result<bool, Error> {
        if files::read_text(path)?.as_deref() == Some(text) {
            return Ok(false);
        }
        if !record.files.iter().any(|known| known == path) {
            record.files.push(path.to_owned());
        }
        self.make_parent(path, record)?;
        files::replace(path, text)?;
        Ok(true)
    }

    fn make_parent(&self, path: &Path, record: &mut Record) -> Result<(), Error> {
        let parent = path.parent().unwrap_or(Path::new("/"));
        record.will_make(parent);
        record.save(&self.prefix)?;
        files::make_directories(parent)?;
        Ok(())
    }

    /// Has containerd's main file import ours, where it does not yet.
    fn write_import(
        &self,
        main: &Main,
        before: Option<&str>,
        record: &mut Record,
    ) -> Result<bool, Error> {
        let directory = record.drop_in.parent().unwrap_or(Path::new("/"));
        let imported = main.drop_in_directory().as_deref() == Some(directory)
            || record
                .edit
                .as_ref()
                .is_some_and(|edit| main.imports().any(|pattern| pattern == edit.import));
        if imported {
            return Ok(false);
        }
        let import = directory.join(match holds_others(directory) {
            // What lies there is not imported now, and must not be from now on.
            true => "skete*.toml",
            false => "*.toml",
        });
        let import = import.to_string_lossy().into_owned();
        let mut main = main.clone();
        main.add_import(&import);
        let after = main.text();
        record.edit = Some(Edit {
            import,
            existed: before.is_some(),
            after: Edit::digest(&after),
        });
        if let Some(before) = before {
            files::replace(&Record::backup(&self.prefix), before)?;
        }
        self.make_parent(&self.containerd_config, record)?;
        files::replace(&self.containerd_config, &after)?;
        Ok(true)
    }

    /// Whether containerd reads what was written.
    fn verify(
        &self,
        containerd: &Containerd,
        versions: &Versions,
        record: &Record,
    ) -> Result<(), Error> {
        let effective = containerd.effective()?;
        let shim = versions.current().join(SHIM);
        let handled = |handler: &String| {
            effective.runtime_type(handler).map(Path::new) == Some(shim.as_path())
        };
        let converted = effective.differs().first().map(String::as_str) == Some(EROFS);
        if converted && self.handlers.iter().all(handled) {
            Ok(())
        } else {
            Err(Error::NotEffective(record.drop_in.clone()))
        }
    }

    fn restart(
        &self,
        versions: &Versions,
        record: &Record,
        done: &mut Installed,
    ) -> Result<(), Error> {
        if !systemd::is_running(&self.root) {
            done.left.push(format!(
                "systemd does not run here: restart containerd with PATH={}:$PATH",
                versions.current().join(LIBEXEC).display()
            ));
            return Ok(());
        }
        systemd::reload().map_err(containerd::Error::from)?;
        if !self.restart {
            done.left.push("systemctl restart containerd".to_owned());
            return Ok(());
        }
        if let Err(error) = systemd::restart() {
            // The first error is the one to tell.
            let _ = undo::take_back(&self.prefix, record);
            // Pods of other runtimes need it whatever comes of ours.
            let _ = systemd::reload().and_then(|()| systemd::restart());
            return Err(Error::Restart(error));
        }
        done.restarted = true;
        Ok(())
    }

    fn set_label(&self, record: &mut Record, done: &mut Installed) -> Result<(), Error> {
        let Some(node) = &self.label else {
            done.left.push(label::by_hand(self.node.as_deref()));
            return Ok(());
        };
        match node.set() {
            Ok(()) => {
                record.label = Some(node.clone());
                record.save(&self.prefix)?;
            }
            Err(error) => done
                .left
                .push(format!("{} ({error})", label::by_hand(Some(&node.node)))),
        }
        Ok(())
    }
}

/// Whether others have put files for containerd there.
fn holds_others(directory: &Path) -> bool {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .map(|entry| PathBuf::from(entry.file_name()))
        .any(|name| name != Path::new(DROP_IN) && name.extension().is_some_and(|e| e == "toml"))
}

#[cfg(test)]
#[path = "install_test.rs"]
pub(crate) mod tests;
