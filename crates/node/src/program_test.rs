#![allow(clippy::unwrap_used)]

use super::*;

#[test]
fn a_failure_repeats_the_programs_last_line() {
    let sh = find_own("sh").unwrap();
    assert_eq!(
        run(&sh, &["-c", "echo out; echo err >&2"]).unwrap(),
        "out\n"
    );
    let error = run(&sh, &["-c", "echo first >&2; echo last >&2; exit 3"]);
    assert!(error.unwrap_err().to_string().ends_with(": last"));
    let error = run(&sh, &["-c", "exit 3"]).unwrap_err();
    assert!(error.to_string().contains("exit status: 3"), "{error}");
}

#[test]
fn a_program_that_is_not_there_is_named() {
    assert_eq!(
        find_own("no-such-program").unwrap_err().to_string(),
        "no-such-program is not on PATH"
    );
    assert!(find("sh", OsStr::new("/nonexistent")).is_none());
}
