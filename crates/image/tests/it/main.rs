//! Pulls and loads against the real thing: Debian's `docker-registry` on loopback, images made by
//! umoci and skopeo from busybox-static; and against a small server that answers badly.

mod common;
mod load;
mod pull;
mod remove;
