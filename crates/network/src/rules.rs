//! The host's rules for the built-in network, the same for all its Pods: their addresses are
//! masqueraded, and they do not reach the metadata addresses.
//!
//! Not by the `bridge` plugin's `ipMasq`: that makes a chain per Pod, and leaves it behind when
//! the Pod's namespace has gone before it is called.

use std::collections::BTreeSet;
use std::fs;
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::conflist::{BRIDGE, SUBNET_V4, SUBNET_V6};
use crate::filter::{METADATA_V4, METADATA_V6};
use crate::plugin::{self, Error};

/// The program that takes the rules.
const NFT: &str = "/usr/sbin/nft";

/// The table, replaced as a whole in one transaction.
fn table() -> String {
    format!(
        r#"table inet skete
delete table inet skete
table inet skete {{
  chain prerouting {{
    type filter hook prerouting priority raw; policy accept;
    iifname "{BRIDGE}" ip daddr {METADATA_V4} drop
    iifname "{BRIDGE}" ip6 daddr {METADATA_V6} drop
  }}
  chain postrouting {{
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr {SUBNET_V4} ip daddr != {{ {SUBNET_V4}, 224.0.0.0/4 }} masquerade
    ip6 saddr {SUBNET_V6} ip6 daddr != {{ {SUBNET_V6}, ff00::/8 }} masquerade
  }}
}}
"#
    )
}

/// Puts the rules in force, and says whether the host has a firewall that does not let everything
/// through which it forwards: then the `firewall` plugin must make a way through it for each Pod.
pub(crate) fn apply() -> Result<bool, Error> {
    let ruleset = nft(&format!("{}list ruleset\n", table()))?;
    // The older iptables' rules, of which nft does not know.
    let legacy = fs::read_to_string("/proc/net/ip_tables_names").unwrap_or_default();
    Ok(forwarding_is_filtered(&ruleset) || legacy.contains("filter"))
}

/// Has nft carry out a script in the network namespace of the calling thread, and returns what it
/// printed.
pub(crate) fn nft(script: &str) -> Result<String, Error> {
    let mut command = Command::new(NFT);
    command.args(["-f", "-"]).env_clear().stdin(Stdio::piped());
    let mut child = plugin::spawn(&mut command).map_err(|error| match error {
        Error::Run { source, .. } if source.kind() == ErrorKind::NotFound => Error::Failed {
            program: NFT.into(),
            message: "it is not installed (Debian: apt install nftables)".into(),
        },
        other => other,
    })?;
    if let Some(mut input) = child.stdin.take() {
        // If it does not read, it says why when it ends.
        let _ = input.write_all(script.as_bytes());
    }
    let (success, output, errors) = plugin::finish(child, Path::new(NFT))?;
    if !success {
        let message = plugin::one_line(&String::from_utf8_lossy(&errors));
        return Err(Error::Failed {
            program: NFT.into(),
            message,
        });
    }
    Ok(String::from_utf8_lossy(&output).into_owned())
}

/// Lets through the host's firewall what comes to a published port: the `firewall` plugin lets
/// through only what a Pod has begun.
pub(crate) fn accept_published() -> Result<(), Error> {
    let rule = [
        "FORWARD",
        "-o",
        BRIDGE,
        "-m",
        "conntrack",
        "--ctstate",
        "DNAT",
        "-j",
        "ACCEPT",
    ];
    let mut programs = vec!["/usr/sbin/iptables"];
    if Path::new("/proc/sys/net/ipv6").exists() {
        programs.push("/usr/sbin/ip6tables");
    }
    for program in programs {
        let run = |action: &str| {
            let mut command = Command::new(program);
            command
                .args(["--wait", "10", action])
                .args(rule)
                .env_clear()
                .stdin(Stdio::null());
            plugin::finish(plugin::spawn(&mut command)?, Path::new(program))
        };
        let (there, _, _) = run("--check")?;
        if there {
            continue;
        }
        succeeded(program, run("--insert")?)?;
    }
    Ok(())
}

