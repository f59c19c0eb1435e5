//! The host's rules for the built-in network, the same for all its Pods: their addresses are
//! masqueraded, and they do not reach the metadata addresses.
//!
//! Not by the `bridge` plugin's `ipMasq`: that makes a chain per Pod, and leaves it behind when
//! the Pod's namespace has gone before it is called.

use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};

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

/// The rules on their way to the kernel.
pub(crate) struct Pending(Child);

/// Begins to set the rules, so that something else can be done meanwhile.
pub(crate) fn begin() -> Result<Pending, Error> {
    let mut command = Command::new(NFT);
    command.args(["-f", "-"]).env_clear().stdin(Stdio::piped());
    let mut child = plugin::spawn(&mut command).map_err(|error| match error {
        Error::Run { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
            Error::Failed {
                program: NFT.into(),
                message: "it is not installed (Debian: apt install nftables)".into(),
            }
        }
        other => other,
    })?;
    if let Some(mut input) = child.stdin.take() {
        // If it does not read, it says why when it ends.
        let _ = input.write_all(table().as_bytes());
    }
    Ok(Pending(child))
}

impl Pending {
    /// Waits until the rules are in force.
    pub(crate) fn finish(self) -> Result<(), Error> {
        let (success, _, errors) = plugin::finish(self.0, Path::new(NFT))?;
        if success {
            return Ok(());
        }
        let message = plugin::one_line(&String::from_utf8_lossy(&errors));
        Err(Error::Failed {
            program: NFT.into(),
            message,
        })
    }
}
