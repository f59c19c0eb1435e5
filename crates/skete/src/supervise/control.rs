//! The follower's socket: who may attach, stop and signal a Pod.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::unix::OwnedReadHalf;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;

use super::state::State;
use super::streams::Typed;
use super::subscribers::{Replies, Wants};
use crate::signals;
use crate::socket;
use crate::terminal::WindowSize;
use crate::wire::{self, Event, Frame, Request};

/// Opens the Pod's socket.
///
/// # Errors
/// It cannot be made.
pub fn listen(state: &State) -> io::Result<UnixListener> {
    let path = state.paths.attach_socket(&state.record().id);
    socket::listen(&path)
}

/// Serves the socket for as long as the follower lives.
pub async fn serve(listener: UnixListener, state: Arc<State>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let state = Arc::clone(&state);
                tokio::spawn(async move {
                    if let Err(error) = converse(stream, &state).await {
                        tracing::debug!(%error, "attached command");
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept");
                // Out of descriptors, mostly: no use in asking again at once.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn converse(stream: UnixStream, state: &Arc<State>) -> io::Result<()> {
    // The directory is root's alone; whoever changed that does not get further.
    if stream.peer_cred()?.uid() != rustix::process::geteuid().as_raw() {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    let (mut from, to) = stream.into_split();
    let first = wire::read::<Request>(&mut from).await?;
    let Some(Frame::Say(request)) = first else {
        return Err(io::ErrorKind::InvalidData.into());
    };
    let (wants, stdin) = match attach(state, &request) {
        Ok(attached) => attached,
        Err(message) => {
            let replies = state.subscribers.add(Wants::Events, to);
            replies.send(Event::Refused { message });
            return Ok(());
        }
    };
    let replies = state.subscribers.add(wants, to);
    match request {
        Request::Attach { .. } | Request::Watch => replies.send(Event::Done),
        other => carry_out(state, other, &replies, None).await,
    }
    listen_to(&mut from, state, &replies, stdin).await
}

type Stdin = mpsc::Sender<Typed>;

fn attach(state: &State, request: &Request) -> Result<(Wants, Option<Stdin>), String> {
    let Request::Attach { container, stdin } = request else {
        return Ok((Wants::Events, None));
    };
    let record = state.record();
    let place = |name: &String| {
        let place = record.containers.iter().position(|c| c.name == *name);
        place.ok_or_else(|| format!("Pod {} has no container {name:?}", record.name))
    };
    let wants = match container {
        None => Wants::Everything,
        Some(name) => Wants::Container(u8::try_from(place(name)?).unwrap_or(u8::MAX)),
    };
    let stdin = match stdin {
        None => None,
        Some(name) => {
            place(name)?;
            state.input(name).map(|input| input.sender())
        }
    };
    Ok((wants, stdin))
}

async fn listen_to(
    from: &mut OwnedReadHalf,
    state: &Arc<State>,
    replies: &Replies,
    stdin: Option<Stdin>,
) -> io::Result<()> {
    while let Some(frame) = wire::read::<Request>(from).await? {
        match frame {
            Frame::Say(request) => carry_out(state, request, replies, stdin.as_ref()).await,
            Frame::Input(bytes) => {
                if let Some(stdin) = &stdin {
                    // A container that does not read makes its user wait.
                    let _ = stdin.send(Typed::Bytes(bytes)).await;
                }
            }
            Frame::Output { .. } => return Err(io::ErrorKind::InvalidData.into()),
        }
    }
    Ok(())
}

async fn carry_out(state: &Arc<State>, request: Request, replies: &Replies, stdin: Option<&Stdin>) {
    match request {
        Request::Attach { .. } | Request::Watch => replies.send(Event::Refused {
            message: "already attached".to_owned(),
        }),
        Request::InputEnd => {
            if let Some(stdin) = stdin {
                let _ = stdin.send(Typed::End).await;
            }
        }
        Request::Resize {
            container,
            columns,
            rows,
        } => {
            let window = WindowSize { columns, rows };
            let task = state.set_window(&container, window);
            if let (Some(task), Some(shim)) = (task, state.shim()) {
                // A process that has just ended has no terminal.
                let _ = shim.resize(&task, "", columns, rows).await;
            }
        }
        Request::Stop { grace, signal } => {
            state.request_stop(grace.map(Duration::from_secs), signal, "Stopped");
            replies.send(Event::Done);
        }
        Request::Signal { signal, container } => {
            replies.send(send_signal(state, signal, container.as_deref()).await);
        }
    }
}

async fn send_signal(state: &State, signal: u32, container: Option<&str>) -> Event {
    let refused = |message: String| Event::Refused { message };
    let running = state.running(container);
    if running.is_empty() {
        if signal == signals::KILL && container.is_none() {
            // Nothing runs yet, or it waits to be started again.
            state.request_stop(Some(Duration::ZERO), None, "Killed");
            return Event::Done;
        }
        return refused(match container {
            Some(name) => format!("container {name:?} does not run now"),
            None => "no container runs now".to_owned(),
        });
    }
    let Some(shim) = state.shim() else {
        return refused("the Pod is being ended".to_owned());
    };
    for (name, task) in running {
        if signals::ends(signal) {
            state.set_ended_by_hand(&name);
        }
        match shim.kill(&task, "", signal, false).await {
            Ok(()) => {}
            Err(error) if error.is_not_found() => {}
            Err(error) => return refused(error.to_string()),
        }
    }
    Event::Done
}
