use super::*;

#[test]
fn this_kernel_can_do_what_attaching_needs_and_drops_what_goes_to_the_metadata_addresses() {
    probe().unwrap();
}

#[test]
fn the_trials_frames_are_what_they_are_meant_to_be() {
    let (v4, v6) = (to_v4(METADATA_V4), to_v6(METADATA_V6));
    assert_eq!((v4.len(), v6.len()), (14 + 20, 14 + 40));
    assert_eq!(v4[30..34], METADATA_V4.octets());
    assert_eq!(v6[38..54], METADATA_V6.octets());
}
