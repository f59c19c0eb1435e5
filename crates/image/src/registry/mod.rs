//! The client's half of the distribution specification: manifests and blobs of one repository.
//!
//! It is blocking, because what follows a layer's download (inflating, hashing, converting)
//! keeps a thread busy anyway. It is our own and not oci-client's, because that reads manifests,
//! tokens and error bodies without a bound and panics at a token that is no header value.

mod auth;
mod blob;
mod config;
mod credentials;
mod http;

pub use config::{Error as RegistriesError, Registries};
pub use credentials::{Credentials, DockerConfig, Error as CredentialsError};

pub(crate) use blob::BlobReader;

use std::io::Read;
use std::time::Duration;

use oci_spec::distribution::Reference;

use crate::digest::Digest;
use crate::limits::Timeouts;
use crate::progress::{Event, Progress};
use crate::stop::Stop;

use http::{Answer, Endpoint};

/// A registry did not give what was asked for. The image is named by the error around this one.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such image, or it is not for everybody.
    #[error(
        "{registry} says it does not exist or needs a login; check the name, or run: docker login {registry}"
    )]
    NotFound {
        /// The registry.
        registry: String,
    },
    /// The credentials were not taken.
    #[error("{registry} refused the credentials; run: docker login {registry}")]
    LoginRefused {
        /// The registry.
        registry: String,
    },
    /// The credentials are good and not for this image, or the registry answers nobody.
    #[error("{registry} denies access{}; check the name, or log in with an account that may pull it", said(.message))]
    Denied {
        /// The registry.
        registry: String,
        /// What the registry said.
        message: String,
    },
    /// A blob that the manifest names is not there.
    #[error("{registry} has no blob {digest}, though the manifest names it; push the image again")]
    BlobMissing {
        /// The registry.
        registry: String,
        /// The blob.
        digest: Digest,
    },
    /// Too many requests.
    #[error("{registry} allows no more requests for now; log in, wait, or set a mirror")]
    TooMany {
        /// The registry.
        registry: String,
    },
    /// Any other answer.
    #[error("{registry} answered {status}{}", said(.message))]
    Status {
        /// The registry.
        registry: String,
        /// The HTTP status.
        status: u16,
        /// What the registry said.
        message: String,
    },
    /// No connection, or a broken one.
    #[error("cannot reach {registry}: {reason}")]
    Connect {
        /// The host.
        registry: String,
        /// Why, in one line.
        reason: String,
        /// Whether another try may help.
        transient: bool,
    },
    /// The connection ended or failed in the middle of an answer.
    #[error("{registry} broke off: {reason}")]
    Broken {
        /// The host.
        registry: String,
        /// Why, in one line.
        reason: String,
    },
    /// It took too long.
    #[error("{registry} is too slow: {reason}")]
    Slow {
        /// The host.
        registry: String,
        /// Which bound was hit.
        reason: String,
    },
    /// An answer larger than its bound.
    #[error("{registry} sent a {what} of more than {limit} bytes")]
    TooLarge {
        /// The host.
        registry: String,
        /// What it was to be.
        what: &'static str,
        /// The bound.
        limit: u64,
    },
    /// A blob of another size than the manifest says.
    #[error("blob {digest} should have {expected} bytes and {registry} has {got}")]
    Size {
        /// The host.
        registry: String,
        /// The blob.
        digest: Digest,
        /// By the manifest.
        expected: u64,
        /// By the answer.
        got: u64,
    },
    /// Bytes of another digest.
    #[error(
        "{registry} sent a {what} with digest {got}, expected {expected}; it is damaged or forged"
    )]
    Digest {
        /// The host.
        registry: String,
        /// What it was to be.
        what: &'static str,
        /// The digest asked for.
        expected: Digest,
        /// The digest of what came.
        got: Digest,
    },
    /// A redirect that is not followed.
    #[error("{registry} redirects {reason}")]
    Redirect {
        /// The host.
        registry: String,
        /// Where to, and why not.
        reason: String,
    },
    /// An answer to the question for a token that is none.
    #[error("{registry} wants a token, and {realm} gave none: {reason}")]
    Token {
        /// The registry.
        registry: String,
        /// Where tokens are to be had.
        realm: String,
        /// Why, in one line.
        reason: String,
    },
    /// No credentials where there should be.
    #[error("cannot get the credentials of {registry}")]
    Credentials {
        /// The registry.
        registry: String,
        /// Why.
        #[source]
        source: CredentialsError,
    },
    /// A file of certificates that cannot be used.
    #[error("cannot use the certificates in {path}: {reason}")]
    Certificates {
        /// The file.
        path: String,
        /// Why.
        reason: String,
    },
    /// Neither the registry's mirrors nor the registry itself.
    #[error("no mirror gave it ({mirrors})")]
    Mirrors {
        /// What each mirror's error was.
        mirrors: String,
        /// The registry's own error.
        #[source]
        source: Box<Error>,
    },
    /// The caller stopped it, or another layer failed.
    #[error("stopped")]
    Stopped,
}

