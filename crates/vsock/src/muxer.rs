//! All connections of a device: which packet belongs to which, and whose turn it is.

use std::collections::{HashMap, VecDeque};
use std::ffi::OsString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::{EventfdFlags, Timespec, epoll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags};
use vm_memory::bitmap::BitmapSlice;

use crate::chain::Pieces;
use crate::connection::{Connection, Fate, Packet, Ports};
use crate::handshake::{Handshake, Progress};
use crate::packet::{HOST_CID, Header, Op, TYPE_STREAM};

/// The ports of host programs start here, far from those that guests listen on by habit.
const FIRST_HOST_PORT: u32 = 1 << 30;

/// Programs accepted, and events handled, before the guest gets its turn again.
const BATCH: usize = 128;

const LISTENER: u64 = 0;
const TIMER: u64 = 1;
const WAKE: u64 = 2;
const FIRST_TOKEN: u64 = 3;

/// The muxer could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel gave no epoll instance, timer or event descriptor, or would not watch one.
    #[error("cannot set up the event loop of the socket device")]
    Events(#[source] Errno),
    /// The listening socket could not be made non-blocking.
    #[error("cannot use the listening socket of the socket device")]
    Listener(#[source] std::io::Error),
}

/// What a guest and its host programs may take up.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections at once, those in their handshake included. More are refused.
    pub connections: usize,
    /// Bytes of one connection that wait for a host program, as long as `buffers` are not used up.
    pub buffer: u32,
    /// The same when they are. At most `connections * small_buffer + buffers` bytes wait in all.
    pub small_buffer: u32,
    /// Bytes given out as `buffer`s at once.
    pub buffers: u32,
    /// How long a host program may take to say which port it wants.
    pub handshake: Duration,
    /// How long the guest may take to answer a request.
    pub answer: Duration,
    /// How long the guest may take to acknowledge that the host has closed.
    pub close: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 4096,
            buffer: 256 * 1024,
            small_buffer: 16 * 1024,
            buffers: 32 * 1024 * 1024,
            handshake: Duration::from_secs(10),
            answer: Duration::from_secs(20),
            close: Duration::from_secs(8),
        }
    }
}

/// The host side of a device. One file descriptor, [`Muxer::fd`], is readable when
/// [`Muxer::poll`] has something to do.
pub struct Muxer {
    guest_cid: u64,
    limits: Limits,
    epoll: OwnedFd,
    timer: OwnedFd,
    wake: OwnedFd,
    listener: UnixListener,
    /// Where the socket of a host port is looked for: this and `_<port>`.
    uds_path: PathBuf,

    handshakes: HashMap<u64, Handshake>,
    connections: HashMap<u64, Connection>,
    ports: HashMap<u64, Ports>,
    tokens: HashMap<Ports, u64>,
    /// Connections with something to say to the guest, each once, longest waiting first.
    turns: VecDeque<u64>,
    /// Resets for packets of no connection.
    resets: VecDeque<Header>,
    next_token: u64,
    next_port: u32,
    /// Bytes given out as full buffers.
    buffers: u32,
    /// When the timer goes off.
    alarm: Option<Instant>,
    /// More programs may be waiting to be accepted.
    accepting: bool,
}

