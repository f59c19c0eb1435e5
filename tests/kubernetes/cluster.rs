//! The cluster, and a namespace of it for each test.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Longer than anything takes under emulation on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(240);
/// What most containers here run.
pub(crate) const BUSYBOX: &str = "registry.k8s.io/e2e-test-images/busybox:1.37.0-1";
/// What has curl, too, and a C library that finds names.
pub(crate) const AGNHOST: &str = "registry.k8s.io/e2e-test-images/agnhost:2.56";
/// A database.
pub(crate) const POSTGRES: &str = "docker.io/library/postgres:15";
/// Held by every test, and alone by one that disturbs the others.
static NODE: RwLock<()> = RwLock::new(());

/// A program run against the cluster: `cargo xtask cluster --name NAME` and what follows.
pub(crate) fn cluster(arguments: &[&str]) -> Command {
    let told = std::env::var("SKETE_TEST_CLUSTER").expect("run by cargo xtask test");
    let mut words = told.split_whitespace();
    let mut command = Command::new(words.next().expect("a program"));
    command.args(words).args(arguments).stdin(Stdio::null());
    command
}

/// `skete` as it is installed on the node, with its state there.
pub(crate) fn skete(arguments: &[&str]) -> Command {
    let told = |name| std::env::var(name).expect("run by cargo xtask test");
    let program = format!("{}/current/bin/skete", told("SKETE_TEST_PREFIX"));
    let mut command = cluster(&["run", &program]);
    command
        .args(["--root", &told("SKETE_TEST_ROOT"), "--run-root"])
        .arg(run_root())
        .args(arguments);
    command
}

/// The engine's directory for what does not outlive a reboot.
pub(crate) fn run_root() -> PathBuf {
    std::env::var_os("SKETE_TEST_RUN_ROOT")
        .expect("run by cargo xtask test")
        .into()
}

/// Where it keeps what runs on the node.
pub(crate) fn sandboxes() -> PathBuf {
    run_root().join("sandboxes/k8s.io")
}

/// Tries until it comes out right, and fails with why it did not when `limit` is over.
pub(crate) fn eventually<T, Why: FnOnce() -> String>(
    limit: Duration,
    mut attempt: impl FnMut() -> Result<T, Why>,
) -> T {
    let deadline = Instant::now() + limit;
    loop {
        match attempt() {
            Ok(right) => return right,
            Err(why) if Instant::now() > deadline => panic!("{}", why()),
            Err(_) => std::thread::sleep(Duration::from_millis(300)),
        }
    }
}

/// A namespace, deleted with this value.
pub(crate) struct Namespace {
    name: String,
    _shared: Option<RwLockReadGuard<'static, ()>>,
    _alone: Option<RwLockWriteGuard<'static, ()>>,
}

impl Namespace {
    /// Makes it.
    pub(crate) fn new(name: &str) -> Self {
        let shared = NODE.read().unwrap_or_else(PoisonError::into_inner);
        Self::make(name, Some(shared), None)
    }

    /// Makes one while no other test runs.
    pub(crate) fn alone(name: &str) -> Self {
        let alone = NODE.write().unwrap_or_else(PoisonError::into_inner);
        Self::make(name, None, Some(alone))
    }

    fn make(
        name: &str,
        shared: Option<RwLockReadGuard<'static, ()>>,
        alone: Option<RwLockWriteGuard<'static, ()>>,
    ) -> Self {
        let namespace = Self {
            name: format!("{name}-{}", std::process::id()),
            _shared: shared,
            _alone: alone,
        };
        let made = cluster(&["kubectl", "create", "namespace", &namespace.name]).output();
        assert!(made.unwrap().status.success(), "namespace {name}");
        namespace
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// kubectl in this namespace, not started yet.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = cluster(&["kubectl", "--namespace", &self.name]);
        command.args(arguments);
        command
    }

