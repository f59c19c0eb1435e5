//! `skete logs`.

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use jiff::{SignedDuration, Timestamp};

use crate::failure::Failure;
use crate::lock;
use crate::logs::{Follow, Line, LogReader, Selection, Stream, files_of};
use crate::output::write_failure;
use crate::paths::Paths;
use crate::pods;
use crate::record::PodRecord;

/// How often to look for more.
const PERIOD: Duration = Duration::from_millis(50);

/// Show what a Pod's containers wrote.
#[derive(Debug, Args)]
pub struct Logs {
    /// Name, id or beginning of an id
    pod: String,
    /// Wait for more, until the container has ended for good
    #[arg(short, long)]
    follow: bool,
    /// Only so many lines from the end
    #[arg(short = 'n', long, value_name = "LINES", value_parser = tail)]
    tail: Option<Tail>,
    /// Only what was written since: a duration (10m) or a time (2026-01-31T12:00:00Z)
    #[arg(long, value_name = "TIME", value_parser = since)]
    since: Option<Timestamp>,
    /// Put the time before each line
    #[arg(short, long)]
    timestamps: bool,
    /// Which container, if the Pod has several
    #[arg(short, long, value_name = "NAME")]
    container: Option<String>,
    /// Every container, with its name before each line
    #[arg(long, conflicts_with = "container")]
    all_containers: bool,
    /// The run before the latest, of a container that was started again
    #[arg(short, long)]
    previous: bool,
}

#[derive(Debug, Clone, Copy)]
struct Tail(Option<usize>);

fn tail(text: &str) -> Result<Tail, String> {
    match text {
        "all" | "-1" => Ok(Tail(None)),
        _ => {
            let lines = text.parse().map_err(|_| "want a number, or all")?;
            Ok(Tail(Some(lines)))
        }
    }
}

/// A time, or a duration before now.
pub(crate) fn since(text: &str) -> Result<Timestamp, String> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time);
    }
    if let Some((seconds, nanoseconds)) = unix(text) {
        let time = Timestamp::new(seconds, nanoseconds);
        return time.map_err(|_| "that second is out of range".to_owned());
    }
    let duration: SignedDuration = text
        .parse()
        .map_err(|_| "want a duration (10m), or a time (2026-01-31T12:00:00Z)")?;
    Timestamp::now()
        .checked_sub(duration)
        .map_err(|_| "that is too long ago".to_owned())
}

/// Seconds since the Unix epoch, with up to nine digits after the point.
fn unix(text: &str) -> Option<(i64, i32)> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !digits(seconds) || !digits(fraction) || fraction.len() > 9 {
        return None;
    }
    Some((
        seconds.parse().ok()?,
        format!("{fraction:0<9}").parse().ok()?,
    ))
}

/// One container's log, being shown.
struct Source {
    name: String,
    file: PathBuf,
    run: u32,
    follow: Option<Follow>,
    prefix: String,
}

impl Logs {
    /// Does it.
    ///
    /// # Errors
    /// The Pod or container is not there, or standard output cannot be written.
    pub fn run(&self, paths: &Paths) -> Result<u8, Failure> {
        let record = pods::find(paths, &self.pod)?;
        let mut sources = self.sources(paths, &record)?;
        let selection = Selection {
            since: self.since,
            tail: self.tail.and_then(|tail| tail.0),
        };
        for source in &mut sources {
            let reader = LogReader::new(&source.file);
            let mut printer = Printer::new(self.timestamps, &source.prefix);
            let follow = reader.read(selection, |line| printer.print(&line));
            source.follow = Some(follow.map_err(failed)?);
        }
        if self.follow {
            self.go_on(paths, &record, &mut sources)?;
        }
        Ok(0)
    }

