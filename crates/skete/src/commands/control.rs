//! Asking a Pod's follower for things.

use std::io;

use tokio::net::UnixStream;

use crate::failure::Failure;
use crate::paths::Paths;
use crate::record::{PodId, PodRecord};
use crate::socket;
use crate::sweep;
use crate::wire::{self, Event, Frame, Request};

/// A conversation with a Pod's follower.
pub(crate) struct Control {
    stream: UnixStream,
}

impl Control {
    /// Connects and asks; `None` if the Pod has no follower any more.
    pub(crate) async fn ask(
        paths: &Paths,
        id: &PodId,
        request: Request,
    ) -> Result<Option<Self>, Failure> {
        let mut stream = match socket::connect(&paths.attach_socket(id)).await {
            Ok(stream) => stream,
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
                ) =>
            {
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        };
        wire::write(&mut stream, &Frame::Say(request)).await?;
        Ok(Some(Self { stream }))
    }

    /// Waits for the answer to the latest request.
    pub(crate) async fn answer(&mut self) -> Result<(), Failure> {
        loop {
            match self.next().await? {
                Some(Event::Refused { message }) => return Err(Failure::own(message)),
                // An ended Pod has nothing more to say.
                Some(Event::Done | Event::Ended { .. }) | None => return Ok(()),
                Some(_) => {}
            }
        }
    }

    /// The next thing that happens; `None` if the follower is gone.
    pub(crate) async fn next(&mut self) -> Result<Option<Event>, Failure> {
        loop {
            match wire::read::<Event>(&mut self.stream).await {
                Ok(Some(Frame::Say(event))) => return Ok(Some(event)),
                Ok(Some(_)) => {}
                Ok(None) => return Ok(None),
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(None),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Waits for the Pod's end and what it exits with; `None` if the follower is gone without
    /// telling of one.
    async fn ended(&mut self) -> Result<Option<u32>, Failure> {
        loop {
            match self.next().await? {
                Some(Event::Ended { exit_code, .. }) => return Ok(Some(exit_code)),
                Some(Event::Refused { message }) => return Err(Failure::own(message)),
                Some(_) => {}
                None => return Ok(None),
            }
        }
    }
}

/// How a Pod is that had not ended when it was looked for.
enum Found {
    /// It still has not.
    Running,
    /// It has, and exits with that.
    Ended(u32),
    /// It has, and its record went with its end.
    Removed,
}

/// Looks at the record, after what a killed follower left was cleaned up.
async fn look(paths: &Paths, id: &PodId) -> Result<Found, Failure> {
    let work = sweep::look(paths)?;
    for problem in sweep::carry_out(paths, work).await {
        crate::complain(&problem);
    }
    match PodRecord::load(paths, id) {
        Ok(record) => Ok(record
            .end
            .map_or(Found::Running, |end| Found::Ended(end.exit_code))),
        Err(_) if !paths.pod(id).exists() => Ok(Found::Removed),
        Err(error) => Err(error.into()),
    }
}

/// Asks a Pod that has not ended for something, waits for its end, and comes back with what it
/// exits with; `None` if its record went before that could be read (`--rm`).
pub(crate) async fn ask_and_wait(
    paths: &Paths,
    record: &PodRecord,
    request: Request,
) -> Result<Option<u32>, Failure> {
    if let Some(end) = &record.end {
        return Ok(Some(end.exit_code));
    }
    // A Pod that is just being made has no socket yet, one that is at its end none any more.
    for _ in 0..100 {
        if let Some(mut control) = Control::ask(paths, &record.id, request.clone()).await?
            && let Some(exit_code) = control.ended().await?
        {
            return Ok(Some(exit_code));
        }
        match look(paths, &record.id).await? {
            Found::Ended(exit_code) => return Ok(Some(exit_code)),
            Found::Removed => return Ok(None),
            Found::Running => {}
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    Err(Failure::own(format!(
        "the follower of Pod {} does not answer",
        record.name
    )))
}
