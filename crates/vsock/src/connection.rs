//! One stream between a port of the guest and a Unix socket of the host.

use std::io::{self, Read, Write};
use std::net::Shutdown as How;
use std::os::unix::net::UnixStream;
use std::time::Instant;

use vm_memory::bitmap::BitmapSlice;
use vm_memory::{ReadVolatile, VolatileMemoryError, WriteVolatile};

use crate::backlog::Backlog;
use crate::chain::Pieces;
use crate::packet::{Header, MAX_PAYLOAD, Op, Shutdown};

/// The two ports that name a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Ports {
    pub(crate) guest: u32,
    pub(crate) host: u32,
}

/// The guest broke the protocol: the connection must be reset.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Violation;

/// What a packet to the guest says, but for its addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Packet {
    pub(crate) op: Op,
    pub(crate) flags: u32,
    pub(crate) len: u32,
    pub(crate) buf_alloc: u32,
    pub(crate) fwd_cnt: u32,
}

/// What is still to happen on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It goes on.
    Alive,
    /// Nothing is left for the host; the guest, if it has not left, expects a reset.
    Over,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The host asked, the guest has yet to answer.
    Asking,
    Open,
    /// The guest has left; only what it sent before is still handed to the host.
    Draining,
}

/// A connection's state. Bytes of the host stay in its socket until the guest has room for them;
/// bytes of the guest that the host does not take wait in `backlog`, never more than `buf_alloc`.
pub(crate) struct Connection {
    stream: UnixStream,
    phase: Phase,
    /// The packet that opens the connection, as long as it has not been sent.
    opening: Option<Op>,
    /// When to give up, if nothing happens until then.
    pub(crate) deadline: Option<Instant>,
    /// Whether the muxer has it in the row of those with something to say to the guest.
    pub(crate) queued: bool,

    backlog: Backlog,
    /// Bytes the guest may have on their way to the host.
    buf_alloc: u32,
    /// Bytes of the guest that have left for the host, modulo 2³².
    forwarded: u32,
    /// `forwarded` as the guest knows it.
    reported: u32,
    credit_asked: bool,

    /// What the guest said of its own buffer.
    peer_alloc: u32,
    peer_forwarded: u32,
    /// Bytes sent to the guest, modulo 2³².
    sent: u32,
    /// Whether the guest has been asked for credit since it ran out.
    asked_credit: bool,

    /// The host's socket may have something to read.
    readable: bool,
    /// The host gives no more bytes.
    host_ended: bool,
    /// The host takes no more bytes.
    host_deaf: bool,
    /// The host has closed its socket.
    host_gone: bool,
    /// What the guest has ended.
    guest_ended: Shutdown,
    /// What the guest was told that the host has ended.
    told: Shutdown,
}

impl Connection {
    /// A connection that the host asks for: the guest is sent a request.
    pub(crate) fn asked_by_host(stream: UnixStream, buf_alloc: u32, deadline: Instant) -> Self {
        Self::new(
            stream,
            Phase::Asking,
            Op::Request,
            buf_alloc,
            Some(deadline),
        )
    }

    /// A connection that the guest asked for and the host has accepted: the guest is sent a response.
    pub(crate) fn asked_by_guest(stream: UnixStream, buf_alloc: u32, request: &Header) -> Self {
        let mut connection = Self::new(stream, Phase::Open, Op::Response, buf_alloc, None);
        connection.note_credit(request);
        connection
    }

    fn new(
        stream: UnixStream,
        phase: Phase,
        opening: Op,
        buf_alloc: u32,
        deadline: Option<Instant>,
    ) -> Self {
        Self {
            stream,
            phase,
            opening: Some(opening),
            deadline,
            queued: false,
            backlog: Backlog::default(),
            buf_alloc,
            forwarded: 0,
            reported: 0,
            credit_asked: false,
            peer_alloc: 0,
            peer_forwarded: 0,
            sent: 0,
            asked_credit: false,
            readable: true,
            host_ended: false,
            host_deaf: false,
            host_gone: false,
            guest_ended: Shutdown::default(),
            told: Shutdown::default(),
        }
    }

    pub(crate) fn buf_alloc(&self) -> u32 {
        self.buf_alloc
    }

    /// Whether the guest has left, so that no packet may name this connection any more.
    pub(crate) fn is_draining(&self) -> bool {
        self.phase == Phase::Draining
    }

    /// What is to become of it.
    pub(crate) fn fate(&self) -> Fate {
        let over = match self.phase {
            Phase::Asking => self.host_gone,
            Phase::Open => self.guest_ended == Shutdown::BOTH && self.backlog.is_empty(),
            Phase::Draining => self.backlog.is_empty(),
        };
        if over { Fate::Over } else { Fate::Alive }
    }