    fn sources(&self, paths: &Paths, record: &PodRecord) -> Result<Vec<Source>, Failure> {
        let containers = if self.all_containers {
            record.containers.iter().collect()
        } else {
            vec![super::container_of(record, self.container.as_deref())?]
        };
        let mut sources = Vec::new();
        for container in containers {
            let directory = paths.container_logs(&record.id, &container.name);
            let mut runs = files_of(&directory)?;
            if self.previous {
                runs.pop();
                if runs.is_empty() {
                    return Err(Failure::own(format!(
                        "container {} of Pod {} was not started again: there is no run before",
                        container.name, record.name
                    )));
                }
            }
            let (run, file) = runs.pop().unwrap_or_else(|| (0, directory.join("0.log")));
            sources.push(Source {
                name: container.name.clone(),
                file,
                run,
                follow: None,
                prefix: if self.all_containers {
                    format!("[{}] ", container.name)
                } else {
                    String::new()
                },
            });
        }
        Ok(sources)
    }

    fn go_on(
        &self,
        paths: &Paths,
        record: &PodRecord,
        sources: &mut [Source],
    ) -> Result<(), Failure> {
        loop {
            // Looked at first: what was written before the end is then read below.
            let over = self.is_over(paths, record, sources);
            for source in sources.iter_mut() {
                let mut printer = Printer::new(self.timestamps, &source.prefix);
                let mut print = |line: Line| printer.print(&line);
                if let Some(follow) = &mut source.follow {
                    follow.more(&mut print).map_err(failed)?;
                }
                if self.previous {
                    continue;
                }
                // A container that is started again writes to the next file.
                let directory = paths.container_logs(&record.id, &source.name);
                for (run, file) in files_of(&directory)? {
                    if run > source.run {
                        let follow = LogReader::new(&file).read(Selection::default(), &mut print);
                        source.follow = Some(follow.map_err(failed)?);
                        source.run = run;
                    }
                }
            }
            if over {
                return Ok(());
            }
            std::thread::sleep(PERIOD);
        }
    }

    fn is_over(&self, paths: &Paths, record: &PodRecord, sources: &[Source]) -> bool {
        if self.previous || !lock::is_held(&paths.pod_lock(&record.id)).unwrap_or(false) {
            return true;
        }
        let Ok(now) = PodRecord::load(paths, &record.id) else {
            return true;
        };
        if now.end.is_some() {
            return true;
        }
        // A container that ended well before the others do has nothing more to say, but one that
        // may be started again has.
        let restarts = now.spec["restartPolicy"].as_str() == Some("Always");
        !restarts
            && sources.iter().all(|source| {
                now.container(&source.name).is_some_and(|c| {
                    c.init
                        && c.state == crate::record::ContainerPhase::Terminated
                        && c.terminated.as_ref().is_some_and(|t| t.exit_code == 0)
                })
            })
    }
}

fn failed(error: io::Error) -> Failure {
    write_failure(error)
}

struct Printer<'a> {
    timestamps: bool,
    prefix: &'a str,
    /// Whether the next part begins a line.
    fresh: [bool; 2],
    is_terminal: bool,
}

impl<'a> Printer<'a> {
    fn new(timestamps: bool, prefix: &'a str) -> Self {
        Self {
            timestamps,
            prefix,
            fresh: [true, true],
            is_terminal: io::stdout().is_terminal(),
        }
    }

    fn print(&mut self, line: &Line) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(line.text.len() + 40);
        let fresh = &mut self.fresh[line.stream as usize];
        if *fresh {
            bytes.extend_from_slice(self.prefix.as_bytes());
            if self.timestamps {
                write!(bytes, "{:.9} ", line.time)?;
            }
        }
        bytes.extend_from_slice(&line.text);
        if line.full {
            bytes.push(b'\n');
        }
        *fresh = line.full;
        match line.stream {
            Stream::Stdout => {
                let mut out = io::stdout().lock();
                out.write_all(&bytes)?;
                // Standard output is flushed at each line's end anyway.
                if !line.full || self.is_terminal {
                    out.flush()?;
                }
                Ok(())
            }
            Stream::Stderr => io::stderr().write_all(&bytes),
        }
    }
}
