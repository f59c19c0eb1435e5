use super::*;

#[test]
fn what_the_guest_counts_is_where_containerd_looks_for_it() {
    let usage = Usage {
        cpu_usage_ns: 5_000_000,
        memory_bytes: 300,
        memory_working_set_bytes: 200,
        io_read_bytes: 7,
        net_tx_bytes: 9,
        oom_kills: 1,
        ..Default::default()
    };
    let any = any(&usage).unwrap();
    let metrics = Metrics::parse_from_bytes(&any.value).unwrap();
    assert_eq!(any.type_url, "io.containerd.cgroups.v2.Metrics");
    assert_eq!(metrics.cpu.usage_usec, 5_000);
    // containerd's working set: usage less inactive file pages.
    assert_eq!(metrics.memory.usage - metrics.memory.inactive_file, 200);
    assert_eq!(metrics.io.usage[0].rbytes, 7);
    assert_eq!(metrics.network[0].tx_bytes, 9);
    assert_eq!(metrics.memory_events.oom_kill, 1);
}
