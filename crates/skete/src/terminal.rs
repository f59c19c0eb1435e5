//! The terminal of whoever typed the command: its size, and raw mode that always ends.

use std::io;
use std::sync::Mutex;

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

/// The mode to go back to, while raw mode is on. Process-wide, as the terminal is.
static COOKED: Mutex<Option<Termios>> = Mutex::new(None);

/// Columns and rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowSize {
    /// Characters in a line.
    pub columns: u16,
    /// Lines.
    pub rows: u16,
}

/// Size of the terminal that standard output, input or error is; `None` if none is one.
pub fn window_size() -> Option<WindowSize> {
    let size = tcgetwinsize(io::stdout())
        .or_else(|_| tcgetwinsize(io::stdin()))
        .or_else(|_| tcgetwinsize(io::stderr()))
        .ok()?;
    // A serial line may not know.
    (size.ws_col > 0 && size.ws_row > 0).then_some(WindowSize {
        columns: size.ws_col,
        rows: size.ws_row,
    })
}

/// Raw mode of the terminal that standard input is; dropping it brings the old mode back.
#[derive(Debug)]
pub struct RawMode(());

impl RawMode {
    /// Sets raw mode. `None` if standard input is no terminal.
    ///
    /// # Errors
    /// The terminal refused.
    pub fn enter() -> io::Result<Option<Self>> {
        let stdin = io::stdin();
        if !rustix::termios::isatty(&stdin) {
            return Ok(None);
        }
        let cooked = tcgetattr(&stdin)?;
        let mut raw = cooked.clone();
        raw.make_raw();
        *lock() = Some(cooked);
        tcsetattr(&stdin, OptionalActions::Now, &raw)?;
        Ok(Some(Self(())))
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        restore();
    }
}

/// Brings the old mode back, if raw mode is on. For ways out that drop nothing.
pub fn restore() {
    if let Some(cooked) = lock().take() {
        // The terminal may be gone.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &cooked);
    }
}

fn lock() -> std::sync::MutexGuard<'static, Option<Termios>> {
    COOKED
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Finds the keys that detach from a terminal: Ctrl-P, then Ctrl-Q.
#[derive(Debug, Default)]
pub struct DetachKeys {
    held: bool,
}

impl DetachKeys {
    const FIRST: u8 = 0x10;
    const SECOND: u8 = 0x11;

    /// Passes what was typed, and tells whether the keys were among it: what comes before them is
    /// passed on, what comes after is not.
    pub fn pass(&mut self, typed: &[u8]) -> (Vec<u8>, bool) {
        let mut on = Vec::with_capacity(typed.len() + 1);
        for &byte in typed {
            if self.held {
                self.held = false;
                if byte == Self::SECOND {
                    return (on, true);
                }
                on.push(Self::FIRST);
            }
            if byte == Self::FIRST {
                self.held = true;
            } else {
                on.push(byte);
            }
        }
        (on, false)
    }
}

#[cfg(test)]
#[path = "terminal_test.rs"]
mod tests;
