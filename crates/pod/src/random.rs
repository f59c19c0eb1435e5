//! Random names, from the kernel's generator.

use std::fs::File;
use std::io::{self, Read};

/// What Kubernetes makes suffixes of: no vowels, hence no words.
const SUFFIX_ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

fn bytes<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// A Pod's uid: a random UUID (version 4).
///
/// # Errors
/// If `/dev/urandom` cannot be read.
pub fn new_uid() -> io::Result<String> {
    let mut b: [u8; 16] = bytes()?;
    b[6] = (b[6] & 0x0f) | 0x40;
    b[8] = (b[8] & 0x3f) | 0x80;
    let hex: String = b.iter().map(|byte| format!("{byte:02x}")).collect();
    let parts = [
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    ];
    Ok(parts.join("-"))
}

/// A name as the API server makes it of `generateName`: five random characters after the base.
///
/// # Errors
/// If `/dev/urandom` cannot be read.
pub fn generate_name(base: &str) -> io::Result<String> {
    let random: [u8; 5] = bytes()?;
    let base = base.get(..58.min(base.len())).unwrap_or_default();
    let suffix = random.map(|byte| char::from(SUFFIX_ALPHABET[usize::from(byte) % 27]));
    Ok(base.chars().chain(suffix).collect())
}
