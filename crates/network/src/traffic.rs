//! What passes through the interfaces of a network namespace, as its kernel counts it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// The counters of a namespace hold a line of some 120 bytes for each interface; this bounds them.
const MAX_BYTES: usize = 64 << 10;

/// Bytes that have passed since an interface was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Passed {
    /// Bytes that came in.
    pub received_bytes: u64,
    /// Bytes that went out.
    pub sent_bytes: u64,
}

/// The counters of some interfaces. They are read without entering the namespace, which lives on
/// while this does.
#[derive(Debug)]
pub struct Traffic {
    counters: File,
    interfaces: Vec<String>,
}

impl Traffic {
    /// Of interfaces in the namespace of the calling thread.
    ///
    /// # Errors
    /// If `/proc` is not mounted.
    pub fn open(interfaces: Vec<String>) -> io::Result<Self> {
        Ok(Self {
            counters: File::open("/proc/thread-self/net/dev")?,
            interfaces,
        })
    }

    /// What has passed until now, all interfaces together. One that is gone counts nothing.
    ///
    /// # Errors
    /// If the kernel does not say.
    pub fn read(&self) -> io::Result<Passed> {
        let mut text = Vec::new();
        let mut buffer = [0; 4096];
        while text.len() < MAX_BYTES {
            match self.counters.read_at(&mut buffer, text.len() as u64)? {
                0 => break,
                count => text.extend_from_slice(&buffer[..count]),
            }
        }
        Ok(parse(&String::from_utf8_lossy(&text), &self.interfaces))
    }
}

/// Reads `/proc/net/dev` (proc_pid_net(5)): a name and a colon, then eight numbers of what came in
/// and eight of what went out, the bytes first.
fn parse(text: &str, interfaces: &[String]) -> Passed {
    let mut passed = Passed::default();
    for line in text.lines() {
        let Some((name, numbers)) = line.split_once(':') else {
            continue;
        };
        if !interfaces.iter().any(|interface| interface == name.trim()) {
            continue;
        }
        let numbers: Vec<u64> = numbers
            .split_ascii_whitespace()
            .filter_map(|number| number.parse().ok())
            .collect();
        let number = |index: usize| numbers.get(index).copied().unwrap_or(0);
        passed.received_bytes = passed.received_bytes.saturating_add(number(0));
        passed.sent_bytes = passed.sent_bytes.saturating_add(number(8));
    }
    passed
}

#[cfg(test)]
#[path = "traffic_test.rs"]
mod tests;
