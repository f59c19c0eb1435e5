//! Checks a tree against the table of fields and turns it into the JSON that Kubernetes' types read.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value as Json;
use skete_cri_api::Quantity;

use crate::fields::{Field, Kind};
use crate::tree::{Node, Value};

/// One thing that is wrong: where, and what. Shows itself as one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file's name, or what stands for it.
    pub source_name: String,
    /// Counted from 1.
    pub line: Option<u32>,
    /// As `spec.containers[0].image`; empty if it is about the whole input.
    pub path: String,
    /// What is wrong, and what to write instead where that is known.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source_name)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if !self.path.is_empty() {
            write!(f, ": {}", self.path)?;
        }
        write!(f, ": {}", self.message)
    }
}

/// Collects the problems of one object, and the lines of its fields.
pub(crate) struct Report {
    source_name: String,
    prefix: String,
    lines: BTreeMap<String, u32>,
    pub(crate) problems: Vec<Problem>,
}

impl Report {
    /// `prefix` stands before every path: where in the file the object is.
    pub(crate) fn new(source_name: &str, prefix: &str) -> Self {
        Self {
            source_name: source_name.to_owned(),
            prefix: prefix.to_owned(),
            lines: BTreeMap::new(),
            problems: Vec::new(),
        }
    }

    /// Notes a problem; the line is that of the path or of the nearest field around it.
    pub(crate) fn add(&mut self, path: &str, message: impl Into<String>) {
        let mut around = path;
        let line = loop {
            if let Some(line) = self.lines.get(around) {
                break Some(*line);
            }
            match around.rfind(['.', '[']) {
                Some(at) => around = &around[..at],
                None => break self.lines.get("").copied(),
            }
        };
        self.problems.push(Problem {
            source_name: self.source_name.clone(),
            line,
            path: join(&self.prefix, path),
            message: message.into(),
        });
    }

    /// What `node` says as JSON for Kubernetes' types; what is wrong with it goes into the report.
    pub(crate) fn check(&mut self, kind: &Kind, node: &Node, path: &str) -> Option<Json> {
        if node.line > 0 {
            self.lines.insert(path.to_owned(), node.line);
        }
        if node.value == Value::Null {
            return None; // as if it were not there
        }
        match (kind, &node.value) {
            (Kind::Text(check), Value::Text(text)) => {
                self.checked(check(text), path);
                Some(Json::from(text.as_str()))
            }
            (Kind::Choice(words), Value::Text(text)) => {
                if !words.contains(&text.as_str()) {
                    let hint = nearest(text, words.iter().copied())
                        .map(|word| format!("; did you mean {word}?"))
                        .unwrap_or_default();
                    let words = words.iter().filter(|word| !word.is_empty());
                    let words = words.copied().collect::<Vec<_>>().join(", ");
                    self.add(path, format!("{text:?} is not one of {words}{hint}"));
                }
                Some(Json::from(text.as_str()))
            }
            (Kind::Bool, Value::Bool(value)) => Some(Json::from(*value)),
            (Kind::Int(min, max), Value::Number(text, number)) => {
                self.integer(*min, *max, text, number, path)
            }
            (Kind::Amount, Value::Text(text) | Value::Number(text, _)) => {
                self.amount(text, path);
                Some(Json::from(text.as_str()))
            }
            (Kind::Base64, Value::Text(text)) => {
                // Line breaks are what `base64` puts in, and what Go's decoder skips.
                let text: String = text.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
                if !is_base64(&text) {
                    self.add(
                        path,
                        "is not base64; a Secret's plain text goes into stringData",
                    );
                }
                Some(Json::from(text))
            }
            (Kind::List(kind), Value::List(items)) => {
                let items = items.iter().enumerate().map(|(index, item)| {
                    let path = format!("{path}[{index}]");
                    if item.value == Value::Null {
                        self.add(&path, "must not be empty");
                    }
                    self.check(kind, item, &path).unwrap_or(Json::Null)
                });
                Some(Json::Array(items.collect()))
            }
            (Kind::Map(check, kind), Value::Map(entries)) => {
                let mut map = serde_json::Map::new();
                for (key, node) in entries {
                    let path = member(path, key);
                    self.checked(check(key), &path);
                    match self.check(kind, node, &path) {
                        Some(value) => _ = map.insert(key.clone(), value),
                        None => self.add(&path, "must not be empty; write \"\" for empty text"),
                    }
                }
                Some(Json::Object(map))
            }
            (Kind::Object(fields), Value::Map(entries)) => Some(self.object(fields, entries, path)),
            (Kind::Part(fields), Value::Map(entries)) => {
                let is_known = |(key, _): &&(String, Node)| fields.iter().any(|f| f.name == key);
                let entries: Vec<_> = entries.iter().filter(is_known).cloned().collect();
                Some(self.object(fields, &entries, path))
            }
            (Kind::Moot, _) => None,
            (Kind::Only(only, why), value) => {
                if scalar(value).as_deref() != Some(only) {
                    let why = if why.is_empty() {
                        String::new()
                    } else {
                        format!(": {why}")
                    };
                    self.add(
                        path,
                        format!("{} is not supported, {only} is{why}", told(value)),
                    );
                }
                json_scalar(value)
            }
            (Kind::NotYet, value) => {
                if !is_empty(value) {
                    self.add(path, "not honoured yet; leave it out");
                }
                None
            }
            (Kind::Refused(why), value) => {
                if !is_empty(value) {
                    self.add(path, format!("refused: {why}"));
                }
                None
            }
            (kind, value) => {
                self.add(path, mismatch(kind, value));
                None
            }
        }
    }

