use std::io::{Read, Write};
use std::net::Shutdown as How;

use virtio_bindings::virtio_ring::{VRING_DESC_F_INDIRECT, VRING_DESC_F_NEXT, VRING_DESC_F_WRITE};
use virtio_queue::desc::RawDescriptor;
use virtio_queue::desc::split::Descriptor;
use vm_memory::{Bytes, GuestAddress};

use super::*;
use crate::muxer::Limits;
use crate::packet::{Op, Shutdown};
use crate::test_driver::{CID, Driver, MEMORY, QUEUE, Ring, data, with};

#[test]
fn the_configuration_space_holds_the_cid_and_ends_there() {
    let driver = Driver::new(Limits::default());

    assert_eq!(driver.device.config(0, 8), CID.to_le_bytes());
    assert_eq!(driver.device.config(4, 8), [0; 4]);
    assert_eq!(driver.device.config(u32::MAX, u32::MAX), []);
}

#[test]
fn a_packet_in_many_descriptors_arrives_whole() {
    let mut driver = Driver::new(Limits::default());
    let (mut host, header) = driver.connect(10);
    let payload: Vec<u8> = (0..50_000u32).map(|byte| byte as u8).collect();

    // Cut within the header, at its end, and within the payload.
    let cuts = [1, 7, 43, 44, 45, 1000, 32_768];
    driver.send_in(&data(header, &payload), &payload, &cuts);

    let mut received = vec![0; payload.len()];
    host.read_exact(&mut received).unwrap();
    assert_eq!(received, payload);
}

#[test]
fn a_buffer_in_many_descriptors_is_filled_whole() {
    let mut driver = Driver::new(Limits::default());
    let (mut host, _) = driver.connect(10);
    // Use up the buffers of one descriptor.
    for _ in 0..QUEUE {
        host.write_all(b"x").unwrap();
        driver.turn();
    }
    // One of three, the header being cut.
    for (index, len) in [(0, 20), (1, 30), (2, 100u32)] {
        let descriptor = Descriptor::new(
            0x30_0000 + u64::from(index) * 0x1000,
            len,
            VRING_DESC_F_WRITE as u16
                | if index < 2 {
                    VRING_DESC_F_NEXT as u16
                } else {
                    0
                },
            index + 1,
        );
        driver.rx_ring.store(index, descriptor);
    }
    driver.rx_ring.push(0);
    let payload: Vec<u8> = (0..106).collect();

    host.write_all(&payload).unwrap();
    driver.turn();

    let mut bytes = Vec::new();
    for (index, len) in [(0, 20), (1, 30), (2, 100)] {
        let mut piece = vec![0; len];
        let address = GuestAddress(0x30_0000 + index * 0x1000);
        driver.mem.read_slice(&mut piece, address).unwrap();
        bytes.extend(piece);
    }
    assert_eq!(bytes[44..], payload);
    let header = Header::from_bytes(bytes.first_chunk().unwrap());
    assert_eq!((header.op, header.len), (Op::Data as u16, 106));
}

#[test]
fn nothing_is_lost_while_the_guest_gives_no_buffers() {
    let mut driver = Driver::new(Limits::default());
    let (mut host, _) = driver.connect(10);
    let payload: Vec<u8> = (0..60_000u32).map(|byte| (byte / 7) as u8).collect();

    host.write_all(&payload).unwrap();
    host.shutdown(How::Write).unwrap();
    let mut received = Vec::new();
    let mut ended = false;
    for _ in 0..100 {
        driver.turn();
        for (header, bytes) in driver.take() {
            assert!(!ended, "nothing follows the end");
            received.extend(bytes);
            ended |= header.op == Op::Shutdown as u16;
        }
    }

    assert!(ended);
    assert_eq!(received, payload);
}

#[test]
fn a_chain_that_is_too_short_for_a_header_is_handed_back() {
    let mut driver = Driver::new(Limits::default());
    let descriptor = Descriptor::new(0x30_0000, 43, 0, 0);
    driver.tx_ring.store(0, descriptor);
    driver.tx_ring.push(0);

    let notify = driver.turn();

    assert!(notify.tx);
    assert_eq!(driver.tx_ring.used(), 1);
    assert_eq!(driver.take(), []);
}

#[test]
fn a_buffer_without_room_for_payload_is_handed_back_empty() {
    let mut driver = Driver::new(Limits::default());
    let (mut host, _) = driver.connect(10);
    // The next buffer, the first having been used for the request, has room for a header only.
    let descriptor = Descriptor::new(0x30_0000, HEADER_LEN as u32, VRING_DESC_F_WRITE as u16, 0);
    driver.rx_ring.store(1, descriptor);
    let used = driver.rx_ring.used();

    host.write_all(b"whole").unwrap();
    driver.turn();

    assert_eq!(driver.rx_ring.used(), used + 2);
    let packets = driver.take();
    assert_eq!(packets.len(), 1);
    assert_eq!(packets[0].1, b"whole");
}

