//! The device: the muxer's packets through three virtio queues.

use virtio_bindings::virtio_config::VIRTIO_F_VERSION_1;
use virtio_bindings::virtio_ring::{VIRTIO_RING_F_EVENT_IDX, VIRTIO_RING_F_INDIRECT_DESC};
use virtio_queue::{Queue, QueueOwnedT, QueueT};
use vm_memory::{GuestMemory, Permissions};

use crate::chain::{Pieces, pieces};
use crate::muxer::Muxer;
use crate::packet::{HEADER_LEN, Header};

/// The virtio device id of a socket device.
pub const DEVICE_ID: u32 = 19;

/// Queues of the device: to the guest, from the guest, events.
pub const QUEUES: usize = 3;

/// The index of the queue whose buffers the device fills with packets for the guest.
pub const RX: usize = 0;
/// The index of the queue that holds the guest's packets.
pub const TX: usize = 1;
/// The index of the queue whose buffers the device fills with events.
pub const EVENT: usize = 2;

/// Packets of one direction handled before the other has its turn.
const BATCH: usize = 64;

/// Turns of both directions before the caller's event loop gets back its thread.
const ROUNDS: usize = 8;

/// `VIRTIO_VSOCK_EVENT_TRANSPORT_RESET`.
const TRANSPORT_RESET: u32 = 0;

/// The driver broke the rules of a queue; it must reset the device to go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A ring is not in the guest's memory, or its index makes no sense.
    #[error("the guest's driver broke queue {index} of the socket device")]
    Queue {
        /// Which queue.
        index: usize,
        /// What is wrong with it.
        #[source]
        source: virtio_queue::Error,
    },
}

/// Which queues' drivers must be notified of used buffers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Notify {
    /// The queue [`RX`].
    pub rx: bool,
    /// The queue [`TX`].
    pub tx: bool,
}

/// A virtio socket device. Who offers it to a guest, by vhost-user or as a monitor's own, calls
/// [`Device::turn`] when the driver kicks a queue or [`Muxer::fd`] is readable.
pub struct Device {
    muxer: Muxer,
    broken: bool,
}

impl Device {
    /// A device in front of this muxer.
    pub fn new(muxer: Muxer) -> Self {
        Self {
            muxer,
            broken: false,
        }
    }

    /// The host's side.
    pub fn muxer(&self) -> &Muxer {
        &self.muxer
    }

    /// The virtio features offered, as bits.
    pub fn features() -> u64 {
        1 << VIRTIO_F_VERSION_1 | 1 << VIRTIO_RING_F_EVENT_IDX | 1 << VIRTIO_RING_F_INDIRECT_DESC
    }

    /// Bytes of the configuration space from `offset` on, at most `size`: the guest's CID.
    pub fn config(&self, offset: u32, size: u32) -> Vec<u8> {
        self.muxer
            .guest_cid()
            .to_le_bytes()
            .into_iter()
            .skip(offset as usize)
            .take(size as usize)
            .collect()
    }

    /// Handles only what happened on the host, while the driver does not run.
    pub fn poll(&mut self) {
        self.muxer.poll();
    }

    /// The driver has gone, or starts anew: all connections end.
    pub fn reset(&mut self) {
        self.broken = false;
        self.muxer.reset();
    }

    /// Moves packets both ways until there is nothing to do or it has been at it for long enough;
    /// in the latter case [`Muxer::fd`] is readable afterwards.
    ///
    /// # Errors
    /// The driver broke a queue. All connections have ended then, and nothing more is done until
    /// [`Self::reset`].
    pub fn turn<M: GuestMemory>(
        &mut self,
        mem: &M,
        rx: &mut Queue,
        tx: &mut Queue,
    ) -> Result<Notify, Error> {
        self.muxer.poll();
        if self.broken {
            return Ok(Notify::default());
        }
        let result = self.rounds(mem, rx, tx);
        if result.is_err() {
            self.broken = true;
            self.muxer.reset();
        }
        result
    }

    fn rounds<M: GuestMemory>(
        &mut self,
        mem: &M,
        rx: &mut Queue,
        tx: &mut Queue,
    ) -> Result<Notify, Error> {
        let mut notify = Notify::default();
        let (mut rx_used, mut tx_used) = (false, false);
        let mut rounds = 0;
        loop {
            let sent = self.send(mem, tx).map_err(queue_error(TX))?;
            let received = self.fill(mem, rx).map_err(queue_error(RX))?;
            tx_used |= sent.used;
            rx_used |= received.used;
            if !sent.more && !received.more {
                break;
            }
            rounds += 1;
            if rounds == ROUNDS {
                self.muxer.wake();
                break;
            }
        }
        if tx_used {
            notify.tx = tx.needs_notification(mem).map_err(queue_error(TX))?;
        }
        if rx_used {
            notify.rx = rx.needs_notification(mem).map_err(queue_error(RX))?;
        }
        Ok(notify)
    }

