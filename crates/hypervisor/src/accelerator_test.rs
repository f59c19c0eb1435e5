use super::*;

const QEMU: &str = "qemu-system-x86_64";

/// Without QEMU nothing here can be tried; `cargo xtask test` installs it.
fn qemu() -> &'static Path {
    Path::new(QEMU)
}

#[test]
fn the_trial_guest_comes_through_where_instructions_work() {
    trial(qemu(), Accelerator::Emulation).unwrap();
}

#[test]
fn a_missing_qemu_is_told_and_not_remembered() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("no-such-qemu");
    match trial(&missing, Accelerator::Kvm) {
        Err(TrialError::Host(error)) => assert_eq!(error.kind(), io::ErrorKind::NotFound),
        other => panic!("{other:?}"),
    }
    let found = probe(&missing, Some(dir.path()));
    assert_eq!(found.accelerator, Accelerator::Emulation);
    assert!(!cache_file(dir.path()).exists());
}

#[test]
fn a_qemu_that_complains_is_quoted_in_one_line() {
    // A program that ends with another status and says something.
    match trial(Path::new("cat"), Accelerator::Kvm) {
        Err(TrialError::Guest(why)) => {
            assert!(why.starts_with("cat: ") && !why.contains('\n'), "{why}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_result_is_recalled_for_the_same_machine_only() {
    let dir = tempfile::tempdir().unwrap();
    let file = cache_file(dir.path());
    let probe = Probe {
        accelerator: Accelerator::Kvm,
        reason: "tried".to_owned(),
    };
    remember(
        &file,
        Kept {
            key: "boot one".to_owned(),
            probe: probe.clone(),
        },
    )
    .unwrap();
    assert_eq!(recall(&file, "boot one"), Some(probe));
    assert_eq!(recall(&file, "boot two"), None);
    std::fs::write(&file, b"{\"key\":").unwrap();
    assert_eq!(recall(&file, "boot one"), None);
}

#[test]
fn a_second_probe_takes_what_the_first_found() {
    if !Path::new(DEVICE).exists() {
        // There is nothing to remember without the device.
        assert_eq!(probe(qemu(), None).accelerator, Accelerator::Emulation);
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let first = probe(qemu(), Some(dir.path()));
    let begun = Instant::now();
    assert_eq!(probe(Path::new("/no/such/qemu"), Some(dir.path())), first);
    assert!(begun.elapsed() < Duration::from_millis(50));
}

#[test]
fn only_what_is_there_can_be_chosen() {
    let qemu = Path::new("qemu-system-x86_64");
    let chosen = |name| choose(name, qemu, None);
    assert_eq!(chosen(Some("emulation")), Ok(Accelerator::Emulation));
    let error = chosen(Some("bhyve")).unwrap_err();
    assert_eq!(error, ChoiceError::Unknown("bhyve".to_owned()));
    let best = probe(qemu, None);
    assert_eq!(chosen(None), Ok(best.accelerator));
    let kvm = match best.accelerator {
        Accelerator::Kvm => Ok(Accelerator::Kvm),
        Accelerator::Emulation => Err(ChoiceError::NoKvm(best.reason)),
    };
    assert_eq!(chosen(Some("kvm")), kvm);
}