    fn object(&mut self, fields: &[Field], entries: &[(String, Node)], path: &str) -> Json {
        let mut map = serde_json::Map::new();
        for (key, node) in entries {
            let path = member(path, key);
            let Some(field) = fields.iter().find(|field| field.name == key) else {
                if node.line > 0 {
                    self.lines.insert(path.clone(), node.line);
                }
                let hint = nearest(key, fields.iter().map(|field| field.name))
                    .map(|name| format!("; did you mean {name}?"))
                    .unwrap_or_default();
                self.add(&path, format!("unknown field{hint}"));
                continue;
            };
            if let Some(value) = self.check(&field.kind, node, &path) {
                map.insert(key.clone(), value);
            }
        }
        for field in fields.iter().filter(|field| field.required) {
            let absent =
                |(key, node): &(String, Node)| key != field.name || node.value == Value::Null;
            if entries.iter().all(absent) {
                self.add(&member(path, field.name), "is missing");
            }
        }
        Json::Object(map)
    }

    fn integer(
        &mut self,
        min: i64,
        max: i64,
        text: &str,
        number: &serde_json::Number,
        path: &str,
    ) -> Option<Json> {
        let whole = number
            .as_f64()
            .filter(|f| f.fract() == 0.0 && f.abs() < 9e15);
        #[allow(clippy::cast_possible_truncation)] // whole, and below 2^53
        let value = number.as_i64().or(whole.map(|f| f as i64));
        match value {
            Some(value) if (min..=max).contains(&value) => Some(Json::from(value)),
            None if number.is_f64() => {
                self.add(path, format!("{text} is not a whole number"));
                None
            }
            _ => {
                let range = match max {
                    i64::MAX => format!("at least {min}"),
                    0o777 => "an octal mode between 0 and 0777".to_owned(),
                    _ => format!("between {min} and {max}"),
                };
                self.add(
                    path,
                    format!("{text} is out of range; it has to be {range}"),
                );
                None
            }
        }
    }

    fn amount(&mut self, text: &str, path: &str) {
        match Quantity::parse(text) {
            Ok(quantity) if quantity.is_negative() => {
                self.add(path, format!("{text:?} must not be negative"));
            }
            Ok(_) => {}
            Err(error) => self.add(path, error.to_string()),
        }
    }