    /// Whether both sides know that the host has closed, and only the guest's reset is awaited.
    pub(crate) fn awaits_reset(&self) -> bool {
        self.phase == Phase::Open && self.told == Shutdown::BOTH
    }

    /// The guest has left. What it had sent is still handed over.
    pub(crate) fn leave(&mut self) {
        self.phase = Phase::Draining;
        self.opening = None;
        self.deadline = None;
        // Best effort: a host that has gone needs no telling.
        let _ = self.stream.shutdown(How::Read);
        self.flush();
    }

    /// Before the host's socket is closed in order: drops what the host sent and the guest did not
    /// take, so that the host reads an end and not `ECONNRESET`.
    pub(crate) fn finish(&mut self) {
        // From here on the host can send no more, so that its socket's buffer bounds the loop.
        if self.stream.shutdown(How::Both).is_err() {
            return;
        }
        let mut dropped = [0; 4096];
        while matches!((&self.stream).read(&mut dropped), Ok(count) if count > 0) {}
    }

    /// Something happened on the host's socket.
    pub(crate) fn on_host(&mut self, writable: bool, hung_up: bool) {
        self.readable = true;
        self.host_gone |= hung_up;
        if self.host_gone && (self.host_ended || self.guest_ended.receive) {
            self.host_ended = true;
            self.deafen();
        }
        if writable || hung_up {
            self.flush();
        }
    }

    /// Takes a packet that the guest sent for this connection; a reset is for [`Self::leave`].
    ///
    /// # Errors
    /// The packet breaks the protocol, or the host has gone.
    pub(crate) fn on_guest<B: BitmapSlice>(
        &mut self,
        op: Op,
        header: &Header,
        payload: &Pieces<'_, B>,
        ports: Ports,
    ) -> Result<(), Violation> {
        self.note_credit(header);
        match (self.phase, op) {
            (Phase::Asking, Op::Response) if self.opening.is_none() => self.accepted(ports),
            (Phase::Open, Op::Data) => self.take(payload),
            (Phase::Open, Op::Shutdown) => {
                self.guest_ends(Shutdown::from_flags(header.flags));
                Ok(())
            }
            (Phase::Open, Op::CreditUpdate) => Ok(()),
            (Phase::Open, Op::CreditRequest) => {
                self.credit_asked = true;
                Ok(())
            }
            _ => Err(Violation),
        }
    }

    fn note_credit(&mut self, header: &Header) {
        self.peer_alloc = header.buf_alloc;
        self.peer_forwarded = header.fwd_cnt;
        if self.credit() > 0 {
            self.asked_credit = false;
        }
    }

    /// Bytes that the guest has room for.
    fn credit(&self) -> u32 {
        self.peer_alloc
            .saturating_sub(self.sent.wrapping_sub(self.peer_forwarded))
    }

    fn accepted(&mut self, ports: Ports) -> Result<(), Violation> {
        // These are the first bytes on a fresh socket, so there is room for all of them.
        let answer = format!("OK {}\n", ports.host);
        match (&self.stream).write(answer.as_bytes()) {
            Ok(count) if count == answer.len() => {
                self.phase = Phase::Open;
                self.deadline = None;
                Ok(())
            }
            _ => Err(Violation),
        }
    }

    fn take<B: BitmapSlice>(&mut self, payload: &Pieces<'_, B>) -> Result<(), Violation> {
        if self.guest_ended.send || payload.len() > self.room() {
            return Err(Violation);
        }
        let mut done = 0;
        if self.backlog.is_empty() && !self.host_deaf {
            done = self.write(payload);
        }
        if self.host_deaf {
            self.forward(payload.len() - done);
        } else if done < payload.len() {
            self.backlog.push(&payload.window(done, payload.len()));
        }
        Ok(())
    }

    /// Bytes that the guest may send now.
    fn room(&self) -> usize {
        (self.buf_alloc as usize).saturating_sub(self.backlog.len())
    }

    /// Writes guest memory to the host's socket, without a copy; gives the bytes it took.
    fn write<B: BitmapSlice>(&mut self, payload: &Pieces<'_, B>) -> usize {
        let mut done = 0;
        for piece in payload.iter() {
            match retry(|| (&self.stream).write_volatile(piece)) {
                Ok(count) => {
                    done += count;
                    self.forward(count);
                    if count < piece.len() {
                        break;
                    }
                }
                Err(error) => {
                    if !would_block(&error) {
                        self.deafen();
                    }
                    break;
                }
            }
        }
        done
    }

    fn forward(&mut self, count: usize) {
        // The count is modulo 2³² by the specification.
        self.forwarded = self.forwarded.wrapping_add(count as u32);
    }

    fn flush(&mut self) {
        if !self.backlog.is_empty() {
            match self.backlog.write_to(&self.stream) {
                Ok(count) => self.forward(count),
                Err(_) => self.deafen(),
            }
        }
        if self.backlog.is_empty() && (self.guest_ended.send || self.is_draining()) {
            // Best effort: a host that has gone needs no telling.
            let _ = self.stream.shutdown(How::Write);
        }
    }

