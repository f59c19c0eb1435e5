use std::path::PathBuf;

use super::*;

fn extent(file: &str, offset: u64, length: u64) -> Extent {
    Extent {
        file: PathBuf::from(file),
        offset,
        length,
    }
}

fn disk(extents: Vec<Extent>) -> Disk {
    Disk {
        serial: "layers-1".to_owned(),
        read_only: true,
        ephemeral: false,
        extents,
    }
}

#[test]
fn files_are_laid_end_to_end() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (dir.path().join("a"), dir.path().join("b"));
    std::fs::write(&a, vec![0; 8192]).unwrap();
    std::fs::write(&b, vec![0; 4096]).unwrap();
    let extents = concatenate(&[&a, &b, &a]).unwrap();
    let ranges: Vec<(u64, u64)> = extents.iter().map(|e| (e.offset, e.length)).collect();
    assert_eq!(ranges, [(0, 8192), (8192, 4096), (12288, 8192)]);
    disk(extents).check().unwrap();
}

#[test]
fn a_file_of_half_a_page_or_of_nothing_is_refused_by_its_name() {
    let dir = tempfile::tempdir().unwrap();
    for size in [0, 512, 4095, 4097] {
        let file = dir.path().join("torn");
        std::fs::write(&file, vec![0; size]).unwrap();
        let error = concatenate(&[&file]).unwrap_err();
        let text = error.to_string();
        assert!(
            matches!(error, DiskError::Size { unit: PAGE, .. }),
            "{text}"
        );
        assert!(
            text.contains("torn has") && text.contains(&size.to_string()),
            "{text}"
        );
    }
}

#[test]
fn a_directory_is_no_disk() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(
        concatenate(&[dir.path()]),
        Err(DiskError::Read { .. })
    ));
    assert!(matches!(
        Disk::whole("d", dir.path(), true),
        Err(DiskError::Read { .. })
    ));
    let missing = dir.path().join("missing");
    assert!(matches!(
        Disk::whole("d", &missing, true),
        Err(DiskError::Read { .. })
    ));
}

#[test]
fn the_descriptor_has_one_line_for_each_file() {
    let text = disk(vec![
        extent("/l/a b, c", 0, 8192),
        extent("/l/d", 8192, 4096),
    ])
    .vmdk();
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("RW "))
        .collect();
    assert_eq!(
        lines,
        ["RW 16 FLAT \"/l/a b, c\" 0", "RW 8 FLAT \"/l/d\" 0"]
    );
    assert!(text.starts_with("# Disk DescriptorFile\n"));
    assert!(text.contains("\ncreateType=\"monolithicFlat\"\n"));
}

#[test]
fn a_path_that_would_break_out_of_its_line_is_refused() {
    let long = format!("/{}", "x".repeat(MAX_EXTENT_PATH));
    for path in [
        "/l/a\" 0\nRW 8 FLAT \"/etc/shadow",
        "relative",
        "/l/a\rb",
        "/l/\0",
        &long,
    ] {
        let result = disk(vec![extent(path, 0, 4096)]).check();
        assert!(matches!(result, Err(DiskError::Path(_))), "{path:?}");
    }
}

#[test]
fn a_serial_that_the_guest_could_not_find_is_refused() {
    for serial in ["", "a b", "a/b", "ä", "a,b", "123456789012345678901"] {
        let mut disk = disk(vec![extent("/l/a", 0, 4096)]);
        disk.serial = serial.to_owned();
        assert!(
            matches!(disk.check(), Err(DiskError::Serial(_))),
            "{serial:?}"
        );
    }
    let mut disk = disk(vec![extent("/l/a", 0, 4096)]);
    disk.serial = "12345678901234567890".to_owned();
    disk.check().unwrap();
}

#[test]
fn extents_with_a_gap_or_an_overlap_are_refused() {
    for second in [0, 4096, 12288] {
        let extents = vec![extent("/l/a", 0, 8192), extent("/l/b", second, 4096)];
        assert!(matches!(
            disk(extents).check(),
            Err(DiskError::Gap { expected: 8192, .. })
        ));
    }
}

#[test]
fn a_disk_of_several_files_is_never_written_to() {
    let mut disk = disk(vec![extent("/l/a", 0, 4096), extent("/l/b", 4096, 4096)]);
    disk.read_only = false;
    assert!(matches!(disk.check(), Err(DiskError::Writable(2))));
}

#[test]
fn no_extents_and_too_many_are_refused() {
    assert!(matches!(disk(Vec::new()).check(), Err(DiskError::Count(0))));
    let many = (0..=MAX_EXTENTS as u64)
        .map(|n| extent("/l/a", n * 4096, 4096))
        .collect();
    assert!(matches!(disk(many).check(), Err(DiskError::Count(_))));
}

#[test]
fn a_raw_disk_has_whole_sectors() {
    disk(vec![extent("/l/a", 0, 512)]).check().unwrap();
    let torn = disk(vec![extent("/l/a", 0, 513)]).check();
    assert!(matches!(torn, Err(DiskError::Size { unit: SECTOR, .. })));
}
