//! Credentials as docker keeps them: `config.json` and credential helpers.

use std::collections::HashMap;
use std::fmt;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

/// The file and a helper's answer are read up to this many bytes.
const MAX_BYTES: u64 = 1 << 20;
/// Some helpers ask a cloud's server; none should ask a person.
const HELPER_TIME: Duration = Duration::from_secs(30);
/// The key of docker.io in `config.json`, for historical reasons.
const DOCKER_KEY: &str = "https://index.docker.io/v1/";

/// Credentials cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// `config.json` is there and cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// `config.json` is not what docker writes.
    #[error("{} is not docker's configuration", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// An entry of `auths` does not hold a name and a password.
    #[error(
        "{}: the entry of {registry} is not base64 of NAME:PASSWORD; run: docker login {registry}",
        path.display()
    )]
    Entry {
        /// The file.
        path: PathBuf,
        /// The registry.
        registry: String,
    },
    /// A helper's name is not the end of a program's name.
    #[error("{}: {name:?} is not a credential helper's name", path.display())]
    HelperName {
        /// The file.
        path: PathBuf,
        /// The wrong name.
        name: String,
    },
    /// A helper is not installed or cannot be run.
    #[error("cannot run {program} for the credentials of {registry}; install it or remove it from {}", path.display())]
    HelperStart {
        /// The helper's program.
        program: String,
        /// The registry.
        registry: String,
        /// The file that names it.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A helper failed.
    #[error("{program} has no credentials for {registry}: {reason}")]
    Helper {
        /// The helper's program.
        program: String,
        /// The registry.
        registry: String,
        /// What it said, in one line.
        reason: String,
    },
}

/// What a registry is shown.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// A name and a password.
    Password {
        /// The name.
        user: String,
        /// The password or access token.
        password: String,
    },
    /// A refresh token from an OAuth2 login (`identitytoken`).
    Identity(String),
}

