//! `skete exec`: a further process in a running container. This command is the shim's client
//! itself, so that the process has nothing to do with the Pod's follower.

use std::path::PathBuf;

use clap::Args;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot};

use crate::failure::{CANNOT_EXECUTE, Failure, NOT_FOUND, OWN_ERROR};
use crate::fifo;
use crate::files;
use crate::logs::Stream;
use crate::output;
use crate::paths::Paths;
use crate::pods;
use crate::pump::{Chunk, Keyboard, Printer};
use crate::record::{PodRecord, random_hex};
use crate::shim_client::{Io, ShimClient, ShimError};
use crate::supervise::exit_code_of;
use crate::terminal::{self, RawMode};

/// Run a further command in a running container.
#[derive(Debug, Args)]
pub struct Exec {
    /// Pass standard input on
    #[arg(short, long)]
    interactive: bool,
    /// Give the command a terminal
    #[arg(short, long)]
    tty: bool,
    /// Do not wait for the command
    #[arg(short, long, conflicts_with_all = ["interactive", "tty"])]
    detach: bool,
    /// Which container, if the Pod has several
    #[arg(short, long, value_name = "NAME")]
    container: Option<String>,
    /// A variable for the command, NAME=VALUE; without a value, this command's own
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    env: Vec<String>,
    /// Directory for the command
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<String>,
    /// User for the command: USER[:GROUP], names or numbers
    #[arg(short, long, value_name = "USER[:GROUP]")]
    user: Option<String>,
    /// All capabilities for the command
    #[arg(long)]
    privileged: bool,
    /// Name, id or beginning of an id
    pod: String,
    /// The command and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

/// The FIFOs' directory, which goes with this.
struct Directory(PathBuf);

impl Drop for Directory {
    fn drop(&mut self) {
        // What cannot be removed goes with the Pod.
        let _ = files::remove_tree(&self.0);
    }
}

/// What the output tasks say.
enum Said {
    Output(Stream, Vec<u8>),
    End,
}

impl Exec {
    /// Does it.
    ///
    /// # Errors
    /// The container does not run, or the command cannot be started in it.
    pub fn run(&self, paths: &Paths) -> Result<u8, Failure> {
        let record = pods::find(paths, &self.pod)?;
        let container = super::running_container_of(&record, self.container.as_deref())?;
        let task = container.task_id.clone();
        let process = self.process(paths, &record, &task)?;
        let runtime = crate::runtime()?;
        let code = runtime.block_on(self.execute(paths, &record, &task, process));
        terminal::restore();
        runtime.shutdown_background();
        code
    }

    /// The OCI process: the container's own with what was asked for changed.
    fn process(&self, paths: &Paths, record: &PodRecord, task: &str) -> Result<Vec<u8>, Failure> {
        let bundle = paths.container_bundle(&record.id, task);
        let spec = files::read_bounded(&bundle.join("config.json"), 16 << 20)?;
        let mut spec: serde_json::Value = serde_json::from_slice(&spec)?;
        let mut process = spec["process"].take();
        process["args"] = self.command.clone().into();
        process["terminal"] = self.tty.into();
        if let Some(object) = process.as_object_mut() {
            object.remove("consoleSize");
        }
        if let (true, Some(window)) = (self.tty, terminal::window_size()) {
            process["consoleSize"] =
                serde_json::json!({ "width": window.columns, "height": window.rows });
        }
        let variables = process["env"].as_array_mut();
        let mut environment: Vec<String> = variables
            .map(|list| {
                list.iter()
                    .filter_map(|v| Some(v.as_str()?.to_owned()))
                    .collect()
            })
            .unwrap_or_default();
        if self.tty && !environment.iter().any(|v| v.starts_with("TERM=")) {
            environment.push("TERM=xterm".to_owned());
        }
        for variable in &self.env {
            let variable = match variable.split_once('=') {
                Some(_) => variable.clone(),
                None => match std::env::var(variable) {
                    Ok(value) => format!("{variable}={value}"),
                    Err(_) => continue,
                },
            };
            let name = variable.split('=').next().unwrap_or_default().to_owned();
            environment.retain(|v| v.split('=').next() != Some(name.as_str()));
            environment.push(variable);
        }
        process["env"] = environment.into();
        if let Some(directory) = &self.workdir {
            if !directory.starts_with('/') {
                return Err(Failure::own(format!(
                    "--workdir {directory:?} does not begin with /"
                )));
            }
            process["cwd"] = directory.clone().into();
        }
        self.set_user(&mut process)?;
        if self.privileged {
            grant_everything(&mut process);
        }
        Ok(serde_json::to_vec(&process)?)
    }

