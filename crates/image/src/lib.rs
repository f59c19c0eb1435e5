//! Container images for Skete: pulled from registries, loaded from layouts and archives, kept in
//! a store whose layers are EROFS images.
//!
//! Everything here blocks; a caller with an event loop gives it a thread. Everything that comes
//! from a registry or an archive is hostile: bounded, checked against its digest, and timed out.
//!
//! ```no_run
//! use skete_image::{PullOptions, Store, parse_reference};
//!
//! let store = Store::open("/var/lib/skete/images")?;
//! let image = store.pull(&parse_reference("busybox")?, &PullOptions::default())?;
//! let hold = store.hold("the-pods-id", &image)?; // until store.release("the-pods-id")
//! # drop(hold);
//! # Ok::<(), skete_image::Error>(())
//! ```
#![forbid(unsafe_code)]

mod digest;
mod error;
mod fetch;
mod layer;
mod limits;
mod load;
mod manifest;
mod platform;
mod progress;
mod pull;
mod reference;
mod registry;
mod stop;
mod store;

pub use digest::{Digest, ParseDigestError};
pub use error::Error;
pub use fetch::Error as FetchError;
pub use layer::Error as LayerError;
pub use limits::{Limits, Timeouts};
pub use load::{ArchiveError, Error as LoadError, LoadOptions, Source};
pub use manifest::Error as ManifestError;
pub use platform::{ParsePlatformError, Platform};
pub use progress::{Event, Progress, Silent};
pub use pull::{Error as PullError, Policy, PullOptions};
pub use reference::{Error as ReferenceError, Reference, parse as parse_reference};
pub use registry::{
    Credentials, CredentialsError, DockerConfig, Error as RegistryError, Registries,
    RegistriesError,
};
pub use stop::Stop;
pub use store::{Error as StoreError, Hold, Image, Removed, Store};

/// Foreign text as part of a line: no line breaks, no control characters, not too long.
fn one_line(text: &str) -> String {
    const MOST: usize = 200;
    let mut line: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(MOST + 1)
        .collect();
    if line.chars().count() > MOST {
        line.pop();
        line.push('…');
    }
    line.trim().to_owned()
}
