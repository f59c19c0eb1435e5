//! All layers of one image into the store, several at a time.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::digest::Digest;
use crate::layer::{self, Budget, Bytes};
use crate::limits::Limits;
use crate::progress::{Event, Progress};
use crate::stop::Stop;
use crate::store::{self, Slot, Store};

/// Gives a layer's bytes.
pub(crate) type Open<'a> = dyn Fn(&Wanted) -> Result<Box<dyn Bytes + 'a>, layer::Error> + Sync + 'a;

/// Layers that are made at once.
const PARALLEL: usize = 3;

/// Layers cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// One of them.
    #[error("layer {layer}")]
    Layer {
        /// Its digest as the manifest has it, else its diffID.
        layer: Digest,
        /// Why.
        #[source]
        source: Box<layer::Error>,
    },
    /// The store.
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// A layer that an image needs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    pub(crate) diff_id: Digest,
    /// The digest of its bytes as they come, if one is known.
    pub(crate) digest: Option<Digest>,
    /// How many bytes are to come, if known.
    pub(crate) size: Option<u64>,
}

/// Brings all layers into the store that it does not have. `open` gives a layer's bytes.
///
/// The first failure is the one told, and stops the others: `stop` has to be this image's own.
pub(crate) fn all<'a>(
    store: &Store,
    layers: &[Wanted],
    limits: &Limits,
    stop: &Stop,
    progress: &dyn Progress,
    open: &Open<'a>,
) -> Result<(), Error> {
    let mut seen = HashSet::new();
    let once: Vec<&Wanted> = layers.iter().filter(|l| seen.insert(l.diff_id)).collect();
    let absent = |layer: &&&Wanted| !store.layer_path(&layer.diff_id).is_file();
    let missing: Vec<&Wanted> = once.iter().filter(absent).copied().collect();
    let bytes = missing.iter().filter_map(|layer| layer.size).sum();
    progress.event(&Event::Layers {
        total: once.len(),
        present: once.len() - missing.len(),
        bytes,
    });
    let free = store.free_space()?;
    if bytes > free {
        return Err(store::Error::TooLittleSpace {
            path: store.root().to_owned(),
            needed: bytes,
            free,
        }
        .into());
    }
    let budget = Budget::new(limits, stop);
    let next = AtomicUsize::new(0);
    let failure: Mutex<Option<Error>> = Mutex::new(None);
    let work = || {
        while let Some(layer) = once.get(next.fetch_add(1, Ordering::Relaxed)) {
            if stop.is_stopped() {
                return;
            }
            if let Err(error) = one(store, layer, &budget, progress, open) {
                let mut first = failure.lock().unwrap_or_else(PoisonError::into_inner);
                first.get_or_insert(error);
                stop.stop();
                return;
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..PARALLEL.min(missing.len()) {
            scope.spawn(work);
        }
        work();
    });
    match failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(error) => Err(error),
        None if stop.is_stopped() => Err(store::Error::Stopped.into()),
        None => Ok(()),
    }
}

fn one<'a>(
    store: &Store,
    layer: &Wanted,
    budget: &Budget<'_>,
    progress: &dyn Progress,
    open: &Open<'a>,
) -> Result<(), Error> {
    let id = layer.diff_id;
    let waiting = || progress.event(&Event::LayerWaiting { layer: id });
    let mut file = match store.slot(&id, budget.stop, &waiting)? {
        Slot::Present => {
            progress.event(&Event::LayerPresent { layer: id });
            return Ok(());
        }
        Slot::Make(file) => file,
    };
    progress.event(&Event::LayerStarted {
        layer: id,
        bytes: layer.size,
    });
    let told = |bytes| progress.event(&Event::LayerBytes { layer: id, bytes });
    let mut make = || {
        let mut bytes = open(layer)?;
        layer::convert(&mut *bytes, layer.digest, id, file.file(), budget, &told)
    };
    make().map_err(|source| Error::Layer {
        layer: layer.digest.unwrap_or(id),
        source: source.into(),
    })?;
    let stored = store.put_layer(&id, file)?;
    progress.event(&Event::LayerDone { layer: id, stored });
    Ok(())
}
