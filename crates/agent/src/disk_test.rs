use super::*;

fn range(offset: u64, length: u64) -> Range {
    Range { offset, length }
}

#[test]
fn a_disk_is_found_by_its_serial_number_only() {
    let blocks = tempfile::tempdir().unwrap();
    for (name, serial) in [("vda", "layers-1\n"), ("vdb", "layers-11\n"), ("loop0", "")] {
        fs::create_dir(blocks.path().join(name)).unwrap();
        fs::write(blocks.path().join(name).join("serial"), serial).unwrap();
    }
    assert_eq!(look(blocks.path(), "layers-11"), Some("vdb".to_owned()));
    assert_eq!(look(blocks.path(), "layers-1"), Some("vda".to_owned()));
    assert_eq!(look(blocks.path(), "layers"), None);
}

#[test]
fn a_serial_number_that_virtio_could_not_carry_is_refused() {
    for serial in ["", "with space", "a-serial-number-of-25-bytes", "nul\0"] {
        assert!(
            matches!(check_serial(serial), Err(DiskError::BadSerial(_))),
            "{serial}"
        );
    }
    assert!(check_serial("01234567890123456789").is_ok());
}

#[test]
fn ranges_have_to_be_aligned_and_on_the_disk() {
    assert!(check_ranges(&[range(0, 4096), range(4096, 8192)], 12288).is_ok());
    for bad in [
        range(1, 4096),
        range(0, 100),
        range(0, 0),
        range(8192, 8192),
        range(u64::MAX - 4095, 4096),
    ] {
        assert!(
            matches!(
                check_ranges(&[bad], 12288),
                Err(DiskError::BadExtent { index: 0, .. })
            ),
            "{bad:?}"
        );
    }
}

#[test]
fn more_layers_than_partitions_are_refused() {
    let ranges = vec![range(0, 4096); 256];
    assert!(matches!(
        check_ranges(&ranges, 4096),
        Err(DiskError::TooMany(256))
    ));
}

#[test]
fn partitions_are_named_as_the_kernel_does() {
    assert_eq!(partition_name("vda", 127), "vda127");
    assert_eq!(partition_name("nvme0n1", 3), "nvme0n1p3");
}
