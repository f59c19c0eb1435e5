//! A terminal with a command on it.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use rustix::fs::{Mode, OFlags, open};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use super::machine::eventually;

/// A terminal whose session leader is a command.
pub(crate) struct Terminal {
    side: File,
    shown: Arc<Mutex<Vec<u8>>>,
    child: Child,
}

impl Terminal {
    /// Starts a command on a terminal of that size.
    pub(crate) fn start(command: &Command, columns: u16, rows: u16) -> Self {
        let side = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&side).unwrap();
        unlockpt(&side).unwrap();
        let name = ptsname(&side, Vec::new()).unwrap();
        let other = open(
            name.as_c_str(),
            OFlags::RDWR | OFlags::NOCTTY,
            Mode::empty(),
        )
        .unwrap();
        set_size(&side, columns, rows);
        // Makes the terminal the one that Ctrl-C and a change of size come from.
        let mut leader = Command::new("setsid");
        leader
            .arg("--ctty")
            .arg(command.get_program())
            .args(command.get_args());
        for (name, value) in command.get_envs() {
            if let Some(value) = value {
                leader.env(name, value);
            }
        }
        leader
            .stdin(Stdio::from(other.try_clone().unwrap()))
            .stdout(Stdio::from(other.try_clone().unwrap()))
            .stderr(Stdio::from(other));
        let child = leader.spawn().unwrap();
        drop(leader);
        let shown = Arc::new(Mutex::new(Vec::new()));
        let (mut from, to) = (File::from(side.try_clone().unwrap()), Arc::clone(&shown));
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            // The kernel says EIO when the last process has closed the terminal.
            while let Ok(count @ 1..) = from.read(&mut buffer) {
                to.lock().unwrap().extend_from_slice(&buffer[..count]);
            }
        });
        Self {
            side: File::from(side),
            shown,
            child,
        }
    }

    /// Types.
    pub(crate) fn type_in(&mut self, keys: &str) {
        self.side.write_all(keys.as_bytes()).unwrap();
    }

    /// Changes the size.
    pub(crate) fn resize(&self, columns: u16, rows: u16) {
        set_size(&self.side, columns, rows);
    }

    /// All that it has shown until now.
    pub(crate) fn shown(&self) -> String {
        String::from_utf8_lossy(&self.shown.lock().unwrap()).into_owned()
    }

    /// Waits until this has been shown.
    #[track_caller]
    pub(crate) fn shows(&self, text: &str) {
        eventually(
            &format!("{text:?} on the terminal, which shows {:?}", self.shown()),
            || self.shown().contains(text).then_some(()),
        );
    }

    /// What the kernel does when a terminal is closed; comes back with the command.
    pub(crate) fn close(self) -> Child {
        kill_process(Pid::from_child(&self.child), Signal::HUP).unwrap();
        self.child
    }

    /// Waits for the command's end; comes back with its exit code.
    #[track_caller]
    pub(crate) fn exit_code(mut self) -> i32 {
        let status = eventually("the end of the command on the terminal", || {
            self.child.try_wait().unwrap()
        });
        status.code().unwrap_or(-1)
    }
}

fn set_size(side: impl AsFd, columns: u16, rows: u16) {
    tcsetwinsize(
        side,
        Winsize {
            ws_row: rows,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        },
    )
    .unwrap();
}
