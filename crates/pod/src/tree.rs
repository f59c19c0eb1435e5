//! YAML and JSON documents as trees that remember their lines.
//!
//! Plain YAML scalars are resolved as Kubernetes' own reader resolves them (YAML 1.1: `yes` is a
//! boolean, `0644` is octal), so that a file means here what it means to a cluster. Aliases are
//! copied, and the copies count: nodes, text and depth are bounded whatever the file says.

use std::collections::{BTreeMap, BTreeSet};

use saphyr_parser::{Event, Parser, ScalarStyle, Tag};
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Number;
use thiserror::Error;

/// Largest input, in bytes. A ConfigMap and a Secret hold at most 1 MiB each.
const MAX_BYTES: usize = 16 << 20;
/// Most nodes of one input, the copies that aliases make included.
const MAX_NODES: usize = 100_000;
/// Deepest nesting.
const MAX_DEPTH: usize = 100;

/// Why an input is no tree.
#[derive(Debug, Error, PartialEq, Eq)]
pub(crate) enum TreeError {
    #[error("not UTF-8 text")]
    Encoding,
    #[error("larger than {} MiB", MAX_BYTES >> 20)]
    TooLarge,
    #[error("not YAML: {1}")]
    Yaml(u32, String),
    #[error("not JSON: {1}")]
    Json(u32, String),
    #[error("nested deeper than {MAX_DEPTH} levels")]
    TooDeep(u32),
    #[error("more than {MAX_NODES} values, those that aliases repeat included")]
    TooMany(u32),
    #[error("the key {1:?} is given twice")]
    DuplicateKey(u32, String),
    #[error("a key has to be text; put a word as y, on or null in quotes")]
    KeyNotText(u32),
    #[error("the tag {1:?} is not supported; write the value without it")]
    Tag(u32, String),
    #[error("an alias stands inside of what it refers to")]
    Alias(u32),
    #[error("a merge key (\"<<\") needs a map or a list of maps")]
    Merge(u32),
}

impl TreeError {
    /// The line, from 1, if one is known.
    pub(crate) fn line(&self) -> Option<u32> {
        match self {
            Self::Encoding | Self::TooLarge => None,
            Self::Yaml(line, _)
            | Self::Json(line, _)
            | Self::TooDeep(line)
            | Self::TooMany(line)
            | Self::DuplicateKey(line, _)
            | Self::KeyNotText(line)
            | Self::Tag(line, _)
            | Self::Alias(line)
            | Self::Merge(line) => (*line > 0).then_some(*line),
        }
    }
}

/// A value and the line it begins on, that of its key if it has one; 0 where the line is not known.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    pub(crate) line: u32,
    pub(crate) value: Value,
}

/// What JSON can hold; a number keeps the way it was written.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Number(String, Number),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

impl Node {
    /// The value of `key` if this is a map that has it.
    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|(k, _)| k == key).map(|(_, n)| n),
            _ => None,
        }
    }

    /// The text if this is text.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// Every document of `bytes`, empty ones left out. What begins with `{` is JSON.
pub(crate) fn parse(bytes: &[u8]) -> Result<Vec<Node>, TreeError> {
    if bytes.len() > MAX_BYTES {
        return Err(TreeError::TooLarge);
    }
    let text = std::str::from_utf8(bytes).map_err(|_| TreeError::Encoding)?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.trim_start().starts_with('{') {
        json(text)
    } else {
        yaml(text)
    }
}

fn json(text: &str) -> Result<Vec<Node>, TreeError> {
    serde_json::Deserializer::from_str(text)
        .into_iter::<Node>()
        .collect::<Result<_, _>>()
        .map_err(|e| {
            let line = u32::try_from(e.line()).unwrap_or(0);
            TreeError::Json(line, without_position(&e.to_string()))
        })
}

/// serde_json ends its messages with ` at line L column C`; the line is told elsewhere.
fn without_position(message: &str) -> String {
    match message.rfind(" at line ") {
        Some(at) => message[..at].to_owned(),
        None => message.to_owned(),
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = deserializer.deserialize_any(ValueVisitor)?;
        Ok(Self { line: 0, value })
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.to_string(), value.into()))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.to_string(), value.into()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        let number = Number::from_f64(value).ok_or_else(|| E::custom("not a finite number"))?;
        Ok(Value::Number(value.to_string(), number))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Value::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut entries = Vec::new();
        let mut seen = BTreeSet::new();
        while let Some((key, node)) = map.next_entry::<String, Node>()? {
            if !seen.insert(key.clone()) {
                return Err(de::Error::custom(TreeError::DuplicateKey(0, key)));
            }
            entries.push((key, node));
        }
        Ok(Value::Map(entries))
    }
}

