//! One call of one CNI plugin, by the CNI specification 1.0.0, section 3.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, PidfdFlags, Signal};
use serde::Deserialize;
use serde_json::Value;

/// A plugin that takes longer is killed. `bridge` waits up to 20 s for IPv6 to settle.
const TIME_LIMIT: Duration = Duration::from_secs(40);

/// A plugin that answers more is not listened to.
pub(crate) const OUTPUT_LIMIT: u64 = 1 << 20;

/// Where plugins find the programs they call (`iptables`); a user's PATH may lack the second
/// half of it.
const PROGRAMS: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What can go wrong in calling a CNI plugin.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The plugin is not installed.
    #[error(
        "the CNI plugin {name} is not in {}: install the CNI plugins \
         (Debian: apt install containernetworking-plugins)",
        .searched.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
    )]
    Missing {
        /// The plugin's type.
        name: String,
        /// Where it was looked for.
        searched: Vec<PathBuf>,
    },
    /// It cannot be started or spoken to.
    #[error("cannot run {program}")]
    Run {
        /// Which program.
        program: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// It said what was wrong.
    #[error("{program} failed: {message}")]
    Failed {
        /// Which program.
        program: String,
        /// Its message and details, in one line.
        message: String,
    },
    /// It did not end in time and was killed.
    #[error("{program} did not end within {} s and was killed", .limit.as_secs())]
    Late {
        /// Which program.
        program: String,
        /// The time it had.
        limit: Duration,
    },
    /// It answered something that the specification does not allow.
    #[error("{program} answered what is no CNI result")]
    Answer {
        /// Which program.
        program: String,
        /// What was wrong with it.
        #[source]
        source: serde_json::Error,
    },
}

/// What a plugin is told besides its configuration.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call<'a> {
    /// `ADD` or `DEL`.
    pub(crate) command: &'a str,
    pub(crate) id: &'a str,
    /// None once the namespace is gone.
    pub(crate) netns: Option<&'a Path>,
    pub(crate) directories: &'a [PathBuf],
}

/// The error object of the specification, section 5.
#[derive(Deserialize)]
struct Refusal {
    #[serde(default)]
    msg: String,
    #[serde(default)]
    details: String,
}

/// Calls the plugin called `name` with `configuration`, which is written to `input` and read by
/// the plugin from there. `input` being the file that its caller has locked, the lock holds
/// until the plugin has ended, even if its caller is killed meanwhile.
///
/// Returns what the plugin printed, `Null` if nothing.
pub(crate) fn call(
    call: Call<'_>,
    name: &str,
    configuration: &Value,
    mut input: &File,
) -> Result<Value, Error> {
    let program = find(name, call.directories)?;
    let run_failed = |source| Error::Run {
        program: program.display().to_string(),
        source,
    };
    let text = configuration.to_string();
    input
        .set_len(0)
        .and_then(|()| input.rewind())
        .and_then(|()| input.write_all(text.as_bytes()))
        .and_then(|()| input.rewind())
        .map_err(run_failed)?;
    let joined = std::env::join_paths(call.directories)
        .map_err(|error| run_failed(io::Error::other(error)))?;
    let mut command = Command::new(&program);
    command
        .env_clear()
        .env("PATH", PROGRAMS)
        .env("CNI_COMMAND", call.command)
        .env("CNI_CONTAINERID", call.id)
        .env("CNI_NETNS", call.netns.unwrap_or(Path::new("")))
        .env("CNI_IFNAME", "eth0")
        .env("CNI_PATH", joined)
        .stdin(input.try_clone().map_err(run_failed)?);
    let (success, output, errors) = finish(spawn(&mut command)?, &program)?;
    let text = String::from_utf8_lossy(&output);
    if !success {
        let message = match serde_json::from_str::<Refusal>(&text) {
            Ok(refusal) => one_line(&format!("{} {}", refusal.msg, refusal.details)),
            Err(_) => one_line(&format!("{text} {}", String::from_utf8_lossy(&errors))),
        };
        return Err(Error::Failed {
            program: program.display().to_string(),
            message,
        });
    }
    if text.trim().is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_str(&text).map_err(|source| Error::Answer {
        program: program.display().to_string(),
        source,
    })
}

/// A plugin's name comes from a file that may be somebody's: it is a file's name, no path.
fn find(name: &str, directories: &[PathBuf]) -> Result<PathBuf, Error> {
    let plain = !name.is_empty() && !name.contains('/') && name != "." && name != "..";
    let mut found = directories.iter().map(|directory| directory.join(name));
    let found = found.find(|path| plain && path.is_file());
    found.ok_or_else(|| Error::Missing {
        name: name.into(),
        searched: directories.to_vec(),
    })
}

/// Starts `command` in a process group of its own.
pub(crate) fn spawn(command: &mut Command) -> Result<Child, Error> {
    command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    command.spawn().map_err(|source| Error::Run {
        program: command.get_program().to_string_lossy().into_owned(),
        source,
    })
}

/// Waits for `child`: whether it succeeded, and what it wrote to standard output and error.
pub(crate) fn finish(mut child: Child, program: &Path) -> Result<(bool, Vec<u8>, Vec<u8>), Error> {
    let program = program.display().to_string();
    let failed = |source| Error::Run {
        program: program.clone(),
        source,
    };
    let read = |stream: Option<Box<dyn Read + Send>>| {
        let mut bytes = Vec::new();
        if let Some(stream) = stream {
            // What cannot be read is missed when it is understood.
            let _ = stream.take(OUTPUT_LIMIT).read_to_end(&mut bytes);
        }
        bytes
    };
    let output = child
        .stdout
        .take()
        .map(|stream| Box::new(stream) as Box<dyn Read + Send>);
    let errors = child
        .stderr
        .take()
        .map(|stream| Box::new(stream) as Box<dyn Read + Send>);
    std::thread::scope(|scope| {
        let output = scope.spawn(move || read(output));
        let errors = scope.spawn(move || read(errors));
        let in_time = wait(&child, TIME_LIMIT).map_err(failed)?;
        if !in_time {
            // With what it has started, which else would keep the pipes open.
            let _ = rustix::process::kill_process_group(Pid::from_child(&child), Signal::KILL);
        }
        let status = child.wait().map_err(failed)?;
        let output = output.join().unwrap_or_default();
        let errors = errors.join().unwrap_or_default();
        match in_time {
            true => Ok((status.success(), output, errors)),
            false => Err(Error::Late {
                program: program.clone(),
                limit: TIME_LIMIT,
            }),
        }
    })
}

/// Whether `child` ends within `limit`.
fn wait(child: &Child, limit: Duration) -> io::Result<bool> {
    let process = rustix::process::pidfd_open(Pid::from_child(child), PidfdFlags::empty())?;
    let end = Instant::now() + limit;
    loop {
        let rest = end.saturating_duration_since(Instant::now());
        let rest = Timespec::try_from(rest).map_err(io::Error::other)?;
        match rustix::event::poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&rest)) {
            Ok(ready) => return Ok(ready > 0),
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

pub(crate) fn one_line(text: &str) -> String {
    let mut line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.len() > 1000 {
        let end = (0..=1000)
            .rev()
            .find(|&i| line.is_char_boundary(i))
            .unwrap_or(0);
        line.truncate(end);
        line.push('…');
    }
    line
}
