//! A guest's driver for the tests of the device: queues in memory, filled and read by hand.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

use virtio_bindings::virtio_ring::{VRING_DESC_F_NEXT, VRING_DESC_F_WRITE};
use virtio_queue::desc::RawDescriptor;
use virtio_queue::desc::split::Descriptor;
use virtio_queue::mock::{AvailRing, DescriptorTable, UsedRing};
use virtio_queue::{Queue, QueueT};
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

use crate::device::{Device, Notify};
use crate::muxer::{Limits, Muxer};
use crate::packet::{HEADER_LEN, HOST_CID, Header, Op, TYPE_STREAM};

pub(crate) const CID: u64 = 52;
pub(crate) const QUEUE: u16 = 16;
pub(crate) const MEMORY: u64 = 0x40_0000;
/// What a buffer for packets to the guest holds, as Linux has it.
pub(crate) const BUFFER: u32 = 4096;

const RX_QUEUE: u64 = 0x1000;
const TX_QUEUE: u64 = 0x2000;
const RX_DATA: u64 = 0x10_0000;
const TX_DATA: u64 = 0x20_0000;

/// A queue as the driver sees it. (`MockSplitQueue` lets its rings overlap.)
pub(crate) struct Ring {
    address: u64,
    table: DescriptorTable<'static, GuestMemoryMmap>,
    avail: AvailRing<'static, GuestMemoryMmap>,
    used: UsedRing<'static, GuestMemoryMmap>,
}

impl Ring {
    pub(crate) fn new(mem: &'static GuestMemoryMmap, address: u64) -> Self {
        Self {
            address,
            table: DescriptorTable::new(mem, GuestAddress(address), QUEUE),
            avail: AvailRing::new(mem, GuestAddress(address + 0x400), QUEUE),
            used: UsedRing::new(mem, GuestAddress(address + 0x800), QUEUE),
        }
    }

    /// The same as the device sees it.
    pub(crate) fn queue(&self) -> Queue {
        let mut queue = Queue::new(QUEUE).unwrap();
        let address = self.address as u32;
        queue.set_desc_table_address(Some(address), None);
        queue.set_avail_ring_address(Some(address + 0x400), None);
        queue.set_used_ring_address(Some(address + 0x800), None);
        queue.set_ready(true);
        queue
    }

    pub(crate) fn store(&self, index: u16, descriptor: Descriptor) {
        self.table
            .store(index, RawDescriptor::from(descriptor))
            .unwrap();
    }

    /// Makes a chain available.
    pub(crate) fn push(&self, head: u16) {
        let index = self.avail.idx().load();
        let slot = usize::from(index % QUEUE);
        self.avail.ring().ref_at(slot).unwrap().store(head);
        self.set_available(index.wrapping_add(1));
    }

    pub(crate) fn available(&self) -> u16 {
        self.avail.idx().load()
    }

    pub(crate) fn set_available(&self, index: u16) {
        self.avail.idx().store(index);
    }

    pub(crate) fn used(&self) -> u16 {
        self.used.idx().load()
    }

    /// The descriptor and length at this index of the used ring.
    fn used_at(&self, index: u16) -> (u16, u32) {
        let slot = usize::from(index % QUEUE);
        let used = self.used.ring().ref_at(slot).unwrap().load();
        (used.id() as u16, used.len())
    }
}

pub(crate) struct Driver {
    pub(crate) mem: &'static GuestMemoryMmap,
    pub(crate) device: Device,
    pub(crate) rx: Queue,
    pub(crate) tx: Queue,
    pub(crate) rx_ring: Ring,
    pub(crate) tx_ring: Ring,
    seen: u16,
    pub(crate) dir: tempfile::TempDir,
}

