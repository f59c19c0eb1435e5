//! A terminal, or a pipe, attached to a Pod: what `run` and `attach` share.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::time::Instant;

use tokio::net::unix::OwnedWriteHalf;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot};

use crate::failure::{Failure, chain};
use crate::logs::Stream;
use crate::paths::Paths;
use crate::pump::{Chunk, Keyboard, Printer};
use crate::record::{PodId, Timing};
use crate::signals;
use crate::socket;
use crate::terminal::{self, RawMode};
use crate::wire::{self, Event, Frame, Request};

/// What a session is attached to.
#[derive(Debug, Clone, Default)]
pub(crate) struct Attachment {
    /// Only this container's output; absent: every container's.
    pub(crate) container: Option<String>,
    /// Standard input is for this container.
    pub(crate) stdin: Option<String>,
    /// The terminal is this container's.
    pub(crate) tty: Option<String>,
    /// Names of the containers in the record's order, to go before each line; empty: nothing does.
    pub(crate) names: Vec<String>,
    /// Signals are passed on.
    pub(crate) proxy_signals: bool,
    /// A first SIGINT or SIGTERM ends the Pod in good order, a second kills it.
    pub(crate) stop_on_signal: bool,
}

/// How a session ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The Pod has ended.
    Ended(Box<PodEnded>),
    /// The container it is attached to has ended, others of the Pod go on.
    ContainerEnded(u32),
    /// The user detached; the Pod goes on.
    Detached,
    /// The follower is gone.
    Lost,
}

/// What the follower tells at last.
#[derive(Debug, Default)]
pub(crate) struct PodEnded {
    pub(crate) exit_code: u32,
    pub(crate) reason: String,
    pub(crate) message: String,
    pub(crate) timings: Vec<Timing>,
    /// Exit codes of the containers' latest runs.
    pub(crate) container_codes: BTreeMap<String, u32>,
    /// When the first container was running.
    pub(crate) first_running: Option<Instant>,
    /// When the first output came.
    pub(crate) first_output: Option<Instant>,
}

/// A session.
pub(crate) struct Session {
    attachment: Attachment,
    frames: mpsc::Receiver<io::Result<Frame<Event>>>,
    /// What is typed goes here. Writing waits for a container that does not read.
    to: Option<OwnedWriteHalf>,
    /// What is asked for goes here, past what is typed; made when it is needed.
    requests: Option<OwnedWriteHalf>,
    paths: Paths,
    id: PodId,
    ended: PodEnded,
    signals_seen: u32,
}

/// The signals of a session.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    quit: Signal,
    hang_up: Signal,
    window: Signal,
    user1: Signal,
    user2: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            quit: signal(SignalKind::quit())?,
            hang_up: signal(SignalKind::hangup())?,
            window: signal(SignalKind::window_change())?,
            user1: signal(SignalKind::user_defined1())?,
            user2: signal(SignalKind::user_defined2())?,
        })
    }

    async fn next(&mut self) -> u32 {
        tokio::select! {
            _ = self.interrupt.recv() => signals::INT,
            _ = self.terminate.recv() => signals::TERM,
            _ = self.quit.recv() => signals::QUIT,
            _ = self.hang_up.recv() => signals::HUP,
            _ = self.window.recv() => signals::WINCH,
            _ = self.user1.recv() => signals::USR1,
            _ = self.user2.recv() => signals::USR2,
        }
    }
}

enum Next {
    Frame(Option<io::Result<Frame<Event>>>),
    Detached,
    Signal(u32),
    Printed,
    PrintFailed(io::Error),
}

impl Session {
    /// Attaches to a Pod.
    pub(crate) async fn connect(
        paths: &Paths,
        id: &PodId,
        attachment: Attachment,
    ) -> Result<Self, Failure> {
        let stream = socket::connect(&paths.attach_socket(id))
            .await
            .map_err(|error| {
                Failure::own(format!(
                    "cannot attach to Pod {}: {}",
                    id.short(),
                    chain(&error)
                ))
            })?;
        let (mut from, mut to) = stream.into_split();
        let request = Request::Attach {
            container: attachment.container.clone(),
            stdin: attachment.stdin.clone(),
        };
        wire::write(&mut to, &Frame::Say(request)).await?;
        // Reading a frame must not be given up half way, so that it is a task of its own.
        let (sender, frames) = mpsc::channel(4);
        tokio::spawn(async move {
            loop {
                let frame = match wire::read::<Event>(&mut from).await {
                    Ok(Some(frame)) => Ok(frame),
                    Ok(None) => return,
                    Err(error) => Err(error),
                };
                let failed = frame.is_err();
                if sender.send(frame).await.is_err() || failed {
                    return;
                }
            }
        });
        Ok(Self {
            attachment,
            frames,
            to: Some(to),
            requests: None,
            paths: paths.clone(),
            id: id.clone(),
            ended: PodEnded::default(),
            signals_seen: 0,
        })
    }

