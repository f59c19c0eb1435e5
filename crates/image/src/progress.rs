//! What a pull or a load tells while it runs.

use std::time::Duration;

use crate::digest::Digest;

/// A step of a pull or a load. Layers are named by their diffID.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// The manifest is being asked for.
    Resolving {
        /// The image's full name.
        image: &'a str,
    },
    /// An archive without random access (standard input) is being taken in.
    Spooling {
        /// Bytes so far.
        bytes: u64,
    },
    /// The image's layers are known.
    Layers {
        /// How many there are.
        total: usize,
        /// How many the store has already.
        present: usize,
        /// Bytes to be fetched for the others, as far as known.
        bytes: u64,
    },
    /// A layer is there already.
    LayerPresent {
        /// Its diffID.
        layer: Digest,
    },
    /// Another process is making the same layer; its end is awaited.
    LayerWaiting {
        /// Its diffID.
        layer: Digest,
    },
    /// A layer's bytes begin to come and are converted as they come.
    LayerStarted {
        /// Its diffID.
        layer: Digest,
        /// Compressed bytes to come, if known.
        bytes: Option<u64>,
    },
    /// More of a layer has come and been converted.
    LayerBytes {
        /// Its diffID.
        layer: Digest,
        /// Compressed bytes so far.
        bytes: u64,
    },
    /// A layer is in the store.
    LayerDone {
        /// Its diffID.
        layer: Digest,
        /// Bytes of its EROFS image.
        stored: u64,
    },
    /// A request failed for a reason that may pass, and is tried again.
    Retrying {
        /// What went wrong.
        reason: &'a str,
        /// How long until the next try.
        wait: Duration,
    },
    /// The image is complete and named.
    Done {
        /// Its ID.
        image: Digest,
    },
}

/// Takes the events of a pull or a load. Called from several threads; it must not block for
/// long. Closures are one.
pub trait Progress: Send + Sync {
    /// Takes one event.
    fn event(&self, event: &Event<'_>);
}

impl<F: Fn(&Event<'_>) + Send + Sync> Progress for F {
    fn event(&self, event: &Event<'_>) {
        self(event);
    }
}

/// Takes all events and does nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn event(&self, _: &Event<'_>) {}
}
