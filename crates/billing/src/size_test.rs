use super::*;
use crate::testing::{self, shipped};

/// The charged vCPUs in thousandths and memory in MiB.
fn charged(rule: &SizeRule, milli_vcpus: u64, memory_mib: u64) -> (u64, u64) {
    let size = rule
        .charged(testing::size(milli_vcpus, memory_mib))
        .unwrap();
    (size.milli_vcpus, size.memory_bytes >> 20)
}

#[test]
fn fargate_rounds_up_to_the_next_configuration() {
    let rule = shipped("fargate").size;
    // The example of its documentation: 1 vCPU and 8 GB, with 256 MB beside, are 2 vCPUs and 9 GB.
    assert_eq!(charged(&rule, 1000, 8192), (2000, 9216));
    for (vcpus, memory, expected) in [
        (0, 0, (250, 512)),
        (250, 256, (250, 512)),
        (250, 257, (250, 1024)),
        (250, 1025, (250, 2048)),
        (250, 1793, (500, 3072)),
        (251, 256, (500, 1024)),
        (1000, 100, (1000, 2048)),
        (4000, 30 * 1024, (8000, 32 * 1024)),
        (16_000, 119 * 1024, (16_000, 120 * 1024)),
    ] {
        assert_eq!(
            charged(&rule, vcpus, memory),
            expected,
            "{vcpus}m {memory}Mi"
        );
    }
}

#[test]
fn what_no_configuration_holds_is_refused_or_charged_as_it_is() {
    let mut rule = shipped("fargate").size;
    let large = testing::size(17_000, 1024);
    assert!(rule.charged(large).is_err());
    assert!(rule.charged(testing::size(1000, 120 * 1024)).is_err());
    rule.beyond = Beyond::Exact;
    assert_eq!(charged(&rule, 17_000, 1024), (17_000, 1024 + 256));
}

#[test]
fn autopilot_keeps_memory_between_its_bounds() {
    let rule = shipped("gke-autopilot").size;
    for (vcpus, memory, expected) in [
        (0, 0, (500, 2048)),
        (100, 128, (250, 512)),
        (300, 512, (500, 512)),
        (2000, 1024, (2000, 2048)),
        (1000, 6656, (1000, 6656)),
        (1000, 6657, (1250, 6657)),
        (250, 13 * 1024, (2000, 13 * 1024)),
    ] {
        assert_eq!(
            charged(&rule, vcpus, memory),
            expected,
            "{vcpus}m {memory}Mi"
        );
    }
    let default = rule.charged(Size::default()).unwrap();
    assert_eq!(default.storage_bytes, 1 << 30);
}

#[test]
fn sizes_beyond_all_measure_do_not_overflow() {
    let rule = shipped("gke-autopilot").size;
    let most = Size {
        milli_vcpus: u64::MAX,
        memory_bytes: u64::MAX,
        storage_bytes: u64::MAX,
        gpus: u64::MAX,
    };
    assert_eq!(rule.charged(most).unwrap(), most);
}
