//! Logins, tokens and redirects: who gets to see the credentials.

use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use skete_image::{Credentials, PullOptions};

use crate::common::{Place, options, try_pull};
use crate::processes::puller;
use crate::server::{FakeImage, Part, Request, Server, answer, answer_for_ever};

const BASIC: &str = "Basic dXNlcjpzZWNyZXQ=";

fn with_password() -> PullOptions {
    let mut options = options();
    options.credentials = Some(Credentials::Password {
        user: "user".into(),
        password: "secret".into(),
    });
    options
}

fn pull(server: &Server, options: &PullOptions) -> Result<(), String> {
    try_pull(&Place::new().store(), &server.name("some/test:1"), options).map(drop)
}

/// Serves the image to who shows this, and asks all others for it by the challenge.
fn serve_to(
    image: &FakeImage,
    shown: &str,
    challenge: &str,
    request: &Request,
    stream: &mut TcpStream,
) {
    match request.header("authorization") {
        Some(value) if value == shown => image.serve(request, stream),
        _ => answer(
            stream,
            "401 Unauthorized",
            &[("WWW-Authenticate", challenge)],
            b"",
        ),
    }
}

/// A registry that wants `Bearer good`, and `token` to answer for where tokens are.
fn token_registry(token: impl Fn(&Request, &mut TcpStream) + Send + Sync + 'static) -> Server {
    let image = FakeImage::new(10_000);
    Server::start(move |request, stream| {
        if request.path().starts_with("/token") {
            return token(request, stream);
        }
        let host = request.header("host").unwrap();
        let challenge = format!("Bearer realm=\"http://{host}/token\",service=\"a service\"");
        serve_to(&image, "Bearer good", &challenge, request, stream);
    })
}

