//! What became of the tests, beside what becomes of them with runc.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// What became of a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It passed.
    Passed,
    /// It failed, was interrupted, or ran out of time.
    Failed,
    /// It found that this cluster is not for it.
    Skipped,
    /// It is among those that Skete refuses by design.
    Refused,
    /// It did not run.
    NotRun,
}

impl Outcome {
    fn word(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "FAILED",
            Self::Skipped => "skipped",
            Self::Refused => "refused",
            Self::NotRun => "NOT RUN",
        }
    }
}

/// One test that ran.
#[derive(Debug, PartialEq)]
pub(crate) struct Test {
    pub(crate) name: String,
    pub(crate) outcome: Outcome,
    /// The first line of why it did not pass.
    pub(crate) why: String,
    pub(crate) seconds: f64,
    /// How often it was run.
    pub(crate) attempts: u64,
}

/// One line of the comparison.
pub(crate) struct Row {
    name: String,
    /// Whether it passes with runc.
    runc: bool,
    pub(crate) outcome: Outcome,
    why: String,
}

impl Row {
    /// As it is printed: with runc, with this runtime, name, reason.
    pub(crate) fn line(&self) -> String {
        let runc = if self.runc { "passed" } else { "-" };
        let why = match self.why.as_str() {
            "" => String::new(),
            why => format!("   # {why}"),
        };
        format!("{runc:<8} {:<8} {}{why}", self.outcome.word(), self.name)
    }

    /// Whether a run with this line has failed.
    pub(crate) fn counts_against(&self) -> bool {
        match self.outcome {
            Outcome::Failed => true,
            Outcome::NotRun | Outcome::Skipped => self.runc,
            Outcome::Passed | Outcome::Refused => false,
        }
    }
}

/// The tests that Skete refuses by design, with the reason of each.
#[derive(Default)]
pub(crate) struct Refused(BTreeMap<String, String>);

impl Refused {
    /// From a list of names, in which `# because:` gives the reason of those that follow.
    pub(crate) fn parse(text: &str) -> Self {
        let mut reason = "";
        let mut names = BTreeMap::new();
        for line in text.lines().map(str::trim) {
            if let Some(because) = line.strip_prefix("# because:") {
                reason = because.trim();
            } else if !line.is_empty() && !line.starts_with('#') {
                names.insert(line.to_owned(), reason.to_owned());
            }
        }
        Self(names)
    }

    /// Why a test is refused, if it is.
    pub(crate) fn reason(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

/// The names in a list: one a line, `#` begins a comment.
pub(crate) fn names(list: &str) -> Vec<String> {
    let lines = list.lines().map(str::trim);
    lines
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(str::to_owned)
        .collect()
}

/// A regular expression for these names and no others.
pub(crate) fn exactly<'a>(names: impl Iterator<Item = &'a String>) -> String {
    let escaped: Vec<String> = names
        .map(|name| {
            name.chars().fold(String::new(), |mut text, c| {
                if r"\.+*?()|[]{}^$".contains(c) {
                    text.push('\\');
                }
                text.push(c);
                text
            })
        })
        .collect();
    // Some names end in a blank, which lists lose. Ginkgo puts a test's file before its name.
    format!("({}) *$", escaped.join("|"))
}

/// Reads ginkgo's report.
pub(crate) fn parse(json: &str) -> Result<Vec<Test>, serde_json::Error> {
    let suites: serde_json::Value = serde_json::from_str(json)?;
    let list = |value: &serde_json::Value| value.as_array().cloned().unwrap_or_default();
    let specs = list(&suites)
        .iter()
        .flat_map(|suite| list(&suite["SpecReports"]))
        .collect::<Vec<_>>();
    Ok(specs.iter().filter_map(test).collect())
}

/// A spec of the report, unless it was left out.
fn test(spec: &serde_json::Value) -> Option<Test> {
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let why = text(&spec["Failure"]["Message"]);
    let kind = text(&spec["LeafNodeType"]);
    let outcome = match spec["State"].as_str()? {
        "passed" => Outcome::Passed,
        // One that was left out has no reason.
        "skipped" if why.is_empty() => return None,
        "skipped" => Outcome::Skipped,
        "pending" => return None,
        _ => Outcome::Failed,
    };
    let name = if kind == "It" {
        let mut words: Vec<String> = spec["ContainerHierarchyTexts"]
            .as_array()
            .into_iter()
            .flatten()
            .map(text)
            .collect();
        words.push(text(&spec["LeafNodeText"]));
        words.join(" ").trim().to_owned()
    } else if outcome == Outcome::Failed {
        // What goes before or after all tests is of interest when it fails.
        format!("[{kind}]")
    } else {
        return None;
    };
    Some(Test {
        name,
        outcome,
        why: first_line(&why),
        // Nanoseconds.
        seconds: spec["RunTime"].as_f64().unwrap_or_default() / 1e9,
        attempts: spec["NumAttempts"].as_u64().unwrap_or(1),
    })
}

fn first_line(text: &str) -> String {
    let line = text.lines().find(|line| !line.trim().is_empty());
    line.unwrap_or_default().trim().chars().take(200).collect()
}

/// One line for each of the `named` tests and for each that ran.
pub(crate) fn rows(
    named: &[String],
    baseline: &[String],
    refused: &Refused,
    tests: &[Test],
) -> Vec<Row> {
    let ran: BTreeMap<&str, &Test> = tests
        .iter()
        .map(|test| (test.name.as_str(), test))
        .collect();
    let names: BTreeSet<&str> = named
        .iter()
        .map(String::as_str)
        .chain(ran.keys().copied())
        .collect();
    let row = |name: &str| {
        let (outcome, why) = match (ran.get(name), refused.reason(name)) {
            (Some(test), _) if test.outcome == Outcome::Passed => (Outcome::Passed, ""),
            (_, Some(reason)) => (Outcome::Refused, reason),
            (Some(test), None) => (test.outcome, test.why.as_str()),
            (None, None) => (Outcome::NotRun, ""),
        };
        Row {
            name: name.to_owned(),
            runc: baseline.iter().any(|other| other == name),
            outcome,
            why: why.to_owned(),
        }
    };
    names.into_iter().map(row).collect()
}

/// How many passed, by special interest group and in all.
pub(crate) fn summary(rows: &[Row], runtime: &str) -> String {
    let mut groups: BTreeMap<&str, [usize; 6]> = BTreeMap::new();
    for row in rows {
        let group = row.name.split_inclusive(']').next().unwrap_or_default();
        for key in [group, "total"] {
            let counts = groups.entry(key).or_default();
            counts[0] += usize::from(row.runc);
            counts[1 + row.outcome as usize] += 1;
        }
    }
    let mut text = format!(
        "{:<24} {:>8} {runtime:>8} {:>8} {:>8} {:>8} {:>8}",
        "passed with", "runc", "failed", "skipped", "refused", "not run"
    );
    for (group, [runc, counts @ ..]) in groups {
        // Writing to a String does not fail.
        let _ = write!(text, "\n{group:<24} {runc:>8}");
        for count in counts {
            let _ = write!(text, " {count:>8}");
        }
    }
    text
}

#[cfg(test)]
#[path = "report_test.rs"]
mod tests;
