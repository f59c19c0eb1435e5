//! The machine as `/proc` tells of it: what is not given to Pods is idle.

use std::fs;

use skete_billing::opencost::Node;
use skete_usage::Size;

use crate::failure::Failure;

/// This machine.
///
/// # Errors
/// `/proc` does not say what it has.
pub fn node(cluster: String) -> Result<Node, Failure> {
    let memory = number(&read("/proc/meminfo")?, "MemTotal:")
        .ok_or_else(|| Failure::own("/proc/meminfo does not say MemTotal"))?;
    let stat = read("/proc/stat")?;
    let booted = number(&stat, "btime").ok_or_else(|| Failure::own("/proc/stat has no btime"))?;
    Ok(Node {
        cluster,
        name: rustix::system::uname()
            .nodename()
            .to_string_lossy()
            .into_owned(),
        size: Size {
            milli_vcpus: processors(&stat) * 1000,
            memory_bytes: memory.saturating_mul(1024),
            ..Size::default()
        },
        since_ns: i64::try_from(booted)?.saturating_mul(1_000_000_000),
    })
}

fn read(file: &str) -> Result<String, Failure> {
    fs::read_to_string(file).map_err(|error| Failure::own(format!("cannot read {file}: {error}")))
}

/// The number that follows a word at the beginning of a line.
fn number(text: &str, word: &str) -> Option<u64> {
    let mut words = text.lines().map(str::split_whitespace);
    let mut line = words.find(|line| line.clone().next() == Some(word))?;
    line.nth(1)?.parse().ok()
}

/// Lines `cpu0`, `cpu1`, …
fn processors(stat: &str) -> u64 {
    let is_one = |line: &&str| {
        let number = line
            .split_whitespace()
            .next()
            .and_then(|word| word.strip_prefix("cpu"));
        number.is_some_and(|number| !number.is_empty())
    };
    stat.lines().filter(is_one).count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_processors_are_found_in_what_proc_says() {
        let stat = "cpu  1 2\ncpu0 1 2\ncpu1 3 4\nintr 5 6\nbtime 1764000000\n";
        assert_eq!(number(stat, "btime"), Some(1_764_000_000));
        assert_eq!(number(stat, "processes"), None);
        assert_eq!(processors(stat), 2);
        assert_eq!(number("MemTotal:  2048 kB\n", "MemTotal:"), Some(2048));
    }

    #[test]
    fn this_machine_has_processors_and_memory() {
        let node = node("c".to_owned()).unwrap();
        assert!(node.size.milli_vcpus >= 1000 && node.size.memory_bytes > 1 << 20);
        assert!(node.since_ns > 0);
    }
}
