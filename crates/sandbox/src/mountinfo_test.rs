use super::*;

#[test]
fn a_line_tells_what_is_mounted_where_and_how() {
    let line =
        "99 21 254:16 /a\\040b /mnt/c\\134d rw,nosuid shared:7 master:1 - ext4 /dev/vdb rw,discard";
    let strings = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    assert_eq!(
        parse(line),
        [Mount {
            device: (254, 16),
            root: "/a b".into(),
            point: "/mnt/c\\d".into(),
            options: strings(&["rw", "nosuid"]),
            fs_type: "ext4".to_owned(),
            source: "/dev/vdb".into(),
            fs_options: strings(&["rw", "discard"]),
        }]
    );
}

#[test]
fn what_is_no_line_of_a_mount_is_left_out() {
    assert_eq!(parse("1 2 3\n\n- - -\n"), []);
}

#[test]
fn the_mounts_of_this_process_are_read() {
    let mounts = read().unwrap();
    assert!(mounts.iter().any(|mount| mount.point == *"/proc"));
}
