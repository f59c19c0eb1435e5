//! The store of images, with progress shown as whoever typed the command can read it.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::{Deserialize, Serialize};
use skete_image::{Digest, Event, Image, Progress, Registries, Silent, Stop, Store};
use skete_pod::ImageConfig;

use crate::output::{self, is_interactive};
use crate::paths::Paths;
use crate::record::PodId;
use crate::signals;

/// Mirrors, plain-HTTP registries and certificates.
const REGISTRIES: &str = "/etc/skete/registries.toml";
/// Moves the file of registries, for tests and for those who are not root of the machine.
const REGISTRIES_ENV: &str = "SKETE_REGISTRIES";

/// An image of the store, as far as running it goes.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FoundImage {
    /// Its ID.
    pub id: String,
    /// Files of its layers, the lowest first.
    pub layers: Vec<PathBuf>,
    /// What it says of itself.
    pub config: ImageConfig,
    /// What asks its first process to end.
    pub stop_signal: u32,
}

impl FoundImage {
    /// Of an image of the store.
    ///
    /// # Errors
    /// Its stop signal is none; comes back with why.
    pub fn new(image: &Image) -> Result<Self, String> {
        let config = ImageConfig::from(&image.config);
        let stop_signal = match config.stop_signal.as_str() {
            "" => signals::TERM,
            name => signals::parse(name)?,
        };
        Ok(Self {
            id: image.id.to_string(),
            layers: image.layers.clone(),
            config,
            stop_signal,
        })
    }
}

/// Where the store is.
pub fn root(paths: &Paths) -> PathBuf {
    paths.root.join("images")
}

/// Opens the store.
///
/// # Errors
/// Its directories cannot be made or read.
pub fn open(paths: &Paths) -> Result<Store, skete_image::Error> {
    Ok(Store::open(root(paths))?)
}

/// What the file of registries says.
///
/// # Errors
/// It cannot be read, or is malformed.
pub fn registries() -> Result<Registries, skete_image::Error> {
    let path = std::env::var_os(REGISTRIES_ENV).map_or_else(|| REGISTRIES.into(), PathBuf::from);
    Ok(Registries::read(&path)?)
}

/// Lets go of the images that a Pod used. What could not be done is added to `left`.
pub fn release(paths: &Paths, id: &PodId, left: &mut Vec<String>) {
    let lease = root(paths).join("leases").join(id.as_str());
    if !lease.exists() {
        return;
    }
    let released = open(paths).and_then(|store| Ok(store.release(id.as_str())?));
    if let Err(error) = released {
        left.push(error.line());
    }
}

/// Pods that hold images.
pub fn holders(paths: &Paths) -> Vec<PodId> {
    let Ok(entries) = std::fs::read_dir(root(paths).join("leases")) else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter_map(|name| PodId::try_from(name).ok())
        .collect()
}

/// Shows a pull or a load: bars on a terminal, lines elsewhere, nothing if told to be quiet.
pub fn progress(quiet: bool) -> Arc<dyn Progress> {
    if quiet {
        Arc::new(Silent)
    } else if is_interactive() {
        Arc::new(Bars::new())
    } else {
        Arc::new(Lines::default())
    }
}

/// What a pull looks at, and that SIGINT or SIGTERM sets.
///
/// # Errors
/// The signals cannot be had.
pub fn stop_on_signal() -> Result<Stop, crate::failure::Failure> {
    use tokio::signal::unix::{SignalKind, signal};
    let stop = Stop::default();
    let runtime = crate::runtime()?;
    let (mut interrupt, mut terminate) = {
        let _guard = runtime.enter();
        (
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
        )
    };
    let set = stop.clone();
    // Not joined: it goes with the process.
    std::thread::spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        });
        set.stop();
    });
    Ok(stop)
}

/// The name to show: the first, or the id's beginning.
pub fn name_of(image: &Image) -> String {
    match image.names.first() {
        Some(name) => name.clone(),
        None => short(&image.id),
    }
}

