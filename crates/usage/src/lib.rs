//! What a Pod was given and what it used, second by second.
//!
//! The engine sees every Pod begin and end, so nothing here is sampled. It writes a journal for
//! each Pod ([`Writer`]), and whoever asks reads it ([`Reader`]) and folds it into the Pod's spans of
//! time ([`fold`]). Quantities are whole numbers: milli-vCPU, bytes, nanoseconds. There is no
//! floating point on the way to a bill.
//!
//! The format is described in `docs/src/reference/journal.md`.
#![forbid(unsafe_code)]

mod beginning;
mod clock;
mod directory;
mod fold;
mod merge;
mod pod_use;
mod reader;
mod record;
mod totals;
mod window;
mod writer;

pub use beginning::Beginning;
pub use clock::{Clock, Moment, SystemClock, boot_id};
pub use directory::{Directory, JournalFile, OpenJournal, ReadError};
pub use fold::{HOUR_NS, fold, fold_hours};
pub use merge::by_pod;
pub use pod_use::{Controller, Ended, Pod, PodUse, Size, Span, Used};
pub use reader::{JournalError, Reader};
pub use record::{Counters, EndReason, Event, Guest, MAGIC, MAX_RECORD, Opening, Record, VERSION};
pub use totals::{Amounts, Totals};
pub use window::{Window, WindowError};
pub use writer::{Pending, WriteError, Writer};
