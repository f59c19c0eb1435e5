//! What the tests share.

mod command;
mod image;
mod leftovers;
mod machine;
mod process;
mod terminal;

pub(crate) use command::{Ended, finish, tool};
pub(crate) use image::{HELLO, Layer, archive};
pub(crate) use machine::{Machine, eventually};
pub(crate) use process::{Process, kill};
pub(crate) use terminal::Terminal;