/// The first twelve digits of an id.
pub fn short(id: &Digest) -> String {
    id.hex()[..12].to_owned()
}

/// One line a step.
#[derive(Default)]
struct Lines {
    asked: Mutex<Option<String>>,
}

impl Progress for Lines {
    fn event(&self, event: &Event<'_>) {
        let tell = |line: String| crate::complain(&line);
        match event {
            Event::Resolving { image } => {
                *lock(&self.asked) = Some((*image).to_owned());
                tell(format!("pulling {image}"));
            }
            Event::Layers {
                total,
                present,
                bytes,
            } => tell(format!(
                "{total} layers, {present} of them here, {} to fetch",
                output::bytes(*bytes)
            )),
            Event::LayerDone { layer, stored } => tell(format!(
                "layer {} is here ({})",
                short(layer),
                output::bytes(*stored)
            )),
            Event::LayerWaiting { layer } => {
                tell(format!("layer {}: another process makes it", short(layer)));
            }
            Event::Retrying { reason, wait } => tell(format!(
                "{reason}; trying again in {:.1} s",
                wait.as_secs_f64()
            )),
            _ => {}
        }
    }
}

/// One bar a layer.
struct Bars {
    all: MultiProgress,
    bars: Mutex<HashMap<String, ProgressBar>>,
}

impl Bars {
    fn new() -> Self {
        Self {
            all: MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(10)),
            bars: Mutex::default(),
        }
    }

    fn bar(&self, key: &str, length: Option<u64>) -> ProgressBar {
        let mut bars = lock(&self.bars);
        if let Some(bar) = bars.get(key) {
            return bar.clone();
        }
        let bar = match length {
            Some(length) => {
                let style = ProgressStyle::with_template(
                    "{prefix:12} {bar:30} {bytes:>10} / {total_bytes:10} {bytes_per_sec}",
                );
                let bar = ProgressBar::new(length);
                match style {
                    Ok(style) => bar.with_style(style),
                    Err(_) => bar,
                }
            }
            None => {
                let style = ProgressStyle::with_template("{prefix:12} {spinner} {bytes} {msg}");
                let bar = ProgressBar::new_spinner();
                match style {
                    Ok(style) => bar.with_style(style),
                    Err(_) => bar,
                }
            }
        };
        let bar = self.all.add(bar.with_prefix(key.to_owned()));
        bars.insert(key.to_owned(), bar.clone());
        bar
    }

    fn finish(&self, key: &str) {
        if let Some(bar) = lock(&self.bars).remove(key) {
            bar.finish_and_clear();
        }
    }
}

impl Progress for Bars {
    fn event(&self, event: &Event<'_>) {
        match event {
            Event::Resolving { image } => {
                let bar = self.bar("pull", None);
                bar.set_message((*image).to_owned());
                bar.tick();
            }
            Event::Spooling { bytes } => self.bar("read", None).set_position(*bytes),
            Event::Layers { .. } => self.finish("pull"),
            Event::LayerStarted { layer, bytes } => {
                self.bar(&short(layer), *bytes);
            }
            Event::LayerWaiting { layer } => {
                let bar = self.bar(&short(layer), None);
                bar.set_message("another process makes it");
                bar.tick();
            }
            Event::LayerBytes { layer, bytes } => {
                self.bar(&short(layer), None).set_position(*bytes);
            }
            Event::LayerDone { layer, .. } => self.finish(&short(layer)),
            Event::Retrying { reason, wait } => {
                let line = format!("{reason}; trying again in {:.1} s", wait.as_secs_f64());
                // A terminal that cannot be written shows nothing anyway.
                let _ = self.all.println(line);
            }
            Event::Done { .. } => {
                for (_, bar) in lock(&self.bars).drain() {
                    bar.finish_and_clear();
                }
            }
            _ => {}
        }
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        // A pull that failed must not leave half a bar before its error.
        for (_, bar) in lock(&self.bars).drain() {
            bar.finish_and_clear();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
