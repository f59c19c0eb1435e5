//! What an image says about how to run it.

use serde::Deserialize;
use thiserror::Error;

/// An image configuration that cannot be read.
#[derive(Debug, Error)]
#[error("the image's configuration is not what the OCI image specification describes")]
pub struct ImageConfigError(#[source] serde_json::Error);

/// The `config` object of an OCI image configuration, as far as running it goes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ImageConfig {
    /// `USER[:GROUP]`, names or numbers; empty for root.
    pub user: String,
    /// `NAME=VALUE`.
    pub env: Vec<String>,
    /// `ENTRYPOINT`.
    pub entrypoint: Vec<String>,
    /// `CMD`.
    pub cmd: Vec<String>,
    /// Empty for `/`.
    pub working_dir: String,
    /// The signal that asks it to end, a name or a number; empty for SIGTERM.
    pub stop_signal: String,
}

impl ImageConfig {
    /// Reads the image configuration: the blob that a manifest's `config` names.
    ///
    /// # Errors
    /// [`ImageConfigError`] if it is no such JSON.
    pub fn from_json(blob: &[u8]) -> Result<Self, ImageConfigError> {
        let image: Image = serde_json::from_slice(blob).map_err(ImageConfigError)?;
        let config = image.config.unwrap_or_default();
        Ok(Self {
            user: config.user.unwrap_or_default(),
            env: config.env.unwrap_or_default(),
            entrypoint: config.entrypoint.unwrap_or_default(),
            cmd: config.cmd.unwrap_or_default(),
            working_dir: config.working_dir.unwrap_or_default(),
            stop_signal: config.stop_signal.unwrap_or_default(),
        })
    }
}

#[derive(Deserialize)]
struct Image {
    config: Option<Config>,
}

/// Each may be absent or null.
#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase")]
struct Config {
    user: Option<String>,
    env: Option<Vec<String>>,
    entrypoint: Option<Vec<String>>,
    cmd: Option<Vec<String>>,
    working_dir: Option<String>,
    stop_signal: Option<String>,
}
