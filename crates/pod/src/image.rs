//! What an image says about how to run it.

use oci_spec::image::ImageConfiguration;
use serde::{Deserialize, Serialize};

/// The `config` object of an OCI image configuration, as far as running it goes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
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

impl From<&ImageConfiguration> for ImageConfig {
    fn from(image: &ImageConfiguration) -> Self {
        let Some(config) = image.config() else {
            return Self::default();
        };
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let texts = |texts: &Option<Vec<String>>| texts.clone().unwrap_or_default();
        Self {
            user: text(config.user()),
            env: texts(config.env()),
            entrypoint: texts(config.entrypoint()),
            cmd: texts(config.cmd()),
            working_dir: text(config.working_dir()),
            stop_signal: text(config.stop_signal()),
        }
    }
}
