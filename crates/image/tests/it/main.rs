//! Pulls and loads against the real thing: Debian's `docker-registry` on loopback, images made by
//! umoci and skopeo from busybox-static; and against a small server that answers badly.
#![cfg(test)]

mod common;
mod hostile;
mod load;
mod login;
mod processes;
mod pull;
mod remove;
mod server;
