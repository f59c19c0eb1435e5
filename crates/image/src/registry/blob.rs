//! A blob's bytes over connections that may break.

use std::io::{self, Read};
use std::time::Instant;

use ureq::BodyReader;
use ureq::http::header;

use super::http::{Answer, broken};
use super::{Error, Repository};
use crate::digest::Digest;

/// After this many bytes without a failure, the failures before them are forgiven.
const FORGIVE: u64 = 8 << 20;

/// Reads a blob of known digest and size. A connection that breaks is taken up again where it
/// stopped, so that neither the digest nor the conversion begins anew. It gives exactly `size`
/// bytes or an error; the digest is for the reader's user to check.
pub(crate) struct BlobReader<'a> {
    repository: &'a Repository<'a>,
    digest: Digest,
    size: u64,
    received: u64,
    body: Option<(String, BodyReader<'static>)>,
    failures: u32,
    failed_at: u64,
    window: (Instant, u64),
    /// What went wrong at last, since an `io::Error` does not carry it.
    failure: Option<Error>,
}

impl<'a> BlobReader<'a> {
    pub(super) fn open(
        repository: &'a Repository<'a>,
        digest: Digest,
        size: u64,
    ) -> Result<Self, Error> {
        let mut reader = Self {
            repository,
            digest,
            size,
            received: 0,
            body: None,
            failures: 0,
            failed_at: 0,
            window: (Instant::now(), 0),
            failure: None,
        };
        reader.connect()?;
        Ok(reader)
    }

    /// Takes the error that ended the reading.
    pub(crate) fn take_failure(&mut self) -> Option<Error> {
        self.failure.take()
    }

    fn connect(&mut self) -> Result<(), Error> {
        let (digest, size, offset) = (self.digest, self.size, self.received);
        let answer = self.repository.ask(|endpoint| {
            let answer = self
                .repository
                .blob_answer(endpoint, &digest, offset, None)?;
            positioned(answer, digest, size, offset)
        })?;
        self.body = Some(answer);
        self.window = (Instant::now(), self.received);
        Ok(())
    }

    /// One read, over as many connections as it takes.
    fn next(&mut self, buf: &mut [u8]) -> Result<usize, Error> {
        loop {
            if self.repository.stop.is_stopped() {
                return Err(Error::Stopped);
            }
            if self.body.is_none() {
                self.connect()?;
            }
            let Some((host, body)) = &mut self.body else {
                return Err(Error::Stopped);
            };
            let error = match body.read(buf) {
                Ok(0) => Error::Broken {
                    registry: host.clone(),
                    reason: format!("{} of {} bytes came", self.received, self.size),
                },
                Ok(n) => {
                    self.received += n as u64;
                    match self.check_speed() {
                        None => return Ok(n),
                        Some(error) => return Err(error),
                    }
                }
                Err(error) => broken(host, &error),
            };
            self.body = None;
            if self.received - self.failed_at >= FORGIVE {
                self.failures = 0;
            }
            self.failures += 1;
            self.failed_at = self.received;
            let timeouts = &self.repository.timeouts;
            if self.failures > timeouts.retries {
                return Err(error);
            }
            let wait = timeouts.backoff * (1 << (self.failures - 1).min(10));
            self.repository.pause(&error, wait)?;
        }
    }

    /// A server that sends a byte now and then would keep a pull for ever.
    fn check_speed(&mut self) -> Option<Error> {
        let timeouts = &self.repository.timeouts;
        let (since, from) = self.window;
        if since.elapsed() < timeouts.window {
            return None;
        }
        let moved = self.received - from;
        self.window = (Instant::now(), self.received);
        let host = self.body.as_ref().map(|(host, _)| host.clone());
        (moved < timeouts.least).then(|| Error::Slow {
            registry: host.unwrap_or_default(),
            reason: format!("{moved} bytes in {} s", timeouts.window.as_secs()),
        })
    }
}

/// The answer's body, advanced to the offset if the host does not know ranges.
fn positioned(
    mut answer: Answer,
    digest: Digest,
    size: u64,
    offset: u64,
) -> Result<(String, BodyReader<'static>), Error> {
    let whole = answer.status == 200;
    let wrong = |got| Error::Size {
        registry: answer.host.clone(),
        digest,
        expected: size,
        got,
    };
    if whole {
        if let Some(length) = answer.length.filter(|length| *length != size) {
            return Err(wrong(length));
        }
    } else {
        let range = answer
            .headers
            .get(header::CONTENT_RANGE)
            .and_then(|v| v.to_str().ok());
        let range = range.and_then(|range| range.strip_prefix("bytes "));
        let (first, total) = range
            .and_then(|range| range.split_once('/'))
            .and_then(|(span, total)| Some((span.split_once('-')?.0, total)))
            .unwrap_or_default();
        if let Some(total) = total.parse().ok().filter(|total: &u64| *total != size) {
            return Err(wrong(total));
        }
        if first.parse() != Ok(offset) {
            return Err(Error::Broken {
                registry: answer.host.clone(),
                reason: "it sent another range than was asked for".to_owned(),
            });
        }
    }
    if whole && offset > 0 {
        let skipped = io::copy(&mut (&mut answer.body).take(offset), &mut io::sink())
            .map_err(|error| broken(&answer.host, &error))?;
        if skipped < offset {
            return Err(Error::Broken {
                registry: answer.host.clone(),
                reason: format!("{skipped} of {size} bytes came"),
            });
        }
    }
    Ok((answer.host, answer.body))
}

impl Read for BlobReader<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let left = self.size - self.received;
        let most = buf.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        if most == 0 {
            return Ok(0);
        }
        self.next(&mut buf[..most]).map_err(|error| {
            let told = io::Error::other(error.to_string());
            self.failure = Some(error);
            told
        })
    }
}
