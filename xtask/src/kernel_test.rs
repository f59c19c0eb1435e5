use super::*;

const GOT: &str =
    "CONFIG_NET=y\n# CONFIG_MODULES is not set\nCONFIG_LSM=\"landlock\"\nCONFIG_M=m\n";

#[test]
fn options_that_took_are_not_complained_of() {
    let asked = "# A comment, which is not set\nCONFIG_NET=y\n# CONFIG_MODULES is not set\n\
                 # CONFIG_UNHEARD_OF is not set\nCONFIG_LSM=\"landlock\"\n";
    assert_eq!(refused(asked, GOT), Vec::<String>::new());
}

#[test]
fn options_that_did_not_take_are_each_named() {
    let asked = "CONFIG_NET=y\nCONFIG_NETT=y\nCONFIG_LSM=\"yama\"\n# CONFIG_M is not set\n";
    let named = [
        "CONFIG_NETT=y",
        "CONFIG_LSM=\"yama\"",
        "# CONFIG_M is not set",
    ];
    assert_eq!(refused(asked, GOT), named);
}

#[test]
fn the_configuration_asks_for_each_option_once_and_builds_no_modules() {
    let lines: Vec<&str> = CONFIG
        .lines()
        .filter(|line| line.starts_with("CONFIG_"))
        .collect();
    let names: std::collections::HashSet<_> = lines
        .iter()
        .filter_map(|line| line.split('=').next())
        .collect();
    assert_eq!(names.len(), lines.len());
    assert!(lines.iter().all(|line| !line.ends_with("=m")));
}
