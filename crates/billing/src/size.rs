//! From what a Pod has to the size for which it is charged.

use skete_usage::Size;

use crate::rules::{Beyond, Configuration, Memory, SizeRule};
use crate::values::Amount;

/// A Pod that no configuration of a price list holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "no configuration holds {} thousandths of a vCPU and {} MiB", .0.milli_vcpus, .0.memory_bytes >> 20
)]
pub struct NoConfiguration(Size);

impl SizeRule {
    /// The size for which a Pod of these amounts is charged: defaults for what is nothing, then
    /// the overhead, the minimum, and the rounding.
    ///
    /// # Errors
    /// If it fits no configuration, and the rule does not say what then.
    pub fn charged(&self, size: Size) -> Result<Size, NoConfiguration> {
        let or = |amount: u64, default: u64| if amount == 0 { default } else { amount };
        let raised = |amount: u64, default: u64, overhead: u64, minimum: u64, step: u64| {
            let amount = or(amount, default).saturating_add(overhead).max(minimum);
            if step == 0 {
                return amount;
            }
            amount.checked_next_multiple_of(step).unwrap_or(u64::MAX)
        };
        let cpu = Amount::thousandths;
        let (d, o, m, s) = (&self.default, &self.overhead, &self.minimum, &self.step);
        let mut charged = Size {
            milli_vcpus: raised(
                size.milli_vcpus,
                cpu(d.vcpus),
                cpu(o.vcpus),
                cpu(m.vcpus),
                cpu(s.vcpus),
            ),
            memory_bytes: raised(
                size.memory_bytes,
                d.memory.whole(),
                o.memory.whole(),
                m.memory.whole(),
                s.memory.whole(),
            ),
            storage_bytes: raised(
                size.storage_bytes,
                d.storage.whole(),
                o.storage.whole(),
                m.storage.whole(),
                s.storage.whole(),
            ),
            gpus: size.gpus,
        };
        if let Some(ratio) = self.memory_per_vcpu {
            let step = |amount: u128, step: u64| {
                let amount = u64::try_from(amount).unwrap_or(u64::MAX);
                amount
                    .checked_next_multiple_of(step.max(1))
                    .unwrap_or(u64::MAX)
            };
            let most = u128::from(ratio.most.whole()).max(1);
            let vcpus = (u128::from(charged.memory_bytes) * 1000).div_ceil(most);
            let vcpus = step(vcpus, cpu(s.vcpus));
            charged.milli_vcpus = charged.milli_vcpus.max(vcpus);
            let least = u128::from(ratio.least.whole());
            let memory = (u128::from(charged.milli_vcpus) * least).div_ceil(1000);
            let memory = step(memory, s.memory.whole());
            charged.memory_bytes = charged.memory_bytes.max(memory);
        }
        if self.configurations.is_empty() {
            return Ok(charged);
        }
        let holding = self
            .configurations
            .iter()
            .filter_map(|row| row.holding(charged));
        match (holding.min(), self.beyond) {
            (Some((milli_vcpus, memory_bytes)), _) => Ok(Size {
                milli_vcpus,
                memory_bytes,
                ..charged
            }),
            (None, Beyond::Exact) => Ok(charged),
            (None, Beyond::Refuse) => Err(NoConfiguration(charged)),
        }
    }
}

impl Configuration {
    /// vCPUs and memory of the least size here that holds a Pod.
    fn holding(&self, size: Size) -> Option<(u64, u64)> {
        let vcpus = self.vcpus.thousandths();
        if vcpus < size.milli_vcpus {
            return None;
        }
        let memory = match &self.memory {
            Memory::Each(amounts) => {
                let amounts = amounts.iter().map(|amount| amount.whole());
                amounts.filter(|amount| *amount >= size.memory_bytes).min()
            }
            Memory::Steps { from, to, step } => {
                let (from, to) = (from.whole(), to.whole());
                let beyond = size.memory_bytes.saturating_sub(from);
                let amount = from + beyond.checked_next_multiple_of(step.whole())?.min(to);
                Some(amount).filter(|_| size.memory_bytes <= to)
            }
        };
        memory.map(|memory| (vcpus, memory))
    }
}

#[cfg(test)]
#[path = "size_test.rs"]
mod tests;
