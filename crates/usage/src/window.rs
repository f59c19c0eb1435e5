//! Stretches of time.

/// A window that would end before it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the window ends before it begins")]
pub struct WindowError;

/// A stretch of time to look at, in nanoseconds since the Unix epoch. One that does not end after it
/// begins has no moment in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Where it begins.
    pub from_ns: i64,
    /// Where it ends, exclusive.
    pub to_ns: i64,
}

impl Window {
    /// All the time there is.
    pub const ALL: Self = Self {
        from_ns: i64::MIN,
        to_ns: i64::MAX,
    };

    /// From one moment to another.
    ///
    /// # Errors
    /// If it would end before it begins.
    pub fn new(from_ns: i64, to_ns: i64) -> Result<Self, WindowError> {
        if to_ns < from_ns {
            return Err(WindowError);
        }
        Ok(Self { from_ns, to_ns })
    }

    /// From a moment on, so many nanoseconds.
    #[must_use]
    pub fn of_length(from_ns: i64, length_ns: u64) -> Self {
        Self {
            from_ns,
            to_ns: from_ns.saturating_add_unsigned(length_ns),
        }
    }

    /// Whether a moment is in it.
    #[must_use]
    pub fn contains(self, ns: i64) -> bool {
        (self.from_ns..self.to_ns).contains(&ns)
    }

    /// What is in both; `None` if that is nothing.
    #[must_use]
    pub fn intersect(self, other: Self) -> Option<Self> {
        let from_ns = self.from_ns.max(other.from_ns);
        let to_ns = self.to_ns.min(other.to_ns);
        (from_ns < to_ns).then_some(Self { from_ns, to_ns })
    }
}

#[cfg(test)]
#[path = "window_test.rs"]
mod tests;
