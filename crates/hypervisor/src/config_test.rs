use super::*;

fn config() -> (tempfile::TempDir, VmConfig) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("kernel");
    std::fs::write(&file, b"\x7fELF...").unwrap();
    let config = VmConfig {
        id: "test".to_owned(),
        kernel: file.clone(),
        initramfs: file,
        cmdline: Vec::new(),
        vcpus: 1,
        max_memory_mib: 0,
        memory_mib: 64,
        taps: Vec::new(),
        vsock: None,
        disks: Vec::new(),
        console: dir.path().join("console"),
        run_dir: dir.path().to_owned(),
        accelerator: Accelerator::Emulation,
    };
    (dir, config)
}

#[test]
fn a_sound_configuration_passes() {
    config().1.check().unwrap();
}

#[test]
fn more_memory_than_the_machine_has_is_refused_with_both_figures() {
    let (_dir, mut config) = config();
    config.memory_mib = 1 << 40;
    let error = config.check().unwrap_err();
    let machine = machine_memory_mib();
    assert!(machine > 64);
    assert_eq!(
        error.to_string(),
        format!("a VM of 1099511627776 MiB of memory does not fit: this machine has {machine} MiB")
    );
}

#[test]
fn too_little_memory_is_refused() {
    let (_dir, mut config) = config();
    config.memory_mib = MIN_MEMORY_MIB - 1;
    assert!(matches!(config.check(), Err(Error::MemoryTooSmall { .. })));
}

#[test]
fn no_cpus_and_too_many_are_refused() {
    let (_dir, mut config) = config();
    for vcpus in [0, MAX_VCPUS + 1] {
        config.vcpus = vcpus;
        assert!(
            matches!(config.check(), Err(Error::Vcpus { .. })),
            "{vcpus}"
        );
    }
}

#[test]
fn a_name_that_would_be_read_as_options_is_refused() {
    let (_dir, mut config) = config();
    for id in ["", "a,process=b", "a b", "a/b", "ü"] {
        config.id = id.to_owned();
        assert!(matches!(config.check(), Err(Error::Id(_))), "{id:?}");
    }
}

#[test]
fn a_kernel_that_is_missing_or_none_is_told_by_its_path() {
    let (dir, mut config) = config();
    config.kernel = dir.path().join("missing");
    assert!(matches!(config.check(), Err(Error::File { path, .. }) if path.ends_with("missing")));
    config.kernel = dir.path().to_owned();
    assert!(matches!(config.check(), Err(Error::File { .. })));
    config.kernel = dir.path().join("text");
    std::fs::write(&config.kernel, "#!").unwrap();
    assert!(matches!(config.check(), Err(Error::NotAKernel(_))));
}

#[test]
fn a_command_line_word_with_a_line_break_is_refused() {
    let (_dir, mut config) = config();
    config.cmdline.push("a\nb".to_owned());
    assert!(matches!(config.check(), Err(Error::CommandLine(_))));
}

#[test]
fn a_pod_that_no_vm_of_this_machine_can_hold_is_refused_with_the_figures() {
    let machine_mib = machine_memory_mib();
    for accelerator in [Accelerator::Kvm, Accelerator::Emulation] {
        let most = machine_mib - accelerator.overhead_mib();
        assert_eq!(check_fits(MAX_VCPUS, most, accelerator), Ok(()));
        let needed_mib = machine_mib + 1;
        let refused = FitError::Memory {
            needed_mib,
            machine_mib,
        };
        assert_eq!(check_fits(1, most + 1, accelerator), Err(refused));
        assert!(check_fits(1, u64::MAX, accelerator).is_err());
        let refused = FitError::Vcpus(MAX_VCPUS + 1);
        assert_eq!(check_fits(MAX_VCPUS + 1, 64, accelerator), Err(refused));
    }
}