impl Driver {
    pub(crate) fn new(limits: Limits) -> Self {
        let mem: &'static GuestMemoryMmap = Box::leak(Box::new(
            GuestMemoryMmap::from_ranges(&[(GuestAddress(0), MEMORY as usize)]).unwrap(),
        ));
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("v");
        let listener = UnixListener::bind(&path).unwrap();
        let rx_ring = Ring::new(mem, RX_QUEUE);
        let tx_ring = Ring::new(mem, TX_QUEUE);
        let mut driver = Self {
            mem,
            device: Device::new(Muxer::new(CID, listener, path, limits).unwrap()),
            rx: rx_ring.queue(),
            tx: tx_ring.queue(),
            rx_ring,
            tx_ring,
            seen: 0,
            dir,
        };
        for index in 0..QUEUE {
            driver.give(index, BUFFER);
        }
        driver
    }

    /// Gives the device the buffer with this index to fill.
    pub(crate) fn give(&mut self, index: u16, len: u32) {
        let address = RX_DATA + u64::from(index) * u64::from(BUFFER);
        let descriptor = Descriptor::new(address, len, VRING_DESC_F_WRITE as u16, 0);
        self.rx_ring.store(index, descriptor);
        self.rx_ring.push(index);
    }

    /// Lets the device work.
    pub(crate) fn turn(&mut self) -> Notify {
        self.device
            .turn(self.mem, &mut self.rx, &mut self.tx)
            .unwrap()
    }

    /// Sends one packet in two descriptors, as Linux does.
    pub(crate) fn send(&mut self, header: &Header, payload: &[u8]) {
        self.send_in(header, payload, &[HEADER_LEN]);
    }

    /// Sends one packet, cut at these offsets.
    pub(crate) fn send_in(&mut self, header: &Header, payload: &[u8], cuts: &[usize]) {
        let mut bytes = header.to_bytes().to_vec();
        bytes.extend_from_slice(payload);
        self.mem.write_slice(&bytes, GuestAddress(TX_DATA)).unwrap();
        let mut starts = vec![0];
        starts.extend(cuts.iter().copied().filter(|&cut| cut < bytes.len()));
        let count = starts.len();
        for (index, &start) in starts.iter().enumerate() {
            let end = starts.get(index + 1).copied().unwrap_or(bytes.len());
            let flags = if index + 1 < count {
                VRING_DESC_F_NEXT
            } else {
                0
            };
            let descriptor = Descriptor::new(
                TX_DATA + start as u64,
                (end - start) as u32,
                flags as u16,
                index as u16 + 1,
            );
            self.tx_ring.store(index as u16, descriptor);
        }
        self.tx_ring.push(0);
        self.turn();
        assert_eq!(
            self.tx_ring.used(),
            self.tx_ring.available(),
            "the device hands the buffer back"
        );
    }

    /// What the device has sent since the last time; the buffers are given back.
    pub(crate) fn take(&mut self) -> Vec<(Header, Vec<u8>)> {
        let mut packets = Vec::new();
        while self.seen != self.rx_ring.used() {
            let (id, len) = self.rx_ring.used_at(self.seen);
            self.seen = self.seen.wrapping_add(1);
            let mut bytes = vec![0; len as usize];
            let address = RX_DATA + u64::from(id) * u64::from(BUFFER);
            self.mem
                .read_slice(&mut bytes, GuestAddress(address))
                .unwrap();
            if let Some((header, payload)) = bytes.split_first_chunk::<HEADER_LEN>() {
                let header = Header::from_bytes(header);
                assert_eq!(header.len as usize, payload.len());
                packets.push((header, payload.to_vec()));
            }
            self.give(id, BUFFER);
        }
        packets
    }

    /// As [`Self::take`], after a turn; only the operations.
    pub(crate) fn ops(&mut self) -> Vec<Op> {
        self.turn();
        self.take()
            .iter()
            .map(|(header, _)| Op::from_raw(header.op).unwrap())
            .collect()
    }

    /// A host program that has asked for this port.
    pub(crate) fn dial(&self, port: u32) -> UnixStream {
        let mut stream = UnixStream::connect(self.dir.path().join("v")).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        stream
            .write_all(format!("CONNECT {port}\n").as_bytes())
            .unwrap();
        stream
    }

    /// A connection from the host that the guest has accepted; the packets' header from the guest.
    pub(crate) fn connect(&mut self, port: u32) -> (UnixStream, Header) {
        let mut stream = self.dial(port);
        self.turn();
        let (request, _) = self.take().pop().expect("a request");
        assert_eq!(request.op, Op::Request as u16);
        assert_eq!(request.dst_port, port);
        let header = Header {
            src_cid: CID,
            dst_cid: HOST_CID,
            src_port: port,
            dst_port: request.src_port,
            kind: TYPE_STREAM,
            buf_alloc: 64 * 1024,
            ..Header::default()
        };
        self.send(&with(header, Op::Response), &[]);
        let mut answer = vec![0; format!("OK {}\n", request.src_port).len()];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(
            String::from_utf8(answer).unwrap(),
            format!("OK {}\n", request.src_port)
        );
        (stream, header)
    }

    /// Where the guest's connections to this port of the host go.
    pub(crate) fn listen(&self, port: u32) -> UnixListener {
        UnixListener::bind(self.dir.path().join(format!("v_{port}"))).unwrap()
    }

    /// A guest's request to this port of the host.
    pub(crate) fn request(port: u32) -> Header {
        Header {
            src_cid: CID,
            dst_cid: HOST_CID,
            src_port: 1234,
            dst_port: port,
            kind: TYPE_STREAM,
            op: Op::Request as u16,
            buf_alloc: 64 * 1024,
            ..Header::default()
        }
    }
}

/// The header with another operation.
pub(crate) fn with(header: Header, op: Op) -> Header {
    Header {
        op: op as u16,
        ..header
    }
}

/// The header of a packet with this payload.
pub(crate) fn data(header: Header, payload: &[u8]) -> Header {
    Header {
        op: Op::Data as u16,
        len: payload.len() as u32,
        ..header
    }
}
