//! One host of a registry: requests, redirects, what its statuses mean.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ureq::http::{HeaderMap, Request, Uri, header};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Body, BodyReader};

use super::auth;
use super::config::Host;
use super::{Credentials, Error};
use crate::limits::Timeouts;

/// Registries send blobs to other hosts by one redirect, or by two.
const MAX_REDIRECTS: usize = 5;
/// The beginning of an error's body that is read for its message.
const MAX_ERROR_BODY: u64 = 16 << 10;
/// All headers of an answer together.
const MAX_HEADERS: usize = 64 << 10;

/// One host that is asked for a repository's content.
pub(super) struct Endpoint {
    host: Host,
    /// `SCHEME://HOST[:PORT]`.
    base: String,
    /// The registry a mirror stands for, sent along as containerd does.
    namespace: Option<String>,
    pub(super) agent: Agent,
    pub(super) credentials: Option<Credentials>,
    /// The value of the Authorization header, once the host has asked for one.
    authorization: Mutex<Option<String>>,
    pub(super) small: Duration,
}

/// An answer whose body is still to be read.
pub(super) struct Answer {
    pub(super) status: u16,
    /// The host that gave it, after redirects.
    pub(super) host: String,
    pub(super) headers: HeaderMap,
    pub(super) length: Option<u64>,
    pub(super) body: BodyReader<'static>,
}

impl Answer {
    /// The answer if it is one of success, else the error that `make` makes of its status and of
    /// the registry's own words.
    pub(super) fn or_error(mut self, make: impl Fn(u16, String) -> Error) -> Result<Self, Error> {
        if matches!(self.status, 200 | 206) {
            return Ok(self);
        }
        let message = message_of(&mut self.body);
        Err(make(self.status, message))
    }
}

