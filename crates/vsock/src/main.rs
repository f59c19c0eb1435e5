//! Offers a virtio socket device to a monitor that speaks vhost-user, such as QEMU.

#![deny(unsafe_code)]

mod args;

use std::error::Error as _;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use rustix::process::{Pid, Resource, Rlimit, Signal};
use skete_vsock::{Device, Limits, Muxer, muxer, vhost_user};

use args::{Args, Listen};

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("cannot ask to be killed with the parent process")]
    ParentDeath(#[source] rustix::io::Errno),
    #[error("the parent process {0} has ended")]
    Orphan(i32),
    #[error("cannot listen on {}", path.display())]
    Bind {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("file descriptor {0} is not a listening Unix socket")]
    NotListening(RawFd),
    #[error(transparent)]
    Muxer(#[from] muxer::Error),
    #[error(transparent)]
    Serve(#[from] vhost_user::Error),
}

fn main() -> ExitCode {
    let args = match Args::parse(std::env::args_os().skip(1)) {
        Ok(args::Parsed::Run(args)) => args,
        Ok(args::Parsed::Print(text)) => {
            print!("{text}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("skete-vsock: {error}");
            return ExitCode::from(2);
        }
    };
    match run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut line = format!("skete-vsock: {error}");
            let mut source = error.source();
            while let Some(error) = source {
                line.push_str(&format!(": {error}"));
                source = error.source();
            }
            eprintln!("{line}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: Args) -> Result<(), Error> {
    die_with_parent(args.parent)?;
    allow_many_descriptors();
    let vhost = listen(&args.vhost)?;
    let host = listen(&args.host)?;
    let muxer = Muxer::new(args.guest_cid, host, args.uds_path, Limits::default())?;
    let result = vhost_user::serve(Device::new(muxer), vhost);
    for listen in [args.vhost, args.host] {
        if let Listen::Path(path) = listen {
            // The starter may have removed the directory already.
            let _ = std::fs::remove_file(path);
        }
    }
    Ok(result?)
}

/// The kernel kills this process when the *thread* that started it ends, however that comes about.
fn die_with_parent(parent: Option<i32>) -> Result<(), Error> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(Error::ParentDeath)?;
    match parent {
        // The parent may have ended before the kernel was asked.
        Some(parent) if rustix::process::getppid().map(Pid::as_raw_pid) != Some(parent) => {
            Err(Error::Orphan(parent))
        }
        _ => Ok(()),
    }
}

/// Each connection is a descriptor, and the usual limit is far below the device's own.
fn allow_many_descriptors() {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    // With the limit as it was, the device has room for fewer connections.
    let _ = rustix::process::setrlimit(Resource::Nofile, raised);
}

fn listen(listen: &Listen) -> Result<UnixListener, Error> {
    match listen {
        Listen::Fd(fd) => inherit(*fd),
        Listen::Path(path) => bind(path).map_err(|source| Error::Bind {
            path: path.clone(),
            source,
        }),
    }
}

fn bind(path: &Path) -> io::Result<UnixListener> {
    match UnixListener::bind(path) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_abandoned(path) => {
            std::fs::remove_file(path)?;
            UnixListener::bind(path)
        }
        result => result,
    }
}

/// Whether this is a socket that nobody listens on, left by a process that was killed.
fn is_abandoned(path: &Path) -> bool {
    std::os::unix::net::UnixStream::connect(path)
        .is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

#[allow(unsafe_code)]
fn inherit(fd: RawFd) -> Result<UnixListener, Error> {
    if rustix::fs::stat(format!("/proc/self/fd/{fd}")).is_err() {
        return Err(Error::NotListening(fd));
    }
    // SAFETY: The descriptor is open, as was just seen, and it is ours alone: the starter named it
    // on the command line to hand it over, `Args` takes no number twice and none below 3, and this
    // runs before anything else here has opened a descriptor that lasts or started a thread.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    match (
        rustix::net::sockopt::socket_domain(&socket),
        rustix::net::sockopt::socket_acceptconn(&socket),
    ) {
        (Ok(rustix::net::AddressFamily::UNIX), Ok(true)) => Ok(UnixListener::from(socket)),
        _ => Err(Error::NotListening(fd)),
    }
}