impl fmt::Debug for Credentials {
    // A password must not reach a log by way of a derived Debug.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Password { user, .. } => write!(f, "Password({user:?}, …)"),
            Self::Identity(_) => write!(f, "Identity(…)"),
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ConfigFile {
    auths: HashMap<String, Entry>,
    cred_helpers: HashMap<String, String>,
    creds_store: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Entry {
    auth: String,
    username: String,
    password: String,
    identitytoken: String,
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Entry(…)")
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HelperAnswer {
    username: String,
    secret: String,
}

/// Docker's configuration file, as far as it speaks of credentials.
#[derive(Debug, Default)]
pub struct DockerConfig {
    path: PathBuf,
    file: ConfigFile,
}

impl DockerConfig {
    /// The file that docker's client would read: `$DOCKER_CONFIG/config.json`, else
    /// `~/.docker/config.json`. `None` if neither variable is set.
    pub fn default_path() -> Option<PathBuf> {
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        match set("DOCKER_CONFIG") {
            Some(folder) => Some(Path::new(&folder).join("config.json")),
            None => set("HOME").map(|home| Path::new(&home).join(".docker/config.json")),
        }
    }

    /// Reads docker's configuration; one that is not there has no credentials.
    ///
    /// # Errors
    /// When the file cannot be read or parsed.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let mut text = Vec::new();
        let read =
            std::fs::File::open(path).and_then(|file| file.take(MAX_BYTES).read_to_end(&mut text));
        let file = match read {
            Ok(_) => serde_json::from_slice(&text).map_err(|source| Error::Parse {
                path: path.to_owned(),
                source,
            })?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => ConfigFile::default(),
            Err(source) => {
                return Err(Error::Read {
                    path: path.to_owned(),
                    source,
                });
            }
        };
        Ok(Self {
            path: path.to_owned(),
            file,
        })
    }

    /// The credentials of a registry (`HOST[:PORT]`), if there are any.
    ///
    /// # Errors
    /// When an entry is malformed, or a helper cannot be run or fails.
    pub fn get(&self, registry: &str) -> Result<Option<Credentials>, Error> {
        // As docker does: the registry's own helper, else the store, and else the file.
        let helper = self
            .file
            .cred_helpers
            .iter()
            .find(|(key, _)| host_of(key) == registry)
            .map(|(_, helper)| helper.as_str())
            .or(Some(self.file.creds_store.as_str()))
            .filter(|helper| !helper.is_empty());
        if let Some(helper) = helper
            && let Some(found) = self.ask_helper(helper, registry)?
        {
            return Ok(Some(found));
        }
        let entry = self.file.auths.get(registry).or_else(|| {
            let mut entries = self.file.auths.iter();
            entries
                .find(|(key, _)| host_of(key) == registry)
                .map(|(_, entry)| entry)
        });
        entry.map_or(Ok(None), |entry| self.entry(entry, registry))
    }

    fn entry(&self, entry: &Entry, registry: &str) -> Result<Option<Credentials>, Error> {
        if !entry.identitytoken.is_empty() {
            return Ok(Some(Credentials::Identity(entry.identitytoken.clone())));
        }
        if !entry.auth.is_empty() {
            let decoded = STANDARD.decode(&entry.auth).ok();
            let text = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
            let pair = text.as_deref().and_then(|text| text.split_once(':'));
            let (user, password) = pair.ok_or_else(|| Error::Entry {
                path: self.path.clone(),
                registry: registry.to_owned(),
            })?;
            return Ok(Some(Credentials::Password {
                user: user.to_owned(),
                password: password.trim_end_matches('\0').to_owned(),
            }));
        }
        // `docker login` with a store leaves an empty entry behind.
        Ok((!entry.username.is_empty()).then(|| Credentials::Password {
            user: entry.username.clone(),
            password: entry.password.clone(),
        }))
    }

    fn ask_helper(&self, helper: &str, registry: &str) -> Result<Option<Credentials>, Error> {
        if !helper
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        {
            return Err(Error::HelperName {
                path: self.path.clone(),
                name: helper.chars().take(80).collect(),
            });
        }
        let program = format!("docker-credential-{helper}");
        let key = match registry {
            "docker.io" => DOCKER_KEY,
            other => other,
        };
        let (success, answer) = run_helper(&program, key).map_err(|source| Error::HelperStart {
            program: program.clone(),
            registry: registry.to_owned(),
            path: self.path.clone(),
            source,
        })?;
        let failed = |reason: &str| Error::Helper {
            program: program.clone(),
            registry: registry.to_owned(),
            reason: crate::one_line(reason),
        };
        if !success {
            let said = String::from_utf8_lossy(&answer);
            // The protocol's own words for "none": docker/docker-credential-helpers, errors.go.
            if said.contains("credentials not found") {
                return Ok(None);
            }
            return Err(failed(said.trim()));
        }
        let answer: HelperAnswer =
            serde_json::from_slice(&answer).map_err(|_| failed("its answer is not JSON"))?;
        Ok(Some(match answer.username.as_str() {
            "<token>" => Credentials::Identity(answer.secret),
            _ => Credentials::Password {
                user: answer.username,
                password: answer.secret,
            },
        }))
    }
}

/// The host in a key of `auths`: with or without scheme, with or without path.
fn host_of(key: &str) -> &str {
    let rest = key
        .strip_prefix("https://")
        .or_else(|| key.strip_prefix("http://"))
        .unwrap_or(key);
    match rest.split('/').next().unwrap_or(rest) {
        "index.docker.io" | "registry-1.docker.io" => "docker.io",
        host => host,
    }
}

/// Runs a helper's `get`, whose answer is on standard output also when it fails.
fn run_helper(program: &str, key: &str) -> std::io::Result<(bool, Vec<u8>)> {
    let mut child = Command::new(program)
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // A helper that does not read its input answers by its exit code.
        let _ = stdin.write_all(key.as_bytes());
    }
    let stdout = child.stdout.take();
    let reader = std::thread::spawn(move || {
        let mut answer = Vec::new();
        if let Some(stdout) = stdout {
            let _ = stdout.take(MAX_BYTES).read_to_end(&mut answer);
        }
        answer
    });
    let status = wait_for(&mut child)?;
    // What a helper leaves running may keep the pipe open, so its answer is not awaited for ever.
    let start = Instant::now();
    while !reader.is_finished() && start.elapsed() < Duration::from_secs(2) {
        std::thread::sleep(Duration::from_millis(5));
    }
    if !reader.is_finished() {
        return Err(std::io::Error::other("it ended and left its output open"));
    }
    Ok((status.success(), reader.join().unwrap_or_default()))
}

fn wait_for(child: &mut Child) -> std::io::Result<std::process::ExitStatus> {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if start.elapsed() > HELPER_TIME {
            let _ = child.kill();
            let _ = child.wait();
            return Err(std::io::Error::new(
                std::io::ErrorKind::TimedOut,
                format!("no answer within {} s", HELPER_TIME.as_secs()),
            ));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[cfg(test)]
#[path = "credentials_test.rs"]
mod tests;