impl Endpoint {
    pub(super) fn new(
        host: Host,
        registry: &str,
        credentials: Option<Credentials>,
        timeouts: &Timeouts,
    ) -> Result<Self, Error> {
        let scheme = if host.plain_http { "http" } else { "https" };
        let address = match host.name.as_str() {
            "docker.io" => "registry-1.docker.io",
            name => name,
        };
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("skete/", env!("CARGO_PKG_VERSION")))
            .accept_encoding("identity")
            .max_response_header_size(MAX_HEADERS)
            .timeout_resolve(Some(timeouts.connect))
            .timeout_connect(Some(timeouts.connect))
            .timeout_send_request(Some(timeouts.idle))
            .timeout_recv_response(Some(timeouts.response))
            .timeout_per_read(Some(timeouts.idle));
        // A proxy of the environment cannot reach this machine's own loopback.
        let config = match host.loopback {
            true => config.proxy(None),
            false => config,
        };
        let config = if host.plain_http {
            config
        } else {
            config.tls_config(
                TlsConfig::builder()
                    .root_certs(roots(host.ca.as_deref())?)
                    .build(),
            )
        };
        Ok(Self {
            base: format!("{scheme}://{address}"),
            namespace: host.mirror.then(|| registry.to_owned()),
            agent: config.build().into(),
            credentials,
            authorization: Mutex::new(None),
            small: timeouts.small,
            host,
        })
    }

    /// The host as it is called by people.
    pub(super) fn name(&self) -> &str {
        &self.host.name
    }

    pub(super) fn is_plain(&self) -> bool {
        self.host.plain_http
    }

    /// GETs `/v2/NAME/PATH`, from `offset` on, logging in if the host asks for it. With `whole`
    /// the body must have come within that time.
    pub(super) fn get(
        &self,
        name: &str,
        path: &str,
        accept: Option<&str>,
        offset: u64,
        whole: Option<Duration>,
    ) -> Result<Answer, Error> {
        let mut url = format!("{}/v2/{name}/{path}", self.base);
        if let Some(namespace) = &self.namespace {
            url.push_str("?ns=");
            url.push_str(namespace);
        }
        let known = self.authorization().clone();
        let answer = self.follow(&url, accept, offset, whole, known.as_deref())?;
        if answer.status != 401 {
            return Ok(answer);
        }
        // Either no token yet, or one that ran out in the middle of a long pull.
        match auth::authorize(self, name, &answer.headers)? {
            Some(value) => {
                *self.authorization() = Some(value.clone());
                let answer = self.follow(&url, accept, offset, whole, Some(&value))?;
                if answer.status == 401 && self.credentials.is_some() {
                    return Err(Error::LoginRefused {
                        registry: self.name().to_owned(),
                    });
                }
                Ok(answer)
            }
            None => Ok(answer),
        }
    }

    fn authorization(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        self.authorization
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Follows redirects by hand: credentials go to this very host and to no other.
    fn follow(
        &self,
        url: &str,
        accept: Option<&str>,
        offset: u64,
        whole: Option<Duration>,
        authorization: Option<&str>,
    ) -> Result<Answer, Error> {
        let origin = parse(url).ok_or_else(|| self.redirect("to a name that is no URL"))?;
        let mut target = origin.clone();
        for _ in 0..=MAX_REDIRECTS {
            let mut request = Request::get(target.clone());
            if let Some(accept) = accept {
                request = request.header(header::ACCEPT, accept);
            }
            if offset > 0 {
                request = request.header(header::RANGE, format!("bytes={offset}-"));
            }
            if let Some(value) = authorization
                && same_origin(&origin, &target)
            {
                request = request.header(header::AUTHORIZATION, value);
            }
            let request = request
                .body(())
                .map_err(|_| self.redirect("to a name that is no URL"))?;
            let answer = self.send(request, whole)?;
            if !matches!(answer.status, 301 | 302 | 303 | 307 | 308) {
                return Ok(answer);
            }
            let location = answer
                .headers
                .get(header::LOCATION)
                .and_then(|v| v.to_str().ok());
            let next = location.and_then(|location| join(&target, location));
            let next = next.ok_or_else(|| self.redirect("to a name that is no URL"))?;
            if target.scheme_str() == Some("https") && next.scheme_str() != Some("https") {
                return Err(self.redirect("from https to http, which is not followed"));
            }
            target = next;
        }
        Err(self.redirect("in a circle"))
    }

    /// Sends one request and awaits the head of the answer.
    pub(super) fn send<B: ureq::AsSendBody>(
        &self,
        request: Request<B>,
        whole: Option<Duration>,
    ) -> Result<Answer, Error> {
        let host = request.uri().authority().map_or_else(
            || self.name().to_owned(),
            |authority| match authority.as_str() {
                "registry-1.docker.io" => "docker.io".to_owned(),
                other => other.to_owned(),
            },
        );
        let request = self
            .agent
            .configure_request(request)
            .timeout_global(whole)
            .build();
        let response = self
            .agent
            .run(request)
            .map_err(|error| connect(&host, error))?;
        let (parts, body): (_, Body) = response.into_parts();
        Ok(Answer {
            status: parts.status.as_u16(),
            host,
            length: body.content_length(),
            headers: parts.headers,
            body: body.into_reader(),
        })
    }

    /// What a status means that has no meaning of its own for the question.
    pub(super) fn status(&self, status: u16, message: String) -> Error {
        let registry = self.name().to_owned();
        match status {
            401 | 403 => Error::Denied { registry, message },
            429 => Error::TooMany { registry },
            _ => Error::Status {
                registry,
                status,
                message,
            },
        }
    }

    fn redirect(&self, reason: &str) -> Error {
        Error::Redirect {
            registry: self.name().to_owned(),
            reason: reason.to_owned(),
        }
    }
}

/// The certificates to trust: the machine's own, so that a company's are among them, or Mozilla's
/// where the machine has none; and those of a file.
fn roots(ca: Option<&Path>) -> Result<RootCerts, Error> {
    let native = rustls_native_certs::load_native_certs();
    let mut certificates: Vec<Certificate<'static>> = native
        .certs
        .iter()
        .map(|certificate| Certificate::from_der(certificate).to_owned())
        .collect();
    if let Some(path) = ca {
        let wrong = |reason: String| Error::Certificates {
            path: path.display().to_string(),
            reason,
        };
        let pem = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
        let before = certificates.len();
        for item in parse_pem(&pem) {
            match item {
                Ok(PemItem::Certificate(certificate)) => certificates.push(certificate),
                Ok(_) => {}
                Err(error) => return Err(wrong(crate::one_line(&error.to_string()))),
            }
        }
        if certificates.len() == before {
            return Err(wrong("it has none; want PEM".to_owned()));
        }
    }
    Ok(match certificates.is_empty() {
        true => RootCerts::WebPki,
        false => RootCerts::Specific(Arc::new(certificates)),
    })
}

