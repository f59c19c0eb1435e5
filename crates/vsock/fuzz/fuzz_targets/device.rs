//! A hostile guest and careless host programs: anything in the guest's memory, rings included, any
//! packet, anything said on the host's sockets. `cargo +nightly fuzz run device`.

#![no_main]

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use skete_vsock::packet::{HEADER_LEN, Header};
use skete_vsock::{Device, Limits, Muxer};
use virtio_bindings::virtio_ring::{VRING_DESC_F_NEXT, VRING_DESC_F_WRITE};
use virtio_queue::desc::RawDescriptor;
use virtio_queue::desc::split::Descriptor;
use virtio_queue::mock::{AvailRing, DescriptorTable};
use virtio_queue::{Queue, QueueT};
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

const CID: u64 = 3;
const SIZE: u16 = 16;
const MEMORY: usize = 0x4_0000;
const CONNECTIONS: usize = 16;

/// Bytes of the input, zeros when they are used up.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        *first
    }

    fn number(&mut self) -> u64 {
        u64::from_le_bytes(std::array::from_fn(|_| self.byte()))
    }
}

fn queue(address: u32) -> Queue {
    let mut queue = Queue::new(SIZE).unwrap();
    queue.set_desc_table_address(Some(address), None);
    queue.set_avail_ring_address(Some(address + 0x400), None);
    queue.set_used_ring_address(Some(address + 0x800), None);
    queue.set_event_idx(true);
    queue.set_ready(true);
    queue
}

fn push(mem: &GuestMemoryMmap, address: u64, head: u16) {
    let index_address = GuestAddress(address + 0x402);
    let index: u16 = mem.read_obj(index_address).unwrap();
    let slot = GuestAddress(address + 0x404 + u64::from(index % SIZE) * 2);
    mem.write_obj(head, slot).unwrap();
    mem.write_obj(index.wrapping_add(1), index_address).unwrap();
}

fuzz_target!(|data: &[u8]| {
    static DIR: OnceLock<tempfile::TempDir> = OnceLock::new();
    let dir = DIR.get_or_init(|| tempfile::tempdir().unwrap());
    let path = dir.path().join("v");
    let _ = std::fs::remove_file(&path);
    let _ = std::fs::remove_file(dir.path().join("v_7"));
    let listener = UnixListener::bind(&path).unwrap();
    let program = UnixListener::bind(dir.path().join("v_7")).unwrap();
    program.set_nonblocking(true).unwrap();

    let limits = Limits {
        connections: CONNECTIONS,
        buffer: 4096,
        small_buffer: 512,
        buffers: 16 * 1024,
        ..Limits::default()
    };
    let muxer = Muxer::new(CID, listener, path.clone(), limits).unwrap();
    let mut device = Device::new(muxer);
    let mem = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), MEMORY)]).unwrap();
    let (rx_address, tx_address) = (0x1000u64, 0x2000u64);
    AvailRing::new(&mem, GuestAddress(rx_address + 0x400), SIZE);
    let rx_table = DescriptorTable::new(&mem, GuestAddress(rx_address), SIZE);
    let tx_table = DescriptorTable::new(&mem, GuestAddress(tx_address), SIZE);
    let (mut rx, mut tx) = (queue(rx_address as u32), queue(tx_address as u32));
    let mut hosts: Vec<UnixStream> = Vec::new();

    let mut input = Input(data);
    while !input.0.is_empty() {
        match input.byte() % 8 {
            0 => {
                let address = input.number() % MEMORY as u64;
                let _ = mem.write_obj(input.number(), GuestAddress(address));
            }
            1 => push(&mem, tx_address, input.byte().into()),
            2 => {
                let index = u16::from(input.byte()) % SIZE;
                let len = u32::from(input.byte()) * 4;
                let address = 0x1_0000 + u64::from(index) * 0x1000;
                let descriptor = Descriptor::new(address, len, VRING_DESC_F_WRITE as u16, 0);
                rx_table
                    .store(index, RawDescriptor::from(descriptor))
                    .unwrap();
                push(&mem, rx_address, index);
            }
            3 => {
                // A packet that could be right, in two descriptors.
                let mut fields = [0u8; HEADER_LEN];
                fields.fill_with(|| input.byte());
                let fields = Header::from_bytes(&fields);
                let header = Header {
                    src_cid: CID,
                    dst_cid: 2,
                    src_port: fields.src_port % 4,
                    dst_port: match fields.dst_port % 3 {
                        0 => 7,
                        _ => (1 << 30) + fields.dst_port % 16,
                    },
                    len: fields.len % 4096,
                    kind: 1,
                    op: fields.op % 9,
                    ..fields
                };
                mem.write_slice(&header.to_bytes(), GuestAddress(0x3000))
                    .unwrap();
                let front = Descriptor::new(0x3000, 44, VRING_DESC_F_NEXT as u16, 1);
                let back = Descriptor::new(0x4000, u32::from(input.byte()) * 16, 0, 0);
                tx_table.store(0, RawDescriptor::from(front)).unwrap();
                tx_table.store(1, RawDescriptor::from(back)).unwrap();
                push(&mem, tx_address, 0);
            }
            4 => {
                let mut stream = UnixStream::connect(&path).unwrap();
                stream.set_nonblocking(true).unwrap();
                let _ = writeln!(stream, "CONNECT {}", input.byte() % 5);
                hosts.push(stream);
            }
            5 if !hosts.is_empty() => {
                let index = usize::from(input.byte()) % hosts.len();
                match input.byte() % 4 {
                    0 => drop(hosts.swap_remove(index)),
                    1 => {
                        let _ = hosts[index].shutdown(Shutdown::Write);
                    }
                    2 => {
                        let _ = hosts[index].write(&vec![b'x'; usize::from(input.byte()) * 32]);
                    }
                    _ => {
                        let _ = hosts[index].read(&mut [0; 4096]);
                    }
                }
            }
            6 => {
                if let Ok((stream, _)) = program.accept() {
                    stream.set_nonblocking(true).unwrap();
                    hosts.push(stream);
                }
            }
            _ => {
                if device.turn(&mem, &mut rx, &mut tx).is_err() {
                    device.reset();
                }
                assert!(device.muxer().len() <= CONNECTIONS);
            }
        }
    }
    let _ = device.turn(&mem, &mut rx, &mut tx);
    device.reset();
});
