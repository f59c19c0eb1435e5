//! How many instructions a guest runs until its agent is ready: QEMU counts them (`-icount`), one
//! to a nanosecond of the guest's clock. What repeats on any machine, however busy, is the score
//! of the kernel's configuration.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use super::{Bench, Rows, median, start};
use crate::command::Failure;

/// The monitor, where the engine looks for it.
const QEMU: &str = "/usr/bin/qemu-system-x86_64";
/// Runs of which the median counts.
const RUNS: usize = 3;

/// Stands in for QEMU, in a mount namespace of its own: the same machine, but one thread, which
/// counts, and a clock whose rate is that of the count.
fn wrapper(real: &Path) -> String {
    format!(
        r#"#!/bin/sh
count=$#
while [ $count -gt 0 ]; do
    word=$1
    shift
    case $word in
    tcg,thread=multi*) word=tcg,thread=single${{word#tcg,thread=multi}} ;;
    *tsc_early_khz=*) word=$(printf %s "$word" | sed 's/tsc_early_khz=[0-9]*/tsc_early_khz=1000000/') ;;
    esac
    set -- "$@" "$word"
    count=$((count - 1))
done
export QEMU_MODULE_DIR=/usr/lib/x86_64-linux-gnu/qemu
exec {} -L /usr/share/qemu -L /usr/share/seabios -icount shift=0,sleep=off "$@"
"#,
        real.display()
    )
}

pub(super) fn rows(bench: &Bench) -> Result<Rows, Failure> {
    let (real, script) = (bench.roots.0.join("qemu"), bench.roots.0.join("counting"));
    let made = fs::copy(QEMU, &real)
        .and_then(|_| fs::write(&script, wrapper(&real)))
        .and_then(|()| fs::set_permissions(&script, fs::Permissions::from_mode(0o755)));
    made.map_err(|error| Failure::io(script.display(), &error))?;
    let mut counts = Vec::new();
    for _ in 0..RUNS {
        let skete = bench.hello(&["--timings", "--hypervisor", "emulation"], &["true"]);
        let mut counted = Command::new("unshare");
        counted
            .args(["--mount", "sh", "-c"])
            .arg(format!(
                "mount --bind {} {QEMU} && exec \"$@\"",
                script.display()
            ))
            .arg("sh")
            .arg(skete.get_program())
            .args(skete.get_args());
        let phases = start::phases(&mut counted)?;
        let uptime = phases.get("engine: guest-uptime");
        counts.push(*uptime.ok_or_else(|| Failure::new("a guest did not tell its uptime"))?);
    }
    // Milliseconds, of a million instructions each.
    let spread = counts.iter().fold(0.0, |most: f64, one| {
        most.max((one - counts[0]).abs() / counts[0] * 100.0)
    });
    Ok(vec![(
        format!("instructions of the guest until agent-ready, median of {RUNS}"),
        format!("{:.1} million (spread {spread:.2} %)", median(counts)),
    )])
}
