//! A node's state in Prometheus' text format (0.0.4).

use std::fmt::{Display, Write};

use crate::status::{Pod, State, Status};

/// The metrics of a node.
#[must_use]
pub fn text(status: &Status) -> String {
    let mut out = Text(String::new());
    let version = status.installation.as_ref().map(|i| i.version.as_str());
    out.family("skete_node_info", "gauge", "What is installed.");
    out.sample("skete_node_info", &[("version", version.unwrap_or(""))], 1);
    out.family(
        "skete_node_problems",
        "gauge",
        "What is wrong with the node.",
    );
    out.sample("skete_node_problems", &[], status.problems.len());

    out.family("skete_pod_up", "gauge", "Whether the Pod's guest answers.");
    for pod in &status.pods {
        let up = u8::from(pod.state == State::Running);
        out.sample("skete_pod_up", &labels(pod), up);
    }
    out.family("skete_pod_vcpus", "gauge", "CPUs of the Pod's guest.");
    for pod in &status.pods {
        out.sample("skete_pod_vcpus", &labels(pod), pod.description.vcpus);
    }
    out.family(
        "skete_pod_guest_memory_limit_bytes",
        "gauge",
        "Memory of the Pod's guest, touched or not.",
    );
    for pod in &status.pods {
        let bytes = pod.description.memory_mib << 20;
        out.sample("skete_pod_guest_memory_limit_bytes", &labels(pod), bytes);
    }
    out.family(
        "skete_pod_memory_bytes",
        "gauge",
        "Memory of the host that the Pod uses, by part.",
    );
    for pod in &status.pods {
        for (part, bytes) in &pod.memory {
            let mut labels = labels(pod);
            labels.push(("part", part.as_str()));
            out.sample("skete_pod_memory_bytes", &labels, bytes);
        }
    }
    out.family(
        "skete_pod_cpu_seconds_total",
        "counter",
        "CPU time of the host that the Pod has used.",
    );
    for pod in &status.pods {
        out.sample("skete_pod_cpu_seconds_total", &labels(pod), pod.cpu_seconds);
    }
    out.family("skete_pod_problems", "gauge", "What is wrong with the Pod.");
    for pod in &status.pods {
        out.sample("skete_pod_problems", &labels(pod), pod.problems.len());
    }
    out.0
}

fn labels(pod: &Pod) -> Vec<(&'static str, &str)> {
    vec![
        ("namespace", &pod.description.namespace),
        ("pod", &pod.description.name),
        ("uid", &pod.description.uid),
        ("sandbox", &pod.id),
        ("accelerator", &pod.description.accelerator),
    ]
}

struct Text(String);

impl Text {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.0.push_str(name);
        for (i, (label, text)) in labels.iter().enumerate() {
            let text = text
                .replace('\\', "\\\\")
                .replace('"', "\\\"")
                .replace('\n', "\\n");
            let before = if i == 0 { '{' } else { ',' };
            let _ = write!(self.0, "{before}{label}=\"{text}\"");
        }
        if !labels.is_empty() {
            self.0.push('}');
        }
        let _ = writeln!(self.0, " {value}");
    }
}

#[cfg(test)]
#[path = "metrics_test.rs"]
mod tests;
