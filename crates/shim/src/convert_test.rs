use super::*;

#[test]
fn fifos_are_taken_as_paths_and_as_urls() {
    let taken = stdio(false, "", "/run/out", "fifo:///run/err?x=1").unwrap();
    assert_eq!(taken.stdin.as_os_str(), "");
    assert_eq!(taken.stdout.as_os_str(), "/run/out");
    assert_eq!(taken.stderr.as_os_str(), "/run/err");
}

#[test]
fn a_log_driver_is_refused_by_its_scheme() {
    let error = stdio(false, "", "binary:///bin/logger", "").unwrap_err();
    assert!(error.to_string().contains("binary"), "{error}");
}

#[test]
fn an_error_keeps_its_kind_and_its_chain() {
    let error = EngineError::NotFound {
        what: "container",
        id: "web".into(),
    };
    let ttrpc::Error::RpcStatus(status) = status(&error) else {
        panic!("no status")
    };
    assert_eq!(status.code(), ttrpc::Code::NOT_FOUND);
    assert_eq!(status.message(), "container web is not here");
}
