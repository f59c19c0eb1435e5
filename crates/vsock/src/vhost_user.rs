//! The device offered by the [vhost-user protocol][spec].
//!
//! [spec]: https://qemu-project.gitlab.io/qemu/interop/vhost-user.html

use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixListener;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use vhost::vhost_user::message::{VhostUserProtocolFeatures, VhostUserVirtioFeatures};
use vhost::vhost_user::{Error as VhostError, Listener};
use vhost_user_backend::{
    Error as DaemonError, VhostUserBackendMut, VhostUserDaemon, VringState, VringT,
};
use virtio_queue::QueueT;
use vm_memory::{GuestAddressSpace, GuestMemoryAtomic, GuestMemoryMmap};
use vmm_sys_util::epoll::EventSet;
use vmm_sys_util::event::{
    EventConsumer, EventFlag, EventNotifier, new_event_consumer_and_notifier,
};

use crate::device::{self, Device, QUEUES, RX, TX};
use crate::vring::Vring;

/// The largest queue the front-end may set up; QEMU's has 128 entries.
const MAX_QUEUE_SIZE: usize = 1024;

/// The number under which the worker knows the host's side; those up to [`QUEUES`] are taken.
const HOST_EVENT: u16 = QUEUES as u16 + 1;

/// How long [`serve`] still hands what the guest had sent to host programs that take it.
const DRAIN: Duration = Duration::from_secs(2);

/// The device could not be offered, or no longer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The threads or descriptors for it could not be had.
    #[error("cannot offer the socket device: {0}")]
    Start(DaemonError),
    /// The host's side could not be watched.
    #[error("cannot watch the host's side of the socket device")]
    Watch(#[source] io::Error),
    /// The monitor did not come, or could not be understood.
    #[error("cannot serve the monitor's vhost-user connection: {0}")]
    Serve(DaemonError),
}

type Memory = GuestMemoryAtomic<GuestMemoryMmap>;

struct Backend {
    device: Device,
    memory: Memory,
    complained: bool,
}

impl Backend {
    fn turn(&mut self, vrings: &[Vring]) -> Result<(), device::Error> {
        let (Some(rx), Some(tx)) = (vrings.get(RX), vrings.get(TX)) else {
            return Ok(());
        };
        let (mut rx, mut tx) = (rx.get_mut(), tx.get_mut());
        let runs = |vring: &VringState| vring.is_enabled() && vring.get_queue().ready();
        if !runs(&rx) || !runs(&tx) {
            self.device.poll();
            return Ok(());
        }
        let memory = self.memory.memory();
        let notify = self
            .device
            .turn(&*memory, rx.get_queue_mut(), tx.get_queue_mut())?;
        // The monitor gone shows on its socket; here is nobody to tell.
        if notify.rx {
            let _ = rx.signal_used_queue();
        }
        if notify.tx {
            let _ = tx.signal_used_queue();
        }
        Ok(())
    }
}

impl VhostUserBackendMut for Backend {
    type Bitmap = ();
    type Vring = Vring;

    fn num_queues(&self) -> usize {
        QUEUES
    }

    fn max_queue_size(&self) -> usize {
        MAX_QUEUE_SIZE
    }

    fn features(&self) -> u64 {
        Device::features() | VhostUserVirtioFeatures::PROTOCOL_FEATURES.bits()
    }

    fn protocol_features(&self) -> VhostUserProtocolFeatures {
        VhostUserProtocolFeatures::CONFIG
            | VhostUserProtocolFeatures::MQ
            | VhostUserProtocolFeatures::REPLY_ACK
    }

    fn reset_device(&mut self) {
        self.device.reset();
    }

    // The queues know by themselves.
    fn set_event_idx(&mut self, _enabled: bool) {}

    fn get_config(&self, offset: u32, size: u32) -> Vec<u8> {
        let mut config = self.device.config(offset, size);
        // An answer of another length than asked for ends the connection.
        config.resize(size as usize, 0);
        config
    }

    fn update_memory(&mut self, memory: Memory) -> io::Result<()> {
        self.memory = memory;
        Ok(())
    }

    fn exit_event(&self, _thread: usize) -> Option<(EventConsumer, EventNotifier)> {
        // Without one, the worker would run for ever, and who ends it wait as long.
        new_event_consumer_and_notifier(EventFlag::CLOEXEC | EventFlag::NONBLOCK).ok()
    }

    fn stop_vring(&mut self, index: u32) -> io::Result<()> {
        if index as usize == RX || index as usize == TX {
            self.device.reset();
        }
        Ok(())
    }

    fn handle_event(
        &mut self,
        _event: u16,
        _events: EventSet,
        vrings: &[Vring],
        _thread: usize,
    ) -> io::Result<()> {
        // An error returned would end the worker and leave the monitor hanging.
        if let Err(error) = self.turn(vrings)
            && !std::mem::replace(&mut self.complained, true)
        {
            // Once only: a guest may break and reset its queues as often as it likes.
            let source = std::error::Error::source(&error).map(ToString::to_string);
            eprintln!("skete-vsock: {error}: {}", source.unwrap_or_default());
        }
        Ok(())
    }
}

/// Offers the device to one monitor that connects to `listener`, and returns when it has
/// disconnected. Needs a thread for the protocol and one for the packets.
///
/// # Errors
/// See [`Error`].
pub fn serve(device: Device, listener: UnixListener) -> Result<(), Error> {
    let memory = GuestMemoryAtomic::new(GuestMemoryMmap::new());
    let backend = Arc::new(Mutex::new(Backend {
        device,
        memory: memory.clone(),
        complained: false,
    }));
    let mut daemon = VhostUserDaemon::new("vhost-user".to_owned(), Arc::clone(&backend), memory)
        .map_err(Error::Start)?;
    {
        let fd = lock(&backend).device.muxer().fd().as_raw_fd();
        for worker in daemon.get_epoll_handlers() {
            worker
                .register_listener(fd, EventSet::IN, HOST_EVENT.into())
                .map_err(Error::Watch)?;
        }
    }
    let mut listener = Listener::from(listener);
    daemon.start(&mut listener).map_err(Error::Serve)?;
    let end = daemon.wait();
    lock(&backend).device.reset();
    drain(&backend);
    match end {
        Ok(()) | Err(DaemonError::HandleRequest(VhostError::Disconnected)) => Ok(()),
        Err(DaemonError::HandleRequest(VhostError::PartialMessage)) => Ok(()),
        Err(error) => Err(Error::Serve(error)),
    }
}

/// Waits for host programs to take what is left; the worker still hands it to them.
fn drain(backend: &Mutex<Backend>) {
    let end = Instant::now() + DRAIN;
    while lock(backend).device.muxer().is_draining() && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn lock(backend: &Mutex<Backend>) -> MutexGuard<'_, Backend> {
    backend.lock().unwrap_or_else(PoisonError::into_inner)
}
