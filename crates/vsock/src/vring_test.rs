use std::os::fd::OwnedFd;

use rustix::event::{EventfdFlags, eventfd};

use super::*;

#[test]
fn a_kick_that_is_not_there_is_no_error() {
    let vring = Vring::new(Memory::new(GuestMemoryMmap::new()), 16).unwrap();
    let kick: OwnedFd = eventfd(1, EventfdFlags::NONBLOCK).unwrap();
    vring.set_kick(Some(File::from(kick)));
    vring.set_enabled(true);

    assert!(vring.read_kick().unwrap(), "one that is there");
    assert!(vring.read_kick().unwrap(), "and one that is not");
}
