//! One layer on its way: bytes as they come, digest, inflate, digest, EROFS.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::sync::atomic::{AtomicU64, Ordering};

use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use crate::digest::{Digest, Hashing};
use crate::limits::Limits;
use crate::registry::{self, BlobReader};
use crate::stop::Stop;

/// Bytes read at a time.
const BUFFER: usize = 128 << 10;
/// The largest window that a zstd layer may ask for: what the builders' highest levels use.
const ZSTD_WINDOW: u64 = 32 << 20;

/// A layer cannot be taken. The layer is named by the error around this one.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The registry did not give it.
    #[error(transparent)]
    Registry(#[from] registry::Error),
    /// It cannot be read from the archive.
    #[error("cannot read it")]
    Read(#[source] io::Error),
    /// Its bytes are not those that the manifest names.
    #[error(
        "its digest is {got}, expected {expected}; it is damaged or forged, push the image again"
    )]
    Digest {
        /// By the manifest.
        expected: Digest,
        /// Of what came.
        got: Digest,
    },
    /// Its uncompressed bytes are not those that the configuration names.
    #[error(
        "its uncompressed digest is {got}, expected {expected} (diffID); the image is damaged or forged"
    )]
    DiffId {
        /// By the configuration.
        expected: Digest,
        /// Of what came.
        got: Digest,
    },
    /// It does not inflate.
    #[error("its {kind} data is damaged or cut short: {reason}")]
    Compression {
        /// The compression.
        kind: &'static str,
        /// What the decoder said.
        reason: String,
    },
    /// It inflates far more than layers do.
    #[error(
        "it inflates {ratio} times and more, to over {bytes} bytes: a decompression bomb is not taken"
    )]
    Bomb {
        /// The bound.
        ratio: u64,
        /// Bytes so far.
        bytes: u64,
    },
    /// The image is too large.
    #[error("with it the image has more than {limit} bytes uncompressed, the most that is taken")]
    TooLarge {
        /// The bound on all layers together.
        limit: u64,
    },
    /// It is not a tar that makes a layer.
    #[error(transparent)]
    Convert(skete_erofs::Error),
    /// The disk is full.
    #[error("no space is left for it on the store's disk; free some, or run: skete image prune")]
    NoSpace,
    /// The caller stopped it, or another layer failed.
    #[error("stopped")]
    Stopped,
}

/// Where a layer's bytes come from. An `io::Error` does not tell enough, so the reason of a
/// failure is kept beside it.
pub(crate) trait Bytes: Read {
    /// What ended the reading.
    fn take_failure(&mut self) -> Option<Error>;
}

impl Bytes for BlobReader<'_> {
    fn take_failure(&mut self) -> Option<Error> {
        self.take_failure().map(|error| match error {
            registry::Error::Stopped => Error::Stopped,
            error => Error::Registry(error),
        })
    }
}

/// Bytes out of a file, which fail only if the file does.
pub(crate) struct FileBytes<R>(pub(crate) R);

impl<R: Read> Read for FileBytes<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf)
    }
}

impl<R: Read> Bytes for FileBytes<R> {
    fn take_failure(&mut self) -> Option<Error> {
        None
    }
}

/// What the layers of one image share.
pub(crate) struct Budget<'a> {
    pub(crate) limits: &'a Limits,
    pub(crate) stop: &'a Stop,
    /// Uncompressed bytes of all layers so far.
    pub(crate) uncompressed: AtomicU64,
}

impl<'a> Budget<'a> {
    pub(crate) fn new(limits: &'a Limits, stop: &'a Stop) -> Self {
        Self {
            limits,
            stop,
            uncompressed: AtomicU64::new(0),
        }
    }
}

