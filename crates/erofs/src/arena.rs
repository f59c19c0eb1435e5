//! Vectors that grow without ever moving, so that growth costs no second copy.

/// log2 of the items in a segment.
const SEGMENT_BITS: u32 = 14;
const SEGMENT: usize = 1 << SEGMENT_BITS;
/// Bytes in a segment of [`Bytes`].
const BYTES: usize = 1 << 16;

/// A growing list of small values, addressed by `u32`.
pub(crate) struct List<T> {
    segments: Vec<Vec<T>>,
    len: usize,
}

impl<T: Copy> List<T> {
    pub(crate) fn new() -> Self {
        Self {
            segments: Vec::new(),
            len: 0,
        }
    }

    pub(crate) fn len(&self) -> u32 {
        // The limit on metadata ends long before 2³² items.
        u32::try_from(self.len).unwrap_or(u32::MAX)
    }

    /// Bytes of memory in use.
    pub(crate) fn bytes(&self) -> usize {
        self.len * size_of::<T>()
    }

    /// Adds a value and returns its address.
    pub(crate) fn push(&mut self, value: T) -> u32 {
        let at = self.len();
        if self.len.is_multiple_of(SEGMENT) {
            self.segments.push(Vec::with_capacity(SEGMENT));
        }
        self.segments[self.len >> SEGMENT_BITS].push(value);
        self.len += 1;
        at
    }

    pub(crate) fn get(&self, at: u32) -> T {
        self.segments[at as usize >> SEGMENT_BITS][at as usize % SEGMENT]
    }

    pub(crate) fn get_mut(&mut self, at: u32) -> &mut T {
        &mut self.segments[at as usize >> SEGMENT_BITS][at as usize % SEGMENT]
    }
}

/// A growing store of byte strings shorter than 64 KiB.
pub(crate) struct Bytes {
    segments: Vec<Vec<u8>>,
}

impl Bytes {
    pub(crate) fn new() -> Self {
        Self {
            segments: Vec::new(),
        }
    }

    /// Bytes of memory in use.
    pub(crate) fn bytes(&self) -> usize {
        self.segments.len() * BYTES
    }

    /// Adds a string and returns its address. What exceeds 65,000 bytes is cut; names and targets
    /// of links are checked to be shorter before.
    pub(crate) fn push(&mut self, string: &[u8]) -> u32 {
        let string = &string[..string.len().min(65_000)];
        // One byte of length, or 255 and two bytes.
        let short = u8::try_from(string.len()).ok().filter(|&len| len < u8::MAX);
        let need = string.len() + if short.is_some() { 1 } else { 3 };
        if self
            .segments
            .last()
            .is_none_or(|segment| segment.len() + need > BYTES)
        {
            self.segments.push(Vec::with_capacity(BYTES));
        }
        let number = self.segments.len() - 1;
        let segment = &mut self.segments[number];
        let at = number * BYTES + segment.len();
        match short {
            Some(len) => segment.push(len),
            None => {
                segment.push(u8::MAX);
                segment.extend((string.len() as u16).to_le_bytes());
            }
        }
        segment.extend(string);
        u32::try_from(at).unwrap_or(u32::MAX)
    }

    pub(crate) fn get(&self, at: u32) -> &[u8] {
        let rest = &self.segments[at as usize / BYTES][at as usize % BYTES..];
        match *rest {
            [u8::MAX, low, high, ..] => &rest[3..3 + usize::from(u16::from_le_bytes([low, high]))],
            [len, ..] => &rest[1..=usize::from(len)],
            [] => &[],
        }
    }
}

#[cfg(test)]
#[path = "arena_test.rs"]
mod tests;