    /// Takes packets from the guest.
    fn send<M: GuestMemory>(
        &mut self,
        mem: &M,
        queue: &mut Queue,
    ) -> Result<Progress, virtio_queue::Error> {
        let mut progress = Progress::default();
        queue.disable_notification(mem)?;
        for _ in 0..BATCH {
            let Some(chain) = queue.iter(mem)?.next() else {
                progress.more = queue.enable_notification(mem)?;
                return Ok(progress);
            };
            let head = chain.head_index();
            if let Some((header, payload)) =
                pieces(mem, chain, Permissions::Read).and_then(Pieces::split_header)
            {
                let mut bytes = [0; HEADER_LEN];
                header.copy_to(&mut bytes);
                let header = Header::from_bytes(&bytes);
                // Memory behind the payload is of no meaning; Linux allows it.
                if header.len as usize <= payload.len() {
                    let payload = payload.window(0, header.len as usize);
                    self.muxer.on_guest(&header, &payload);
                } else {
                    self.muxer.on_malformed(&header);
                }
            }
            queue.add_used(mem, head, 0)?;
            progress.used = true;
        }
        progress.more = true;
        Ok(progress)
    }

    /// Hands packets to the guest, as many as it has buffers for.
    fn fill<M: GuestMemory>(
        &mut self,
        mem: &M,
        queue: &mut Queue,
    ) -> Result<Progress, virtio_queue::Error> {
        let mut progress = Progress::default();
        for _ in 0..BATCH {
            if !self.muxer.has_packet() {
                return Ok(progress);
            }
            let Some(chain) = queue.iter(mem)?.next() else {
                // Only now is the device interested in new buffers.
                progress.more = queue.enable_notification(mem)?;
                return Ok(progress);
            };
            let head = chain.head_index();
            let split = pieces(mem, chain, Permissions::Write).and_then(Pieces::split_header);
            let used = match split {
                Some((front, room)) if room.len() > 0 => match self.muxer.next_packet(&room) {
                    Some(header) => {
                        front.copy_from(&header.to_bytes());
                        // Both fit: a payload is at most 64 KiB.
                        HEADER_LEN as u32 + header.len
                    }
                    None => {
                        queue.go_to_previous_position();
                        return Ok(progress);
                    }
                },
                // Of no use: handed back empty.
                _ => 0,
            };
            queue.add_used(mem, head, used)?;
            progress.used = true;
        }
        progress.more = true;
        Ok(progress)
    }

    /// Tells the driver that all its connections are gone, as after a restored snapshot, and ends
    /// them here. Says whether the driver must be notified on the queue [`EVENT`]; `false` also if
    /// it has no buffer there.
    ///
    /// # Errors
    /// The driver broke the event queue.
    pub fn transport_reset<M: GuestMemory>(
        &mut self,
        mem: &M,
        events: &mut Queue,
    ) -> Result<bool, Error> {
        self.reset();
        self.push_event(mem, events, TRANSPORT_RESET)
            .map_err(queue_error(EVENT))
    }

    fn push_event<M: GuestMemory>(
        &self,
        mem: &M,
        queue: &mut Queue,
        event: u32,
    ) -> Result<bool, virtio_queue::Error> {
        let Some(chain) = queue.iter(mem)?.next() else {
            return Ok(false);
        };
        let head = chain.head_index();
        let event = event.to_le_bytes();
        let used = match pieces(mem, chain, Permissions::Write) {
            Some(room) if room.len() >= event.len() => {
                room.copy_from(&event);
                event.len() as u32
            }
            _ => 0,
        };
        queue.add_used(mem, head, used)?;
        queue.needs_notification(mem)
    }
}

/// How far one direction got.
#[derive(Default)]
struct Progress {
    /// Buffers were handed back to the driver.
    used: bool,
    /// There is more to do.
    more: bool,
}

fn queue_error(index: usize) -> impl Fn(virtio_queue::Error) -> Error {
    move |source| Error::Queue { index, source }
}

#[cfg(test)]
#[path = "device_test.rs"]
mod tests;
