//! Names of images, as people type them and as the store keeps them.

use oci_spec::distribution::ParseError;
pub use oci_spec::distribution::Reference;

use crate::digest::Digest;

/// A text is not the name of an image.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A repository with capitals, the most frequent slip.
    #[error("{text:?} is not an image name: repository names are lower case; try {}", .text.to_lowercase())]
    Uppercase {
        /// What was typed.
        text: String,
    },
    /// A digest by another algorithm than sha256.
    #[error("image {text:?} is named by a digest that is not sha256, the only one supported")]
    Algorithm {
        /// What was typed.
        text: String,
    },
    /// Anything else.
    #[error(
        "{text:?} is not an image name; want [REGISTRY[:PORT]/]REPOSITORY[:TAG][@sha256:DIGEST]"
    )]
    Malformed {
        /// What was typed.
        text: String,
        /// What is wrong with it.
        #[source]
        source: ParseError,
    },
}

/// Parses an image's name by the rules of docker: `busybox` is
/// `docker.io/library/busybox:latest`.
///
/// # Errors
/// When the text is not an image name, with what to write instead.
pub fn parse(text: &str) -> Result<Reference, Error> {
    let reference: Reference = text.parse().map_err(|source| {
        let text: String = text.chars().take(300).collect();
        let lower: Result<Reference, _> = text.to_lowercase().parse();
        if lower.is_ok() {
            Error::Uppercase { text }
        } else {
            Error::Malformed { text, source }
        }
    })?;
    // Docker's two names for its registry are one.
    let reference = match reference.registry() {
        "index.docker.io" | "registry-1.docker.io" => with_registry(&reference, "docker.io"),
        _ => reference,
    };
    if let Some(digest) = reference.digest()
        && digest.parse::<Digest>().is_err()
    {
        return Err(Error::Algorithm {
            text: text.to_owned(),
        });
    }
    Ok(reference)
}

fn with_registry(reference: &Reference, registry: &str) -> Reference {
    let (registry, repository) = (registry.to_owned(), reference.repository().to_owned());
    match (reference.tag(), reference.digest()) {
        (Some(tag), Some(digest)) => {
            Reference::with_tag_and_digest(registry, repository, tag.to_owned(), digest.to_owned())
        }
        (None, Some(digest)) => Reference::with_digest(registry, repository, digest.to_owned()),
        (tag, None) => {
            Reference::with_tag(registry, repository, tag.unwrap_or("latest").to_owned())
        }
    }
}

/// The digest in a name that was parsed by [`parse`].
pub(crate) fn digest(reference: &Reference) -> Option<Digest> {
    reference.digest().and_then(|digest| digest.parse().ok())
}

#[cfg(test)]
#[path = "reference_test.rs"]
mod tests;