    /// What kubectl printed; it must succeed.
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments:?}: {said}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Applies manifests.
    pub(crate) fn apply(&self, manifests: &str) {
        apply(&mut self.command(&["apply", "-f", "-"]), manifests);
    }

    /// An object as JSON; null if there is none.
    pub(crate) fn get(&self, kind: &str, name: &str) -> Value {
        let output = self
            .command(&["get", kind, name, "-o", "json"])
            .output()
            .unwrap();
        serde_json::from_slice(&output.stdout).unwrap_or_default()
    }

    /// Waits until something comes true of an object, and returns it.
    pub(crate) fn wait(&self, kind: &str, name: &str, done: impl Fn(&Value) -> bool) -> Value {
        eventually(PATIENCE, || {
            let object = self.get(kind, name);
            if done(&object) {
                return Ok(object);
            }
            Err(move || format!("{kind} {name} never came to it: {}", self.story(&object)))
        })
    }

    /// Waits until an event of a Pod says something.
    pub(crate) fn event(&self, pod: &str, said: &str) {
        let of_pod = format!("--field-selector=involvedObject.name={pod}");
        eventually(PATIENCE, || {
            let events = self.kubectl(&["get", "events", &of_pod, "-o", "json"]);
            if events.contains(said) {
                return Ok(());
            }
            Err(move || format!("no `{said}`: {events}"))
        });
    }

    fn story(&self, object: &Value) -> String {
        let mut story = object["status"].to_string();
        let events = self.command(&["get", "events"]).output().unwrap();
        let _ = write!(story, "\n{}", String::from_utf8_lossy(&events.stdout));
        story
    }

    /// Waits until a Pod is Ready.
    pub(crate) fn ready(&self, pod: &str) -> Value {
        self.wait("pod", pod, |pod| {
            let conditions = pod["status"]["conditions"].as_array();
            conditions
                .into_iter()
                .flatten()
                .any(|c| c["type"] == "Ready" && c["status"] == "True")
        })
    }

    /// Runs a shell's script in a Pod's first container; it must succeed.
    pub(crate) fn exec(&self, pod: &str, script: &str) -> String {
        self.kubectl(&["exec", pod, "--", "sh", "-c", script])
    }

    /// Runs it until it succeeds.
    pub(crate) fn exec_until(&self, pod: &str, script: &str) -> String {
        eventually(PATIENCE, || {
            let arguments = ["exec", pod, "--", "sh", "-c", script];
            let output = self.command(&arguments).output().unwrap();
            if output.status.success() {
                return Ok(String::from_utf8(output.stdout).unwrap());
            }
            Err(move || format!("{script}: {}", String::from_utf8_lossy(&output.stderr)))
        })
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = cluster(&["kubectl", "delete", "namespace", &self.name, "--wait=false"])
            .stdout(Stdio::null())
            .status();
    }
}

/// Gives manifests to kubectl.
pub(crate) fn apply(kubectl: &mut Command, manifests: &str) {
    let mut child = kubectl
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(manifests.as_bytes())
        .unwrap();
    assert!(child.wait().unwrap().success(), "{manifests}");
}

/// A Deployment of one container. `more` are lines of its `spec`, `container` of its container.
pub(crate) fn deployment(name: &str, more: &str, container: &str) -> String {
    format!(
        "apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}}}
spec:
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec:
      runtimeClassName: skete
      terminationGracePeriodSeconds: 1
      containers:
      - name: main
        image: {BUSYBOX}{}{}
",
        indent(container, 8),
        indent(more, 2),
    )
}

/// Lines that follow others, so far to the right.
fn indent(text: &str, by: usize) -> String {
    let pad = " ".repeat(by);
    text.lines().map(|line| format!("\n{pad}{line}")).collect()
}

/// A Pod of one container that runs a shell's script. `more` are lines of its `spec`, `container`
/// of its container.
pub(crate) fn pod(name: &str, script: &str, more: &str, container: &str) -> String {
    let image = match container.contains("image:") {
        true => String::new(),
        false => format!("    image: {BUSYBOX}\n"),
    };
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, labels: {{app: {name}}}}}\nspec:\n\
         \x20 runtimeClassName: skete\n\
         \x20 terminationGracePeriodSeconds: 1{}\n\
         \x20 containers:\n\
         \x20 - name: main\n\
{image}\
         \x20   command: [sh, -c, {script:?}]{}\n",
        indent(more, 2),
        indent(container, 4),
    )
}
