//! Many Pods at once.

use crate::support::{HELLO, Machine};

#[test]
#[ignore = "needs a staged installation: run by cargo xtask test"]
fn twenty_pods_at_once_all_end_right() {
    let machine = Machine::new();
    std::thread::scope(|scope| {
        let machine = &machine;
        let pods: Vec<_> = (0..20)
            .map(|number| {
                let script = format!("echo {number}; exit {number}");
                scope.spawn(move || {
                    let words = ["run", "-q", "-m", "64m", HELLO, "sh", "-c", &script];
                    let ended = machine.skete(&words).exits(number);
                    assert_eq!(ended.out(), format!("{number}\n"));
                })
            })
            .collect();
        for pod in pods {
            pod.join().unwrap();
        }
    });
    let ended = machine.skete(&["ps", "-a", "-q"]).exits(0).out();
    assert_eq!(ended.lines().count(), 20);
}
