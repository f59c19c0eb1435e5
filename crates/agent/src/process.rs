//! A process of a container as the engine sees it: its streams, its state, its end.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use skete_agent_api::StdioStream;
use tokio::sync::{Notify, watch};
use tokio_vsock::VsockStream;

use crate::failure::{Failure, Kind};
use crate::lock;
use crate::reaper::Exit;
use crate::stdio::{Ends, Pty};

/// How far a process has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Streams may be connected.
    Created,
    /// It runs, or is about to.
    Started,
}

struct Inner {
    phase: Phase,
    pid: Option<i32>,
    connections: HashMap<StdioStream, VsockStream>,
    ends: Ends,
    pty: Option<Arc<Pty>>,
}

/// One process: a container's first, or an exec.
pub(crate) struct Process {
    /// Whether its streams are a terminal.
    pub(crate) terminal: bool,
    /// Told when its standard input is to be closed.
    pub(crate) close_stdin: Notify,
    inner: Mutex<Inner>,
    exit: watch::Sender<Option<(Exit, bool)>>,
}

impl Process {
    /// A process that has not started.
    pub(crate) fn new(terminal: bool) -> Self {
        Self {
            terminal,
            close_stdin: Notify::new(),
            inner: Mutex::new(Inner {
                phase: Phase::Created,
                pid: None,
                connections: HashMap::new(),
                ends: Ends::default(),
                pty: None,
            }),
            exit: watch::Sender::new(None),
        }
    }

    /// Keeps the agent's ends of the streams until the process starts.
    pub(crate) fn set_ends(&self, ends: Ends) {
        lock(&self.inner).ends = ends;
    }

    /// Keeps the terminal's master.
    pub(crate) fn set_pty(&self, pty: Arc<Pty>) {
        lock(&self.inner).pty = Some(pty);
    }

    /// The terminal's master, if it has one by now.
    pub(crate) fn pty(&self) -> Option<Arc<Pty>> {
        lock(&self.inner).pty.clone()
    }

    /// Its id in the guest's first process-id namespace.
    pub(crate) fn pid(&self) -> Option<i32> {
        lock(&self.inner).pid
    }

    /// Sets what [`Process::pid`] gives.
    pub(crate) fn set_pid(&self, pid: i32) {
        lock(&self.inner).pid = Some(pid);
    }

    /// How far it has come.
    pub(crate) fn phase(&self) -> Phase {
        lock(&self.inner).phase
    }

    /// Whether a stream can be connected now; if not, why.
    pub(crate) fn accepts(&self, stream: StdioStream) -> Result<(), &'static str> {
        match (stream == StdioStream::Terminal, self.terminal) {
            (false, true) => return Err("the process has a terminal: connect `terminal`"),
            (true, false) => return Err("the process has no terminal"),
            _ => {}
        }
        let inner = lock(&self.inner);
        if inner.phase != Phase::Created {
            return Err("the process has started");
        }
        if inner.connections.contains_key(&stream) {
            return Err("the stream is connected");
        }
        Ok(())
    }

    /// Keeps a stream's connection until the process starts; one that came too late is closed.
    pub(crate) fn connect(&self, stream: StdioStream, connection: VsockStream) {
        if self.accepts(stream).is_ok() {
            lock(&self.inner).connections.insert(stream, connection);
        }
    }

    /// Marks it started and hands out what its streams are made of. Only the first call succeeds.
    pub(crate) fn begin(&self) -> Result<(HashMap<StdioStream, VsockStream>, Ends), Failure> {
        let mut inner = lock(&self.inner);
        if inner.phase != Phase::Created {
            return Err(Failure::new(
                Kind::FailedPrecondition,
                "the process has been started before",
            ));
        }
        inner.phase = Phase::Started;
        Ok((
            std::mem::take(&mut inner.connections),
            std::mem::take(&mut inner.ends),
        ))
    }

    /// Records its end; only the first counts.
    pub(crate) fn set_exit(&self, exit: Exit, oom_killed: bool) {
        self.exit.send_if_modified(|known| {
            let first = known.is_none();
            known.get_or_insert((exit, oom_killed));
            first
        });
    }

    /// Its end, and whether the out-of-memory killer had a part in it.
    pub(crate) fn exit(&self) -> Option<(Exit, bool)> {
        *self.exit.borrow()
    }

    /// Waits for its end.
    pub(crate) async fn wait(&self) -> Option<(Exit, bool)> {
        let mut receiver = self.exit.subscribe();
        let exit = receiver.wait_for(Option::is_some).await.ok()?;
        *exit
    }
}
