use oci_spec::runtime::{LinuxIdMappingBuilder, MountBuilder};

use super::*;

fn part(source: &str) -> Option<(PathBuf, PathBuf)> {
    let mount = MountBuilder::default()
        .destination("/x")
        .source(source)
        .build()
        .unwrap();
    volume_part(&mount)
}

#[test]
fn only_parts_of_volumes_are_staged() {
    assert_eq!(part("/run/skete/volumes/data"), None);
    assert_eq!(part("/run/skete/etc/hosts"), None);
    assert_eq!(
        part("/run/skete/volumes/data/a/b"),
        Some(("/run/skete/volumes/data".into(), "a/b".into()))
    );
}

#[test]
fn ids_are_mapped_as_the_user_namespace_has_them() {
    let mapping = LinuxIdMappingBuilder::default()
        .container_id(0u32)
        .host_id(100_000u32)
        .size(1000u32)
        .build()
        .unwrap();
    assert_eq!(outer_id(Some(&[mapping]), 7), 100_007);
    assert_eq!(outer_id(Some(&[mapping]), 1000), 1000);
    assert_eq!(outer_id(None, 7), 7);
}

#[test]
fn a_variable_is_found_by_its_whole_name() {
    let environment = ["PATHS=/no".to_owned(), "PATH=/bin".to_owned()];
    assert_eq!(variable(&environment, "PATH"), Some("/bin"));
    assert_eq!(variable(&environment, "HOME"), None);
}
