use super::*;

const SIZE: Size = Size {
    vcpus: 2,
    memory_mib: 512,
};
const MIB: u64 = 1 << 20;

#[test]
fn provisioned_is_size_times_time() {
    let receipt = Meter::default().receipt(SIZE, 10.0);

    assert_eq!(receipt.vcpu_seconds_provisioned, 20.0);
    assert_eq!(receipt.mib_seconds_provisioned, 5120.0);
    assert_eq!(receipt.vcpu_seconds_used, 0.0);
}

#[test]
fn memory_is_summed_between_samples_and_to_the_end() {
    let mut meter = Meter::default();
    meter.sample(1.0, 500_000_000, 100 * MIB);
    meter.sample(3.0, 1_500_000_000, 200 * MIB);

    let receipt = meter.receipt(SIZE, 4.0);

    assert_eq!(receipt.vcpu_seconds_used, 1.5);
    // 1 s of 100, 2 s of 150, 1 s of 200.
    assert!((receipt.mib_seconds_used - 600.0).abs() < 1e-9);
}

#[test]
fn a_clock_or_counter_that_goes_back_takes_nothing_away() {
    let mut meter = Meter::default();
    meter.sample(2.0, 1_000_000_000, 10 * MIB);
    meter.sample(1.0, 1_000, 10_000 * MIB);

    let receipt = meter.receipt(SIZE, 2.0);

    assert_eq!(receipt.vcpu_seconds_used, 1.0);
    assert!((receipt.mib_seconds_used - 20.0).abs() < 1e-9);
}

#[test]
fn the_line_tells_time_size_provisioned_and_used() {
    let mut meter = Meter::default();
    meter.sample(1.0, 250_000_000, 64 * MIB);

    let line = meter.receipt(SIZE, 1.0).line();

    assert_eq!(
        line,
        "1.00 s, 2 vCPU, 512 MiB: 2.00 vCPU-s and 512 MiB-s provisioned, \
         0.25 vCPU-s and 64.00 MiB-s used"
    );
    assert!(
        meter
            .receipt(SIZE, 7384.0)
            .line()
            .starts_with("2 h 3 min 4 s")
    );
}
