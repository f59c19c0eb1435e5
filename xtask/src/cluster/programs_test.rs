use super::*;

#[test]
fn every_module_pins_the_version_of_its_product() {
    for module in MODULES {
        let version = module.version().expect("a version");
        assert!(version.starts_with('v'), "{version}");
    }
}

#[test]
fn a_required_version_is_read_from_both_forms_of_require() {
    let text = "module m\n\nrequire a.b/c v1.2.3\nrequire (\n\ta.b/cd v4.5.6 // indirect\n)\n";
    assert_eq!(required(text, "a.b/c").as_deref(), Some("v1.2.3"));
    assert_eq!(required(text, "a.b/cd").as_deref(), Some("v4.5.6"));
    assert_eq!(required(text, "a.b"), None);
}
