//! Signals by name and number, as Linux on x86-64 and AArch64 numbers them.

/// `SIGHUP`.
pub const HUP: u32 = 1;
/// `SIGINT`.
pub const INT: u32 = 2;
/// `SIGQUIT`.
pub const QUIT: u32 = 3;
/// `SIGKILL`.
pub const KILL: u32 = 9;
/// `SIGTERM`.
pub const TERM: u32 = 15;

/// `SIGUSR1`.
pub const USR1: u32 = 10;
/// `SIGUSR2`.
pub const USR2: u32 = 12;
/// `SIGWINCH`.
pub const WINCH: u32 = 28;

const NAMES: [(&str, u32); 34] = [
    ("ABRT", 6),
    ("ALRM", 14),
    ("BUS", 7),
    ("CHLD", 17),
    ("CLD", 17),
    ("CONT", 18),
    ("FPE", 8),
    ("HUP", HUP),
    ("ILL", 4),
    ("INT", INT),
    ("IO", 29),
    ("IOT", 6),
    ("KILL", KILL),
    ("PIPE", 13),
    ("POLL", 29),
    ("PROF", 27),
    ("PWR", 30),
    ("QUIT", QUIT),
    ("SEGV", 11),
    ("STKFLT", 16),
    ("STOP", 19),
    ("SYS", 31),
    ("TERM", TERM),
    ("TRAP", 5),
    ("TSTP", 20),
    ("TTIN", 21),
    ("TTOU", 22),
    ("URG", 23),
    ("USR1", USR1),
    ("USR2", USR2),
    ("VTALRM", 26),
    ("WINCH", WINCH),
    ("XCPU", 24),
    ("XFSZ", 25),
];

/// A signal by its name (`SIGTERM`, `term`, `RTMIN+3`) or number.
///
/// # Errors
/// There is none like that; the message says so.
pub fn parse(text: &str) -> Result<u32, String> {
    let unknown = || format!("there is no signal {text:?}");
    if let Ok(number) = text.parse::<u32>() {
        return if (1..=64).contains(&number) {
            Ok(number)
        } else {
            Err(unknown())
        };
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    if let Some(offset) = name.strip_prefix("RTMIN") {
        return real_time(34, offset).ok_or_else(unknown);
    }
    if let Some(offset) = name.strip_prefix("RTMAX") {
        return real_time(64, offset).ok_or_else(unknown);
    }
    NAMES
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, number)| *number)
        .ok_or_else(unknown)
}

fn real_time(base: i64, offset: &str) -> Option<u32> {
    let offset: i64 = if offset.is_empty() {
        0
    } else {
        offset.parse().ok()?
    };
    let number = base.checked_add(offset)?;
    (34..=64).contains(&number).then_some(number as u32)
}

/// Whether the signal is one with which people end things: a container that it ended is not
/// started again.
pub fn ends(signal: u32) -> bool {
    matches!(signal, INT | QUIT | KILL | TERM)
}

#[cfg(test)]
#[path = "signals_test.rs"]
mod tests;
