use super::*;

fn window(from_ns: i64, to_ns: i64) -> Window {
    Window::new(from_ns, to_ns).unwrap()
}

#[test]
fn a_window_that_ends_before_it_begins_is_none() {
    assert_eq!(Window::new(1, 0), Err(WindowError));
    assert!(!window(1, 1).contains(1));
}

#[test]
fn what_is_in_two_windows_is_a_window_or_nothing() {
    let both = window(0, 10).intersect(window(5, 20));
    assert_eq!(both, Some(window(5, 10)));
    assert_eq!(window(0, 10).intersect(window(10, 20)), None);
    assert_eq!(Window::ALL.intersect(window(3, 4)), Some(window(3, 4)));
}

#[test]
fn a_length_beyond_all_time_ends_with_it() {
    assert_eq!(Window::of_length(5, 3), window(5, 8));
    assert_eq!(Window::of_length(5, u64::MAX).to_ns, i64::MAX);
}
