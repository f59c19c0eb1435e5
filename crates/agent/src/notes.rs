//! Hears what libcontainer logs as errors: it tells more than the error it gives.

use std::fmt::{self, Write as _};
use std::sync::Mutex;

use tracing_core::field::{Field, Visit};
use tracing_core::span::{Attributes, Id, Record};
use tracing_core::{Dispatch, Event, Level, LevelFilter, Metadata, Subscriber};

use crate::lock;
use crate::worker::{Control, Reply};

/// Sends each error, as it is logged, to PID 1; also from the processes that libcontainer forks.
struct Notes {
    control: Mutex<Control>,
}

/// Hears from here on.
pub(crate) fn hear(control: Control) {
    let notes = Notes {
        control: Mutex::new(control),
    };
    // Another one cannot be there: it is set once in a worker.
    let _ = tracing_core::dispatcher::set_global_default(Dispatch::new(notes));
}

#[derive(Default)]
struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let _ = match field.name() {
            "message" => write!(self.0, "{value:?} "),
            name => write!(self.0, "({name}: {value:?}) "),
        };
    }
}

impl Subscriber for Notes {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == Level::ERROR
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::ERROR)
    }

    fn event(&self, event: &Event<'_>) {
        let mut text = Text::default();
        event.record(&mut text);
        let _ = lock(&self.control).send(&Reply::Note(text.0));
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}
