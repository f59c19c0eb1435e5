//! What runs a guest's instructions: KVM where it really does, emulation elsewhere.
//!
//! That `/dev/kvm` opens says little: there are hosts whose device runs simple guests, and fails on
//! instructions that every 64-bit kernel needs. So a guest of a few instructions is tried, once for
//! each start of the machine.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::process;

/// What runs a guest's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Accelerator {
    /// Hardware virtualization.
    Kvm,
    /// QEMU's emulator. The same guests, slower, and no security boundary.
    Emulation,
}

impl Accelerator {
    /// What monitor, vsock device and shim need beside the guest's memory, in MiB. An emulator
    /// keeps the code that it has translated, and the tables to find it by.
    #[must_use]
    pub fn overhead_mib(self) -> u64 {
        match self {
            Self::Kvm => 96,
            Self::Emulation => 256,
        }
    }
}

/// What a machine can do, and how that was found out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// The best that works.
    pub accelerator: Accelerator,
    /// Why, in one line for people.
    pub reason: String,
}

/// A wish that cannot be had.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ChoiceError {
    /// KVM, where it does not run guests.
    #[error("this machine cannot run a Pod on KVM: {0}")]
    NoKvm(String),
    /// None of ours.
    #[error("hypervisor {0:?} is not known: choose kvm or emulation")]
    Unknown(String),
}

/// The accelerator of that name if it works here; without a name the best that does. As
/// [`probe`], it may block for a trial.
///
/// # Errors
/// It does not work, or there is none of that name.
pub fn choose(
    name: Option<&str>,
    qemu: &Path,
    cache: Option<&Path>,
) -> Result<Accelerator, ChoiceError> {
    match name {
        None => Ok(probe(qemu, cache).accelerator),
        Some("emulation") => Ok(Accelerator::Emulation),
        Some("kvm") => match probe(qemu, cache) {
            Probe {
                accelerator: Accelerator::Emulation,
                reason,
            } => Err(ChoiceError::NoKvm(reason)),
            found => Ok(found.accelerator),
        },
        Some(other) => Err(ChoiceError::Unknown(other.to_owned())),
    }
}

const DEVICE: &str = "/dev/kvm";

/// How long the trial may take. Where KVM works it takes a tenth of a second, nearly all of it
/// the start of QEMU.
const LIMIT: Duration = Duration::from_secs(5);

/// Where the trial's result is kept, in the directory that is given to [`probe`].
const CACHE: &str = "accelerator.json";

/// Finds out what this machine can do. Blocks for the time of a trial, at most some seconds,
/// unless `cache` (a directory) holds the result of one since the machine's last start.
#[must_use]
pub fn probe(qemu: &Path, cache: Option<&Path>) -> Probe {
    let emulation = |reason| Probe {
        accelerator: Accelerator::Emulation,
        reason,
    };
    if let Err(error) = File::options().read(true).write(true).open(DEVICE) {
        return emulation(format!("{DEVICE} cannot be opened: {error}"));
    }
    let key = key();
    let file = cache.map(|dir| dir.join(CACHE));
    if let (Some(key), Some(file)) = (&key, &file)
        && let Some(probe) = recall(file, key)
    {
        return probe;
    }
    let probe = match trial(qemu, Accelerator::Kvm) {
        Ok(()) => Probe {
            accelerator: Accelerator::Kvm,
            reason: format!("a 64-bit guest runs on {DEVICE}"),
        },
        Err(TrialError::Guest(why)) => emulation(format!(
            "{DEVICE} opens, but a 64-bit guest does not run on it: {why}"
        )),
        // Nothing was learnt about the machine, so nothing is kept.
        Err(TrialError::Host(error)) => {
            return emulation(format!(
                "{DEVICE} could not be tried with {}: {error}",
                qemu.display()
            ));
        }
    };
    if let (Some(key), Some(file)) = (key, file)
        && let Err(error) = remember(
            &file,
            Kept {
                key,
                probe: probe.clone(),
            },
        )
    {
        tracing::debug!(%error, path = %file.display(), "the trial of KVM will be repeated");
    }
    probe
}

#[derive(Serialize, Deserialize)]
struct Kept {
    key: String,
    probe: Probe,
}

