use super::*;

#[derive(Debug, thiserror::Error)]
#[error("cannot read the file")]
struct Outer(#[source] std::io::Error);

#[test]
fn a_chain_tells_each_level_once() {
    let error = Outer(std::io::Error::other("disk gone"));
    assert_eq!(chain(&error), "cannot read the file: disk gone");
}

#[test]
fn a_level_that_repeats_its_source_is_told_once() {
    #[derive(Debug, thiserror::Error)]
    #[error("cannot start: {0}")]
    struct Repeats(#[source] std::io::Error);
    let error = Repeats(std::io::Error::other("disk gone"));
    assert_eq!(chain(&error), "cannot start: disk gone");
}

#[test]
fn a_message_is_one_bounded_line() {
    let failure = Failure::new(Kind::NotFound, format!("a\nb\x1b{}", "x".repeat(5000)));
    assert!(failure.message.starts_with("a b "));
    assert!(failure.message.len() < 1100);
    assert!(!failure.message.chars().any(char::is_control));
}