fn said(message: &str) -> String {
    match message {
        "" => String::new(),
        message => format!(" ({message})"),
    }
}

impl Error {
    /// Whether the image does not exist, as far as this user may see.
    pub(crate) fn is_not_found(&self) -> bool {
        match self {
            Self::NotFound { .. } => true,
            Self::Mirrors { source, .. } => source.is_not_found(),
            _ => false,
        }
    }

    /// Whether the same request may do better a moment later.
    fn is_transient(&self) -> bool {
        match self {
            Self::Connect { transient, .. } => *transient,
            Self::Broken { .. } | Self::Slow { .. } | Self::TooMany { .. } => true,
            Self::Status { status, .. } => *status >= 500,
            _ => false,
        }
    }
}

/// Media types of manifests that are asked for, best first.
const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, \
    application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.v2+json";

/// One repository, at its mirrors and at its own registry.
pub(crate) struct Repository<'a> {
    endpoints: Vec<Endpoint>,
    name: String,
    timeouts: Timeouts,
    progress: &'a dyn Progress,
    stop: &'a Stop,
}

/// What a repository is opened with.
pub(crate) struct Access<'a> {
    pub(crate) registries: &'a Registries,
    /// Credentials of the registry itself, in place of docker's.
    pub(crate) credentials: Option<Credentials>,
    pub(crate) docker: &'a DockerConfig,
    pub(crate) timeouts: Timeouts,
    pub(crate) progress: &'a dyn Progress,
    pub(crate) stop: &'a Stop,
}

impl<'a> Repository<'a> {
    /// Makes ready to ask; no byte is sent before the first question.
    pub(crate) fn open(reference: &Reference, access: Access<'a>) -> Result<Self, Error> {
        let registry = reference.registry();
        let mut endpoints = Vec::new();
        for host in access.registries.hosts(registry) {
            let credentials = match (&access.credentials, host.mirror) {
                (Some(given), false) => Some(given.clone()),
                _ => access
                    .docker
                    .get(&host.name)
                    .map_err(|source| Error::Credentials {
                        registry: host.name.clone(),
                        source,
                    })?,
            };
            endpoints.push(Endpoint::new(
                host,
                registry,
                credentials,
                &access.timeouts,
            )?);
        }
        Ok(Self {
            endpoints,
            name: reference.repository().to_owned(),
            timeouts: access.timeouts,
            progress: access.progress,
            stop: access.stop,
        })
    }