/// What the result depends on: this start of the machine, its kernel, and the device.
fn key() -> Option<String> {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let uname = rustix::system::uname();
    let device = std::fs::metadata(DEVICE).ok()?;
    Some(format!(
        "{} {} {} {}:{}:{}",
        boot.trim(),
        uname.release().to_string_lossy(),
        uname.version().to_string_lossy(),
        device.rdev(),
        device.dev(),
        device.ino(),
    ))
}

fn recall(file: &Path, key: &str) -> Option<Probe> {
    let mut text = String::new();
    File::open(file)
        .ok()?
        .take(16 << 10)
        .read_to_string(&mut text)
        .ok()?;
    let kept: Kept = serde_json::from_str(&text).ok()?;
    (kept.key == key).then_some(kept.probe)
}

fn remember(file: &Path, kept: Kept) -> io::Result<()> {
    let dir = file.parent().unwrap_or(Path::new("/"));
    let mut new = tempfile::NamedTempFile::new_in(dir)?;
    new.write_all(&serde_json::to_vec(&kept)?)?;
    new.persist(file)?;
    Ok(())
}

/// Why a trial failed.
#[derive(Debug, thiserror::Error)]
enum TrialError {
    /// The guest did not do what it should.
    #[error("{0}")]
    Guest(String),
    /// The trial could not be made.
    #[error(transparent)]
    Host(#[from] io::Error),
}

/// Runs the trial guest.
fn trial(qemu: &Path, accelerator: Accelerator) -> Result<(), TrialError> {
    let mut firmware = tempfile::NamedTempFile::new()?;
    firmware.write_all(&rom::image())?;
    let (accel, cpu) = match accelerator {
        Accelerator::Kvm => ("kvm", "host"),
        Accelerator::Emulation => ("tcg", "max"),
    };
    let mut command = Command::new(qemu);
    command
        .args([
            "-nodefaults",
            "-no-user-config",
            "-no-reboot",
            "-display",
            "none",
        ])
        .args([
            "-sandbox",
            "on,obsolete=deny,elevateprivileges=deny,spawn=deny",
        ])
        .args(["-machine", "pc,usb=off,vmport=off", "-m", "8M"])
        .args(["-accel", accel, "-cpu", cpu])
        .args(["-device", "isa-debug-exit,iobase=0xf4,iosize=1"])
        .arg("-bios")
        .arg(firmware.path())
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let (mut child, _pidfd) = process::spawn(&mut command, &[])?;
    let begun = Instant::now();
    let status = loop {
        match child.try_wait()? {
            Some(status) => break Some(status),
            None if begun.elapsed() > LIMIT => break None,
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    };
    if status.is_none() {
        child.kill()?;
        child.wait()?;
    }
    // It has ended, so this reads what is in the pipe and no more.
    let mut words = Vec::new();
    if let Some(stderr) = child.stderr.take() {
        stderr.take(16 << 10).read_to_end(&mut words)?;
    }
    let words = String::from_utf8_lossy(&words);
    let said = words
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty() && !line.contains("warning:"));
    match (status, said) {
        (Some(status), _) if status.code() == Some(rom::STATUS) => Ok(()),
        (_, Some(said)) => Err(TrialError::Guest(said.to_owned())),
        (Some(status), None) => Err(TrialError::Guest(format!(
            "QEMU {}",
            process::describe(status)
        ))),
        (None, None) => Err(TrialError::Guest(format!(
            "it did not end within {} s",
            LIMIT.as_secs()
        ))),
    }
}

/// The trial guest: a firmware that goes from the reset vector to 64-bit mode, does what failed on
/// hosts that only seem to have KVM, and says that it came through.
#[allow(unsafe_code)]
mod rom {
    /// The status that QEMU ends with when the guest came through: `isa-debug-exit` makes
    /// `2n + 1` of the byte that the guest writes.
    pub(super) const STATUS: i32 = 0x2a * 2 + 1;

    /// The size of the firmware, which ends at 4 GiB.
    const SIZE: usize = 64 << 10;

