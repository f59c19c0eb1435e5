//! The journal against an oracle: Pods whose life is drawn, on clocks that are made to jump, written
//! by the real writer, killed at any byte and folded by the real reader.
#![cfg(test)]
#![forbid(unsafe_code)]

mod crashes;
mod hostile;
mod simulation;
mod speed;
mod windows;
