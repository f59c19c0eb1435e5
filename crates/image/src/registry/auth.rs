//! Logging in where a registry asks for it: Basic, and Bearer by its token endpoint
//! (distribution specification, "Authentication"; docker's "Token Authentication").

use std::io::Read;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ureq::http::{HeaderMap, HeaderValue, Request, header};

use super::http::{Endpoint, broken};
use super::{Credentials, Error};

/// Tokens of cloud registries have some ten thousand bytes.
const MAX_TOKEN: u64 = 1 << 20;

#[derive(serde::Deserialize)]
struct Token {
    #[serde(default)]
    token: String,
    #[serde(default)]
    access_token: String,
}

/// The value of the Authorization header that the challenges of a 401 ask for; `None` if there
/// is nothing to show.
pub(super) fn authorize(
    endpoint: &Endpoint,
    repository: &str,
    headers: &HeaderMap,
) -> Result<Option<String>, Error> {
    let mut basic = false;
    for value in headers.get_all(header::WWW_AUTHENTICATE) {
        let challenges = value
            .to_str()
            .ok()
            .and_then(|v| http_auth::parse_challenges(v).ok());
        for challenge in challenges.unwrap_or_default() {
            if challenge.scheme.eq_ignore_ascii_case("Bearer") {
                let param = |name: &str| {
                    let mut params = challenge.params.iter();
                    params
                        .find(|(key, _)| key.eq_ignore_ascii_case(name))
                        .map(|(_, value)| value.to_unescaped())
                };
                if let Some(realm) = param("realm") {
                    let service = param("service").unwrap_or_default();
                    return bearer(endpoint, repository, &realm, &service).map(Some);
                }
            }
            basic |= challenge.scheme.eq_ignore_ascii_case("Basic");
        }
    }
    match &endpoint.credentials {
        Some(Credentials::Password { user, password }) if basic => {
            Ok(Some(basic_value(user, password)))
        }
        _ => Ok(None),
    }
}

fn basic_value(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

/// Asks the token endpoint for a token that may pull from the repository.
fn bearer(
    endpoint: &Endpoint,
    repository: &str,
    realm: &str,
    service: &str,
) -> Result<String, Error> {
    let shown = crate::one_line(realm);
    let failed = |reason: &str| Error::Token {
        registry: endpoint.name().to_owned(),
        realm: shown.clone(),
        reason: reason.to_owned(),
    };
    let in_the_clear = endpoint.is_plain() && realm.starts_with("http://");
    if !realm.starts_with("https://") && !in_the_clear {
        // Credentials must not go out in the clear because a registry says so.
        return Err(failed("it is not https"));
    }
    let mut form = format!("scope={}", encode(&format!("repository:{repository}:pull")));
    if !service.is_empty() {
        form.push_str(&format!("&service={}", encode(service)));
    }
    let answer = if let Some(Credentials::Identity(token)) = &endpoint.credentials {
        let body = format!(
            "grant_type=refresh_token&client_id=skete&refresh_token={}&{form}",
            encode(token)
        );
        let request = Request::post(realm)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(body)
            .map_err(|_| failed("it is not a URL"))?;
        endpoint.send(request, Some(endpoint.small))?
    } else {
        let separator = if realm.contains('?') { '&' } else { '?' };
        let mut request = Request::get(format!("{realm}{separator}{form}"));
        if let Some(Credentials::Password { user, password }) = &endpoint.credentials {
            request = request.header(header::AUTHORIZATION, basic_value(user, password));
        }
        let request = request.body(()).map_err(|_| failed("it is not a URL"))?;
        endpoint.send(request, Some(endpoint.small))?
    };
    let host = answer.host.clone();
    match (answer.status, &endpoint.credentials) {
        (200, _) => {}
        (400 | 401 | 403, Some(_)) => {
            return Err(Error::LoginRefused {
                registry: endpoint.name().to_owned(),
            });
        }
        (401 | 403, None) => {
            return Err(Error::NotFound {
                registry: endpoint.name().to_owned(),
            });
        }
        (status, _) => return Err(answer_status(endpoint, status)),
    }
    let mut text = Vec::new();
    let mut body = answer.body.take(MAX_TOKEN + 1);
    body.read_to_end(&mut text)
        .map_err(|error| broken(&host, &error))?;
    if text.len() as u64 > MAX_TOKEN {
        return Err(failed("its answer is too long"));
    }
    let token: Token =
        serde_json::from_slice(&text).map_err(|_| failed("its answer is not one of JSON"))?;
    let token = match token.token.as_str() {
        "" => token.access_token,
        _ => token.token,
    };
    let value = format!("Bearer {token}");
    // A token with a line break would be a header of the sender's own making.
    if token.is_empty() || HeaderValue::from_str(&value).is_err() {
        return Err(failed("its token is not one"));
    }
    Ok(value)
}

fn answer_status(endpoint: &Endpoint, status: u16) -> Error {
    endpoint.status(status, "at its token endpoint".to_owned())
}

/// Percent-encodes a value of a form (all but RFC 3986's unreserved characters).
fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(byte));
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}
