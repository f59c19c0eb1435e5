//! `skete image`, and docker's names for its parts.

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde::Serialize;
use skete_image::{
    Image as StoredImage, LoadOptions, Platform, Policy, PullOptions, Source, Store,
};

use crate::failure::Failure;
use crate::images;
use crate::output::{self, Document, Table};
use crate::paths::Paths;

/// Images.
#[derive(Debug, Subcommand)]
pub enum Image {
    /// Pull images from their registries
    Pull(Pull),
    /// List images
    #[command(visible_alias = "list")]
    Ls(Ls),
    /// Remove images
    #[command(visible_alias = "remove")]
    Rm(Rm),
    /// Load images from an OCI layout or a docker-archive
    Load(Load),
    /// Remove images that nothing uses
    Prune(Prune),
    /// Show all that is known of images
    Inspect(Inspect),
}

impl Image {
    /// Does it.
    ///
    /// # Errors
    /// What the command could not do.
    pub fn run(&self, paths: &Paths) -> Result<u8, Failure> {
        match self {
            Self::Pull(pull) => pull.run(paths),
            Self::Ls(ls) => ls.run(paths),
            Self::Rm(rm) => rm.run(paths),
            Self::Load(load) => load.run(paths),
            Self::Prune(prune) => prune.run(paths),
            Self::Inspect(inspect) => inspect.run(paths),
        }
    }
}

/// Pull images from their registries.
#[derive(Debug, Args)]
pub struct Pull {
    /// Names
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,
    /// Show only the ids
    #[arg(short, long)]
    quiet: bool,
    /// Another platform than this machine's: OS/ARCH[/VARIANT]
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<Platform>,
}

impl Pull {
    fn run_one(&self, store: &Store, name: &str, options: &PullOptions) -> Result<(), Failure> {
        let image = pull(store, name, options)?;
        output::print(&format!("{}\n", image.id))
    }

    /// Does it.
    ///
    /// # Errors
    /// An image could not be pulled.
    pub fn run(&self, paths: &Paths) -> Result<u8, Failure> {
        let store = images::open(paths).map_err(failure)?;
        let mut options = PullOptions::default();
        options.policy = Policy::Always;
        options.registries = images::registries().map_err(failure)?;
        options.stop = images::stop_on_signal()?;
        if let Some(platform) = &self.platform {
            options.platform = platform.clone();
        }
        super::for_each(&self.images, |name| {
            options.progress = images::progress(self.quiet);
            self.run_one(&store, name, &options)
        })
    }
}

/// Pulls one image as the options say.
pub(crate) fn pull(
    store: &Store,
    name: &str,
    options: &PullOptions,
) -> Result<StoredImage, Failure> {
    let reference = skete_image::parse_reference(name).map_err(|e| failure(e.into()))?;
    let pulled = store.pull(&reference, options);
    if options.stop.is_stopped() && pulled.is_err() {
        return Err(Failure::quiet(128 + 2));
    }
    pulled.map_err(failure)
}

pub(crate) fn failure(error: skete_image::Error) -> Failure {
    Failure::own(error.line())
}

