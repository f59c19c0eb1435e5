//! The server of `skete cost serve`: HTTP/1.1 in, what [`skete_billing::opencost`] answers out.
//!
//! It is for clients on this machine or behind a proxy, and bounded for all: requests have no body, and
//! connections, headers and time are limited.

mod machine;

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue};
use hyper::header::{HOST, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use jiff::Timestamp;
use skete_billing::PriceList;
use skete_billing::opencost::{self, Detail, Known, Node, Query};
use skete_usage::Window;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Semaphore;

use crate::failure::Failure;
use crate::paths::Paths;
use crate::uses::{in_detail, uses};

/// Connections at a time; others wait.
const CONNECTIONS: usize = 64;
/// Answers that are made at a time: each reads all journals.
const ANSWERS: usize = 2;
/// Bytes of a request at most.
const MAX_REQUEST: usize = 32 << 10;
/// Headers of a request at most.
const MAX_HEADERS: usize = 64;
/// Longest time for a request to arrive.
const HEADER_TIME: Duration = Duration::from_secs(10);
/// Longest time for a connection, however it is used.
const CONNECTION_TIME: Duration = Duration::from_secs(300);

const JSON: &str = "application/json";
/// The page has its own scripts and styles, and loads nothing from elsewhere.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What answers.
#[derive(Debug)]
pub struct Server {
    paths: Paths,
    list: PriceList,
    node: Node,
    detail: Detail,
    /// Nobody but this machine reaches it.
    local: bool,
    answers: Semaphore,
}

/// An answer: its code, its type, its text.
type Answer = (StatusCode, &'static str, String);

impl Server {
    /// For the journals below these paths; `local` if nobody but this machine reaches it.
    ///
    /// # Errors
    /// The machine cannot be looked at.
    pub fn new(
        paths: Paths,
        list: PriceList,
        cluster: String,
        detail: Detail,
        local: bool,
    ) -> Result<Self, Failure> {
        Ok(Self {
            paths,
            list,
            node: machine::node(cluster)?,
            detail,
            local,
            answers: Semaphore::new(ANSWERS),
        })
    }

    /// Whether a request is for this server. A page from elsewhere that gives its own name this
    /// machine's address would otherwise read what only this machine may.
    fn is_meant(&self, host: Option<&str>) -> bool {
        let Some(host) = host.filter(|_| self.local) else {
            return true;
        };
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
            _ => host,
        };
        let address = name.trim_start_matches('[').trim_end_matches(']');
        name == "localhost" || address.parse::<IpAddr>().is_ok()
    }

    /// Answers what stands in a request's line.
    fn answer(&self, path: &str, query: &str) -> Answer {
        match path {
            "/healthz" => (
                StatusCode::OK,
                "text/plain; charset=utf-8",
                "ok\n".to_owned(),
            ),
            "/" => page("text/html; charset=utf-8", include_str!("page/index.html")),
            "/page.css" => page("text/css; charset=utf-8", include_str!("page/page.css")),
            "/page.js" => page(
                "text/javascript; charset=utf-8",
                include_str!("page/page.js"),
            ),
            "/prices" => (StatusCode::OK, JSON, self.prices()),
            _ => match self.known(path, query) {
                Ok(answer) => answer,
                Err(failure) => refused(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    failure.message().unwrap_or_default(),
                ),
            },
        }
    }

    /// Answers what has to be looked up.
    fn known(&self, path: &str, query: &str) -> Result<Answer, Failure> {
        // OpenCost's own page asks below /model.
        let path = path.strip_prefix("/model").unwrap_or(path);
        type Asked = fn(&Query, Known<'_>) -> Result<String, opencost::QueryError>;
        let asked: Option<Asked> = match path {
            "/allocation" | "/allocation/compute" => Some(opencost::allocation),
            "/allocation/summary" | "/allocation/compute/summary" => Some(opencost::summary),
            "/assets" => Some(opencost::assets),
            "/metrics" => None,
            _ => return Ok(refused(StatusCode::NOT_FOUND, "there is no such path")),
        };
        let now_ns = i64::try_from(Timestamp::now().as_nanosecond())?;
        let query = match asked.map(|asked| Ok((asked, Query::parse(query, now_ns)?))) {
            None => None,
            Some(Ok(query)) => Some(query),
            Some(Err(error)) => return Ok(unanswered(&error)),
        };
        // Each Pod whole: on its life depends what a part of it costs.
        let uses = uses(&self.paths, false, Window::ALL)?;
        let one = query.as_ref().and_then(|(_, query)| {
            let pod = uses
                .pods
                .iter()
                .find(|used| query.pod() == Some(&used.pod.uid))?;
            Some((pod, query.steps()))
        });
        let fine = match one {
            Some((pod, steps)) => in_detail(&self.paths, pod, steps)?,
            None => None,
        };
        let known = Known {
            pods: &uses.pods,
            fine: fine.as_ref(),
            list: &self.list,
            node: &self.node,
            now_ns,
            unreadable: uses.problems.len(),
        };
        Ok(match query {
            None => {
                let text = opencost::metrics(known, self.detail);
                (
                    StatusCode::OK,
                    "text/plain; version=0.0.4; charset=utf-8",
                    text,
                )
            }
            Some((asked, query)) => match asked(&query, known) {
                Ok(text) => (StatusCode::OK, JSON, text),
                Err(error) => unanswered(&error),
            },
        })
    }

    /// By which prices, for the page.
    fn prices(&self) -> String {
        let list = &self.list;
        serde_json::json!({
            "name": list.name,
            "title": list.title,
            "version": list.version,
            "currency": list.currency.code(),
        })
        .to_string()
    }
}

fn page(kind: &'static str, text: &str) -> Answer {
    (StatusCode::OK, kind, text.to_owned())
}

fn refused(code: StatusCode, message: &str) -> Answer {
    (code, JSON, opencost::error(code.as_u16(), message))
}

fn unanswered(error: &opencost::QueryError) -> Answer {
    refused(StatusCode::BAD_REQUEST, &error.to_string())
}

/// Serves until SIGINT or SIGTERM.
///
/// # Errors
/// The signals cannot be waited for.
pub async fn serve(listener: TcpListener, server: Server) -> Result<(), Failure> {
    let server = Arc::new(server);
    let connections = Arc::new(Semaphore::new(CONNECTIONS));
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    loop {
        let accepted = async {
            let place = Arc::clone(&connections).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            accepted = accepted => accepted,
            _ = interrupt.recv() => return Ok(()),
            _ = terminate.recv() => return Ok(()),
        };
        let Ok((stream, _)) = accepted else {
            // Of this process' files there may be none left: others will close theirs.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let server = Arc::clone(&server);
        tokio::spawn(async move {
            let _place = place;
            let service = service_fn(|request| respond(Arc::clone(&server), request));
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER_TIME)
                .max_buf_size(MAX_REQUEST)
                .max_headers(MAX_HEADERS)
                .serve_connection(TokioIo::new(stream), service);
            // A client that went away is no error of ours.
            let _ = tokio::time::timeout(CONNECTION_TIME, connection).await;
        });
    }
}

async fn respond(
    server: Arc<Server>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let is_get = request.method() == Method::GET || request.method() == Method::HEAD;
    let host = request
        .headers()
        .get(HOST)
        .map(|host| host.to_str().unwrap_or(""));
    let (code, kind, text) = if !server.is_meant(host) {
        refused(
            StatusCode::MISDIRECTED_REQUEST,
            "want an address or localhost as the host: the server is this machine's own",
        )
    } else if is_get {
        let path = request.uri().path().to_owned();
        let query = request.uri().query().unwrap_or_default().to_owned();
        let _turn = server.answers.acquire().await;
        let worker = Arc::clone(&server);
        // It reads files, and may count for long.
        let answer = tokio::task::spawn_blocking(move || worker.answer(&path, &query));
        answer.await.unwrap_or_else(|_| {
            refused(
                StatusCode::INTERNAL_SERVER_ERROR,
                "the answer could not be made",
            )
        })
    } else {
        refused(StatusCode::METHOD_NOT_ALLOWED, "want GET")
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = code;
    let headers = response.headers_mut();
    for (name, value) in [
        (CONTENT_TYPE, kind),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (CACHE_CONTROL, "no-store"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if code == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    Ok(response)
}

#[cfg(test)]
#[path = "cost_server_test.rs"]
mod tests;
