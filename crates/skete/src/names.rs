//! Names for Pods that were given none.

use std::io;

use crate::files;

const HOW: [&str; 64] = [
    "able", "amber", "ample", "apt", "azure", "bold", "brave", "bright", "brisk", "calm", "candid",
    "civil", "clear", "clever", "cosy", "crisp", "deft", "eager", "early", "fair", "fine", "firm",
    "fleet", "fond", "frank", "free", "fresh", "gentle", "glad", "golden", "grand", "green",
    "hardy", "hearty", "honest", "humble", "jolly", "keen", "kind", "light", "lively", "loyal",
    "lucid", "mellow", "merry", "mild", "modest", "neat", "noble", "patient", "plain", "proud",
    "quick", "quiet", "ready", "rustic", "serene", "silent", "silver", "sober", "steady", "still",
    "sunny", "tidy",
];

const WHO: [&str; 64] = [
    "acacia", "alder", "anchor", "arbor", "ash", "aspen", "badger", "bay", "beech", "birch",
    "brook", "cave", "cedar", "cell", "chapel", "cliff", "cloister", "cove", "crane", "cypress",
    "dove", "elm", "falcon", "fern", "finch", "fir", "garden", "gate", "grove", "harbor", "hawk",
    "hazel", "heath", "heron", "hill", "ibis", "island", "ivy", "juniper", "lantern", "larch",
    "lark", "laurel", "linden", "maple", "meadow", "moss", "oak", "olive", "orchard", "otter",
    "pebble", "pine", "plover", "quarry", "raven", "reed", "robin", "rowan", "spring", "stone",
    "swift", "willow", "wren",
];

/// A random name, a DNS label: `quiet-cedar`. With `tries` above ten a number follows.
///
/// # Errors
/// The kernel's random numbers could not be had.
pub fn random(tries: u32) -> io::Result<String> {
    let mut bytes = [0u8; 4];
    files::random(&mut bytes)?;
    let how = HOW[usize::from(bytes[0]) % HOW.len()];
    let who = WHO[usize::from(bytes[1]) % WHO.len()];
    if tries > 10 {
        let number = u16::from_le_bytes([bytes[2], bytes[3]]);
        return Ok(format!("{how}-{who}-{number}"));
    }
    Ok(format!("{how}-{who}"))
}
