use super::super::layers;
use super::*;

#[test]
fn every_image_has_layers_that_are_known_and_a_configuration_that_is_json() {
    for image in IMAGES {
        for name in image.layers {
            assert!(layers::NAMES.contains(name), "{name}");
        }
        let config = format!("{{{}}}", image.config);
        serde_json::from_str::<serde_json::Value>(&config).expect(&config);
    }
}

#[test]
fn no_two_images_have_the_same_name() {
    let mut names: Vec<_> = IMAGES.iter().flat_map(|image| image.names).collect();
    names.sort_unstable();
    let all = names.len();
    names.dedup();
    assert_eq!(names.len(), all);
}
