//! One record of a journal, and the line of text that it is.

use std::fmt::{self, Write};
use std::str::{FromStr, SplitAsciiWhitespace};

use serde::{Deserialize, Serialize};

use crate::clock::Moment;
use crate::pod_use::{Pod, Size};

/// The version of the format that is written, and the newest that is read.
pub const VERSION: u32 = 1;
/// What a journal begins with, before its version and the end of the line.
pub const MAGIC: &str = "skete-usage ";
/// The longest line, in bytes: that of the first record, which holds the Pod's labels.
pub(crate) const MAX_LINE: usize = 1 << 20;
/// The longest line of every other record, in bytes with its end.
pub const MAX_RECORD: usize = 200;
/// No clock says more than this, in nanoseconds: 146 years from its beginning, on either side.
const MAX_CLOCK: u64 = (1 << 62) - 1;
/// containerd's own bound for an id.
const MAX_ID: usize = 76;

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// 0, 1, 2, …
    pub sequence: u32,
    /// When.
    pub at: Moment,
    /// What.
    pub event: Event,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The first record: the Pod's time begins.
    Open(Box<Opening>),
    /// Compressed bytes of images were downloaded for the Pod.
    Image(u64),
    /// The guest's agent has answered.
    Ready,
    /// What the Pod has from now on.
    Provisioned(Size),
    /// What it asks for from now on.
    Requested(Size),
    /// What it may use from now on.
    Limits(Size),
    /// A container was started.
    Start(String),
    /// A container has ended, with this exit code.
    Exit(String, u32),
    /// A container was frozen. Its VM and what it holds stay, so the Pod's time goes on.
    Pause(String),
    /// A frozen container was thawed.
    Resume(String),
    /// What the host has counted until now.
    Host(Counters),
    /// What the guest says of itself: for efficiency, never for money.
    Guest(Guest),
    /// The last record: the Pod's VM is gone.
    End(EndReason),
}

/// Who the Pod is and what it has, at its beginning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Opening {
    /// Who it is.
    pub pod: Pod,
    /// The sandbox's id. A Pod may have several, one after the other.
    pub sandbox: String,
    /// The boot of the machine, as its kernel names it.
    pub boot: String,
    /// What the monotonic clock said when the download of the Pod's images began, where that was
    /// before this record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since_ns: Option<u64>,
    /// What its VM is made with.
    pub provisioned: Size,
    /// What it asks for; zero where that is not known here.
    #[serde(default)]
    pub requested: Size,
    /// What it may use; zero where it says nothing.
    #[serde(default)]
    pub limits: Size,
    /// What the host spends beside what is provisioned.
    #[serde(default)]
    pub overhead: Size,
}

/// What the host has counted of a Pod since its beginning; memory is what is in use now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// CPU time, in nanoseconds.
    pub cpu_ns: u64,
    /// Memory in use now, in bytes.
    pub memory_bytes: u64,
    /// Bytes read from disks.
    pub block_read_bytes: u64,
    /// Bytes written to disks.
    pub block_written_bytes: u64,
    /// Bytes that the Pod received.
    pub network_received_bytes: u64,
    /// Bytes that it sent.
    pub network_sent_bytes: u64,
}

/// What the guest says of all its containers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Guest {
    /// CPU time, in nanoseconds.
    pub cpu_ns: u64,
    /// Memory in use now, in bytes.
    pub memory_bytes: u64,
    /// Of it, what the guest could not give up at once.
    pub working_set_bytes: u64,
}

/// Why the Pod's time is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndReason {
    /// It was stopped.
    Stopped,
    /// Its VM ended by itself.
    Ended,
    /// It could not be started.
    Failed,
}

impl EndReason {
    const ALL: [(Self, &'static str); 3] = [
        (Self::Stopped, "stopped"),
        (Self::Ended, "ended"),
        (Self::Failed, "failed"),
    ];
}

/// Why a line is not a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum BadLine {
    /// It is not what was written: torn, or changed since.
    Checksum,
    /// It is what was written, and not understood.
    Content(&'static str),
}

impl Record {
    /// The record as a line, with its end.
    pub(crate) fn to_line(&self) -> Result<String, serde_json::Error> {
        let Moment {
            monotonic_ns,
            wall_ns,
        } = self.at;
        let mut line = format!("{:08x} {} {monotonic_ns} {wall_ns} ", 0, self.sequence);
        // Writing to a string does not fail.
        let _ = match &self.event {
            Event::Open(opening) => {
                line.push_str("open ");
                line.push_str(&serde_json::to_string(opening)?);
                Ok(())
            }
            Event::Image(bytes) => write!(line, "image {bytes}"),
            Event::Ready => write!(line, "ready"),
            Event::Provisioned(size) => write!(line, "provisioned {}", Words(size)),
            Event::Requested(size) => write!(line, "requested {}", Words(size)),
            Event::Limits(size) => write!(line, "limits {}", Words(size)),
            Event::Start(id) => write!(line, "start {}", plain(id)),
            Event::Exit(id, code) => write!(line, "exit {} {code}", plain(id)),
            Event::Pause(id) => write!(line, "pause {}", plain(id)),
            Event::Resume(id) => write!(line, "resume {}", plain(id)),
            Event::Host(c) => write!(
                line,
                "host {} {} {} {} {} {}",
                c.cpu_ns,
                c.memory_bytes,
                c.block_read_bytes,
                c.block_written_bytes,
                c.network_received_bytes,
                c.network_sent_bytes
            ),
            Event::Guest(g) => write!(
                line,
                "guest {} {} {}",
                g.cpu_ns, g.memory_bytes, g.working_set_bytes
            ),
            Event::End(reason) => {
                let word = EndReason::ALL.iter().find(|(one, _)| one == reason);
                write!(line, "end {}", word.map_or("", |(_, word)| word))
            }
        };
        let sum = format!("{:08x}", crc32fast::hash(&line.as_bytes()[9..]));
        line.replace_range(..8, &sum);
        line.push('\n');
        Ok(line)
    }

