//! Asking a Pod's follower for things.

use std::io;

use tokio::net::UnixStream;

use crate::failure::Failure;
use crate::paths::Paths;
use crate::pods;
use crate::record::{PodId, PodRecord};
use crate::socket;
use crate::sweep;
use crate::wire::{self, Event, Frame, Request};

/// A conversation with a Pod's follower.
pub(crate) struct Control {
    stream: UnixStream,
}

/// A Pod's end, as its follower tells it or the record has it.
#[derive(Debug, Clone)]
pub(crate) struct Ended {
    pub(crate) exit_code: u32,
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

    /// Waits for the Pod's end; `None` if the follower is gone without telling of one.
    pub(crate) async fn ended(&mut self) -> Result<Option<Ended>, Failure> {
        loop {
            match self.next().await? {
                Some(Event::Ended { exit_code, .. }) => return Ok(Some(Ended { exit_code })),
                Some(Event::Refused { message }) => return Err(Failure::own(message)),
                Some(_) => {}
                None => return Ok(None),
            }
        }
    }
}

/// The Pod's end as its record has it, after what a killed follower left was cleaned up. `None`
/// if the record says that it has not ended.
pub(crate) async fn end_on_record(
    paths: &Paths,
    id: &PodId,
) -> Result<Option<(Ended, PodRecord)>, Failure> {
    let work = sweep::look(paths)?;
    for problem in sweep::carry_out(paths, work).await {
        crate::complain(&problem);
    }
    let record = pods::find(paths, id.as_str())?;
    Ok(record.end.clone().map(|end| {
        let ended = Ended {
            exit_code: end.exit_code,
        };
        (ended, record)
    }))
}

/// Asks a Pod that has not ended for something and waits for its end.
pub(crate) async fn ask_and_wait(
    paths: &Paths,
    record: &PodRecord,
    request: Request,
) -> Result<Ended, Failure> {
    if let Some(end) = &record.end {
        return Ok(Ended {
            exit_code: end.exit_code,
        });
    }
    // A Pod that is just being made has no socket yet, one that is at its end none any more.
    for _ in 0..100 {
        if let Some(mut control) = Control::ask(paths, &record.id, request.clone()).await?
            && let Some(ended) = control.ended().await?
        {
            return Ok(ended);
        }
        match end_on_record(paths, &record.id).await {
            Ok(Some((ended, _))) => return Ok(ended),
            Ok(None) => {}
            Err(failure) => return Err(failure),
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    Err(Failure::own(format!(
        "the follower of Pod {} does not answer",
        record.name
    )))
}