    fn checked(&mut self, result: Result<(), String>, path: &str) {
        if let Err(message) = result {
            self.add(path, message);
        }
    }
}

/// `parent.key`, or `parent["key"]` where the key has dots or slashes of its own.
pub(crate) fn member(parent: &str, key: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if !key.is_empty() && key.chars().all(plain) {
        join(parent, key)
    } else {
        // Whatever a file says, a message stays one line.
        format!("{parent}[{key:?}]")
    }
}

fn join(parent: &str, path: &str) -> String {
    match (parent.is_empty(), path.is_empty()) {
        (true, _) => path.to_owned(),
        (_, true) => parent.to_owned(),
        _ => format!("{parent}.{path}"),
    }
}

/// The nearest word, if one is near enough to be what was meant.
fn nearest<'a>(word: &str, words: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let lower = word.to_lowercase();
    let distance = |other: &str| {
        let other = other.to_lowercase();
        if lower.len() >= 3 && other.starts_with(&lower) {
            return 1; // only begun
        }
        strsim::osa_distance(&lower, &other)
    };
    words
        .filter(|other| !other.is_empty())
        .map(|other| (distance(other), other))
        .min()
        .filter(|(distance, other)| *distance <= (other.len().min(word.len()) / 3).max(1))
        .map(|(_, other)| other)
}

/// Says the same as if it were not there.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Number(_, number) => number.as_f64() == Some(0.0),
        Value::Text(text) => text.is_empty(),
        Value::List(items) => items.is_empty(),
        Value::Map(entries) => entries.is_empty(),
    }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::Bool(value) => Some(value.to_string()),
        Value::Number(text, _) | Value::Text(text) => Some(text.clone()),
        Value::Null | Value::List(_) | Value::Map(_) => None,
    }
}

fn json_scalar(value: &Value) -> Option<Json> {
    match value {
        Value::Bool(value) => Some(Json::from(*value)),
        Value::Number(_, number) => Some(Json::Number(number.clone())),
        Value::Text(text) => Some(Json::from(text.as_str())),
        Value::Null | Value::List(_) | Value::Map(_) => None,
    }
}

fn mismatch(kind: &Kind, value: &Value) -> String {
    let (expected, cure) = match (kind, value) {
        (Kind::Text(_) | Kind::Choice(_), Value::Bool(_) | Value::Number(..)) => {
            ("text", "; put it in quotes")
        }
        (Kind::Text(_) | Kind::Choice(_), _) => ("text", ""),
        (Kind::Base64, _) => ("text in base64", ""),
        (Kind::Bool, Value::Text(text)) if matches!(text.as_str(), "true" | "false") => {
            ("true or false", "; write it without quotes")
        }
        (Kind::Bool, _) => ("true or false", ""),
        (Kind::Int(..), Value::Text(text)) if text.parse::<i64>().is_ok() => {
            ("a whole number", "; write it without quotes")
        }
        (Kind::Int(..), _) => ("a whole number", ""),
        (Kind::Amount, _) => ("a quantity", ""),
        (Kind::List(_), _) => ("a list", ""),
        _ => ("a map", ""),
    };
    format!("expected {expected}, found {}{cure}", told(value))
}

/// A value for a message: on one line, and not too long.
fn told(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(text, _) => format!("the number {text}"),
        Value::Text(text) if text.chars().count() > 60 => {
            format!("{:?}…", text.chars().take(60).collect::<String>())
        }
        Value::Text(text) => format!("{text:?}"),
        Value::List(_) => "a list".to_owned(),
        Value::Map(_) => "a map".to_owned(),
    }
}

/// Standard alphabet, padded.
fn is_base64(text: &str) -> bool {
    let body = text.trim_end_matches('=');
    let alphabet = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/');
    text.len().is_multiple_of(4) && text.len() - body.len() <= 2 && body.bytes().all(alphabet)
}