    /// Carries everything to and fro until the end.
    pub(crate) async fn follow(mut self) -> Result<Outcome, Failure> {
        let mut signals = Signals::new()?;
        let raw = match &self.attachment.tty {
            Some(_) if self.attachment.stdin.is_some() => RawMode::enter()?,
            _ => None,
        };
        let keyboard = Keyboard::new(self.attachment.stdin.is_some(), raw.is_some());
        let mut printer = Printer::new();
        self.tell_window().await;
        let (detach, mut detached) = oneshot::channel();
        if let (true, Some(to)) = (keyboard.is_open(), self.to.take()) {
            tokio::spawn(pass_on(keyboard, to, detach));
        }
        let outcome = self
            .carry(&mut signals, &mut detached, &mut printer)
            .await?;
        // From here on a signal ends this command as it ends any other.
        tokio::select! {
            () = printer.finish() => {}
            _ = signals.next() => {}
        }
        drop(raw);
        Ok(outcome)
    }

    async fn carry(
        &mut self,
        signals: &mut Signals,
        detached: &mut oneshot::Receiver<()>,
        printer: &mut Printer,
    ) -> Result<Outcome, Failure> {
        let mut prefixer = Prefixer::new(self.attachment.names.clone());
        loop {
            let next = tokio::select! {
                biased;
                number = signals.next() => Next::Signal(number),
                printed = printer.progress(), if printer.is_busy() => match printed {
                    Ok(()) => Next::Printed,
                    Err(error) => Next::PrintFailed(error),
                },
                frame = self.frames.recv(), if !printer.is_busy() => Next::Frame(frame),
                Ok(()) = &mut *detached, if !detached.is_terminated() => Next::Detached,
            };
            match next {
                Next::Printed => {}
                Next::PrintFailed(error) => return self.reader_gone(error).await,
                Next::Signal(number) => {
                    if let Some(outcome) = self.heed(number).await? {
                        return Ok(outcome);
                    }
                }
                Next::Detached => return Ok(Outcome::Detached),
                Next::Frame(None | Some(Err(_))) => return Ok(Outcome::Lost),
                Next::Frame(Some(Ok(Frame::Output {
                    container,
                    stream,
                    bytes,
                }))) => {
                    self.ended.first_output.get_or_insert_with(Instant::now);
                    let bytes = prefixer.pass(container, stream, bytes);
                    printer.put(stream, bytes);
                }
                Next::Frame(Some(Ok(Frame::Input(_)))) => {}
                Next::Frame(Some(Ok(Frame::Say(event)))) => {
                    let over = self.note(event)?;
                    if over.is_some() {
                        for (stream, rest) in prefixer.rest() {
                            printer.put(stream, rest);
                        }
                    }
                    if let Some(outcome) = over {
                        return Ok(outcome);
                    }
                }
            }
        }
    }

    /// What happened to the Pod; an outcome if that is the session's end.
    fn note(&mut self, event: Event) -> Result<Option<Outcome>, Failure> {
        match event {
            Event::Refused { message } => return Err(Failure::own(message)),
            Event::ContainerEnded {
                container,
                exit_code,
                ..
            } => {
                self.ended
                    .container_codes
                    .insert(container.clone(), exit_code);
                if self.attachment.container.as_ref() == Some(&container) {
                    return Ok(Some(Outcome::ContainerEnded(exit_code)));
                }
            }
            Event::Ended {
                exit_code,
                reason,
                message,
                timings,
            } => {
                let mut ended = std::mem::take(&mut self.ended);
                ended.exit_code = exit_code;
                ended.reason = reason;
                ended.message = message;
                ended.timings = timings;
                return Ok(Some(Outcome::Ended(Box::new(ended))));
            }
            Event::ContainerStarted { .. } => {
                self.ended.first_running.get_or_insert_with(Instant::now);
            }
            Event::Done | Event::SandboxStarted | Event::Started => {}
        }
        Ok(None)
    }

    /// Whoever read the output has gone, as `head` does: in a pipeline that is a program's end, by
    /// SIGPIPE, without any grace. (`docker run` leaves the container running, nobody's.)
    async fn reader_gone(&mut self, error: io::Error) -> Result<Outcome, Failure> {
        if error.kind() == io::ErrorKind::BrokenPipe && self.attachment.stop_on_signal {
            self.say(Request::Stop {
                grace: Some(0),
                signal: None,
            })
            .await;
        }
        Err(crate::output::write_failure(error))
    }

