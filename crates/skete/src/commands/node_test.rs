use super::*;

fn row(verdict: Verdict) -> Row {
    Row {
        check: "kvm",
        verdict,
        value: "no 64-bit guest runs on it".to_owned(),
        why: "",
        fix: "use another machine".to_owned(),
    }
}

#[test]
fn a_machine_that_emulates_is_refused_unless_it_is_for_trying_out() {
    assert!(check(&[row(Verdict::Pass)], false).is_ok());
    assert!(check(&[row(Verdict::Warn)], true).is_ok());
    let failure = check(&[row(Verdict::Warn)], false).unwrap_err();
    let line = failure.message().unwrap_or_default();
    assert!(line.contains("--allow-emulation"), "{line}");
    for allowed in [false, true] {
        let failure = check(&[row(Verdict::Fail)], allowed).unwrap_err();
        let line = failure.message().unwrap_or_default();
        assert!(line.contains("use another machine"), "{line}");
    }
}

#[test]
fn what_is_wrong_stands_below_with_the_pods_name() {
    let status = Status {
        problems: vec!["nothing is installed".to_owned()],
        ..Status::default()
    };
    assert_eq!(text(&status), "wrong: nothing is installed\n");
}