/// List images.
#[derive(Debug, Args)]
pub struct Ls {
    /// Only images of this repository
    #[arg(value_name = "REPOSITORY[:TAG]")]
    only: Option<String>,
    /// Only ids
    #[arg(short, long)]
    quiet: bool,
    /// How to show them
    #[arg(short, long, value_enum)]
    output: Option<Document>,
    /// Do not cut ids short
    #[arg(long)]
    no_trunc: bool,
    /// No headings
    #[arg(long, visible_alias = "no-headers")]
    noheading: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    id: String,
    names: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    created: Option<String>,
    size: u64,
    platform: String,
    layers: Vec<Layer>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Layer {
    diff_id: String,
    file: PathBuf,
}

impl Row {
    fn of(image: &StoredImage) -> Self {
        let layers = image.diff_ids.iter().zip(&image.layers);
        Self {
            id: image.id.to_string(),
            names: image.names.clone(),
            digest: image.manifest_digest.as_ref().map(ToString::to_string),
            created: image.created.clone(),
            size: image.size,
            platform: image.platform.to_string(),
            layers: layers
                .map(|(diff_id, file)| Layer {
                    diff_id: diff_id.to_string(),
                    file: file.clone(),
                })
                .collect(),
        }
    }
}

impl Ls {
    fn wants(&self, name: &str) -> bool {
        let Some(only) = &self.only else { return true };
        let repository = |name: &str| match name.rsplit_once(':') {
            Some((repository, tag)) if !tag.contains('/') => repository.to_owned(),
            _ => name.to_owned(),
        };
        let short = |name: &str| {
            let name = name.strip_prefix("docker.io/").unwrap_or(name);
            name.strip_prefix("library/").unwrap_or(name).to_owned()
        };
        let (only, name) = (short(only), short(name));
        only == name || only == repository(&name)
    }

    /// Does it.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn run(&self, paths: &Paths) -> Result<u8, Failure> {
        let store = images::open(paths).map_err(failure)?;
        let mut images = store.list()?;
        images.retain(|image| {
            (self.only.is_none() && image.names.is_empty())
                || image.names.iter().any(|name| self.wants(name))
        });
        if self.quiet {
            let ids: String = images.iter().map(|i| format!("{}\n", self.id(i))).collect();
            output::print(&ids)?;
            return Ok(0);
        }
        if let Some(format) = self.output {
            let rows: Vec<_> = images.iter().map(Row::of).collect();
            output::document(&rows, format)?;
            return Ok(0);
        }
        let mut table = Table::new(&["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"]);
        if self.noheading {
            table.without_headings();
        }
        for image in &images {
            let mut names: Vec<(String, String)> = image
                .names
                .iter()
                .filter(|name| self.wants(name))
                .map(|name| split(name))
                .collect();
            if names.is_empty() {
                names.push(("<none>".to_owned(), "<none>".to_owned()));
            }
            for (repository, tag) in names {
                let created = image.created.as_ref().and_then(|c| c.parse().ok());
                table.row(vec![
                    repository,
                    tag,
                    self.id(image),
                    created.map_or_else(|| "N/A".to_owned(), |c: Timestamp| output::ago(c)),
                    output::bytes(image.size),
                ]);
            }
        }
        output::print(&table.render())?;
        Ok(0)
    }

    fn id(&self, image: &StoredImage) -> String {
        if self.no_trunc {
            image.id.to_string()
        } else {
            images::short(&image.id)
        }
    }
}

/// Repository and tag of a full name.
fn split(name: &str) -> (String, String) {
    if let Some((repository, digest)) = name.split_once('@') {
        let digest = digest.strip_prefix("sha256:").unwrap_or(digest);
        return (repository.to_owned(), output::cut(digest, 12));
    }
    match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => (repository.to_owned(), tag.to_owned()),
        _ => (name.to_owned(), "latest".to_owned()),
    }
}

/// Remove images.
#[derive(Debug, Args)]
pub struct Rm {
    /// Names, ids or beginnings of ids
    #[arg(required_unless_present = "all", value_name = "IMAGE")]
    images: Vec<String>,
    /// Also those that a Pod uses, and all names of an id
    #[arg(short, long)]
    force: bool,
    /// Every image
    #[arg(short, long, conflicts_with = "images")]
    all: bool,
}

impl Rm {
    /// Does it.
    ///
    /// # Errors
    /// An image is not there or in use; then none was removed.
    pub fn run(&self, paths: &Paths) -> Result<u8, Failure> {
        let store = images::open(paths).map_err(failure)?;
        let names: Vec<String> = if self.all {
            store.list()?.iter().map(|i| i.id.to_string()).collect()
        } else {
            self.images.clone()
        };
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        tell(&store.remove(&names, self.force || self.all)?, false)?;
        Ok(0)
    }
}