#[test]
fn a_token_is_asked_for_once_with_the_scope_and_the_password() {
    let server = token_registry(|_, stream| answer(stream, "200 OK", &[], br#"{"token": "good"}"#));

    pull(&server, &with_password()).unwrap();

    let requests = server.requests();
    let tokens: Vec<_> = requests
        .iter()
        .filter(|r| r.path().starts_with("/token"))
        .collect();
    assert_eq!(tokens.len(), 1);
    assert_eq!(
        tokens[0].path(),
        "/token?scope=repository%3Asome%2Ftest%3Apull&service=a%20service"
    );
    assert_eq!(tokens[0].header("authorization"), Some(BASIC));
    let with_token = requests
        .iter()
        .filter(|r| r.header("authorization") == Some("Bearer good"));
    assert_eq!(with_token.count(), 3);
}

#[test]
fn without_credentials_a_token_is_asked_for_without_them() {
    let server = token_registry(|request, stream| match request.header("authorization") {
        None => answer(stream, "200 OK", &[], br#"{"access_token": "good"}"#),
        Some(_) => answer(stream, "400 Bad Request", &[], b""),
    });
    pull(&server, &options()).unwrap();
}

#[test]
fn an_identity_token_is_exchanged_by_oauth() {
    let server = token_registry(|request, stream| {
        let form = "grant_type=refresh_token&client_id=skete&refresh_token=re%2Ffresh%2B&\
                    scope=repository%3Asome%2Ftest%3Apull&service=a%20service";
        assert!(request.line.starts_with("POST /token "));
        match request.body == form {
            true => answer(stream, "200 OK", &[], br#"{"access_token": "good"}"#),
            false => answer(stream, "400 Bad Request", &[], b""),
        }
    });
    let mut options = options();
    options.credentials = Some(Credentials::Identity("re/fresh+".into()));
    pull(&server, &options).unwrap();
}

#[test]
fn a_token_that_runs_out_in_the_middle_is_renewed() {
    let image = FakeImage::new(10_000);
    let given = Arc::new(AtomicUsize::new(0));
    let server = Server::start(move |request, stream| {
        if request.path().starts_with("/token") {
            let n = given.fetch_add(1, Ordering::Relaxed) + 1;
            return answer(
                stream,
                "200 OK",
                &[],
                format!(r#"{{"token": "t{n}"}}"#).as_bytes(),
            );
        }
        // The first token is good for the manifest alone.
        let good = match image.part(request) {
            Part::Manifest => "Bearer t1",
            _ => "Bearer t2",
        };
        let host = request.header("host").unwrap();
        let challenge = format!("bearer Realm=\"http://{host}/token\"");
        serve_to(&image, good, &challenge, request, stream);
    });
    pull(&server, &with_password()).unwrap();
}

#[test]
fn what_is_no_token_is_not_sent() {
    for (body, part) in [
        (
            &br#"{"token": "a\r\nx-injected: 1"}"#[..],
            "its token is not one",
        ),
        (br#"{"token": ""}"#, "its token is not one"),
        (b"{}", "its token is not one"),
        (b"<html>", "its answer is not one of JSON"),
    ] {
        let server = token_registry(move |_, stream| answer(stream, "200 OK", &[], body));
        let line = pull(&server, &with_password()).unwrap_err();
        assert!(line.contains(part) && !line.contains("secret"), "{line}");
    }
    let server = token_registry(|_, stream| {
        answer_for_ever(stream, &[b' '; 65536], std::time::Duration::ZERO);
    });
    let line = pull(&server, &with_password()).unwrap_err();
    assert!(line.contains("its answer is too long"), "{line}");
}

#[test]
fn refused_logins_are_told_from_missing_ones() {
    let refusing = || token_registry(|_, stream| answer(stream, "401 Unauthorized", &[], b""));
    let line = pull(&refusing(), &with_password()).unwrap_err();
    assert!(
        line.contains("refused the credentials; run: docker login 127.0.0.1:"),
        "{line}"
    );
    let line = pull(&refusing(), &options()).unwrap_err();
    assert!(line.contains("does not exist or needs a login"), "{line}");
    let server = token_registry(|_, stream| answer(stream, "200 OK", &[], br#"{"token": "x"}"#));
    let line = pull(&server, &options()).unwrap_err();
    assert!(line.contains("does not exist or needs a login"), "{line}");
}

#[test]
fn a_layer_is_fetched_from_another_host_without_the_credentials() {
    let image = FakeImage::new(10_000);
    let storage = {
        let image = image.clone();
        Server::start(move |_, stream| answer(stream, "200 OK", &[], &image.layer))
    };
    let elsewhere = format!("http://{}/bucket/layer?signature=1", storage.address);
    let server = Server::start(move |request, stream| {
        match (image.part(request), request.header("authorization")) {
            (Part::Layer, Some(BASIC)) => {
                answer(
                    stream,
                    "307 Temporary Redirect",
                    &[("Location", &elsewhere)],
                    b"",
                );
            }
            _ => serve_to(&image, BASIC, "Basic realm=\"x\"", request, stream),
        }
    });

    pull(&server, &with_password()).unwrap();

    let requests = storage.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].path(), "/bucket/layer?signature=1");
    assert_eq!(requests[0].header("authorization"), None);
}

#[test]
fn a_redirect_within_the_host_keeps_the_credentials() {
    let image = FakeImage::new(10_000);
    let server = Server::start(move |request, stream| {
        if request.path() == "/elsewhere" && request.header("authorization") == Some(BASIC) {
            return answer(stream, "200 OK", &[], &image.layer);
        }
        match (image.part(request), request.header("authorization")) {
            (Part::Layer, Some(BASIC)) => {
                answer(stream, "302 Found", &[("Location", "/elsewhere")], b"");
            }
            _ => serve_to(&image, BASIC, "Basic realm=\"x\"", request, stream),
        }
    });
    pull(&server, &with_password()).unwrap();
}

#[test]
fn redirects_that_lead_nowhere_are_told() {
    for (location, part) in [
        ("/v2/some/test/manifests/1", "in a circle"),
        ("file:///etc/passwd", "no URL"),
        ("http://user:pass@127.0.0.1/", "no URL"),
        ("//other/", "no URL"),
        ("", "no URL"),
    ] {
        let server = Server::start(move |_, stream| {
            answer(stream, "302 Found", &[("Location", location)], b"");
        });
        let line = pull(&server, &options()).unwrap_err();
        assert!(
            line.contains("redirects") && line.contains(part),
            "{location}: {line}"
        );
    }
}

#[test]
fn a_password_is_not_sent_to_a_registry_that_did_not_ask_for_it() {
    let image = FakeImage::new(10_000);
    let server = Server::start(move |request, stream| image.serve(request, stream));
    pull(&server, &with_password()).unwrap();
    assert!(
        server
            .requests()
            .iter()
            .all(|request| request.header("authorization").is_none())
    );
}

#[test]
fn a_mirror_gets_its_own_credentials_and_not_the_registrys() {
    let image = FakeImage::new(10_000);
    let server = Server::start(move |request, stream| {
        serve_to(&image, BASIC, "Basic realm=\"x\"", request, stream);
    });
    let place = Place::new();
    let file = place.path("registries.toml");
    let text = format!(
        "[registry.\"nobody.invalid\"]\nmirrors = [\"{}\"]\n",
        server.address
    );
    fs::write(&file, text).unwrap();
    let mut options = with_password();
    options.registries = skete_image::Registries::read(&file).unwrap();
    let store = place.store();

    let line = try_pull(&store, "nobody.invalid/some/test:1", &options).unwrap_err();
    assert!(line.contains("nobody.invalid"), "{line}");
    assert!(
        server
            .requests()
            .iter()
            .all(|request| request.header("authorization").is_none())
    );

    let config = place.path("config.json");
    let text = format!(
        r#"{{"auths": {{"{}": {{"auth": "dXNlcjpzZWNyZXQ="}}}}}}"#,
        server.address
    );
    fs::write(&config, text).unwrap();
    options.docker_config = Some(config);
    try_pull(&store, "nobody.invalid/some/test:1", &options).unwrap();
    let paths: Vec<String> = server
        .requests()
        .iter()
        .map(|r| r.path().to_owned())
        .collect();
    assert!(
        paths
            .iter()
            .all(|path| path.ends_with("?ns=nobody.invalid")),
        "{paths:?}"
    );
}

/// Puts a credential helper on the PATH of a pull in a process of its own; gives what it said.
fn pull_with_helper(script: &str) -> Result<(), String> {
    let image = FakeImage::new(10_000);
    let server = Server::start(move |request, stream| {
        serve_to(&image, BASIC, "Basic realm=\"x\"", request, stream);
    });
    let place = Place::new();
    let helper = place.path("docker-credential-test");
    fs::write(&helper, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&helper, fs::Permissions::from_mode(0o755)).unwrap();
    let config = format!(r#"{{"credHelpers": {{"{}": "test"}}}}"#, server.address);
    fs::write(place.path("config.json"), config).unwrap();
    let path = format!("{}:/usr/bin:/bin", place.folder.path().display());
    let mut command = puller(&place.path("store"), &server.name("test:1"));
    command
        .env("DOCKER_CONFIG", place.folder.path())
        .env("PATH", path);
    let output = command.output().unwrap();
    match output.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8(output.stderr).unwrap()),
    }
}

#[test]
fn credentials_come_from_the_registrys_helper() {
    pull_with_helper(
        r#"read -r registry
           test "$1" = get || exit 1
           echo "{\"ServerURL\": \"$registry\", \"Username\": \"user\", \"Secret\": \"secret\"}""#,
    )
    .unwrap();
}

#[test]
fn a_helper_without_credentials_is_no_failure_and_one_that_fails_is_told() {
    let line =
        pull_with_helper("echo 'credentials not found in native keychain'; exit 1").unwrap_err();
    assert!(line.contains("does not exist or needs a login"), "{line}");
    let line = pull_with_helper("echo 'the keyring is locked'; exit 1").unwrap_err();
    assert!(
        line.contains("docker-credential-test has no credentials for 127.0.0.1:"),
        "{line}"
    );
    assert!(line.contains("the keyring is locked"), "{line}");
    let line = pull_with_helper("echo secret").unwrap_err();
    assert!(
        line.contains("its answer is not JSON") && !line.contains("secret"),
        "{line}"
    );
}
