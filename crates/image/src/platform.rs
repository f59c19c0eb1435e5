//! Which of an image's platforms runs here.

use std::fmt;
use std::str::FromStr;

/// A text is not a platform.
#[derive(Debug, thiserror::Error)]
#[error("{text:?} is not a platform; want OS/ARCH[/VARIANT], for example linux/amd64")]
pub struct ParsePlatformError {
    text: String,
}

/// Operating system, architecture and variant, in Go's names and normalized as containerd does.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Platform {
    /// The operating system: `linux`.
    pub os: String,
    /// The architecture: `amd64`, `arm64`, `arm`, …
    pub arch: String,
    /// The architecture's variant: `v7` of arm; `None` where there is but one.
    pub variant: Option<String>,
}

impl Platform {
    /// A platform by its parts.
    pub fn new(os: &str, arch: &str, variant: Option<&str>) -> Self {
        let os = match os {
            "macos" => "darwin",
            os => os,
        };
        let (arch, implied) = match arch {
            "x86_64" | "x86-64" => ("amd64", None),
            "aarch64" => ("arm64", None),
            "i386" | "i686" | "x86" => ("386", None),
            "armhf" => ("arm", Some("v7")),
            "armel" => ("arm", Some("v6")),
            arch => (arch, None),
        };
        let variant = variant.filter(|variant| !variant.is_empty()).or(implied);
        let variant = match (arch, variant) {
            ("arm64", Some("8" | "v8")) | ("amd64", Some("v1")) => None,
            ("arm", None | Some("7")) => Some("v7"),
            ("arm", Some("6")) => Some("v6"),
            ("arm", Some("5")) => Some("v5"),
            (_, variant) => variant,
        };
        Self {
            os: os.to_owned(),
            arch: arch.to_owned(),
            variant: variant.map(str::to_owned),
        }
    }

    /// What guests on this machine run: Linux on the host's architecture.
    pub fn host() -> Self {
        Self::new("linux", std::env::consts::ARCH, None)
    }

    /// How well an image for `other` suits a machine of this platform: `None` if it does not run,
    /// else the lower the better.
    pub fn distance(&self, other: &Platform) -> Option<u32> {
        if self.os != other.os || self.arch != other.arch {
            return None;
        }
        let level = |variant: &Option<String>, plain: u32| match variant {
            None => Some(plain),
            Some(text) => text.strip_prefix('v')?.parse().ok(),
        };
        // An older variant's programs run on a newer machine, not the other way round.
        let plain = match self.arch.as_str() {
            "arm64" => 8,
            "arm" => 7,
            _ => 1,
        };
        match (level(&self.variant, plain), level(&other.variant, plain)) {
            (Some(ours), Some(theirs)) => ours.checked_sub(theirs),
            _ => (self.variant == other.variant).then_some(0),
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.arch)?;
        match &self.variant {
            Some(variant) => write!(f, "/{variant}"),
            None => Ok(()),
        }
    }
}

impl FromStr for Platform {
    type Err = ParsePlatformError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts: Vec<&str> = text.split('/').collect();
        let good = |part: &&str| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b))
        };
        match parts[..] {
            _ if !parts.iter().all(good) => Err(ParsePlatformError {
                text: text.chars().take(80).collect(),
            }),
            [os, arch] => Ok(Self::new(os, arch, None)),
            [os, arch, variant] => Ok(Self::new(os, arch, Some(variant))),
            _ => Err(ParsePlatformError {
                text: text.chars().take(80).collect(),
            }),
        }
    }
}

#[cfg(test)]
#[path = "platform_test.rs"]
mod tests;