/// A map that is being read.
#[derive(Default)]
struct MapItems {
    entries: Vec<(String, Node)>,
    keys: BTreeSet<String>,
    /// The key that waits for its value, and its line.
    key: Option<(String, u32)>,
}

/// A collection that is being read.
struct Frame {
    line: u32,
    anchor: usize,
    items: Items,
}

enum Items {
    List(Vec<Node>),
    Map(MapItems),
}

#[derive(Default)]
struct Builder {
    documents: Vec<Node>,
    stack: Vec<Frame>,
    anchors: BTreeMap<usize, (Node, usize, usize)>,
    nodes: usize,
    bytes: usize,
}

fn yaml(text: &str) -> Result<Vec<Node>, TreeError> {
    let mut builder = Builder::default();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|e| {
            let line = u32::try_from(e.marker().line()).unwrap_or(0);
            TreeError::Yaml(line, e.info().to_owned())
        })?;
        let line = u32::try_from(span.start.line()).unwrap_or(0);
        builder.on_event(event, line)?;
    }
    Ok(builder.documents)
}

impl Builder {
    fn on_event(&mut self, event: Event<'_>, line: u32) -> Result<(), TreeError> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let value = scalar(&text, style, tag.as_deref(), line)?;
                self.add(Node { line, value }, anchor, 1, text.len())
            }
            Event::SequenceStart(anchor, tag) => {
                self.open(line, anchor, tag.as_deref(), Items::List(Vec::new()))
            }
            Event::MappingStart(anchor, tag) => self.open(
                line,
                anchor,
                tag.as_deref(),
                Items::Map(MapItems::default()),
            ),
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            Event::Alias(id) => {
                let (node, nodes, bytes) = self.anchors.get(&id).ok_or(TreeError::Alias(line))?;
                // Checked before the copy is made, not after.
                if self.nodes + nodes > MAX_NODES || self.bytes + bytes > MAX_BYTES {
                    return Err(TreeError::TooMany(line));
                }
                let (node, nodes, bytes) = (node.clone(), *nodes, *bytes);
                self.add(node, 0, nodes, bytes)
            }
            Event::DocumentEnd => {
                self.anchors.clear();
                Ok(())
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) => {
                Ok(())
            }
        }
    }

    fn open(
        &mut self,
        line: u32,
        anchor: usize,
        tag: Option<&Tag>,
        items: Items,
    ) -> Result<(), TreeError> {
        if let Some(tag) = tag {
            let plain = match items {
                Items::List(_) => "seq",
                Items::Map(_) => "map",
            };
            if !(tag.is_yaml_core_schema() && tag.suffix == plain) {
                return Err(TreeError::Tag(line, tag.to_string()));
            }
        }
        if self.stack.len() >= MAX_DEPTH {
            return Err(TreeError::TooDeep(line));
        }
        if let Some(Frame {
            items: Items::Map(MapItems { key: None, .. }),
            ..
        }) = self.stack.last()
        {
            return Err(TreeError::KeyNotText(line));
        }
        self.stack.push(Frame {
            line,
            anchor,
            items,
        });
        Ok(())
    }

    fn close(&mut self) -> Result<(), TreeError> {
        let Some(frame) = self.stack.pop() else {
            return Ok(());
        };
        let value = match frame.items {
            Items::Map(items) => Value::Map(merged(items.entries)?),
            Items::List(items) => Value::List(items),
        };
        let node = Node {
            line: frame.line,
            value,
        };
        // What is inside was counted when it was added.
        self.add(node, frame.anchor, 1, 0)
    }

    /// Puts a finished node where it belongs; `nodes` and `bytes` are what it adds to the count.
    fn add(
        &mut self,
        node: Node,
        anchor: usize,
        nodes: usize,
        bytes: usize,
    ) -> Result<(), TreeError> {
        let line = node.line;
        self.nodes += nodes;
        self.bytes += bytes;
        if self.nodes > MAX_NODES || self.bytes > MAX_BYTES {
            return Err(TreeError::TooMany(node.line));
        }
        if anchor != 0 {
            let (nodes, bytes) = size(&node);
            // The kept copy costs memory as well.
            self.nodes += nodes;
            self.bytes += bytes;
            self.anchors.insert(anchor, (node.clone(), nodes, bytes));
        }
        match self.stack.last_mut().map(|frame| &mut frame.items) {
            None if node.value == Value::Null => {}
            None => self.documents.push(node),
            Some(Items::List(items)) => items.push(node),
            Some(Items::Map(map)) => match map.key.take() {
                Some((key, line)) => map.entries.push((key, Node { line, ..node })),
                None => map.key = Some((key_of(node, &mut map.keys)?, line)),
            },
        }
        Ok(())
    }
}