    /// The host takes no more: what the guest still sends is dropped, and the guest told.
    fn deafen(&mut self) {
        self.host_deaf = true;
        self.forward(self.backlog.len());
        self.backlog.clear();
    }

    fn guest_ends(&mut self, ended: Shutdown) {
        self.guest_ended = self.guest_ended.or(ended);
        if self.guest_ended.receive {
            // Best effort: a host that has gone needs no telling.
            let _ = self.stream.shutdown(How::Read);
        }
        if self.guest_ended.send {
            self.flush();
        }
    }

    /// Whether there is something to say to the guest.
    pub(crate) fn has_packet(&self) -> bool {
        match self.phase {
            Phase::Draining => false,
            _ if self.opening.is_some() => true,
            Phase::Asking => false,
            Phase::Open => {
                self.owes_credit() || self.owes_shutdown().is_some() || self.wants_to_send()
            }
        }
    }

    fn owes_credit(&self) -> bool {
        // A quarter keeps the guest from ever standing still while the host has taken everything,
        // and from being told of every small packet.
        let unreported = self.forwarded.wrapping_sub(self.reported);
        self.credit_asked || (!self.guest_ended.send && unreported >= self.buf_alloc / 4)
    }

    fn owes_shutdown(&self) -> Option<Shutdown> {
        let ended = Shutdown {
            receive: self.host_deaf,
            send: self.host_ended,
        };
        (self.told.or(ended) != self.told).then_some(ended)
    }

    fn wants_to_send(&self) -> bool {
        self.readable
            && !self.host_ended
            && !self.guest_ended.receive
            && (self.credit() > 0 || !self.asked_credit)
    }

    /// The next packet for the guest, its payload already in `room`; `None` if there is none.
    pub(crate) fn next_packet<B: BitmapSlice>(&mut self, room: &Pieces<'_, B>) -> Option<Packet> {
        if self.phase == Phase::Draining {
            return None;
        }
        if let Some(op) = self.opening.take() {
            return Some(self.packet(op, 0, 0));
        }
        if self.phase == Phase::Asking {
            return None;
        }
        if self.wants_to_send() {
            if self.credit() == 0 {
                self.asked_credit = true;
                return Some(self.packet(Op::CreditRequest, 0, 0));
            }
            let count = self.read(room);
            if count > 0 {
                self.sent = self.sent.wrapping_add(count);
                return Some(self.packet(Op::Data, 0, count));
            }
        }
        if let Some(ended) = self.owes_shutdown() {
            self.told = self.told.or(ended);
            return Some(self.packet(Op::Shutdown, self.told.flags(), 0));
        }
        if self.owes_credit() {
            return Some(self.packet(Op::CreditUpdate, 0, 0));
        }
        None
    }

    fn packet(&mut self, op: Op, flags: u32, len: u32) -> Packet {
        self.reported = self.forwarded;
        self.credit_asked = false;
        Packet {
            op,
            flags,
            len,
            buf_alloc: self.buf_alloc,
            fwd_cnt: self.forwarded,
        }
    }

    /// Reads from the host's socket straight into guest memory.
    fn read<B: BitmapSlice>(&mut self, room: &Pieces<'_, B>) -> u32 {
        let limit = room.len().min(self.credit() as usize).min(MAX_PAYLOAD);
        let mut done = 0;
        for piece in room.window(0, limit).iter() {
            match retry(|| (&self.stream).read_volatile(&mut piece.clone())) {
                Ok(0) => {
                    self.host_ends();
                    break;
                }
                Ok(count) => {
                    done += count as u32;
                    if count < piece.len() {
                        break;
                    }
                }
                Err(error) => {
                    self.readable = false;
                    if !would_block(&error) {
                        self.host_ends();
                    }
                    break;
                }
            }
        }
        done
    }

    fn host_ends(&mut self) {
        self.host_ended = true;
        if self.host_gone {
            self.deafen();
        }
    }
}

fn is(error: &VolatileMemoryError, kind: io::ErrorKind) -> bool {
    matches!(error, VolatileMemoryError::IOError(error) if error.kind() == kind)
}

fn would_block(error: &VolatileMemoryError) -> bool {
    is(error, io::ErrorKind::WouldBlock)
}

/// Once more as long as a signal gets in between.
fn retry<T>(
    mut io: impl FnMut() -> Result<T, VolatileMemoryError>,
) -> Result<T, VolatileMemoryError> {
    loop {
        match io() {
            Err(error) if is(&error, io::ErrorKind::Interrupted) => {}
            result => return result,
        }
    }
}

#[cfg(test)]
#[path = "connection_test.rs"]
mod tests;