fn tell(removed: &skete_image::Removed, freed: bool) -> Result<(), Failure> {
    let mut lines = String::new();
    for name in &removed.untagged {
        lines.push_str(&format!("Untagged: {name}\n"));
    }
    for id in &removed.deleted {
        lines.push_str(&format!("Deleted: {id}\n"));
    }
    if freed {
        lines.push_str(&format!("Freed: {}\n", output::bytes(removed.freed)));
    }
    output::print(&lines)
}

/// Load images from an OCI layout or a docker-archive.
#[derive(Debug, Args)]
pub struct Load {
    /// Archive or layout; without it, standard input
    #[arg(short, long, value_name = "PATH")]
    input: Option<PathBuf>,
    /// Archive or layout
    #[arg(value_name = "PATH", conflicts_with = "input")]
    path: Option<PathBuf>,
    /// Name for the image, in place of the archive's
    #[arg(short = 't', long, value_name = "IMAGE")]
    tag: Option<String>,
    /// Show only the names
    #[arg(short, long)]
    quiet: bool,
}

impl Load {
    /// Does it.
    ///
    /// # Errors
    /// The archive cannot be read, or is not one.
    pub fn run(&self, paths: &Paths) -> Result<u8, Failure> {
        let store = images::open(paths).map_err(failure)?;
        let path = self.input.as_ref().or(self.path.as_ref());
        let source = match path {
            Some(path) if path.as_os_str() != "-" => Source::Path(path.clone()),
            _ => {
                let stdin = std::io::stdin();
                if std::io::IsTerminal::is_terminal(&stdin) {
                    return Err(Failure::own(
                        "standard input is a terminal: name an archive, or pipe one in",
                    ));
                }
                Source::Stream(Box::new(stdin))
            }
        };
        let mut options = LoadOptions::default();
        options.name.clone_from(&self.tag);
        options.progress = Arc::clone(&images::progress(self.quiet));
        options.stop = images::stop_on_signal()?;
        let loaded = store.load(source, &options);
        if options.stop.is_stopped() && loaded.is_err() {
            return Err(Failure::quiet(128 + 2));
        }
        let lines: String = loaded
            .map_err(failure)?
            .iter()
            .map(|image| format!("Loaded: {}\n", images::name_of(image)))
            .collect();
        output::print(&lines)?;
        Ok(0)
    }
}

/// Remove images that nothing uses.
#[derive(Debug, Args)]
pub struct Prune {
    /// Also images that have a name, if no Pod uses them
    #[arg(short, long)]
    all: bool,
    /// Do not ask; nothing is asked anyway
    #[arg(short, long)]
    force: bool,
}

impl Prune {
    /// Does it.
    ///
    /// # Errors
    /// The store cannot be read or written.
    pub fn run(&self, paths: &Paths) -> Result<u8, Failure> {
        let store = images::open(paths).map_err(failure)?;
        tell(&store.prune(self.all)?, true)?;
        Ok(0)
    }
}

/// Show all that is known of images.
#[derive(Debug, Args)]
pub struct Inspect {
    /// Names, ids or beginnings of ids
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,
    /// How to show it
    #[arg(short, long, value_enum, default_value = "json")]
    output: Document,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Details {
    #[serde(flatten)]
    row: Row,
    config: serde_json::Value,
}

impl Inspect {
    /// Does it.
    ///
    /// # Errors
    /// An image is not there.
    pub fn run(&self, paths: &Paths) -> Result<u8, Failure> {
        let store = images::open(paths).map_err(failure)?;
        let mut details = Vec::new();
        let code = super::for_each(&self.images, |name| {
            let image = store.get(name)?.ok_or_else(|| {
                Failure::own(format!(
                    "there is no image {name:?} here: see `skete image ls`"
                ))
            })?;
            details.push(Details {
                row: Row::of(&image),
                config: serde_json::to_value(&image.config)?,
            });
            Ok(())
        })?;
        if !details.is_empty() {
            output::document(&details, self.output)?;
        }
        Ok(code)
    }
}
