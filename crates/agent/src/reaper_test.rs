use std::time::Duration;

use super::*;

#[test]
fn an_exit_that_came_before_it_was_asked_for_is_kept() {
    let reaper = Reaper::default();
    let since = Instant::now();
    reaper.ended(7, Exit::with_code(3));
    let exit = reaper.watch(7, since).blocking_recv().unwrap();
    assert_eq!(exit.code, 3);
}

#[test]
fn an_exit_of_an_earlier_process_with_the_same_id_is_not_taken() {
    let reaper = Reaper::default();
    reaper.ended(7, Exit::with_code(3));
    let mut receiver = reaper.watch(7, Instant::now() + Duration::from_millis(1));
    assert!(receiver.try_recv().is_err());
    reaper.ended(7, Exit::with_code(4));
    assert_eq!(receiver.blocking_recv().unwrap().code, 4);
}

#[test]
fn no_more_than_the_bound_is_kept() {
    let reaper = Reaper::default();
    for pid in 0..2000 {
        reaper.ended(pid, Exit::with_code(0));
    }
    assert_eq!(lock(&reaper.inner).kept.len(), MAX_KEPT);
}
