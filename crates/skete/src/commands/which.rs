//! Which Pods are told of, and how they are added up: flags that `skete usage` and `skete cost` share.

use std::str::FromStr;

use clap::Args;
use jiff::Timestamp;
use serde::Serialize;
use skete_usage::{PodUse, Window};

use super::logs::since;
use crate::failure::Failure;
use crate::selector::Selector;

/// Which Pods are told of, and how they are added up.
#[derive(Debug, Args)]
pub struct Which {
    /// Only from then on: a duration before now (90m) or a time (2026-01-31T12:00:00.250Z)
    #[arg(long, value_name = "TIME", value_parser = since)]
    pub since: Option<Timestamp>,
    /// Only until then, exclusive
    #[arg(long, value_name = "TIME", value_parser = since)]
    pub until: Option<Timestamp>,
    /// Only Pods of this Namespace
    #[arg(short, long, value_name = "NAME")]
    pub namespace: Option<String>,
    /// Only Pods with these labels: KEY=VALUE, KEY!=VALUE, KEY in (A,B), KEY, !KEY, with commas
    #[arg(short = 'l', long, value_name = "LABELS", default_value = None)]
    pub selector: Option<Selector>,
    /// What to add up: pod, namespace, controller or label:KEY
    #[arg(long, value_name = "WHAT", default_value = "pod")]
    pub by: By,
}

/// What is added up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum By {
    /// Nothing: each Pod by itself.
    Pod,
    /// A Namespace's Pods.
    Namespace,
    /// A controller's Pods.
    Controller,
    /// Pods with the same value of a label.
    Label(String),
}

impl FromStr for By {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "pod" => Ok(Self::Pod),
            "namespace" => Ok(Self::Namespace),
            "controller" => Ok(Self::Controller),
            _ => match text.strip_prefix("label:") {
                Some(key) if !key.is_empty() => Ok(Self::Label(key.to_owned())),
                _ => Err("want pod, namespace, controller or label:KEY".to_owned()),
            },
        }
    }
}

impl By {
    /// What the Pods that are added up have in common. A Pod is known by its UID: names are used
    /// again. `None` for Pods without that label or controller.
    pub fn key(&self, pod: &PodUse) -> Key {
        let pod = &pod.pod;
        let of = |namespace: &str, name: Option<String>, uid: &str| Key {
            namespace: namespace.to_owned(),
            name,
            uid: uid.to_owned(),
        };
        match self {
            Self::Pod => of(&pod.namespace, Some(pod.name.clone()), &pod.uid),
            Self::Namespace => of(&pod.namespace, Some(pod.namespace.clone()), ""),
            Self::Controller => {
                let controller = pod.controller.as_ref();
                let name = controller.map(|c| format!("{}/{}", c.kind, c.name));
                of(&pod.namespace, name, "")
            }
            Self::Label(key) => of("", pod.labels.get(key).cloned(), ""),
        }
    }

    /// The first columns of a table.
    pub fn headings(&self) -> Vec<&str> {
        match self {
            Self::Pod => vec!["NAMESPACE", "POD", "ENDED"],
            Self::Namespace => vec!["NAMESPACE", "PODS"],
            Self::Controller => vec!["NAMESPACE", "CONTROLLER", "PODS"],
            Self::Label(key) => vec![key.as_str(), "PODS"],
        }
    }

    /// The cells below them.
    pub fn cells(&self, key: &Key, pods: u64, ended: &str) -> Vec<String> {
        let name = key.name.clone().unwrap_or_else(|| "<none>".to_owned());
        match self {
            Self::Pod => vec![key.namespace.clone(), name, ended.to_owned()],
            Self::Controller => vec![key.namespace.clone(), name, pods.to_string()],
            Self::Namespace | Self::Label(_) => vec![name, pods.to_string()],
        }
    }
}

/// What Pods that are added up have in common.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Key {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    pub name: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uid: String,
}

impl Which {
    /// The window of time.
    ///
    /// # Errors
    /// It ends before it begins.
    pub fn window(&self) -> Result<Window, Failure> {
        let ns = |time: Timestamp| i64::try_from(time.as_nanosecond());
        let window = Window {
            from_ns: self.since.map_or(Ok(Window::ALL.from_ns), ns)?,
            to_ns: self.until.map_or(Ok(Window::ALL.to_ns), ns)?,
        };
        if let (Some(since), Some(until)) = (self.since, self.until)
            && until <= since
        {
            return Err(Failure::own(format!(
                "--until {until} is not after --since {since}: there is no time between them"
            )));
        }
        Ok(window)
    }

    /// A Pod that had no time within the window is not shown.
    pub fn wants(&self, used: &PodUse) -> bool {
        let pod = &used.pod;
        let namespace = self.namespace.as_ref();
        !used.spans.is_empty()
            && namespace.is_none_or(|namespace| *namespace == pod.namespace)
            && self.selector.as_ref().is_none_or(|s| s.holds(&pod.labels))
    }
}
