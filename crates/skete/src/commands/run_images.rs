//! The images of a Pod that `skete run` makes: what is pulled for it, and what that took.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use skete_image::{Digest, Event, Policy, Progress, PullOptions};
use skete_pod::{PodPlan, PullPolicy};
use skete_usage::{Beginning, Clock, Size, SystemClock};

use super::image;
use crate::failure::Failure;
use crate::images;
use crate::paths::Paths;
use crate::record::PodId;
use crate::supervise::Input;

/// Pulls what the Pod's containers need, and holds it for the Pod. The Pod's time begins with this.
///
/// # Errors
/// An image cannot be had, or the user has stopped it.
pub(super) fn pull(
    paths: &Paths,
    id: &PodId,
    plan: &PodPlan,
    policy: Option<Policy>,
    quiet: bool,
    input: &mut Input,
) -> Result<(), Failure> {
    let since_ns = Some(SystemClock.now().monotonic_ns);
    let store = images::open(paths).map_err(image::failure)?;
    let counted = Arc::new(Counted {
        shown: Mutex::default(),
        layers: Mutex::default(),
    });
    let mut options = PullOptions::default();
    options.registries = images::registries().map_err(image::failure)?;
    options.stop = images::stop_on_signal()?;
    for container in plan.all_containers() {
        let name = &container.image;
        if input.images.contains_key(name) {
            continue;
        }
        options.policy = policy.unwrap_or(match container.pull_policy {
            PullPolicy::Always => Policy::Always,
            PullPolicy::IfNotPresent => Policy::Missing,
            PullPolicy::Never => Policy::Never,
        });
        counted.show(images::progress(quiet));
        options.progress = Arc::clone(&counted) as Arc<dyn Progress>;
        let image = image::pull(&store, name, &options)?;
        // Held until the Pod has been cleaned up after.
        let _hold = store.hold(id.as_str(), &image)?;
        let found = images::FoundImage::new(&image)
            .map_err(|why| Failure::own(format!("image {name}: {why}")))?;
        input.images.insert(name.clone(), found);
    }
    // Bars go when what shows them goes.
    counted.show(images::progress(true));
    input.beginning = Beginning {
        since_ns,
        image_bytes: counted.bytes(),
        requested: requested(plan),
    };
    Ok(())
}

fn requested(plan: &PodPlan) -> Size {
    let positive = |amount: i64| u64::try_from(amount).unwrap_or(0);
    let bytes = |name| plan.request(name).map_or(0, |q| positive(q.ceil()));
    let cpu = plan.request("cpu").map_or(0, |q| positive(q.milli_ceil()));
    Size {
        milli_vcpus: cpu,
        memory_bytes: bytes("memory"),
        storage_bytes: bytes("ephemeral-storage"),
        gpus: 0,
    }
}

/// Counts what is downloaded, and shows it too.
struct Counted {
    shown: Mutex<Option<Arc<dyn Progress>>>,
    /// Compressed bytes of each layer.
    layers: Mutex<HashMap<Digest, u64>>,
}

impl Counted {
    fn show(&self, progress: Arc<dyn Progress>) {
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = Some(progress);
    }

    fn bytes(&self) -> u64 {
        let layers = self.layers.lock().unwrap_or_else(PoisonError::into_inner);
        layers.values().sum()
    }
}

impl Progress for Counted {
    fn event(&self, event: &Event<'_>) {
        if let Event::LayerBytes { layer, bytes } = event {
            let mut layers = self.layers.lock().unwrap_or_else(PoisonError::into_inner);
            // What is fetched again after a fault was one layer all the same.
            let most = layers.entry(*layer).or_default();
            *most = (*most).max(*bytes);
        }
        let shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(shown) = &*shown {
            shown.event(event);
        }
    }
}
