//! The sandboxes of one Pod, as one.

use std::collections::BTreeMap;

use crate::pod_use::PodUse;

/// Puts together what belongs to one Pod: a Pod whose sandbox died gets another, with a journal of
/// its own. In the order of the Pods' beginnings.
///
/// Each journal has a place of its own in time. If somebody has set the clock back between two of
/// them so that they overlap, the later one is moved to where the earlier one ends: no time is lost
/// and none is there twice.
#[must_use]
pub fn by_pod(mut uses: Vec<PodUse>) -> Vec<PodUse> {
    let begin = |used: &PodUse| used.spans.first().map_or(i64::MAX, |span| span.start_ns);
    uses.sort_by_key(begin);
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    let mut pods: Vec<PodUse> = Vec::new();
    for used in uses {
        match places.get(&used.pod.uid) {
            Some(place) => append(&mut pods[*place], used),
            None => {
                places.insert(used.pod.uid.clone(), pods.len());
                pods.push(used);
            }
        }
    }
    pods
}

fn append(pod: &mut PodUse, later: PodUse) {
    pod.container_starts = pod.container_starts.saturating_add(later.container_starts);
    pod.image_bytes = pod.image_bytes.saturating_add(later.image_bytes);
    let (Some(last), Some(first)) = (pod.spans.last(), later.spans.first()) else {
        // It had no time: it does not tell how the Pod's ended.
        return;
    };
    let overlap = last.end_ns.saturating_sub(first.start_ns).max(0);
    pod.spans.extend(later.spans.into_iter().map(|mut span| {
        span.start_ns = span.start_ns.saturating_add(overlap);
        span.end_ns = span.end_ns.saturating_add(overlap);
        span
    }));
    pod.pod = later.pod;
    pod.ended = later.ended;
}

#[cfg(test)]
#[path = "merge_test.rs"]
mod tests;