/// Turns a layer's bytes into an EROFS image, checking the digest of the bytes (if one is known)
/// and of the tar in them. `told` learns how many bytes have come.
pub(crate) fn convert(
    bytes: &mut dyn Bytes,
    digest: Option<Digest>,
    diff_id: Digest,
    out: &mut File,
    budget: &Budget<'_>,
    told: &dyn Fn(u64),
) -> Result<(), Error> {
    let mut source = Hashing::new(Watched {
        bytes,
        failed: false,
    });
    let received = AtomicU64::new(0);
    let result = inflate_and_convert(&mut source, out, budget, &received, told);
    let inner = source.get_mut();
    if inner.failed {
        // Whatever the decoders made of the failure, this was the cause.
        if let Some(error) = inner.bytes.take_failure() {
            return Err(error);
        }
    } else if let Some(expected) = digest {
        // Wrong bytes are told as such, not as the nonsense they decode to.
        if result.is_ok() || result.as_ref().is_err_and(|failure| failure.by_content) {
            let drained = io::copy(&mut source, &mut io::sink());
            if let (Err(_), Some(error)) = (drained, source.get_mut().bytes.take_failure()) {
                return Err(error);
            }
            let got = source.digest();
            if got != expected {
                return Err(Error::Digest { expected, got });
            }
        }
    }
    let got = result.map_err(|failure| failure.error)?;
    if got != diff_id {
        return Err(Error::DiffId {
            expected: diff_id,
            got,
        });
    }
    told(source.count());
    Ok(())
}

/// An error, and whether the layer's content is to blame for it.
struct Failure {
    error: Error,
    by_content: bool,
}

fn inflate_and_convert(
    source: &mut Hashing<Watched<'_>>,
    out: &mut File,
    budget: &Budget<'_>,
    received: &AtomicU64,
    told: &dyn Fn(u64),
) -> Result<Digest, Failure> {
    let failed = |error| Failure {
        error,
        by_content: false,
    };
    let mut head = Vec::with_capacity(4);
    let read = source.by_ref().take(4).read_to_end(&mut head);
    read.map_err(|error| failed(Error::Read(error)))?;
    let kind = Kind::of(&head);
    let counted = Counted {
        inner: Cursor::new(head).chain(source),
        count: received,
    };
    let buffered = BufReader::with_capacity(BUFFER, counted);
    let mut tar = Hashing::new(Bounded {
        inner: kind.decoder(buffered),
        kind,
        budget,
        received,
        told,
        told_at: 0,
        produced: 0,
        failure: None,
    });
    let options = skete_erofs::Options {
        limits: budget.limits.tree.clone(),
        ..Default::default()
    };
    let converted = skete_erofs::convert(&mut tar, out, &options);
    // A tar may be followed by padding, which belongs to the digests.
    let converted = match converted {
        Ok(_) => io::copy(&mut tar, &mut io::sink())
            .map(drop)
            .map_err(Error::Read),
        Err(skete_erofs::Error::Write(error)) if is_full(&error) => Err(Error::NoSpace),
        Err(skete_erofs::Error::Read { source, .. }) => Err(Error::Read(source)),
        Err(error) => Err(Error::Convert(error)),
    };
    if let Some(failure) = tar.get_mut().failure.take() {
        return Err(failure);
    }
    match converted {
        Ok(()) => Ok(tar.digest()),
        Err(error) => Err(Failure {
            by_content: matches!(&error, Error::Convert(error) if !matches!(error, skete_erofs::Error::Write(_))),
            error,
        }),
    }
}

/// Whether an error means that the disk is full.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

/// Remembers that the source failed, which decoders and the converter report in their own way.
struct Watched<'a> {
    bytes: &'a mut dyn Bytes,
    failed: bool,
}

impl Read for Watched<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let result = self.bytes.read(buf);
        if let Err(error) = &result {
            self.failed |= error.kind() != io::ErrorKind::Interrupted;
        }
        result
    }
}

struct Counted<'a, R> {
    inner: R,
    count: &'a AtomicU64,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buf)?;
        self.count.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}

/// The compressions that layers have, told by their first bytes: archives name none, and media
/// types are known to be wrong. The digests make sure that nothing can be passed off as another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Plain,
    Gzip,
    Zstd,
}

impl Kind {
    pub(crate) fn of(head: &[u8]) -> Self {
        match head {
            [0x1f, 0x8b, ..] => Self::Gzip,
            // A frame, or the skippable frame that some writers begin with.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            _ => Self::Plain,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Plain => "tar",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }

    pub(crate) fn decoder<'a, R: BufRead + 'a>(self, source: R) -> Box<dyn Read + 'a> {
        match self {
            Self::Plain => Box::new(source),
            Self::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(source)),
            Self::Zstd => Box::new(Zstd::new(source)),
        }
    }
}

