//! Whether this machine can run Pods, and how safely: one row per question, each measured, never
//! a setting changed.

mod kernel;
mod machine;
mod needs;
mod walls;

use serde::Serialize;

use crate::paths::Paths;

/// How a row turned out; ordered, the worst last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Pass,
    /// Pods run, but something is slower or less safe than it could be.
    Warn,
    /// Pods do not run, or a wall is missing.
    Fail,
}

impl Verdict {
    /// The word in the table.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Warn => "warn",
            Self::Fail => "FAIL",
        }
    }
}

/// One question and its answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    /// What was looked at.
    pub check: &'static str,
    /// How it turned out.
    pub verdict: Verdict,
    /// The value measured.
    pub value: String,
    /// Why it matters.
    pub why: &'static str,
    /// What to do; empty where there is nothing to do.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub fix: String,
}

impl Row {
    fn new(check: &'static str, why: &'static str) -> Self {
        Self {
            check,
            verdict: Verdict::Pass,
            value: String::new(),
            why,
            fix: String::new(),
        }
    }

    fn pass(mut self, value: impl Into<String>) -> Self {
        self.value = value.into();
        self
    }

    fn warn(mut self, value: impl Into<String>, fix: impl Into<String>) -> Self {
        self.verdict = Verdict::Warn;
        self.value = value.into();
        self.fix = fix.into();
        self
    }

    fn fail(mut self, value: impl Into<String>, fix: impl Into<String>) -> Self {
        self.verdict = Verdict::Fail;
        self.value = value.into();
        self.fix = fix.into();
        self
    }
}

/// Looks at everything.
pub fn examine(paths: &Paths) -> Vec<Row> {
    let system = kernel::System::default();
    let mut rows = vec![needs::root()];
    rows.extend(needs::all(paths));
    rows.push(machine::kvm(paths));
    rows.extend(machine::all(paths, &system));
    rows.extend(kernel::all(&system));
    rows.extend(walls::all(paths, &system));
    rows
}

/// Looks at what has to be there before a node is changed.
pub fn before_installation(paths: &Paths) -> Vec<Row> {
    vec![needs::root(), needs::monitor(), machine::kvm(paths)]
}

/// The worst of them.
pub fn worst(rows: &[Row]) -> Verdict {
    rows.iter()
        .map(|row| row.verdict)
        .max()
        .unwrap_or(Verdict::Pass)
}

#[cfg(test)]
#[path = "doctor_test.rs"]
mod tests;
