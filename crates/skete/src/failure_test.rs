use super::*;

#[derive(Debug, thiserror::Error)]
#[error("outer")]
struct Outer(#[source] Middle);
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
struct Middle(Inner);
#[derive(Debug, thiserror::Error)]
#[error("inner\nin two lines")]
struct Inner;

#[test]
fn a_chain_is_one_line_that_repeats_nothing() {
    assert_eq!(chain(&Outer(Middle(Inner))), "outer: inner; in two lines");
    assert_eq!(chain(&Middle(Inner)), "inner; in two lines");
}

#[test]
fn control_characters_of_others_do_not_reach_the_terminal() {
    assert_eq!(one_line("a\x1b[31mb\r\n\n c "), "a\\u{1b}[31mb; c");
}

#[test]
fn an_error_of_ones_own_is_125() {
    let failure = Failure::from(std::io::Error::other("no"));
    assert_eq!((failure.code(), failure.message()), (125, Some("no")));
}
