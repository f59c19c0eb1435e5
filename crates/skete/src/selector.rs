//! Label selectors as `kubectl -l` takes them: requirements with commas between them, all of which
//! must hold.

use std::collections::BTreeMap;
use std::str::FromStr;

/// A label selector.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selector(Vec<Requirement>);

/// One requirement.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Requirement {
    key: String,
    how: How,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum How {
    In(Vec<String>),
    NotIn(Vec<String>),
    Exists,
    Absent,
}

impl Selector {
    /// Whether labels satisfy it.
    pub fn holds(&self, labels: &BTreeMap<String, String>) -> bool {
        self.0.iter().all(|requirement| {
            let value = labels.get(&requirement.key);
            match &requirement.how {
                How::In(values) => value.is_some_and(|value| values.contains(value)),
                How::NotIn(values) => value.is_none_or(|value| !values.contains(value)),
                How::Exists => value.is_some(),
                How::Absent => value.is_none(),
            }
        })
    }
}

impl FromStr for Selector {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        parts(text)
            .map(requirement)
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

/// What is between the commas, those within parentheses left alone.
fn parts(text: &str) -> impl Iterator<Item = &str> {
    let mut within = false;
    text.split(move |c| {
        within = (within || c == '(') && c != ')';
        c == ',' && !within
    })
}

fn requirement(part: &str) -> Result<Requirement, String> {
    let part = part.trim();
    let (key, how) = if let Some((key, value)) = part.split_once("!=") {
        (key, How::NotIn(vec![value.trim().to_owned()]))
    } else if let Some((key, value)) = part.split_once("==").or(part.split_once('=')) {
        (key, How::In(vec![value.trim().to_owned()]))
    } else if let Some((key, values)) = part.split_once(" notin ") {
        (key, How::NotIn(listed(part, values)?))
    } else if let Some((key, values)) = part.split_once(" in ") {
        (key, How::In(listed(part, values)?))
    } else if let Some(key) = part.strip_prefix('!') {
        (key, How::Absent)
    } else {
        (part, How::Exists)
    };
    let key = key.trim();
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    let values = match &how {
        How::In(values) | How::NotIn(values) => values.as_slice(),
        How::Exists | How::Absent => &[],
    };
    let right = |text: &str| text.chars().all(allowed);
    if key.is_empty() || !right(key) || !values.iter().all(|value| right(value)) {
        return Err(wrong(part));
    }
    Ok(Requirement {
        key: key.to_owned(),
        how,
    })
}

fn listed(part: &str, values: &str) -> Result<Vec<String>, String> {
    let inner = values
        .trim()
        .strip_prefix('(')
        .and_then(|v| v.strip_suffix(')'));
    let inner = inner.ok_or_else(|| wrong(part))?;
    Ok(inner
        .split(',')
        .map(|value| value.trim().to_owned())
        .collect())
}

fn wrong(part: &str) -> String {
    format!(
        "{part:?} is no requirement: want KEY=VALUE, KEY!=VALUE, KEY in (A,B), KEY notin (A), KEY or !KEY"
    )
}

#[cfg(test)]
#[path = "selector_test.rs"]
mod tests;