fn parse(url: &str) -> Option<Uri> {
    let uri: Uri = url.parse().ok()?;
    let known = matches!(uri.scheme_str(), Some("http" | "https"));
    // A user name in a URL would be sent to that host as credentials.
    let plain = !uri.authority()?.as_str().contains('@');
    (known && plain).then_some(uri)
}

/// A Location header's target: a whole URL or an absolute path.
fn join(base: &Uri, location: &str) -> Option<Uri> {
    if location.starts_with('/') && !location.starts_with("//") {
        parse(&format!(
            "{}://{}{location}",
            base.scheme_str()?,
            base.authority()?
        ))
    } else {
        parse(location)
    }
}

fn same_origin(one: &Uri, other: &Uri) -> bool {
    let port = |uri: &Uri| {
        uri.port_u16().or(match uri.scheme_str() {
            Some("https") => Some(443),
            _ => Some(80),
        })
    };
    let host = |uri: &Uri| uri.host().map(str::to_ascii_lowercase);
    one.scheme() == other.scheme() && host(one) == host(other) && port(one) == port(other)
}

fn connect(host: &str, error: ureq::Error) -> Error {
    let registry = host.to_owned();
    match error {
        ureq::Error::Timeout(timeout) => Error::Slow {
            registry,
            reason: slow(timeout),
        },
        ureq::Error::HostNotFound => Error::Connect {
            registry,
            reason: "there is no such host; check the name and this machine's DNS".to_owned(),
            transient: false,
        },
        ureq::Error::Io(error) => {
            let mut reason = crate::one_line(&error.to_string());
            if reason.starts_with("failed to lookup") {
                reason.push_str("; check the name and this machine's DNS");
                let transient = reason.contains("Temporary");
                return Error::Connect {
                    registry,
                    reason,
                    transient,
                };
            }
            let tls = reason.contains("certificate");
            Error::Connect {
                registry,
                reason,
                transient: !tls && error.kind() != io::ErrorKind::ConnectionRefused,
            }
        }
        error @ (ureq::Error::Rustls(_) | ureq::Error::Tls(_)) => Error::Connect {
            registry,
            reason: format!(
                "{}; is it plain HTTP or does it need a certificate? See registries.toml",
                crate::one_line(&error.to_string())
            ),
            transient: false,
        },
        error => Error::Connect {
            registry,
            reason: crate::one_line(&error.to_string()),
            transient: false,
        },
    }
}

/// What a failure in the middle of a body was.
pub(super) fn broken(host: &str, error: &io::Error) -> Error {
    let registry = host.to_owned();
    let inner = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<ureq::Error>());
    match inner {
        Some(ureq::Error::Timeout(timeout)) => Error::Slow {
            registry,
            reason: slow(*timeout),
        },
        _ if error.kind() == io::ErrorKind::TimedOut => Error::Slow {
            registry,
            reason: crate::one_line(&error.to_string()),
        },
        _ => Error::Broken {
            registry,
            reason: crate::one_line(&error.to_string()),
        },
    }
}

fn slow(timeout: ureq::Timeout) -> String {
    match timeout {
        ureq::Timeout::PerRead => "no byte came in time".to_owned(),
        ureq::Timeout::Resolve => "its name was not resolved in time".to_owned(),
        ureq::Timeout::Connect => "no connection in time".to_owned(),
        ureq::Timeout::RecvResponse => "no answer in time".to_owned(),
        _ => "the whole answer did not come in time".to_owned(),
    }
}

/// The registry's own words in an error's body (distribution specification, "Error Codes").
fn message_of(body: &mut BodyReader<'static>) -> String {
    use io::Read;
    #[derive(serde::Deserialize)]
    struct Envelope {
        errors: Vec<Entry>,
    }
    #[derive(serde::Deserialize)]
    struct Entry {
        #[serde(default)]
        code: String,
        #[serde(default)]
        message: String,
    }
    let mut text = Vec::new();
    // What of it came before a failure is of use too.
    let _ = body.take(MAX_ERROR_BODY).read_to_end(&mut text);
    let envelope: Option<Envelope> = serde_json::from_slice(&text).ok();
    let first = envelope.and_then(|envelope| envelope.errors.into_iter().next());
    first.map_or_else(String::new, |entry| match entry.message.as_str() {
        "" => crate::one_line(&entry.code),
        message => crate::one_line(message),
    })
}