    async fn heed(&mut self, number: u32) -> Result<Option<Outcome>, Failure> {
        match number {
            signals::WINCH => {
                self.tell_window().await;
                return Ok(None);
            }
            // The terminal is closed: the Pod goes on.
            signals::HUP => return Err(Failure::quiet(128 + 1)),
            _ => {}
        }
        let ends = signals::ends(number);
        if !self.attachment.proxy_signals {
            if ends {
                let code = u8::try_from(128 + number).unwrap_or(u8::MAX);
                return Err(Failure::quiet(code));
            }
            return Ok(None);
        }
        if ends && self.attachment.stop_on_signal {
            self.signals_seen += 1;
            let again = self.signals_seen > 1;
            if !again && crate::output::is_interactive() && self.attachment.tty.is_none() {
                crate::complain("ending the Pod; once more to kill it");
            }
            self.say(Request::Stop {
                grace: again.then_some(0),
                signal: Some(number),
            })
            .await;
            return Ok(None);
        }
        self.say(Request::Signal {
            signal: number,
            container: self.attachment.container.clone(),
        })
        .await;
        Ok(None)
    }

    async fn tell_window(&mut self) {
        if let (Some(container), Some(window)) =
            (self.attachment.tty.clone(), terminal::window_size())
        {
            self.say(Request::Resize {
                container,
                columns: window.columns,
                rows: window.rows,
            })
            .await;
        }
    }

    /// Asks the follower for something. It reads this connection whatever the container does.
    async fn say(&mut self, request: Request) {
        if self.requests.is_none() {
            self.requests = open_requests(&self.paths, &self.id).await.ok();
        }
        if let Some(to) = &mut self.requests {
            // A follower that is gone is noticed by the reading side.
            let _ = wire::write(to, &Frame::Say(request)).await;
        }
    }
}

/// A connection for requests alone.
async fn open_requests(paths: &Paths, id: &PodId) -> io::Result<OwnedWriteHalf> {
    let (mut from, mut to) = socket::connect(&paths.attach_socket(id))
        .await?
        .into_split();
    wire::write(&mut to, &Frame::Say(Request::Watch)).await?;
    // The other connection tells the same, and what came of a request.
    tokio::spawn(async move { while let Ok(Some(_)) = wire::read::<Event>(&mut from).await {} });
    Ok(to)
}

/// What is typed goes to the container, until the user detaches or types no more.
async fn pass_on(mut keyboard: Keyboard, mut to: OwnedWriteHalf, detach: oneshot::Sender<()>) {
    while let Some(typed) = keyboard.next().await {
        let Chunk::Bytes(bytes) = typed else {
            let _ = detach.send(());
            return;
        };
        let frame = Frame::<Request>::Input(bytes);
        // A follower that is gone is noticed by the reading side.
        if wire::write(&mut to, &frame).await.is_err() {
            return;
        }
    }
    let _ = wire::write(&mut to, &Frame::Say(Request::InputEnd)).await;
    // Closed, it would tell the follower that nobody is attached any more.
    std::future::pending::<()>().await;
}

/// Puts a container's name before each line, where several containers write.
struct Prefixer {
    names: Vec<String>,
    /// What of a line has come.
    partial: HashMap<(u8, u8), Vec<u8>>,
}

/// A line that grows longer than this is shown in parts.
const LONGEST_LINE: usize = 64 << 10;

impl Prefixer {
    fn new(names: Vec<String>) -> Self {
        Self {
            names,
            partial: HashMap::new(),
        }
    }

    fn pass(&mut self, container: u8, stream: Stream, bytes: Vec<u8>) -> Vec<u8> {
        let Some(name) = self.names.get(usize::from(container)) else {
            return bytes;
        };
        let partial = self.partial.entry((container, stream as u8)).or_default();
        let mut out = Vec::with_capacity(bytes.len() + 64);
        for piece in bytes.split_inclusive(|&b| b == b'\n') {
            partial.extend_from_slice(piece);
            if piece.ends_with(b"\n") || partial.len() > LONGEST_LINE {
                prefixed(&mut out, name, partial);
                partial.clear();
            }
        }
        out
    }

    fn rest(&mut self) -> Vec<(Stream, Vec<u8>)> {
        let mut rest = Vec::new();
        for ((container, stream), partial) in std::mem::take(&mut self.partial) {
            if let Some(name) = self.names.get(usize::from(container))
                && !partial.is_empty()
            {
                let mut out = Vec::new();
                prefixed(&mut out, name, &partial);
                let stream = if stream == 0 {
                    Stream::Stdout
                } else {
                    Stream::Stderr
                };
                rest.push((stream, out));
            }
        }
        rest
    }
}

fn prefixed(out: &mut Vec<u8>, name: &str, line: &[u8]) {
    out.push(b'[');
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"] ");
    out.extend_from_slice(line);
    if !line.ends_with(b"\n") {
        out.push(b'\n');
    }
}

#[cfg(test)]
#[path = "session_test.rs"]
mod tests;
