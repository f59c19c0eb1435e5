//! `skete ps`.

use clap::Args;
use serde::Serialize;

use super::status;
use crate::failure::Failure;
use crate::output::{self, Document, Format, Table};
use crate::paths::Paths;
use crate::pods;
use crate::record::{Phase, PodRecord, PublishedPort};

/// List Pods.
#[derive(Debug, Args)]
pub struct Ps {
    /// Also Pods that have ended
    #[arg(short, long)]
    all: bool,
    /// Only ids
    #[arg(short, long)]
    quiet: bool,
    /// How to show them
    #[arg(short, long, value_enum)]
    output: Option<Format>,
    /// Only Pods for which this holds: name=, id=, status=, label=, ancestor=, exited=
    #[arg(short, long = "filter", value_name = "KEY=VALUE")]
    filters: Vec<Filter>,
    /// Do not cut ids and commands short
    #[arg(long)]
    no_trunc: bool,
    /// No headings
    #[arg(long, visible_alias = "no-headers")]
    noheading: bool,
    /// Only the last N that were made, whether or not they have ended
    #[arg(short = 'n', long, value_name = "N")]
    last: Option<usize>,
    /// Only the latest, whether or not it has ended
    #[arg(short, long)]
    latest: bool,
}

/// One `--filter`.
#[derive(Debug, Clone)]
enum Filter {
    Name(String),
    Id(String),
    Status(String),
    Label(String, Option<String>),
    Ancestor(String),
    Exited(u32),
}

impl std::str::FromStr for Filter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (key, value) = text
            .split_once('=')
            .ok_or("want KEY=VALUE, for example status=running")?;
        let value = value.to_owned();
        Ok(match key {
            "name" => Self::Name(value),
            "id" => Self::Id(value),
            "status" | "phase" => Self::Status(value.to_ascii_lowercase()),
            "label" => match value.split_once('=') {
                Some((key, value)) => Self::Label(key.to_owned(), Some(value.to_owned())),
                None => Self::Label(value, None),
            },
            "ancestor" | "image" => Self::Ancestor(value),
            "exited" => Self::Exited(value.parse().map_err(|_| "want exited=EXIT_CODE")?),
            _ => return Err("want name=, id=, status=, label=, ancestor= or exited=".into()),
        })
    }
}

impl Filter {
    fn holds(&self, record: &PodRecord) -> bool {
        match self {
            Self::Name(part) => record.name.contains(part.as_str()),
            Self::Id(start) => record.id.as_str().starts_with(start.as_str()),
            Self::Status(word) => {
                let phase = match record.phase {
                    Phase::Pending => ["pending", "created"],
                    Phase::Running => ["running", "up"],
                    Phase::Succeeded => ["succeeded", "exited"],
                    Phase::Failed => ["failed", "exited"],
                };
                phase.contains(&word.as_str())
            }
            Self::Label(key, value) => record
                .labels
                .get(key)
                .is_some_and(|have| value.as_ref().is_none_or(|want| want == have)),
            Self::Ancestor(image) => record.containers.iter().any(|c| {
                c.image == *image || c.image.rsplit_once(':').is_some_and(|(r, _)| r == image)
            }),
            Self::Exited(code) => record.end.as_ref().is_some_and(|e| e.exit_code == *code),
        }
    }
}

/// One Pod as `-o json` shows it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row<'a> {
    id: &'a str,
    name: &'a str,
    namespace: &'a str,
    phase: Phase,
    status: String,
    created: jiff::Timestamp,
    images: Vec<&'a str>,
    restarts: u32,
    addresses: &'a [std::net::IpAddr],
    ports: &'a [PublishedPort],
    vcpus: u32,
    memory_mib: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    exit_code: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

impl<'a> Row<'a> {
    fn of(record: &'a PodRecord) -> Self {
        Self {
            id: record.id.as_str(),
            name: &record.name,
            namespace: &record.namespace,
            phase: record.phase,
            status: status(record),
            created: record.created,
            images: record.containers.iter().map(|c| c.image.as_str()).collect(),
            restarts: record.containers.iter().map(|c| c.restarts).sum(),
            addresses: &record.network.addresses,
            ports: &record.network.ports,
            vcpus: record.size.vcpus,
            memory_mib: record.size.memory_mib,
            exit_code: record.end.as_ref().map(|end| end.exit_code),
            reason: record.end.as_ref().map(|end| end.reason.as_str()),
        }
    }
}

