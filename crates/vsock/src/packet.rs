//! The packets of a virtio socket device: [virtio 1.2, 5.10.6][spec].
//!
//! [spec]: https://docs.oasis-open.org/virtio/virtio/v1.2/csd01/virtio-v1.2-csd01.html#x1-4370006

/// The CID by which a guest knows its host.
pub const HOST_CID: u64 = 2;

/// Bytes of a packet's header.
pub const HEADER_LEN: usize = 44;

/// The most payload put into one packet to the guest, in bytes; Linux's own limit.
pub const MAX_PAYLOAD: usize = 64 * 1024;

/// The only type of socket offered: a stream (`VIRTIO_VSOCK_TYPE_STREAM`).
pub const TYPE_STREAM: u16 = 1;

/// What a packet is for (`VIRTIO_VSOCK_OP_*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub enum Op {
    /// Opens a connection.
    Request = 1,
    /// Accepts a connection.
    Response = 2,
    /// Refuses or ends a connection.
    Reset = 3,
    /// Ends one or both directions, see [`Shutdown`].
    Shutdown = 4,
    /// Carries bytes.
    Data = 5,
    /// Tells how much the sender can take.
    CreditUpdate = 6,
    /// Asks how much the receiver can take.
    CreditRequest = 7,
}

impl Op {
    /// The operation with this number, or none if there is no such operation.
    pub fn from_raw(raw: u16) -> Option<Self> {
        Some(match raw {
            1 => Self::Request,
            2 => Self::Response,
            3 => Self::Reset,
            4 => Self::Shutdown,
            5 => Self::Data,
            6 => Self::CreditUpdate,
            7 => Self::CreditRequest,
            _ => return None,
        })
    }
}

/// Which directions the sender of a [`Op::Shutdown`] has ended, as its flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Shutdown {
    /// The sender takes no more bytes (`VIRTIO_VSOCK_SHUTDOWN_F_RECEIVE`).
    pub receive: bool,
    /// The sender gives no more bytes (`VIRTIO_VSOCK_SHUTDOWN_F_SEND`).
    pub send: bool,
}

impl Shutdown {
    /// Both directions ended.
    pub const BOTH: Self = Self {
        receive: true,
        send: true,
    };

    /// The flags of a header; bits that mean nothing are ignored.
    pub fn from_flags(flags: u32) -> Self {
        Self {
            receive: flags & 1 != 0,
            send: flags & 2 != 0,
        }
    }

    /// As the flags of a header.
    pub fn flags(self) -> u32 {
        u32::from(self.receive) | u32::from(self.send) << 1
    }

    /// What either of the two has ended.
    pub fn or(self, other: Self) -> Self {
        Self {
            receive: self.receive || other.receive,
            send: self.send || other.send,
        }
    }
}

/// A packet's header, in the order of its fields on the wire. Nothing of it has been checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Header {
    /// The sender's CID.
    pub src_cid: u64,
    /// The receiver's CID.
    pub dst_cid: u64,
    /// The sender's port.
    pub src_port: u32,
    /// The receiver's port.
    pub dst_port: u32,
    /// Bytes of payload behind the header.
    pub len: u32,
    /// The type of socket, [`TYPE_STREAM`] or one that is not offered.
    pub kind: u16,
    /// The number of an [`Op`], or one that is none.
    pub op: u16,
    /// For [`Op::Shutdown`], see [`Shutdown::from_flags`].
    pub flags: u32,
    /// Bytes that the sender's buffer for this connection holds.
    pub buf_alloc: u32,
    /// Bytes that the sender has taken out of that buffer since the connection began, modulo 2³².
    pub fwd_cnt: u32,
}

impl Header {
    /// Reads a header from its bytes.
    pub fn from_bytes(bytes: &[u8; HEADER_LEN]) -> Self {
        let mut rest = bytes.as_slice();
        Self {
            src_cid: u64::from_le_bytes(take(&mut rest)),
            dst_cid: u64::from_le_bytes(take(&mut rest)),
            src_port: u32::from_le_bytes(take(&mut rest)),
            dst_port: u32::from_le_bytes(take(&mut rest)),
            len: u32::from_le_bytes(take(&mut rest)),
            kind: u16::from_le_bytes(take(&mut rest)),
            op: u16::from_le_bytes(take(&mut rest)),
            flags: u32::from_le_bytes(take(&mut rest)),
            buf_alloc: u32::from_le_bytes(take(&mut rest)),
            fwd_cnt: u32::from_le_bytes(take(&mut rest)),
        }
    }

    /// The header's bytes.
    pub fn to_bytes(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        let mut rest = bytes.as_mut_slice();
        put(&mut rest, self.src_cid.to_le_bytes());
        put(&mut rest, self.dst_cid.to_le_bytes());
        put(&mut rest, self.src_port.to_le_bytes());
        put(&mut rest, self.dst_port.to_le_bytes());
        put(&mut rest, self.len.to_le_bytes());
        put(&mut rest, self.kind.to_le_bytes());
        put(&mut rest, self.op.to_le_bytes());
        put(&mut rest, self.flags.to_le_bytes());
        put(&mut rest, self.buf_alloc.to_le_bytes());
        put(&mut rest, self.fwd_cnt.to_le_bytes());
        bytes
    }

    /// The reset that answers this packet.
    pub fn reset(&self) -> Self {
        Self {
            src_cid: self.dst_cid,
            dst_cid: self.src_cid,
            src_port: self.dst_port,
            dst_port: self.src_port,
            kind: TYPE_STREAM,
            op: Op::Reset as u16,
            ..Self::default()
        }
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> [u8; N] {
    let mut field = [0; N];
    if let Some((head, tail)) = rest.split_first_chunk::<N>() {
        field = *head;
        *rest = tail;
    }
    field
}

fn put<const N: usize>(rest: &mut &mut [u8], field: [u8; N]) {
    if let Some((head, tail)) = std::mem::take(rest).split_first_chunk_mut::<N>() {
        *head = field;
        *rest = tail;
    }
}

#[cfg(test)]
#[path = "packet_test.rs"]
mod tests;