#[test]
fn a_payload_that_is_not_there_resets_the_connection() {
    let mut driver = Driver::new(Limits::default());
    let (mut host, header) = driver.connect(10);

    let lying = Header {
        op: Op::Data as u16,
        len: 5000,
        ..header
    };
    driver.send(&lying, b"short");

    assert_eq!(driver.ops(), [Op::Reset]);
    assert_eq!(host.read(&mut [0]).unwrap(), 0);
    assert!(driver.device.muxer().is_empty());
}

#[test]
fn chains_that_loop_or_leave_the_memory_do_no_harm() {
    let mut driver = Driver::new(Limits::default());
    let next = VRING_DESC_F_NEXT as u16;
    let indirect = VRING_DESC_F_INDIRECT as u16;
    let hostile = [
        Descriptor::new(0x30_0000, 0, next, 0), // zero bytes, for ever
        Descriptor::new(0x30_0000, 1, next, 0), // one byte, for ever
        Descriptor::new(0x30_0000, u32::MAX, next, 0), // 4 GiB, for ever
        Descriptor::new(MEMORY - 4, 64, 0, 0),  // over the end
        Descriptor::new(u64::MAX - 8, 64, 0, 0), // over the address space
        Descriptor::new(0x30_0000, 64, next, QUEUE), // next one is out of the table
        Descriptor::new(0x30_0000, 64, next, u16::MAX), //
        Descriptor::new(0x2000, 16, indirect, 0), // its own table
        Descriptor::new(0x30_0000, 17, indirect, 0), // half a table
        Descriptor::new(MEMORY, 0x1000, indirect, 0), // no table
        Descriptor::new(0x30_0000, 0xFFFF0, indirect | next, 0), // a huge one
    ];

    for (count, descriptor) in hostile.into_iter().enumerate() {
        driver.tx_ring.store(0, descriptor);
        driver.tx_ring.push(0);
        driver.turn();
        assert_eq!(driver.tx_ring.used(), count as u16 + 1);
    }

    driver.connect(10);
}

#[test]
fn an_indirect_table_of_sixty_five_thousand_descriptors_is_refused() {
    let mut driver = Driver::new(Limits::default());
    for index in 0..0xFFFFu64 {
        let descriptor = Descriptor::new(0x30_0000, 1, VRING_DESC_F_NEXT as u16, index as u16 + 1);
        let address = GuestAddress(0x20_0000 + index * 16);
        driver
            .mem
            .write_obj(RawDescriptor::from(descriptor), address)
            .unwrap();
    }
    let table = Descriptor::new(0x20_0000, 0xFFFF0, VRING_DESC_F_INDIRECT as u16, 0);
    driver.tx_ring.store(0, table);
    driver.tx_ring.push(0);

    driver.turn();

    assert_eq!(driver.tx_ring.used(), 1);
    assert_eq!(driver.ops(), []);
}

#[test]
fn a_broken_ring_ends_all_connections_until_the_reset() {
    let mut driver = Driver::new(Limits::default());
    let (mut host, _) = driver.connect(10);
    let good = driver.tx_ring.available();
    driver.tx_ring.set_available(good.wrapping_add(1000));

    let result = driver
        .device
        .turn(driver.mem, &mut driver.rx, &mut driver.tx);

    assert!(matches!(result, Err(Error::Queue { index: TX, .. })));
    assert_eq!(host.read(&mut [0]).unwrap(), 0);
    assert!(driver.device.muxer().is_empty());
    assert_eq!(driver.turn(), Notify::default(), "and is left alone");
    driver.tx_ring.set_available(good);
    driver.device.reset();
    driver.connect(10);
}

#[test]
fn a_head_out_of_the_table_breaks_the_queue() {
    let mut driver = Driver::new(Limits::default());
    driver.tx_ring.push(QUEUE + 1);

    let result = driver
        .device
        .turn(driver.mem, &mut driver.rx, &mut driver.tx);

    assert!(matches!(result, Err(Error::Queue { index: TX, .. })));
}

#[test]
fn a_reset_of_the_driver_ends_all_connections() {
    let mut driver = Driver::new(Limits::default());
    let (mut one, header) = driver.connect(10);
    let (mut two, _) = driver.connect(11);
    driver.send(&data(header, b"before"), b"before");

    driver.device.reset();

    let mut bytes = Vec::new();
    one.read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes, b"before");
    assert_eq!(two.read(&mut [0]).unwrap(), 0);
    assert!(driver.device.muxer().is_empty());
}