/// Removes the masquerading of the Pod `id` that a plugin's `ipMasq` made, if it has left any:
/// `bridge` before 1.2 does when the namespace has gone, or its interface has no addresses.
pub(crate) fn remove_masquerade(id: &str) -> Result<(), Error> {
    for (save, restore) in [
        ("/usr/sbin/iptables-save", "/usr/sbin/iptables-restore"),
        ("/usr/sbin/ip6tables-save", "/usr/sbin/ip6tables-restore"),
    ] {
        let mut command = Command::new(save);
        command.args(["-t", "nat"]).env_clear().stdin(Stdio::null());
        let child = match plugin::spawn(&mut command) {
            // Without the program no plugin has made any.
            Err(Error::Run { source, .. }) if source.kind() == ErrorKind::NotFound => continue,
            other => other?,
        };
        let (_, rules, _) = plugin::finish(child, Path::new(save))?;
        let Some(removal) = removal(&String::from_utf8_lossy(&rules), id) else {
            continue;
        };
        let mut command = Command::new(restore);
        command
            .args(["--noflush", "--wait", "10"])
            .env_clear()
            .stdin(Stdio::piped());
        let mut child = plugin::spawn(&mut command)?;
        if let Some(mut input) = child.stdin.take() {
            // If it does not read, it says why when it ends.
            let _ = input.write_all(removal.as_bytes());
        }
        succeeded(restore, plugin::finish(child, Path::new(restore))?)?;
    }
    Ok(())
}

/// What takes the rules with `id` in their comment out of those that `iptables-save` printed,
/// with the chains of their own to which they lead; none if there are none.
fn removal(rules: &str, id: &str) -> Option<String> {
    let mark = format!(r#"id: \"{id}\""#);
    let marked = || {
        rules
            .lines()
            .filter(|line| line.starts_with("-A ") && line.contains(&mark))
    };
    let chain = |line: &str| line.split(' ').nth(1).unwrap_or_default().to_owned();
    let target = |line: &str| {
        line.rsplit_once(" -j ")
            .map(|(_, target)| target.to_owned())
    };
    let chains: BTreeSet<_> = marked()
        .filter_map(target)
        .filter(|name| name.starts_with("CNI-"))
        .collect();
    let mut text = String::from("*nat\n");
    for line in marked().filter(|line| !chains.contains(&chain(line))) {
        text.push_str(&format!("-D{}\n", line.trim_start_matches("-A")));
    }
    for chain in &chains {
        text.push_str(&format!("-F {chain}\n-X {chain}\n"));
    }
    text.push_str("COMMIT\n");
    marked().next().map(|_| text)
}

fn succeeded(program: &str, (success, _, errors): (bool, Vec<u8>, Vec<u8>)) -> Result<(), Error> {
    if success {
        return Ok(());
    }
    let message = plugin::one_line(&String::from_utf8_lossy(&errors));
    Err(Error::Failed {
        program: program.into(),
        message,
    })
}

/// Whether any chain for forwarded packets in what `nft list ruleset` prints may drop one: its
/// policy is not to accept, or it has a rule other than the `firewall` plugin's own.
fn forwarding_is_filtered(ruleset: &str) -> bool {
    let mut lines = ruleset.lines().map(str::trim);
    while let Some(line) = lines.next() {
        if !line.starts_with("type filter hook forward") {
            continue;
        }
        let accepts = line.contains("policy accept");
        let chain = lines.by_ref().take_while(|line| *line != "}");
        let others = chain
            .filter(|line| !line.is_empty() && !line.contains("CNI-FORWARD"))
            .count();
        if !accepts || others > 0 {
            return true;
        }
    }
    // Cut off: what is missing may be such a chain.
    ruleset.len() as u64 >= plugin::OUTPUT_LIMIT
}

#[cfg(test)]
#[path = "rules_test.rs"]
mod tests;
