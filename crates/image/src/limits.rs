//! How much an image may ask of this machine.
//!
//! Registries and archives are hostile: whatever they send is bounded before it is stored, and
//! every bound can be raised by the caller.

use std::time::Duration;

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// Bounds on one image and on the time its parts may take.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes of a manifest or an index: 4 MiB, what registries must take by the distribution
    /// specification.
    pub manifest: u64,
    /// Bytes of an image configuration: 4 MiB.
    pub config: u64,
    /// Layers in one image: [`skete_erofs::MAX_LAYERS`].
    pub layers: usize,
    /// Bytes of all layers of one image together, uncompressed: 64 GiB.
    pub uncompressed: u64,
    /// How many bytes one compressed byte may become, counted once a layer has grown beyond
    /// [`Limits::ratio_from`]: 250. Gzip can do 1,032, zstd far more; real layers stay below 20.
    pub ratio: u64,
    /// Bytes from which on [`Limits::ratio`] is kept: 1 GiB.
    pub ratio_from: u64,
    /// Bytes of an archive that has to be kept until it is read (standard input): 128 GiB.
    pub archive: u64,
    /// Images in one archive or layout: 1,000.
    pub images: usize,
    /// Bounds on the tree of one layer.
    pub tree: skete_erofs::Limits,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            manifest: 4 * MIB,
            config: 4 * MIB,
            layers: skete_erofs::MAX_LAYERS,
            uncompressed: 64 * GIB,
            ratio: 250,
            ratio_from: GIB,
            archive: 128 * GIB,
            images: 1000,
            tree: skete_erofs::Limits::default(),
        }
    }
}

/// How long a registry may take.
#[derive(Clone, Debug)]
pub struct Timeouts {
    /// To look a name up and to connect, TLS included: 15 s.
    pub connect: Duration,
    /// To begin an answer: 30 s.
    pub response: Duration,
    /// Without a byte of an answer's body: 30 s.
    pub idle: Duration,
    /// For a whole small answer (manifest, configuration, token): 60 s.
    pub small: Duration,
    /// The window in which a layer must move by at least [`Timeouts::least`] bytes: 60 s.
    pub window: Duration,
    /// Bytes that a layer must move by within [`Timeouts::window`]: 64 KiB.
    pub least: u64,
    /// How often a request is tried again, or a broken layer taken up where it stopped: 4 times.
    pub retries: u32,
    /// The wait before the first retry; it doubles with each: 500 ms.
    pub backoff: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(15),
            response: Duration::from_secs(30),
            idle: Duration::from_secs(30),
            small: Duration::from_secs(60),
            window: Duration::from_secs(60),
            least: 64 << 10,
            retries: 4,
            backoff: Duration::from_millis(500),
        }
    }
}