    fn set_user(&self, process: &mut serde_json::Value) -> Result<(), Failure> {
        let Some(user) = &self.user else {
            return Ok(());
        };
        let (name, group) = match user.split_once(':') {
            Some((name, group)) => (name, Some(group)),
            None => (user.as_str(), None),
        };
        let numbers = (
            name.parse::<u32>(),
            group.map(str::parse::<u32>).transpose(),
        );
        if let (Ok(uid), Ok(gid)) = numbers {
            process["user"] = serde_json::json!({ "uid": uid, "gid": gid.unwrap_or(0) });
            return Ok(());
        }
        if name.is_empty() || user.len() > 256 {
            return Err(Failure::own(format!("--user {user:?} is not USER[:GROUP]")));
        }
        // Names are looked up in the guest, where /etc/passwd is.
        process["user"] = serde_json::json!({ "uid": 0, "gid": 0, "username": user });
        Ok(())
    }

    async fn execute(
        &self,
        paths: &Paths,
        record: &PodRecord,
        task: &str,
        process: Vec<u8>,
    ) -> Result<u8, Failure> {
        let shim = ShimClient::of_pod(paths, &record.id).await?;
        let exec = random_hex(32)?;
        if self.detach {
            shim.exec(task, &exec, process, Io::default()).await?;
            shim.start(task, &exec).await.map_err(cannot_start)?;
            output::print(&format!("{exec}\n"))?;
            return Ok(0);
        }
        let directory = Directory(paths.execs(&record.id).join(&exec));
        files::make_private_dir(&directory.0)?;
        let fifos = fifo::Paths::make(&directory.0, self.interactive, self.tty)?;
        let (said, mut hear) = mpsc::channel(1);
        let mut keepers = Vec::new();
        let mut open = 0;
        let outputs = [
            (Some(&fifos.stdout), Stream::Stdout),
            (fifos.stderr.as_ref(), Stream::Stderr),
        ];
        for (path, stream) in outputs {
            let Some(path) = path else { continue };
            let (from, keeper) = fifo::Reader::open(path)?.split();
            keepers.extend(keeper);
            tokio::spawn(listen(from, stream, said.clone()));
            open += 1;
        }
        drop(said);
        shim.exec(task, &exec, process, Io::new(&fifos, self.tty))
            .await?;
        let waiting = tokio::spawn({
            let (shim, task, exec) = (shim.clone(), task.to_owned(), exec.clone());
            async move { shim.wait(&task, &exec).await }
        });
        if let Err(error) = shim.start(task, &exec).await {
            let _ = shim.delete(task, &exec).await;
            return Err(cannot_start(error));
        }
        let to = match &fifos.stdin {
            Some(path) => Some(fifo::open_writer(path)?),
            None => None,
        };
        let process = Process {
            shim,
            task,
            exec: &exec,
        };
        let code = self
            .carry(&process, to, &mut hear, keepers, waiting, open)
            .await;
        let _ = process.shim.delete(task, &exec).await;
        code
    }

