use super::*;

#[test]
fn the_options_of_a_mount_are_told_from_those_of_its_file_system() {
    let options = ["rw", "noatime", "errors=remount-ro", "nosuid", "discard"];
    let (flags, data) = mount_options(&options.map(str::to_owned));
    assert_eq!(flags, MountFlags::NOATIME | MountFlags::NOSUID);
    assert_eq!(data, "errors=remount-ro,discard");
}

#[test]
fn a_tree_that_is_given_to_a_group_can_be_written_by_it_and_links_are_not_followed() {
    let directory = tempfile::tempdir().unwrap();
    let volume = directory.path().join("volume");
    let outside = directory.path().join("outside");
    fs::create_dir_all(volume.join("below")).unwrap();
    for file in [&outside, &volume.join("below/file")] {
        fs::write(file, "").unwrap();
        fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
    }
    std::os::unix::fs::symlink(&outside, volume.join("link")).unwrap();
    // A group that who runs the test may give files to.
    let gid = fs::metadata(&volume).unwrap().gid();
    give(&volume, gid).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o7777;
    assert_eq!(mode(&volume.join("below")) & 0o2770, 0o2770);
    assert_eq!(mode(&volume.join("below/file")), 0o660);
    assert_eq!(mode(&outside), 0o600);
}