#[test]
fn a_transport_reset_tells_the_driver_once_it_has_a_buffer() {
    let mut driver = Driver::new(Limits::default());
    driver.connect(10);
    let ring = Ring::new(driver.mem, 0x5000);
    let mut events = ring.queue();
    assert!(
        !driver
            .device
            .transport_reset(driver.mem, &mut events)
            .unwrap()
    );
    driver
        .mem
        .write_obj(u32::MAX, GuestAddress(0x6000))
        .unwrap();
    let descriptor = Descriptor::new(0x6000, 4, VRING_DESC_F_WRITE as u16, 0);
    ring.store(0, descriptor);
    ring.push(0);

    let notify = driver
        .device
        .transport_reset(driver.mem, &mut events)
        .unwrap();

    assert!(notify);
    let event: u32 = driver.mem.read_obj(GuestAddress(0x6000)).unwrap();
    assert_eq!(event, 0);
    assert!(driver.device.muxer().is_empty());
}

#[test]
fn random_packets_and_chains_do_no_harm() {
    let seed = std::env::var("SKETE_TEST_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(|| u64::from(std::process::id()) << 20 | 1);
    println!("SKETE_TEST_SEED={seed}");
    let mut random = Random(seed);
    for _ in 0..20 {
        torture(&mut random);
    }
}

fn torture(random: &mut Random) {
    let limits = Limits {
        connections: 24,
        buffer: 8192,
        small_buffer: 1024,
        buffers: 32 * 1024,
        ..Limits::default()
    };
    let mut driver = Driver::new(limits);
    let listener = driver.listen(7);
    listener.set_nonblocking(true).unwrap();
    let mut hosts = Vec::new();
    for _ in 0..400 {
        match random.below(10) {
            0 => hosts.push(driver.dial(random.below(4) as u32)),
            1 => hosts.extend(listener.accept().ok().map(|(stream, _)| stream)),
            2 if !hosts.is_empty() => {
                let host = hosts.swap_remove(random.below(hosts.len()));
                let _ = host.shutdown([How::Read, How::Write, How::Both][random.below(3)]);
            }
            3 if !hosts.is_empty() => {
                let index = random.below(hosts.len());
                let host = &mut hosts[index];
                host.set_nonblocking(true).unwrap();
                let _ = host.write(&vec![1; random.below(9000)]);
                let _ = host.read(&mut vec![0; random.below(9000)]);
            }
            4 => {
                // Anything at all as a descriptor.
                for index in 0..QUEUE {
                    let descriptor = Descriptor::new(
                        random.next() % (MEMORY + 0x1000),
                        random.next() as u32 >> random.below(32),
                        random.below(8) as u16,
                        random.below(usize::from(QUEUE) + 2) as u16,
                    );
                    driver.tx_ring.store(index, descriptor);
                }
                driver.tx_ring.push(random.below(usize::from(QUEUE)) as u16);
                driver.turn();
            }
            5 => {
                driver.take();
            }
            _ => {
                let header = Header {
                    src_cid: if random.below(20) == 0 {
                        random.next()
                    } else {
                        CID
                    },
                    dst_cid: if random.below(20) == 0 {
                        random.next()
                    } else {
                        2
                    },
                    src_port: random.below(4) as u32,
                    dst_port: match random.below(3) {
                        0 => 7,
                        _ => (1 << 30) + random.below(40) as u32,
                    },
                    len: random.below(3000) as u32,
                    kind: if random.below(20) == 0 {
                        random.next() as u16
                    } else {
                        1
                    },
                    op: random.below(9) as u16,
                    flags: random.below(5) as u32,
                    buf_alloc: random.next() as u32 >> random.below(32),
                    fwd_cnt: random.next() as u32 >> random.below(32),
                };
                let payload = vec![2; random.below(3000)];
                let cuts: Vec<usize> = (1..random.below(6)).map(|cut| cut * 40).collect();
                driver.send_in(&header, &payload, &cuts);
            }
        }
        assert!(driver.device.muxer().len() <= 24);
    }
    // Whatever it was, a new connection works once the others have ended.
    drop(hosts);
    driver.device.reset();
    driver.take();
    driver.turn();
    driver.take();
    let (mut host, header) = driver.connect(99);
    driver.send(&data(header, b"still"), b"still");
    driver.send(
        &Header {
            flags: Shutdown::BOTH.flags(),
            ..with(header, Op::Shutdown)
        },
        &[],
    );
    let mut rest = String::new();
    host.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "still");
}

/// xorshift64*, for a run that a seed repeats.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() >> 16) as usize % limit
    }
}
