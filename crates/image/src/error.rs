//! The error of everything a caller asks for, with the image or file by name.

use crate::{load, pull, reference, registry, store};

/// What was asked for did not happen, and nothing half-made is left of it. The chain of sources
/// makes one line.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A text is no image name.
    #[error(transparent)]
    Reference(#[from] reference::Error),
    /// An image was not pulled.
    #[error("cannot pull {image}")]
    Pull {
        /// Its full name.
        image: String,
        /// Why.
        #[source]
        source: Box<pull::Error>,
    },
    /// An archive or layout was not loaded. Images that came before the bad one are in the store.
    #[error("cannot load {from}")]
    Load {
        /// The file or folder, or standard input.
        from: String,
        /// Why.
        #[source]
        source: Box<load::Error>,
    },
    /// The store did not do it.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The file of registries cannot be used.
    #[error(transparent)]
    Registries(#[from] registry::RegistriesError),
    /// Docker's configuration cannot be used.
    #[error(transparent)]
    Credentials(#[from] registry::CredentialsError),
}

impl Error {
    /// The whole chain in one line, as people are to see it.
    pub fn line(&self) -> String {
        let mut line = self.to_string();
        let mut source = std::error::Error::source(self);
        while let Some(error) = source {
            let told = error.to_string();
            // Wrappers that add nothing repeat their source.
            if !line.ends_with(&told) {
                line.push_str(": ");
                line.push_str(&told);
            }
            source = error.source();
        }
        line.chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect()
    }

    /// Whether the image does not exist, as far as this user may see.
    pub fn is_not_found(&self) -> bool {
        match self {
            Self::Pull { source, .. } => match &**source {
                pull::Error::NotPresent => true,
                pull::Error::Registry(error) => error.is_not_found(),
                _ => false,
            },
            Self::Store(error) => matches!(error, store::Error::NotFound { .. }),
            _ => false,
        }
    }
}
