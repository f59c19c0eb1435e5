use super::*;

fn flags() -> Flags {
    Flags {
        namespace: "default".into(),
        id: "123".into(),
        address: "/run/containerd/containerd.sock".into(),
        ..Flags::default()
    }
}

fn params() -> BootstrapParams {
    BootstrapParams {
        instance_id: "123".into(),
        namespace: "default".into(),
        containerd_ttrpc_address: "/run/events".into(),
        ..BootstrapParams::default()
    }
}

fn read(params: &BootstrapParams) -> Result<Request, StartError> {
    Request::read(&params.write_to_bytes().unwrap(), &flags(), None)
}

#[test]
fn a_new_containerd_is_answered_in_messages_that_name_what_the_engine_makes_disks_of() {
    let request = read(&params()).unwrap();
    assert_eq!(request.events, "/run/events");
    let bytes = request.reply("unix:///s").unwrap();
    let reply = BootstrapResult::parse_from_bytes(&bytes).unwrap();
    assert_eq!((reply.version, reply.address.as_str()), (3, "unix:///s"));
    assert_eq!(reply.protocol, "ttrpc");
    let text = String::from_utf8_lossy(&bytes);
    for word in [
        "containerd.types.MountCapabilities",
        "erofs",
        "overlay",
        "mkfs",
    ] {
        assert!(text.contains(word), "{word}");
    }
}

#[test]
fn an_old_containerd_is_answered_in_json() {
    // Options, in a `google.protobuf.Any`.
    let options = message(&[(1, b"runtimeoptions.v1.Options"), (2, b"x")]).unwrap();
    for input in [Vec::new(), options] {
        let request = Request::read(&input, &flags(), Some("/run/events".into())).unwrap();
        let reply: serde_json::Value =
            serde_json::from_slice(&request.reply("unix:///s").unwrap()).unwrap();
        assert_eq!(reply["version"], 3);
        assert_eq!(reply["address"], "unix:///s");
    }
}

#[test]
fn the_socket_has_the_name_that_containerd_gives_it() {
    let named = "0ddfbd72d02b3551e75f3a0ed90b9965b533401be618f43a568bc522764e0ad0";
    let mut params = params();
    assert_eq!(
        read(&params).unwrap().socket(&flags()),
        format!("/run/containerd/s/{named}")
    );
    params.socket_dir = Some("/run/other/".into());
    assert_eq!(
        read(&params).unwrap().socket(&flags()),
        format!("/run/other/{named}")
    );
}

#[test]
fn parameters_of_another_shim_are_refused() {
    let mut params = params();
    params.instance_id = "456".into();
    let error = read(&params).unwrap_err().to_string();
    assert!(error.contains("default/456"), "{error}");
}

#[test]
fn a_shim_that_could_tell_nobody_of_its_pods_end_is_not_started() {
    let mut params = params();
    params.containerd_ttrpc_address.clear();
    assert!(matches!(read(&params), Err(StartError::NoEvents)));
    assert!(matches!(
        Request::read(&[], &flags(), None),
        Err(StartError::NoEvents)
    ));
}

#[test]
fn a_log_level_of_debug_and_below_asks_for_more() {
    let mut params = params();
    assert!(!read(&params).unwrap().debug);
    params.log_level = LogLevel::LOG_LEVEL_DEBUG.into();
    assert!(read(&params).unwrap().debug);
    params.log_level = LogLevel::LOG_LEVEL_INFO.into();
    assert!(!read(&params).unwrap().debug);
}