    /// The record that a line is, without its end.
    pub(crate) fn of_line(line: &[u8]) -> Result<Self, BadLine> {
        let (sum, rest) = line.split_at_checked(9).ok_or(BadLine::Checksum)?;
        let right = format!("{:08x} ", crc32fast::hash(rest));
        if sum != right.as_bytes() {
            return Err(BadLine::Checksum);
        }
        let rest = std::str::from_utf8(rest).map_err(|_| BadLine::Content("it is not UTF-8"))?;
        // JSON, in the first record alone, may have blanks of its own.
        let mut words = rest.splitn(5, ' ');
        let mut number = || words.next().unwrap_or_default();
        let (sequence, monotonic, wall) = (number(), number(), number());
        let record = Self {
            sequence: parse(sequence)?,
            at: Moment {
                monotonic_ns: parse(monotonic)?,
                wall_ns: parse(wall)?,
            },
            event: event(
                words.next().unwrap_or_default(),
                words.next().unwrap_or_default(),
            )?,
        };
        if record.at.monotonic_ns > MAX_CLOCK || record.at.wall_ns.unsigned_abs() > MAX_CLOCK {
            return Err(BadLine::Content("a clock says what no clock says"));
        }
        Ok(record)
    }
}

fn event(word: &str, rest: &str) -> Result<Event, BadLine> {
    if word == "open" {
        let opening = serde_json::from_str(rest);
        let opening = opening.map_err(|_| BadLine::Content("its JSON is not of this version"))?;
        return Ok(Event::Open(Box::new(opening)));
    }
    let mut fields = Fields(rest.split_ascii_whitespace());
    let event = match word {
        "image" => Event::Image(fields.number()?),
        "ready" => Event::Ready,
        "provisioned" => Event::Provisioned(fields.size()?),
        "requested" => Event::Requested(fields.size()?),
        "limits" => Event::Limits(fields.size()?),
        "start" => Event::Start(fields.id()?),
        "exit" => Event::Exit(fields.id()?, fields.number()?),
        "pause" => Event::Pause(fields.id()?),
        "resume" => Event::Resume(fields.id()?),
        "host" => Event::Host(Counters {
            cpu_ns: fields.number()?,
            memory_bytes: fields.number()?,
            block_read_bytes: fields.number()?,
            block_written_bytes: fields.number()?,
            network_received_bytes: fields.number()?,
            network_sent_bytes: fields.number()?,
        }),
        "guest" => Event::Guest(Guest {
            cpu_ns: fields.number()?,
            memory_bytes: fields.number()?,
            working_set_bytes: fields.number()?,
        }),
        "end" => {
            let word = fields.word()?;
            let known = EndReason::ALL.iter().find(|(_, known)| *known == word);
            let unknown = BadLine::Content("it ends for an unknown reason");
            Event::End(known.ok_or(unknown)?.0)
        }
        _ => return Err(BadLine::Content("it is of an unknown kind")),
    };
    match fields.0.next() {
        None => Ok(event),
        Some(_) => Err(BadLine::Content("it has a field too many")),
    }
}

fn parse<T: FromStr>(word: &str) -> Result<T, BadLine> {
    let wrong = |_| BadLine::Content("a field is not a number, or too large");
    word.parse().map_err(wrong)
}

struct Fields<'a>(SplitAsciiWhitespace<'a>);

impl<'a> Fields<'a> {
    fn word(&mut self) -> Result<&'a str, BadLine> {
        self.0.next().ok_or(BadLine::Content("a field is missing"))
    }

    fn number<T: FromStr>(&mut self) -> Result<T, BadLine> {
        parse(self.word()?)
    }

    fn id(&mut self) -> Result<String, BadLine> {
        self.word().map(str::to_owned)
    }

    fn size(&mut self) -> Result<Size, BadLine> {
        Ok(Size {
            milli_vcpus: self.number()?,
            memory_bytes: self.number()?,
            storage_bytes: self.number()?,
            gpus: self.number()?,
        })
    }
}

/// A size as four fields.
struct Words<'a>(&'a Size);

impl fmt::Display for Words<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Size {
            milli_vcpus,
            memory_bytes,
            storage_bytes,
            gpus,
        } = self.0;
        write!(f, "{milli_vcpus} {memory_bytes} {storage_bytes} {gpus}")
    }
}

/// An id as one field. containerd's ids are; what is not is made so, for a client of another kind
/// must not be able to break a line.
fn plain(id: &str) -> String {
    let one = |c: char| match c {
        c if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') => c,
        _ => '_',
    };
    let id: String = id.chars().take(MAX_ID).map(one).collect();
    if id.is_empty() { "_".to_owned() } else { id }
}

#[cfg(test)]
#[path = "record_test.rs"]
pub(crate) mod tests;
