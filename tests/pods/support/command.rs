//! Commands and what came of them.

use std::io::Write;
use std::process::{Child, Command, Stdio};

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) line: String,
    pub(crate) code: i32,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Ended {
    /// It ended with this exit code.
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(
            self.code,
            code,
            "exit code of `{}`\n-- stdout\n{}-- stderr\n{}",
            self.line,
            self.out(),
            self.stderr
        );
        self
    }

    /// It failed with this exit code, nothing on standard output, and one line that has all of
    /// these words.
    #[track_caller]
    pub(crate) fn refuses(self, code: i32, words: &[&str]) -> Self {
        let ended = self.exits(code);
        assert_eq!(ended.out(), "", "stdout of `{}`", ended.line);
        let lines: Vec<_> = ended.stderr.lines().collect();
        assert_eq!(lines.len(), 1, "`{}` said:\n{}", ended.line, ended.stderr);
        assert!(lines[0].starts_with("skete: "), "{}", lines[0]);
        for word in words {
            assert!(lines[0].contains(word), "no {word:?} in: {}", lines[0]);
        }
        ended
    }

    /// What it wrote, as text.
    pub(crate) fn out(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// What it wrote, as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.stdout)
            .unwrap_or_else(|error| panic!("`{}`: {error}:\n{}", self.line, self.out()))
    }
}

/// Gives a command its standard input and waits for its end.
#[track_caller]
pub(crate) fn finish(mut command: Command, input: &[u8]) -> Ended {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let line = words
        .map(|word| word.to_string_lossy().into_owned())
        .collect::<Vec<_>>()
        .join(" ");
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|e| panic!("{line}: {e}"));
    let mut stdin = child.stdin.take().unwrap();
    let output = std::thread::scope(|scope| {
        scope.spawn(move || {
            // Who does not read it all ends for a reason of its own, which the test sees.
            let _ = stdin.write_all(input);
        });
        child.wait_with_output().unwrap()
    });
    Ended {
        line,
        code: output.status.code().unwrap_or(-1),
        stdout: output.stdout,
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Runs a tool of the machine that must not fail; comes back with what it wrote.
#[track_caller]
pub(crate) fn tool(program: &str, args: &[&str]) -> String {
    let mut command = Command::new(program);
    command.args(args);
    finish(command, b"").exits(0).out()
}

/// A command that goes on until this is dropped.
pub(crate) struct Background(Child);

impl Background {
    /// Starts it, with its output nowhere.
    #[track_caller]
    pub(crate) fn start(command: &mut Command) -> Self {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Self(command.spawn().unwrap())
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // It may have ended by itself; the test has noticed that then.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
