//! One process of a container: its streams, and its way from created through running to exited.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use skete_agent_api::{StdioHeader, StdioStream};
use tokio::sync::{Mutex as AsyncMutex, MutexGuard as AsyncMutexGuard, watch};

use crate::agent::Agent;
use crate::error::EngineError;
use crate::stdio::{Input, Output};

/// The FIFOs of a process, as containerd names them. An empty path: nobody wants the stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stdio {
    /// Whether the process has a terminal; its output is then all in `stdout`.
    pub terminal: bool,
    /// Read by the engine.
    pub stdin: PathBuf,
    /// Written by the engine.
    pub stdout: PathBuf,
    /// Written by the engine.
    pub stderr: PathBuf,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit {
    /// 128 + signal if a signal ended it.
    pub code: u32,
    /// By the host's clock, when the engine heard of it.
    pub at: SystemTime,
    /// Whether the guest's kernel killed a process of the container for want of memory.
    pub oom_killed: bool,
}

/// Where a process stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Waits to be started.
    Created,
    /// Runs.
    Running,
    /// Has ended, and all of its output is in the FIFOs.
    Exited(Exit),
}

/// A process and its streams.
pub struct Process {
    /// The container's id.
    pub container_id: String,
    /// The exec's id; empty for the container's first process.
    pub exec_id: String,
    /// Its FIFOs.
    pub stdio: Stdio,
    status: watch::Sender<Status>,
    input: Mutex<Option<Input>>,
    output: AsyncMutex<Output>,
    starting: AsyncMutex<()>,
}

impl Process {
    /// A process that waits to be started.
    #[must_use]
    pub fn new(container_id: &str, exec_id: &str, stdio: Stdio) -> Self {
        Self {
            container_id: container_id.to_owned(),
            exec_id: exec_id.to_owned(),
            stdio,
            status: watch::Sender::new(Status::Created),
            input: Mutex::new(None),
            output: AsyncMutex::default(),
            starting: AsyncMutex::default(),
        }
    }

    /// Waits for a start that is under way, and keeps off others while it is held: whether the
    /// process was started is then certain.
    pub async fn starting(&self) -> AsyncMutexGuard<'_, ()> {
        self.starting.lock().await
    }

    /// Where it stands now.
    #[must_use]
    pub fn status(&self) -> Status {
        *self.status.borrow()
    }

    /// It was started.
    pub fn set_running(&self) {
        self.status.send_if_modified(|status| {
            let created = *status == Status::Created;
            if created {
                *status = Status::Running;
            }
            created
        });
    }

    /// It has ended. Only the first end counts; says whether this was it.
    pub fn set_exited(&self, exit: Exit) -> bool {
        self.status.send_if_modified(|status| {
            let first = !matches!(status, Status::Exited(_));
            if first {
                *status = Status::Exited(exit);
            }
            first
        })
    }

    /// Waits for its end.
    pub async fn wait(&self) -> Exit {
        let mut status = self.status.subscribe();
        loop {
            if let Status::Exited(exit) = *status.borrow_and_update() {
                return exit;
            }
            // The sender is `self`, which outlives this borrow.
            let _ = status.changed().await;
        }
    }

    /// Connects the streams that somebody wants, before the process starts. The guest holds back
    /// what nobody reads, so that unwanted output is read and dropped.
    ///
    /// # Errors
    /// If the guest refuses a stream or a FIFO cannot be opened.
    pub async fn connect(&self, agent: &Agent) -> Result<(), EngineError> {
        let header = |stream| StdioHeader {
            stream,
            container_id: self.container_id.clone(),
            exec_id: self.exec_id.clone(),
        };
        let fifo_failed = |path: &PathBuf| {
            let path = path.clone();
            move |source| EngineError::Fifo { path, source }
        };
        let mut output = self.output.lock().await;
        let mut input = None;
        if self.stdio.terminal {
            let (from, to) = agent
                .stdio(&header(StdioStream::Terminal))
                .await?
                .into_split();
            if self.stdio.stdout.as_os_str().is_empty() {
                output.discard(from);
            } else {
                let path = &self.stdio.stdout;
                output.pump(from, path).map_err(fifo_failed(path))?;
            }
            if self.stdio.stdin.as_os_str().is_empty() {
                // Dropping the half would end the terminal's input; it stays with the process.
                input = Some(Input::idle(to));
            } else {
                let path = &self.stdio.stdin;
                input = Some(Input::pump(path, to).map_err(fifo_failed(path))?);
            }
        } else {
            for (stream, path) in [
                (StdioStream::Stdout, &self.stdio.stdout),
                (StdioStream::Stderr, &self.stdio.stderr),
            ] {
                let (from, _to) = agent.stdio(&header(stream)).await?.into_split();
                if path.as_os_str().is_empty() {
                    output.discard(from);
                } else {
                    output.pump(from, path).map_err(fifo_failed(path))?;
                }
            }
            if !self.stdio.stdin.as_os_str().is_empty() {
                let (_from, to) = agent.stdio(&header(StdioStream::Stdin)).await?.into_split();
                let path = &self.stdio.stdin;
                input = Some(Input::pump(path, to).map_err(fifo_failed(path))?);
            }
        }
        *self.input.lock().unwrap_or_else(PoisonError::into_inner) = input;
        Ok(())
    }

    /// Closes the streams of a process that was not started: they carry nothing, and whoever reads
    /// them waits for their end.
    pub async fn disconnect(&self) {
        drop(std::mem::take(&mut *self.output.lock().await));
        self.close_input();
    }

    /// Closes its standard input once the FIFO is read empty.
    pub fn close_stdin(&self) {
        if let Some(input) = &*self.input.lock().unwrap_or_else(PoisonError::into_inner) {
            input.close();
        }
    }

    /// Waits until all of its output is in the FIFOs, and closes them.
    pub async fn drain(&self) {
        self.output.lock().await.drain().await;
        self.close_input();
    }

    fn close_input(&self) {
        self.input
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
    }
}

#[cfg(test)]
#[path = "process_test.rs"]
mod tests;