/// Decodes zstd frames one after another; skippable ones are skipped (RFC 8878).
struct Zstd<R> {
    source: R,
    decoder: FrameDecoder,
    in_frame: bool,
}

impl<R: BufRead> Zstd<R> {
    fn new(source: R) -> Self {
        let mut decoder = FrameDecoder::new();
        decoder.set_max_window_size(ZSTD_WINDOW);
        Self {
            source,
            decoder,
            in_frame: false,
        }
    }

    fn begin(&mut self) -> io::Result<()> {
        match self.decoder.init(&mut self.source) {
            Ok(()) => {
                self.in_frame = true;
                Ok(())
            }
            Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                length,
                ..
            })) => {
                let length = u64::from(length);
                let skipped = io::copy(&mut (&mut self.source).take(length), &mut io::sink())?;
                match skipped == length {
                    true => Ok(()),
                    false => Err(io::ErrorKind::UnexpectedEof.into()),
                }
            }
            Err(error) => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                error.to_string(),
            )),
        }
    }
}

impl<R: BufRead> Read for Zstd<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let invalid = |reason: String| io::Error::new(io::ErrorKind::InvalidData, reason);
        loop {
            if buf.is_empty() {
                return Ok(0);
            }
            if self.in_frame && self.decoder.can_collect() > 0 {
                return self.decoder.read(buf);
            }
            if !self.in_frame {
                if self.source.fill_buf()?.is_empty() {
                    return Ok(0);
                }
                self.begin()?;
            } else if self.decoder.is_finished() {
                let told = self.decoder.get_checksum_from_data();
                if told.is_some() && told != self.decoder.get_calculated_checksum() {
                    return Err(invalid("the frame's checksum is wrong".to_owned()));
                }
                self.in_frame = false;
            } else {
                self.decoder
                    .decode_blocks(&mut self.source, BlockDecodingStrategy::UptoBlocks(1))
                    .map_err(|error| invalid(error.to_string()))?;
            }
        }
    }
}

/// Keeps what comes out of a decoder within the bounds, and watches for the word to stop.
struct Bounded<'a, R> {
    inner: R,
    kind: Kind,
    budget: &'a Budget<'a>,
    received: &'a AtomicU64,
    told: &'a dyn Fn(u64),
    told_at: u64,
    produced: u64,
    failure: Option<Failure>,
}

impl<R> Bounded<'_, R> {
    fn fail(&mut self, error: Error, by_content: bool) -> io::Error {
        let told = io::Error::other(error.to_string());
        self.failure.get_or_insert(Failure { error, by_content });
        told
    }
}

impl<R: Read> Read for Bounded<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.budget.stop.is_stopped() {
            return Err(self.fail(Error::Stopped, false));
        }
        let n = match self.inner.read(buf) {
            Ok(n) => n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Err(error),
            Err(error) if self.kind == Kind::Plain => {
                return Err(self.fail(Error::Read(error), false));
            }
            Err(error) => {
                let error = Error::Compression {
                    kind: self.kind.name(),
                    reason: crate::one_line(&error.to_string()),
                };
                return Err(self.fail(error, true));
            }
        };
        self.produced += n as u64;
        let limits = self.budget.limits;
        let received = self.received.load(Ordering::Relaxed);
        if self.produced > limits.ratio_from && self.produced / received.max(1) >= limits.ratio {
            let error = Error::Bomb {
                ratio: limits.ratio,
                bytes: limits.ratio_from,
            };
            return Err(self.fail(error, false));
        }
        let all = self
            .budget
            .uncompressed
            .fetch_add(n as u64, Ordering::Relaxed)
            + n as u64;
        if all > limits.uncompressed {
            let limit = limits.uncompressed;
            return Err(self.fail(Error::TooLarge { limit }, false));
        }
        if received - self.told_at >= BUFFER as u64 {
            self.told_at = received;
            (self.told)(received);
        }
        Ok(n)
    }
}

#[cfg(test)]
#[path = "layer_test.rs"]
mod tests;
