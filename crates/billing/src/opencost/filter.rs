//! OpenCost's filter language: `namespace:"a","b"+label[app]!:"c"`, `+` for and, `|` for or, and
//! parentheses where both stand together.

use skete_usage::PodUse;

use super::property::Property;
use super::{Node, QueryError, UNALLOCATED};

/// Longest filter, in bytes.
const LONGEST: usize = 4096;
/// Parentheses in parentheses at most.
const DEEPEST: usize = 16;

/// Which Pods are told of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Filter {
    /// Those for which all hold; all, if there are none.
    And(Vec<Filter>),
    /// Those for which one holds.
    Or(Vec<Filter>),
    /// Those of which a property compares with one of the values.
    Is {
        property: Property,
        compare: Compare,
        not: bool,
        values: Vec<String>,
    },
}

/// How a value is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compare {
    Equals,
    Contains,
    StartsWith,
    EndsWith,
}

impl Filter {
    /// Reads a filter.
    pub(super) fn parse(text: &str) -> Result<Self, QueryError> {
        if text.trim().is_empty() {
            return Ok(Self::And(Vec::new()));
        }
        if text.len() > LONGEST {
            let problem = format!("longer than {LONGEST} bytes");
            return Err(QueryError::value("filter", problem));
        }
        let mut parser = Parser { text, at: 0 };
        let filter = parser.expression(0)?;
        parser.spaces();
        if parser.at < text.len() {
            return Err(parser.problem("want +, | or the end"));
        }
        Ok(filter)
    }

    /// The UID, if it is `uid:"…"` and nothing else.
    pub(super) fn uid(&self) -> Option<&str> {
        match self {
            Self::And(all) if all.len() == 1 => all[0].uid(),
            Self::Is {
                property: Property::Uid,
                compare: Compare::Equals,
                not: false,
                values,
            } if values.len() == 1 => values.first().map(String::as_str),
            _ => None,
        }
    }

    /// Whether a Pod is told of.
    pub(super) fn holds(&self, used: &PodUse, node: &Node) -> bool {
        match self {
            Self::And(all) => all.iter().all(|filter| filter.holds(used, node)),
            Self::Or(any) => any.iter().any(|filter| filter.holds(used, node)),
            Self::Is {
                property,
                compare,
                not,
                values,
            } => {
                let value = property.of(used, node).unwrap_or(UNALLOCATED);
                let is = |wanted: &String| match compare {
                    Compare::Equals => value == wanted,
                    Compare::Contains => value.contains(wanted),
                    Compare::StartsWith => value.starts_with(wanted),
                    Compare::EndsWith => value.ends_with(wanted),
                };
                values.iter().any(is) != *not
            }
        }
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl Parser<'_> {
    fn problem(&self, problem: &str) -> QueryError {
        QueryError::value("filter", format!("at byte {}: {problem}", self.at))
    }

    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn spaces(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
    }

    fn take(&mut self, token: &str) -> bool {
        self.spaces();
        let found = self.rest().starts_with(token);
        if found {
            self.at += token.len();
        }
        found
    }

    fn expression(&mut self, depth: usize) -> Result<Filter, QueryError> {
        let mut terms = vec![self.term(depth)?];
        let mut operator = None;
        loop {
            let next = ["+", "|"].into_iter().find(|token| self.take(token));
            match (operator, next) {
                (_, None) => break,
                (Some(before), Some(now)) if before != now => {
                    return Err(self.problem("+ and | stand together: want parentheses"));
                }
                _ => operator = next,
            }
            terms.push(self.term(depth)?);
        }
        Ok(match operator {
            Some("|") => Filter::Or(terms),
            _ => Filter::And(terms),
        })
    }

    fn term(&mut self, depth: usize) -> Result<Filter, QueryError> {
        if self.take("(") {
            if depth == DEEPEST {
                return Err(self.problem("too many parentheses"));
            }
            let inner = self.expression(depth + 1)?;
            if !self.take(")") {
                return Err(self.problem("want )"));
            }
            return Ok(inner);
        }
        let property = self.property()?;
        let operators = [
            ("!<~:", Compare::StartsWith, true),
            ("<~:", Compare::StartsWith, false),
            ("!~>:", Compare::EndsWith, true),
            ("~>:", Compare::EndsWith, false),
            ("!~:", Compare::Contains, true),
            ("~:", Compare::Contains, false),
            ("!:", Compare::Equals, true),
            (":", Compare::Equals, false),
        ];
        let found = operators.into_iter().find(|(token, ..)| self.take(token));
        let Some((_, compare, not)) = found else {
            return Err(self.problem("want :, !:, ~:, !~:, <~:, !<~:, ~>: or !~>:"));
        };
        let mut values = vec![self.value()?];
        while self.take(",") {
            values.push(self.value()?);
        }
        Ok(Filter::Is {
            property,
            compare,
            not,
            values,
        })
    }

    fn property(&mut self) -> Result<Property, QueryError> {
        self.spaces();
        let rest = self.rest();
        let end = rest
            .find(|c: char| !c.is_ascii_alphanumeric())
            .unwrap_or(rest.len());
        let (name, rest) = rest.split_at(end);
        let key = match rest.strip_prefix('[') {
            Some(rest) => rest.split_once(']').map(|(key, _)| key.trim_matches('"')),
            None => None,
        };
        let length = match rest.strip_prefix('[').and_then(|rest| rest.find(']')) {
            Some(key) => end + key + 2,
            None => end,
        };
        let found = Property::named(name, key).ok_or_else(|| {
            self.problem(
                "want cluster, node, namespace, controllerKind, controllerName, pod, uid, \
                 container, services, label[KEY] or annotation[KEY]",
            )
        })?;
        self.at += length;
        Ok(found)
    }

    fn value(&mut self) -> Result<String, QueryError> {
        if !self.take("\"") {
            return Err(self.problem("want a value in double quotes"));
        }
        let Some((value, _)) = self.rest().split_once('"') else {
            return Err(self.problem("the value has no end: want \""));
        };
        let value = value.to_owned();
        self.at += value.len() + 1;
        Ok(value)
    }
}

#[cfg(test)]
#[path = "filter_test.rs"]
mod tests;