impl Muxer {
    /// A muxer for the guest with this CID. Host programs connect to `listener`; the guest's
    /// connections to host port P go to the Unix socket `<uds_path>_P`.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn new(
        guest_cid: u64,
        listener: UnixListener,
        uds_path: PathBuf,
        limits: Limits,
    ) -> Result<Self, Error> {
        listener.set_nonblocking(true).map_err(Error::Listener)?;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(Error::Events)?;
        let timer = rustix::time::timerfd_create(
            TimerfdClockId::Monotonic,
            TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK,
        )
        .map_err(Error::Events)?;
        let wake = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .map_err(Error::Events)?;
        let edge = epoll::EventFlags::IN | epoll::EventFlags::ET;
        for (fd, token) in [
            (listener.as_fd(), LISTENER),
            (timer.as_fd(), TIMER),
            (wake.as_fd(), WAKE),
        ] {
            epoll::add(&epoll, fd, epoll::EventData::new_u64(token), edge)
                .map_err(Error::Events)?;
        }
        Ok(Self {
            guest_cid,
            limits,
            epoll,
            timer,
            wake,
            listener,
            uds_path,
            handshakes: HashMap::new(),
            connections: HashMap::new(),
            ports: HashMap::new(),
            tokens: HashMap::new(),
            turns: VecDeque::new(),
            resets: VecDeque::new(),
            next_token: FIRST_TOKEN,
            next_port: FIRST_HOST_PORT,
            buffers: 0,
            alarm: None,
            accepting: true,
        })
    }

    /// Readable when [`Self::poll`] has something to do.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }

    /// The guest's CID.
    pub fn guest_cid(&self) -> u64 {
        self.guest_cid
    }

    /// Connections and handshakes there are.
    pub fn len(&self) -> usize {
        self.connections.len() + self.handshakes.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether bytes of the guest still wait for a host program.
    pub fn is_draining(&self) -> bool {
        self.connections.values().any(Connection::is_draining)
    }

    /// Makes [`Self::fd`] readable, for work that was left for later.
    pub fn wake(&self) {
        // It cannot fail but for a full counter, which is readable all the same.
        let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
    }

    /// Handles what has happened on the host's side since the last time, as far as one turn goes.
    pub fn poll(&mut self) {
        let mut events: Vec<epoll::Event> = Vec::with_capacity(BATCH);
        let now = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // An interrupted wait leaves the descriptor readable, so that this is called again.
        let _ = epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&now));
        for event in events {
            let flags = event.flags;
            match event.data.u64() {
                LISTENER => self.accepting = true,
                TIMER => self.expire(),
                // Edge-triggered: the counter need not be read.
                WAKE => {}
                token => self.on_host(
                    token,
                    flags.contains(epoll::EventFlags::OUT),
                    flags.intersects(epoll::EventFlags::HUP | epoll::EventFlags::ERR),
                ),
            }
        }
        if self.accepting {
            self.accept();
        }
    }

    fn on_host(&mut self, token: u64, writable: bool, hung_up: bool) {
        if let Some(connection) = self.connections.get_mut(&token) {
            connection.on_host(writable, hung_up);
            self.settle(token);
        } else if let Some(handshake) = self.handshakes.get(&token) {
            match handshake.progress() {
                Progress::Waiting => {}
                Progress::Failed => {
                    self.handshakes.remove(&token);
                }
                Progress::Port(port) => self.ask_guest(token, port),
            }
        }
    }

    fn accept(&mut self) {
        for _ in 0..BATCH {
            match self.listener.accept() {
                Ok((stream, _)) => {
                    if self.len() < self.limits.connections
                        && let Some(token) = self.watch(&stream)
                    {
                        let deadline = Instant::now() + self.limits.handshake;
                        self.handshakes
                            .insert(token, Handshake { stream, deadline });
                        self.set_alarm(deadline);
                        // Most have said their line by now.
                        self.on_host(token, false, false);
                    }
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    self.accepting = false;
                    return;
                }
                // Out of descriptors: the programs wait until a connection ends or the timer
                // goes off, whichever polls next.
                Err(_) => {
                    self.set_alarm(Instant::now() + Duration::from_secs(1));
                    return;
                }
            }
        }
        self.wake();
    }

    fn watch(&mut self, stream: &UnixStream) -> Option<u64> {
        stream.set_nonblocking(true).ok()?;
        let token = self.next_token;
        let flags = epoll::EventFlags::IN
            | epoll::EventFlags::OUT
            | epoll::EventFlags::RDHUP
            | epoll::EventFlags::ET;
        epoll::add(&self.epoll, stream, epoll::EventData::new_u64(token), flags).ok()?;
        self.next_token += 1;
        Some(token)
    }

    fn ask_guest(&mut self, token: u64, guest: u32) {
        let Some(Handshake { stream, .. }) = self.handshakes.remove(&token) else {
            return;
        };
        // Fewer connections than ports, so that one is free.
        let mut ports = Ports { guest, host: 0 };
        loop {
            ports.host = self.next_port;
            self.next_port = self.next_port.checked_add(1).unwrap_or(FIRST_HOST_PORT);
            if !self.tokens.contains_key(&ports) {
                break;
            }
        }
        let deadline = Instant::now() + self.limits.answer;
        let buffer = self.take_buffer();
        self.insert(
            token,
            ports,
            Connection::asked_by_host(stream, buffer, deadline),
        );
        self.set_alarm(deadline);
    }

    fn insert(&mut self, token: u64, ports: Ports, connection: Connection) {
        self.connections.insert(token, connection);
        self.ports.insert(token, ports);
        self.tokens.insert(ports, token);
        self.settle(token);
    }

    fn take_buffer(&mut self) -> u32 {
        let buffers = self.buffers.saturating_add(self.limits.buffer);
        if buffers > self.limits.buffers {
            return self.limits.small_buffer;
        }
        self.buffers = buffers;
        self.limits.buffer
    }

    /// Takes a packet from the guest.
    pub(crate) fn on_guest<B: BitmapSlice>(&mut self, header: &Header, payload: &Pieces<'_, B>) {
        if header.src_cid != self.guest_cid {
            // Nobody to answer: the guest is not who it says.
            return;
        }
        let op = Op::from_raw(header.op);
        if header.dst_cid != HOST_CID || header.kind != TYPE_STREAM {
            if op != Some(Op::Reset) {
                self.push_reset(header.reset());
            }
            return;
        }
        let ports = Ports {
            guest: header.src_port,
            host: header.dst_port,
        };
        let token = self.tokens.get(&ports).copied();
        match (token, op) {
            (None, Some(Op::Reset)) => {}
            (None, Some(Op::Request)) => self.ask_host(header, ports),
            (None, _) => self.push_reset(header.reset()),
            (Some(token), Some(Op::Reset)) => {
                self.leave(token);
                self.settle(token);
            }
            (Some(token), op) => {
                let result = match (self.connections.get_mut(&token), op) {
                    (Some(connection), Some(op)) => connection.on_guest(op, header, payload, ports),
                    _ => Err(crate::connection::Violation),
                };
                match result {
                    Ok(()) => self.settle(token),
                    Err(crate::connection::Violation) => {
                        self.push_reset(header.reset());
                        self.remove(token);
                    }
                }
            }
        }
    }

    /// The guest sent a packet whose payload is not where its header says.
    pub(crate) fn on_malformed(&mut self, header: &Header) {
        let ports = Ports {
            guest: header.src_port,
            host: header.dst_port,
        };
        if header.src_cid == self.guest_cid && header.dst_cid == HOST_CID {
            self.push_reset(header.reset());
            if let Some(&token) = self.tokens.get(&ports) {
                self.remove(token);
            }
        }
    }

    fn ask_host(&mut self, request: &Header, ports: Ports) {
        let connected = if self.len() < self.limits.connections {
            self.connect(ports.host)
                .and_then(|stream| Some((self.watch(&stream)?, stream)))
        } else {
            None
        };
        match connected {
            Some((token, stream)) => {
                let buffer = self.take_buffer();
                self.insert(
                    token,
                    ports,
                    Connection::asked_by_guest(stream, buffer, request),
                );
            }
            None => self.push_reset(request.reset()),
        }
    }

    fn connect(&self, port: u32) -> Option<UnixStream> {
        let mut path: OsString = self.uds_path.clone().into_os_string();
        path.push(format!("_{port}"));
        let address = SocketAddrUnix::new(path).ok()?;
        // Non-blocking from the start: a program that does not accept must not hold up the rest.
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket =
            rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).ok()?;
        rustix::net::connect(&socket, &address).ok()?;
        Some(UnixStream::from(socket))
    }

    fn push_reset(&mut self, reset: Header) {
        // A reset that is lost costs the guest a time-out of its own.
        if self.resets.len() < 2 * self.limits.connections {
            self.resets.push_back(reset);
        }
    }

    /// After anything happened to a connection: it ends, or gets in the row if it has to.
    fn settle(&mut self, token: u64) {
        let Some(connection) = self.connections.get_mut(&token) else {
            return;
        };
        if connection.fate() == Fate::Over {
            connection.finish();
            if !connection.is_draining()
                && let Some(&ports) = self.ports.get(&token)
            {
                self.push_reset(self.reset_of(ports));
            }
            self.remove(token);
            return;
        }
        if connection.has_packet() && !connection.queued {
            connection.queued = true;
            self.turns.push_back(token);
        }
        if connection.awaits_reset() && connection.deadline.is_none() {
            let deadline = Instant::now() + self.limits.close;
            connection.deadline = Some(deadline);
            self.set_alarm(deadline);
        }
    }

    fn reset_of(&self, ports: Ports) -> Header {
        Header {
            src_cid: HOST_CID,
            dst_cid: self.guest_cid,
            src_port: ports.host,
            dst_port: ports.guest,
            kind: TYPE_STREAM,
            op: Op::Reset as u16,
            ..Header::default()
        }
    }

    fn remove(&mut self, token: u64) {
        self.forget_ports(token);
        if let Some(connection) = self.connections.remove(&token)
            && connection.buf_alloc() == self.limits.buffer
        {
            self.buffers = self.buffers.saturating_sub(self.limits.buffer);
        }
        if self.accepting {
            self.wake();
        }
    }

    fn forget_ports(&mut self, token: u64) {
        if let Some(ports) = self.ports.remove(&token) {
            self.tokens.remove(&ports);
        }
    }

    fn leave(&mut self, token: u64) {
        self.forget_ports(token);
        if let Some(connection) = self.connections.get_mut(&token) {
            connection.leave();
        }
    }

    /// Whether the guest may be due a packet. It may turn out that it is not.
    pub(crate) fn has_packet(&self) -> bool {
        !self.resets.is_empty() || !self.turns.is_empty()
    }

    /// The next packet for the guest; its payload is in `room`, which must not be empty.
    pub(crate) fn next_packet<B: BitmapSlice>(&mut self, room: &Pieces<'_, B>) -> Option<Header> {
        if let Some(reset) = self.resets.pop_front() {
            return Some(reset);
        }
        while let Some(token) = self.turns.pop_front() {
            let (Some(connection), Some(&ports)) =
                (self.connections.get_mut(&token), self.ports.get(&token))
            else {
                continue;
            };
            connection.queued = false;
            let packet = connection.next_packet(room);
            self.settle(token);
            if let Some(packet) = packet {
                return Some(self.header(ports, packet));
            }
        }
        None
    }

    fn header(&self, ports: Ports, packet: Packet) -> Header {
        Header {
            src_cid: HOST_CID,
            dst_cid: self.guest_cid,
            src_port: ports.host,
            dst_port: ports.guest,
            len: packet.len,
            kind: TYPE_STREAM,
            op: packet.op as u16,
            flags: packet.flags,
            buf_alloc: packet.buf_alloc,
            fwd_cnt: packet.fwd_cnt,
        }
    }

    /// The guest's driver has gone: all connections end. Bytes that the guest had sent are still
    /// handed to the host programs that take them.
    pub fn reset(&mut self) {
        self.turns.clear();
        self.resets.clear();
        let tokens: Vec<u64> = self.connections.keys().copied().collect();
        for token in tokens {
            self.leave(token);
            self.settle(token);
        }
    }

    /// The timer went off: gives up on those whose time is over.
    fn expire(&mut self) {
        self.alarm = None;
        let now = Instant::now();
        self.handshakes
            .retain(|_, handshake| handshake.deadline > now);
        let late: Vec<u64> = self
            .connections
            .iter()
            .filter(|(_, connection)| connection.deadline.is_some_and(|deadline| deadline <= now))
            .map(|(&token, _)| token)
            .collect();
        for token in late {
            if let Some(&ports) = self.ports.get(&token) {
                self.push_reset(self.reset_of(ports));
            }
            self.remove(token);
        }
        let handshakes = self.handshakes.values().map(|handshake| handshake.deadline);
        let connections = self
            .connections
            .values()
            .filter_map(|connection| connection.deadline);
        if let Some(next) = handshakes.chain(connections).min() {
            self.set_alarm(next);
        }
    }

    fn set_alarm(&mut self, at: Instant) {
        if self.alarm.is_some_and(|alarm| alarm <= at) {
            return;
        }
        // Not sooner than in 10 ms, so that a row of deadlines does not become a row of alarms.
        let after = at
            .saturating_duration_since(Instant::now())
            .max(Duration::from_millis(10));
        let spec = Itimerspec {
            it_interval: Timespec {
                tv_sec: 0,
                tv_nsec: 0,
            },
            it_value: Timespec {
                tv_sec: after.as_secs().try_into().unwrap_or(i64::MAX),
                tv_nsec: after.subsec_nanos().into(),
            },
        };
        // A timer of our own and a time in range: it cannot fail.
        let _ = rustix::time::timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &spec);
        self.alarm = Some(at);
    }
}

#[cfg(test)]
#[path = "muxer_test.rs"]
mod tests;