/// The key that a node is, if it is a new one.
fn key_of(node: Node, keys: &mut BTreeSet<String>) -> Result<String, TreeError> {
    let key = match node.value {
        Value::Text(text) => text,
        Value::Number(_, number) => number.to_string(),
        // `y` and `on` would be "true" to Kubernetes, which nobody means.
        Value::Null | Value::Bool(_) | Value::List(_) | Value::Map(_) => {
            return Err(TreeError::KeyNotText(node.line));
        }
    };
    if !keys.insert(key.clone()) && key != "<<" {
        return Err(TreeError::DuplicateKey(node.line, key));
    }
    Ok(key)
}

/// Nodes and bytes of text in a tree.
fn size(node: &Node) -> (usize, usize) {
    let add = |a: (usize, usize), b: (usize, usize)| (a.0 + b.0, a.1 + b.1);
    match &node.value {
        Value::Null | Value::Bool(_) => (1, 0),
        Value::Number(text, _) | Value::Text(text) => (1, text.len()),
        Value::List(items) => items.iter().map(size).fold((1, 0), add),
        Value::Map(entries) => entries
            .iter()
            .map(|(key, node)| add((0, key.len()), size(node)))
            .fold((1, 0), add),
    }
}

/// Resolves merge keys (`<<: *defaults`): what is given beside them wins.
fn merged(entries: Vec<(String, Node)>) -> Result<Vec<(String, Node)>, TreeError> {
    if !entries.iter().any(|(key, _)| key == "<<") {
        return Ok(entries);
    }
    let (merges, mut own): (Vec<_>, Vec<_>) = entries.into_iter().partition(|(k, _)| k == "<<");
    let mut keys: BTreeSet<String> = own.iter().map(|(key, _)| key.clone()).collect();
    for (_, node) in merges {
        let sources = match node.value {
            Value::List(items) => items,
            _ => vec![node],
        };
        for source in sources {
            let Value::Map(inherited) = source.value else {
                return Err(TreeError::Merge(source.line));
            };
            for (key, node) in inherited {
                if keys.insert(key.clone()) {
                    own.push((key, node));
                }
            }
        }
    }
    Ok(own)
}

fn scalar(
    text: &str,
    style: ScalarStyle,
    tag: Option<&Tag>,
    line: u32,
) -> Result<Value, TreeError> {
    match tag {
        Some(tag) if tag.is_yaml_core_schema() && tag.suffix == "str" => {
            Ok(Value::Text(text.to_owned()))
        }
        Some(tag) => Err(TreeError::Tag(line, tag.to_string())),
        None if style == ScalarStyle::Plain => Ok(resolve(text)),
        None => Ok(Value::Text(text.to_owned())),
    }
}

/// The value of a plain scalar by YAML 1.1, as go-yaml v2 has it.
fn resolve(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            return Value::Bool(true);
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return Value::Bool(false);
        }
        _ => {}
    }
    if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.')) {
        return Value::Text(text.to_owned());
    }
    match integer(text).or_else(|| float(text)) {
        Some(number) => Value::Number(text.to_owned(), number),
        None => Value::Text(text.to_owned()),
    }
}

fn integer(text: &str) -> Option<Number> {
    let plain = text.replace('_', "");
    let (negative, digits) = match plain.as_bytes().first()? {
        b'-' => (true, &plain[1..]),
        b'+' => (false, &plain[1..]),
        _ => (false, &plain[..]),
    };
    let (radix, digits) = match digits.get(..2).map(str::to_ascii_lowercase).as_deref() {
        Some("0x") => (16, &digits[2..]),
        Some("0o") => (8, &digits[2..]),
        Some("0b") => (2, &digits[2..]),
        _ if digits.len() > 1 && digits.starts_with('0') => (8, &digits[1..]),
        _ => (10, digits),
    };
    if !digits.starts_with(|c: char| c.is_digit(radix)) {
        return None;
    }
    let magnitude = u64::from_str_radix(digits, radix).ok()?;
    if negative {
        0i64.checked_sub_unsigned(magnitude).map(Number::from)
    } else {
        Some(Number::from(magnitude))
    }
}

fn float(text: &str) -> Option<Number> {
    let plain = text.replace('_', "");
    let decimal = |c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.' | 'e' | 'E');
    if !plain.chars().all(decimal) || !plain.contains(|c: char| c.is_ascii_digit()) {
        return None;
    }
    plain.parse().ok().and_then(Number::from_f64)
}

#[cfg(test)]
#[path = "tree_test.rs"]
mod tests;
