//! Tars written by hand, byte by byte, so that they can say what no tar program would.

/// A tar in the making.
#[derive(Clone, Default)]
pub(crate) struct Tar(pub(crate) Vec<u8>);

/// What a header says.
#[derive(Clone)]
pub(crate) struct Header {
    pub(crate) name: Vec<u8>,
    pub(crate) link: Vec<u8>,
    pub(crate) kind: u8,
    pub(crate) mode: u32,
    pub(crate) uid: u64,
    pub(crate) gid: u64,
    pub(crate) size: u64,
    pub(crate) mtime: i64,
    pub(crate) device: (u32, u32),
}

impl Header {
    pub(crate) fn new(kind: u8, name: impl AsRef<[u8]>) -> Self {
        Self {
            name: name.as_ref().to_vec(),
            link: Vec::new(),
            kind,
            mode: if kind == b'5' { 0o755 } else { 0o644 },
            uid: 0,
            gid: 0,
            size: 0,
            mtime: 1_700_000_000,
            device: (0, 0),
        }
    }

    pub(crate) fn link(mut self, link: impl AsRef<[u8]>) -> Self {
        self.link = link.as_ref().to_vec();
        self
    }

    pub(crate) fn encode(&self) -> [u8; 512] {
        let mut block = [0; 512];
        let put = |block: &mut [u8; 512], at: usize, width: usize, bytes: &[u8]| {
            let n = bytes.len().min(width);
            block[at..at + n].copy_from_slice(&bytes[..n]);
        };
        put(&mut block, 0, 100, &self.name);
        number(&mut block[100..108], self.mode.into());
        number(&mut block[108..116], self.uid as i64);
        number(&mut block[116..124], self.gid as i64);
        number(&mut block[124..136], self.size as i64);
        number(&mut block[136..148], self.mtime);
        block[156] = self.kind;
        put(&mut block, 157, 100, &self.link);
        put(&mut block, 257, 8, b"ustar  \0");
        number(&mut block[329..337], self.device.0.into());
        number(&mut block[337..345], self.device.1.into());
        checksum(&mut block);
        block
    }
}

/// Octal if it fits, else base-256.
fn number(field: &mut [u8], value: i64) {
    let width = field.len() - 1;
    let octal = format!("{value:0width$o}");
    if value >= 0 && octal.len() <= width {
        field[..width].copy_from_slice(octal.as_bytes());
    } else {
        let bytes = i128::from(value).to_be_bytes();
        let length = field.len();
        field.copy_from_slice(&bytes[16 - length..]);
        field[0] |= 0x80;
    }
}

/// Makes the checksum right.
pub(crate) fn checksum(block: &mut [u8; 512]) {
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|&b| u32::from(b)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

/// One PAX record.
pub(crate) fn record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    [
        length.to_string().as_bytes(),
        b" ",
        key.as_bytes(),
        b"=",
        value,
        b"\n",
    ]
    .concat()
}

impl Tar {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn add(&mut self, header: &Header, data: &[u8]) -> &mut Self {
        self.header(&Header {
            size: data.len() as u64,
            ..header.clone()
        })
        .data(data)
    }

    pub(crate) fn header(&mut self, header: &Header) -> &mut Self {
        self.0.extend(header.encode());
        self
    }

    pub(crate) fn data(&mut self, data: &[u8]) -> &mut Self {
        self.0.extend(data);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    pub(crate) fn file(&mut self, name: impl AsRef<[u8]>, data: impl AsRef<[u8]>) -> &mut Self {
        self.add(&Header::new(b'0', name), data.as_ref())
    }

    pub(crate) fn dir(&mut self, name: impl AsRef<[u8]>) -> &mut Self {
        self.add(&Header::new(b'5', name), b"")
    }

    pub(crate) fn symlink(
        &mut self,
        name: impl AsRef<[u8]>,
        target: impl AsRef<[u8]>,
    ) -> &mut Self {
        self.add(&Header::new(b'2', name).link(target), b"")
    }

    pub(crate) fn hard_link(
        &mut self,
        name: impl AsRef<[u8]>,
        target: impl AsRef<[u8]>,
    ) -> &mut Self {
        self.add(&Header::new(b'1', name).link(target), b"")
    }

    pub(crate) fn pax(&mut self, records: &[(&str, &[u8])]) -> &mut Self {
        let body: Vec<u8> = records.iter().flat_map(|(k, v)| record(k, v)).collect();
        self.add(&Header::new(b'x', "pax"), &body)
    }

    /// The tar with its end mark.
    pub(crate) fn end(&self) -> Vec<u8> {
        let mut bytes = self.0.clone();
        bytes.extend([0; 1024]);
        bytes
    }
}