impl Ps {
    /// Does it.
    ///
    /// # Errors
    /// The records cannot be read, or standard output not written.
    pub fn run(&self, paths: &Paths) -> Result<u8, Failure> {
        let records = self.select(pods::list(paths)?);
        if self.quiet {
            let ids: String = records
                .iter()
                .map(|r| format!("{}\n", self.id(r)))
                .collect();
            output::print(&ids)?;
            return Ok(0);
        }
        let rows = || records.iter().map(Row::of).collect::<Vec<_>>();
        match self.output {
            Some(Format::Json) => output::document(&rows(), Document::Json)?,
            Some(Format::Yaml) => output::document(&rows(), Document::Yaml)?,
            Some(Format::Name) => {
                let names: String = records
                    .iter()
                    .map(|r| format!("pod/{}\n", r.name))
                    .collect();
                output::print(&names)?;
            }
            wide => output::print(&self.table(&records, wide.is_some()))?,
        }
        Ok(0)
    }

    fn select(&self, records: Vec<PodRecord>) -> Vec<PodRecord> {
        let last = if self.latest { Some(1) } else { self.last };
        let asks_for_ended = self
            .filters
            .iter()
            .any(|f| matches!(f, Filter::Status(_) | Filter::Exited(_)));
        let all = self.all || last.is_some() || asks_for_ended;
        records
            .into_iter()
            .filter(|r| all || r.end.is_none())
            .filter(|r| self.filters.iter().all(|filter| filter.holds(r)))
            .take(last.unwrap_or(usize::MAX))
            .collect()
    }

    fn id<'a>(&self, record: &'a PodRecord) -> &'a str {
        if self.no_trunc {
            record.id.as_str()
        } else {
            record.id.short()
        }
    }

    fn table(&self, records: &[PodRecord], wide: bool) -> String {
        let mut headings = vec![
            "POD ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAME",
        ];
        if wide {
            headings.extend(["NAMESPACE", "IP", "SIZE", "RESTARTS"]);
        }
        let mut table = Table::new(&headings);
        if self.noheading {
            table.without_headings();
        }
        for record in records {
            let others = record.containers.iter().filter(|c| !c.init).count();
            let main = record.main_container();
            let mut image = main.map(|c| c.image.clone()).unwrap_or_default();
            if others > 1 {
                image = format!("{image} +{}", others - 1);
            }
            let command = main.map(|c| c.command.clone()).unwrap_or_default();
            let mut row = vec![
                self.id(record).to_owned(),
                image,
                if self.no_trunc {
                    command
                } else {
                    output::cut(&command, 24)
                },
                output::ago(record.created),
                status(record),
                ports(&record.network.ports),
                record.name.clone(),
            ];
            if wide {
                let addresses: Vec<_> = record
                    .network
                    .addresses
                    .iter()
                    .map(ToString::to_string)
                    .collect();
                let restarts: u32 = record.containers.iter().map(|c| c.restarts).sum();
                row.extend([
                    record.namespace.clone(),
                    addresses.join(","),
                    format!("{} vCPU {} MiB", record.size.vcpus, record.size.memory_mib),
                    restarts.to_string(),
                ]);
            }
            table.row(row);
        }
        table.render()
    }
}

/// Published ports as `docker ps` shows them.
pub(crate) fn ports(ports: &[PublishedPort]) -> String {
    let shown: Vec<_> = ports
        .iter()
        .map(|p| {
            format!(
                "{}->{}/{}",
                host_side(p),
                p.container_port,
                p.protocol.to_ascii_lowercase()
            )
        })
        .collect();
    shown.join(", ")
}

/// Address and port of the host.
pub(crate) fn host_side(port: &PublishedPort) -> String {
    if port.host_ip.is_empty() {
        format!("0.0.0.0:{}", port.host_port)
    } else if port.host_ip.contains(':') {
        format!("[{}]:{}", port.host_ip, port.host_port)
    } else {
        format!("{}:{}", port.host_ip, port.host_port)
    }
}
