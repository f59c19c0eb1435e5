//! Names of images, as people type them and as the store keeps them.

use oci_spec::distribution::ParseError;
pub use oci_spec::distribution::Reference;

use crate::digest::Digest;

/// Characters of a repository's name.
const MAX_REPOSITORY: usize = 255;
/// Characters of a tag.
const MAX_TAG: usize = 128;

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
    let reference = read(text).map_err(|source| {
        let text: String = text.chars().take(300).collect();
        if read(&text.to_lowercase()).is_ok() {
            Error::Uppercase { text }
        } else {
            Error::Malformed { text, source }
        }
    })?;
    if let Some(digest) = reference.digest()
        && digest.parse::<Digest>().is_err()
    {
        return Err(Error::Algorithm {
            text: text.to_owned(),
        });
    }
    Ok(reference)
}

/// The grammar of the distribution project's package `reference`. `oci-spec` has it as a regular
/// expression, whose compilation takes longer than all else of a start on the host together.
fn read(text: &str) -> Result<Reference, ParseError> {
    if text.is_empty() {
        return Err(ParseError::NameEmpty);
    }
    let (named, digest) = match text.split_once('@') {
        Some((named, digest)) => (named, Some(digest)),
        None => (text, None),
    };
    let (name, tag) = match named.rsplit_once(':') {
        // What follows the last colon is a port if there is a slash in it.
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (named, None),
    };
    let (registry, repository) = match name.split_once('/') {
        // Docker's other names for its registry.
        Some(("index.docker.io" | "registry-1.docker.io", rest)) => ("docker.io", rest),
        Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => (first, rest),
        _ => ("docker.io", name),
    };
    // Names with an underscore are no host names, and there are such hosts.
    let is_host = is_registry(registry) || is_component(registry);
    if !is_host || !repository.split('/').all(is_component) {
        return Err(ParseError::ReferenceInvalidFormat);
    }
    if !tag.is_none_or(is_tag) {
        return Err(ParseError::TagInvalidFormat);
    }
    digest.map_or(Ok(()), check_digest)?;
    let repository = match (registry, repository.contains('/')) {
        ("docker.io", false) => format!("library/{repository}"),
        _ => repository.to_owned(),
    };
    if repository.len() > MAX_REPOSITORY {
        return Err(ParseError::NameTooLong);
    }
    Ok(join(registry.to_owned(), repository, tag, digest))
}

fn is_registry(text: &str) -> bool {
    let (host, port) = match text.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (text, None),
    };
    let is_label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    let is_port = |port: &str| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    host.split('.').all(is_label) && port.is_none_or(is_port)
}

fn is_component(text: &str) -> bool {
    let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let is_separator = |between: &str| {
        matches!(between, "" | "." | "_" | "__") || between.bytes().all(|b| b == b'-')
    };
    text.starts_with(word) && text.ends_with(word) && text.split(word).all(is_separator)
}

fn is_tag(text: &str) -> bool {
    let is_word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    text.len() <= MAX_TAG
        && text.bytes().next().is_some_and(is_word)
        && text.bytes().all(|b| is_word(b) || b"-.".contains(&b))
}

/// Whether it is one by the look of it. Which algorithms are taken is the caller's to say.
fn check_digest(text: &str) -> Result<(), ParseError> {
    let (algorithm, hex) = text
        .split_once(':')
        .ok_or(ParseError::DigestInvalidFormat)?;
    let is_word = |word: &str| {
        word.starts_with(|c: char| c.is_ascii_alphabetic())
            && word.bytes().all(|b| b.is_ascii_alphanumeric())
    };
    if !algorithm.split(['-', '_', '+', '.']).all(is_word)
        || !hex.bytes().all(|b| b.is_ascii_hexdigit())
    {
        return Err(ParseError::DigestInvalidFormat);
    }
    match (algorithm, hex.len()) {
        ("sha256", 64) | ("sha384", 96) | ("sha512", 128) => Ok(()),
        ("sha256" | "sha384" | "sha512", _) => Err(ParseError::DigestInvalidLength),
        _ => Err(ParseError::DigestUnsupported),
    }
}

fn join(
    registry: String,
    repository: String,
    tag: Option<&str>,
    digest: Option<&str>,
) -> Reference {
    match (tag, digest.map(str::to_owned)) {
        (Some(tag), Some(digest)) => {
            Reference::with_tag_and_digest(registry, repository, tag.to_owned(), digest)
        }
        (None, Some(digest)) => Reference::with_digest(registry, repository, digest),
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