    async fn carry(
        &self,
        process: &Process<'_>,
        to: Option<pipe::Sender>,
        hear: &mut mpsc::Receiver<Said>,
        mut keepers: Vec<pipe::Sender>,
        mut waiting: tokio::task::JoinHandle<
            Result<containerd_shim_protos::api::WaitResponse, ShimError>,
        >,
        mut open: usize,
    ) -> Result<u8, Failure> {
        let mut window = signal(SignalKind::window_change())?;
        let raw = if self.tty && self.interactive {
            RawMode::enter()?
        } else {
            None
        };
        if self.tty {
            process.resize().await;
        }
        let keyboard = Keyboard::new(self.interactive, raw.is_some());
        let (detach, mut detached) = oneshot::channel();
        if let Some(to) = to {
            let (shim, task) = (process.shim.clone(), process.task.to_owned());
            let exec = process.exec.to_owned();
            tokio::spawn(async move {
                if pass_on(keyboard, to, detach).await {
                    // A process that has ended has no standard input to close.
                    let _ = shim.close_stdin(&task, &exec).await;
                }
            });
        }
        let mut printer = Printer::new();
        let mut code = None;
        // The process's end is known and all it wrote has come.
        while code.is_none() || open > 0 {
            tokio::select! {
                biased;
                _ = window.recv(), if self.tty => process.resize().await,
                printed = printer.progress(), if printer.is_busy() => {
                    printed.map_err(output::write_failure)?;
                }
                heard = hear.recv(), if open > 0 && !printer.is_busy() => match heard {
                    Some(Said::Output(stream, bytes)) => printer.put(stream, bytes),
                    Some(Said::End) => open -= 1,
                    None => open = 0,
                },
                ended = &mut waiting, if code.is_none() => {
                    let response = ended??;
                    code = Some(u8::try_from(response.exit_status).unwrap_or(u8::MAX));
                    // Nothing more is written from now on: what has come is all.
                    keepers.clear();
                }
                Ok(()) = &mut detached, if !detached.is_terminated() => return Ok(0),
            }
        }
        printer.finish().await;
        drop(raw);
        Ok(code.unwrap_or(OWN_ERROR))
    }
}

struct Process<'a> {
    shim: ShimClient,
    task: &'a str,
    exec: &'a str,
}

impl Process<'_> {
    async fn resize(&self) {
        if let Some(window) = terminal::window_size() {
            let (columns, rows) = (window.columns, window.rows);
            // It may have ended meanwhile.
            let _ = self.shim.resize(self.task, self.exec, columns, rows).await;
        }
    }
}

/// What is typed goes to the process, for as long as it reads; `true` if nothing more comes. Not
/// the business of the loop that carries its output: a process that does not read must not hold
/// that up.
async fn pass_on(
    mut keyboard: Keyboard,
    mut to: pipe::Sender,
    detach: oneshot::Sender<()>,
) -> bool {
    while let Some(typed) = keyboard.next().await {
        let Chunk::Bytes(bytes) = typed else {
            let _ = detach.send(());
            return false;
        };
        if to.write_all(&bytes).await.is_err() {
            return false;
        }
    }
    true
}

async fn listen(mut from: pipe::Receiver, stream: Stream, said: mpsc::Sender<Said>) {
    let mut buffer = vec![0; crate::wire::CHUNK];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        let bytes = buffer[..length].to_vec();
        if said.send(Said::Output(stream, bytes)).await.is_err() {
            return;
        }
    }
    let _ = said.send(Said::End).await;
}

fn cannot_start(error: ShimError) -> Failure {
    let code = match exit_code_of(&error) {
        CANNOT_EXECUTE => CANNOT_EXECUTE,
        NOT_FOUND => NOT_FOUND,
        _ => OWN_ERROR,
    };
    Failure::new(code, error.to_string())
}

/// Every capability that the kernel of the guest may know.
fn grant_everything(process: &mut serde_json::Value) {
    let all: Vec<&str> = CAPABILITIES.to_vec();
    for set in ["bounding", "effective", "permitted"] {
        process["capabilities"][set] = all.clone().into();
    }
}

const CAPABILITIES: [&str; 41] = [
    "CAP_AUDIT_CONTROL",
    "CAP_AUDIT_READ",
    "CAP_AUDIT_WRITE",
    "CAP_BLOCK_SUSPEND",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_KILL",
    "CAP_LEASE",
    "CAP_LINUX_IMMUTABLE",
    "CAP_MAC_ADMIN",
    "CAP_MAC_OVERRIDE",
    "CAP_MKNOD",
    "CAP_NET_ADMIN",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_RAW",
    "CAP_PERFMON",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYSLOG",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_CHROOT",
    "CAP_SYS_MODULE",
    "CAP_SYS_NICE",
    "CAP_SYS_PACCT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_WAKE_ALARM",
];
