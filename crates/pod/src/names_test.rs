use super::*;

type Check = fn(&str) -> Result<(), String>;

#[test]
fn names_are_those_that_kubernetes_takes() {
    let table: [(Check, &[&str], &[&str]); 10] = [
        (
            subdomain,
            &["a", "web-1", "a.b", "1"],
            &["", "A", "a_b", "-a", "a-", "a..b", "a/b"],
        ),
        (label, &["a", "web-1", "1"], &["", "a.b", "Web", "a-", "ü"]),
        (
            port,
            &["http", "h2"],
            &["", "80", "a--b", "a-very-long-name"],
        ),
        (
            environment,
            &["A", "a.b", "1", "A B"],
            &["", "A=B", "ü", "A\n"],
        ),
        (
            data_key,
            &["a", "a.b", ".a", "_"],
            &["", "..", "..a", "a/b", "."],
        ),
        (
            qualified,
            &["a", "a.b/c", "A_b"],
            &["", "/a", "a/", "A.b/c", "a/b/c"],
        ),
        (label_value, &["", "a", "A.b_c"], &["a b", "-a", "a/"]),
        (
            projected_path,
            &["a", "a/b"],
            &["", "/a", "a/../b", "..a", "a//b", "./a"],
        ),
        (
            sysctl,
            &["net.core.somaxconn", "kernel/shm_rmid_forced"],
            &["", "a..b", "A.b", "a b"],
        ),
        (ip_address, &["10.0.0.1", "::1"], &["", "10.0.0", "host"]),
    ];
    for (check, good, bad) in table {
        for name in good {
            assert_eq!(check(name), Ok(()), "{name}");
        }
        for name in bad {
            assert!(check(name).is_err(), "{name}");
        }
    }
    assert!(label(&"a".repeat(63)).is_ok());
    assert!(label(&"a".repeat(64)).is_err());
    assert!(subdomain(&"a".repeat(254)).is_err());
}
