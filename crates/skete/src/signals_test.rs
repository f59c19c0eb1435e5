use super::*;

#[test]
fn signals_are_known_by_name_and_number() {
    for (text, number) in [
        ("SIGTERM", 15),
        ("term", 15),
        ("9", 9),
        ("SIGRTMIN+3", 37),
        ("rtmax-1", 63),
        ("USR1", 10),
    ] {
        assert_eq!(parse(text), Ok(number), "{text}");
    }
    for wrong in [
        "",
        "0",
        "65",
        "SIGNO",
        "RTMIN+99",
        "-9",
        "RTMIN+9999999999999999999",
    ] {
        assert!(parse(wrong).is_err(), "{wrong}");
    }
}
