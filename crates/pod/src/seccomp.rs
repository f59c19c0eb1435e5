//! containerd's default seccomp profile.
//!
//! `seccomp.json` is what `contrib/seccomp` of containerd v2.4.2 makes (Apache-2.0, The containerd
//! Authors), in the form in which Docker publishes such profiles: each rule may name the
//! architectures and capabilities that it is for, or not for.

use serde::Deserialize;
use serde_json::{Value as Json, json};

const PROFILE: &str = include_str!("seccomp.json");

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Profile {
    default_action: String,
    architectures: Json,
    syscalls: Vec<Rule>,
}

#[derive(Deserialize)]
struct Rule {
    #[serde(default)]
    includes: Filter,
    #[serde(default)]
    excludes: Filter,
    #[serde(flatten)]
    rule: serde_json::Map<String, Json>,
}

#[derive(Deserialize, Default)]
struct Filter {
    #[serde(default)]
    arches: Vec<String>,
    #[serde(default)]
    caps: Vec<String>,
}

/// The profile for a container with these capabilities on the architecture `arch` (`amd64` or
/// `arm64`), as `linux.seccomp` of the OCI runtime specification.
///
/// # Errors
/// Only if the embedded profile could not be read.
pub(crate) fn default_profile(arch: &str, capabilities: &[&str]) -> serde_json::Result<Json> {
    let profile: Profile = serde_json::from_str(PROFILE)?;
    let has = |caps: &[String]| caps.iter().any(|cap| capabilities.contains(&cap.as_str()));
    let rules: Vec<_> = profile
        .syscalls
        .into_iter()
        .filter(|rule| {
            let arches = &rule.includes.arches;
            (arches.is_empty() || arches.iter().any(|a| a == arch))
                && (rule.includes.caps.is_empty() || has(&rule.includes.caps))
                && !has(&rule.excludes.caps)
        })
        .map(|rule| rule.rule)
        .collect();
    Ok(json!({
        "defaultAction": profile.default_action,
        "architectures": profile.architectures[arch],
        "syscalls": rules,
    }))
}

#[cfg(test)]
#[path = "seccomp_test.rs"]
mod tests;