    std::arch::global_asm!(
        ".pushsection .rodata.skete_trial, \"a\"",
        ".globl skete_trial_start",
        ".globl skete_trial_end",
        ".balign 16",
        "skete_trial_start:",
        ".code16",
        "cli",
        // lgdtl cs:[gdtr]: by hand, for its address is in the firmware and not where this is linked.
        ".byte 0x2e, 0x66, 0x0f, 0x01, 0x16",
        ".word 95f - skete_trial_start",
        "mov eax, cr0",
        "or al, 1",
        "mov cr0, eax",
        // ljmpl 0x08:protected
        ".byte 0x66, 0xea",
        ".long 0xffff0000 + (91f - skete_trial_start)",
        ".word 0x08",
        // 32-bit protected mode.
        ".code32",
        "91:",
        "mov eax, 0x10",
        "mov ds, ax",
        "mov es, ax",
        "mov ss, ax",
        // Page tables in the zeroed memory: the first 2 MiB and the last 2 MiB below 4 GiB.
        "mov dword ptr ds:[0x1000], 0x2003",
        "mov dword ptr ds:[0x2000], 0x3003",
        "mov dword ptr ds:[0x2018], 0x4003",
        "mov dword ptr ds:[0x3000], 0x83",
        "mov dword ptr ds:[0x4ff8], 0xffe00083",
        // CR4: physical address extension, SSE.
        "mov eax, cr4",
        "or eax, 0x620",
        "mov cr4, eax",
        "mov eax, 0x1000",
        "mov cr3, eax",
        // EFER: long mode.
        "mov ecx, 0xc0000080",
        "rdmsr",
        "or eax, 0x100",
        "wrmsr",
        // CR0: paging; a coprocessor that is not emulated.
        "mov eax, cr0",
        "and eax, 0xfffffffb",
        "or eax, 0x80000002",
        "mov cr0, eax",
        // ljmp 0x18:long
        ".byte 0xea",
        ".long 0xffff0000 + (92f - skete_trial_start)",
        ".word 0x18",
        // 64-bit mode.
        ".code64",
        "92:",
        "mov esp, 0x6000",
        "mov edi, 0x5000",
        "xor eax, eax",
        "xor edx, edx",
        "mov ebx, 1",
        "mov ecx, 2",
        "lock cmpxchg16b xmmword ptr [rdi]",
        "jnz 93f",
        "movdqu xmm0, xmmword ptr [rdi]",
        "movdqu xmmword ptr [rdi + 16], xmm0",
        "cmp qword ptr [rdi + 24], 2",
        "jne 93f",
        "popcnt eax, ecx",
        "cmp eax, 1",
        "jne 93f",
        "mov al, 0x2a",
        "out 0xf4, al",
        "93:",
        "hlt",
        "jmp 93b",
        ".balign 8",
        // Null, 32-bit code, data, 64-bit code.
        "94:",
        ".quad 0, 0x00cf9b000000ffff, 0x00cf93000000ffff, 0x00af9b000000ffff",
        "95:",
        ".word 31",
        ".long 0xffff0000 + (94b - skete_trial_start)",
        "skete_trial_end:",
        ".popsection",
    );

    fn code() -> &'static [u8] {
        unsafe extern "C" {
            static skete_trial_start: u8;
            static skete_trial_end: u8;
        }
        // SAFETY: both symbols are defined above, in this order in one read-only section, with
        // nothing but initialized bytes between them, for as long as the program runs.
        unsafe {
            let start = &raw const skete_trial_start;
            let end = &raw const skete_trial_end;
            std::slice::from_raw_parts(start, end as usize - start as usize)
        }
    }

    /// The firmware: the code at its start, and at the processor's reset vector (16 bytes before
    /// the end) a jump there.
    pub(super) fn image() -> Vec<u8> {
        let code = code();
        let mut image = vec![0; SIZE];
        image[..code.len()].copy_from_slice(code);
        // jmp -0xfff0, modulo 64 KiB
        image[SIZE - 16..SIZE - 13].copy_from_slice(&[0xe9, 0x0d, 0x00]);
        image
    }
}

/// Where [`probe`] keeps its result in a directory.
#[must_use]
pub fn cache_file(dir: &Path) -> PathBuf {
    dir.join(CACHE)
}

#[cfg(test)]
#[path = "accelerator_test.rs"]
mod tests;
