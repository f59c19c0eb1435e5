use serde_json::json;

use super::*;

#[test]
fn a_block_device_is_found_and_its_rule_taken_away() {
    let mut spec = json!({"linux": {
        "devices": [
            {"path": "/dev/data", "type": "b", "major": 7, "minor": 3},
            {"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229},
        ],
        "resources": {"devices": [
            {"allow": false, "access": "rwm"},
            {"allow": true, "type": "b", "major": 7, "minor": 3, "access": "rm"},
            {"allow": true, "type": "c", "major": 10, "minor": 229, "access": "rwm"},
        ]},
    }});
    let wanted = Wanted::take(&mut spec);
    assert_eq!(wanted.devices, [("/dev/data".to_owned(), (7, 3))]);
    assert_eq!(wanted.read_only, [(7, 3)]);
    let rules = spec["linux"]["resources"]["devices"].as_array().unwrap();
    assert_eq!(rules.len(), 2);
    assert!(rules.iter().all(|rule| rule["major"] != 7));
}

#[test]
fn a_spec_without_devices_stays_as_it_is() {
    let before = json!({"linux": {"resources": {"devices": [{"allow": false}]}}});
    let mut spec = before.clone();
    assert_eq!(Wanted::take(&mut spec), Wanted::default());
    assert_eq!(spec["linux"]["resources"], before["linux"]["resources"]);
}