    /// A manifest or an index by tag or digest.
    pub(crate) fn manifest(&self, tag_or_digest: &str, limit: u64) -> Result<Vec<u8>, Error> {
        let path = format!("manifests/{tag_or_digest}");
        let expected = tag_or_digest.parse::<Digest>().ok();
        self.ask(|endpoint| {
            let answer = endpoint.get(
                &self.name,
                &path,
                Some(ACCEPT),
                0,
                Some(self.timeouts.small),
            )?;
            let answer = answer.or_error(|status, message| match status {
                401 | 404 => Error::NotFound {
                    registry: endpoint.name().to_owned(),
                },
                _ => endpoint.status(status, message),
            })?;
            self.whole(answer, "manifest", limit, expected)
        })
    }

    /// A small blob whole: an image's configuration.
    pub(crate) fn small_blob(&self, digest: &Digest, limit: u64) -> Result<Vec<u8>, Error> {
        self.ask(|endpoint| {
            let answer = self.blob_answer(endpoint, digest, 0, Some(self.timeouts.small))?;
            self.whole(answer, "configuration", limit, Some(*digest))
        })
    }

    /// A blob's bytes as they come, taken up again where a connection broke.
    pub(crate) fn blob(&'a self, digest: Digest, size: u64) -> Result<BlobReader<'a>, Error> {
        BlobReader::open(self, digest, size)
    }

    /// Asks the hosts in order until one answers; the last one, the registry itself, several
    /// times if need be, and its error counts.
    fn ask<T>(&self, question: impl Fn(&Endpoint) -> Result<T, Error>) -> Result<T, Error> {
        let mut wait = self.timeouts.backoff;
        let mut tries = 0;
        let Some((registry, mirrors)) = self.endpoints.split_last() else {
            return Err(Error::Stopped);
        };
        let mut passed_over = Vec::new();
        for mirror in mirrors {
            match question(mirror) {
                Ok(answer) => return Ok(answer),
                Err(error) => {
                    tracing::debug!(mirror = mirror.name(), %error, "mirror passed over");
                    passed_over.push(error.to_string());
                }
            }
        }
        loop {
            match question(registry) {
                Err(error) if error.is_transient() && tries < self.timeouts.retries => {
                    self.pause(&error, wait)?;
                    tries += 1;
                    wait *= 2;
                }
                Err(error) if !passed_over.is_empty() => {
                    return Err(Error::Mirrors {
                        mirrors: passed_over.join("; "),
                        source: error.into(),
                    });
                }
                result => return result,
            }
        }
    }

    /// Tells of a failure that may pass and waits a little.
    fn pause(&self, error: &Error, wait: Duration) -> Result<(), Error> {
        self.progress.event(&Event::Retrying {
            reason: &error.to_string(),
            wait,
        });
        if self.stop.sleep(wait) {
            Err(Error::Stopped)
        } else {
            Ok(())
        }
    }

    fn blob_answer(
        &self,
        endpoint: &Endpoint,
        digest: &Digest,
        offset: u64,
        whole: Option<Duration>,
    ) -> Result<Answer, Error> {
        let answer = endpoint.get(&self.name, &format!("blobs/{digest}"), None, offset, whole)?;
        answer.or_error(|status, message| match status {
            404 => Error::BlobMissing {
                registry: endpoint.name().to_owned(),
                digest: *digest,
            },
            _ => endpoint.status(status, message),
        })
    }

    fn whole(
        &self,
        answer: Answer,
        what: &'static str,
        limit: u64,
        expected: Option<Digest>,
    ) -> Result<Vec<u8>, Error> {
        let registry = answer.host.clone();
        let mut bytes = Vec::new();
        let mut reader = answer.body.take(limit + 1);
        reader
            .read_to_end(&mut bytes)
            .map_err(|error| http::broken(&registry, &error))?;
        if bytes.len() as u64 > limit {
            return Err(Error::TooLarge {
                registry,
                what,
                limit,
            });
        }
        let got = Digest::of(&bytes);
        match expected {
            Some(expected) if expected != got => Err(Error::Digest {
                registry,
                what,
                expected,
                got,
            }),
            _ => Ok(bytes),
        }
    }
}
