//! What the tests share.

mod command;
mod image;
mod leftovers;
mod machine;
mod process;
mod terminal;

pub(crate) use command::{Background, tool};
pub(crate) use image::{HELLO, Layer, archive, hello};
pub(crate) use machine::{Machine, eventually};
pub(crate) use process::{Process, below, kill};
pub(crate) use terminal::Terminal;
