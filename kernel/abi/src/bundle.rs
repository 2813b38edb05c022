//! The boot bundle: the first process laid out page by page, and files for it.
//!
//! All numbers are little-endian. The header is followed by the segment table and the entry
//! table; data lies at page-aligned offsets. The header's checksum covers everything that the
//! kernel uses: header (with the checksum field as zero), tables and segments' bytes. Each entry
//! has a checksum of its own, checked by whoever uses the entry.

/// First bytes of a bundle.
pub const MAGIC: [u8; 8] = *b"SKERRYB1";
/// Bytes of the header.
pub const HEADER_SIZE: usize = 64;
/// Bytes of one row of the segment table.
pub const SEGMENT_SIZE: usize = 40;
/// Bytes of one row of the entry table.
pub const ENTRY_SIZE: usize = 64;
/// Bytes of an entry's name, padded with zeros.
pub const NAME_SIZE: usize = 40;
/// The most segments of the first process.
pub const MAX_SEGMENTS: usize = 8;
/// The most entries of a bundle.
pub const MAX_ENTRIES: usize = 64;
/// Segment flag: readable.
pub const READ: u32 = 1;
/// Segment flag: writable.
pub const WRITE: u32 = 2;
/// Segment flag: executable.
pub const EXECUTE: u32 = 4;

/// Why a bundle is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BundleError {
    /// Shorter than its header, tables or data.
    Truncated,
    /// It does not begin with [`MAGIC`].
    NoMagic,
    /// The checksum of header, tables and segments is another.
    BadChecksum,
    /// A count or an offset makes no sense.
    Malformed,
}

/// A segment of the first process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Page-aligned offset of its bytes in the bundle.
    pub offset: u64,
    /// Bytes in the bundle; the rest up to `memory_size` is zero.
    pub file_size: u64,
    /// Page-aligned virtual address.
    pub address: u64,
    /// Bytes in memory.
    pub memory_size: u64,
    /// [`READ`], [`WRITE`], [`EXECUTE`].
    pub flags: u32,
}

/// A file in the bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Its name, as it is in the bundle: whoever looks for a file has a name to compare with it.
    pub name: &'a [u8],
    /// Page-aligned offset in the bundle.
    pub offset: u64,
    /// Bytes.
    pub length: u64,
    /// CRC-32 (IEEE) of its bytes.
    pub checksum: u32,
}

/// A bundle whose header and tables were checked.
#[derive(Clone, Copy, Debug)]
pub struct Bundle<'a> {
    bytes: &'a [u8],
    segments: usize,
    entries: usize,
}

/// Returns the little-endian number of `size` bytes at `at`, eight at most.
///
/// Out of line: machines that do not load what is not aligned need many instructions for it.
#[inline(never)]
fn number_at(bytes: &[u8], at: usize, size: usize) -> Option<u64> {
    let bytes = bytes.get(at..at.checked_add(size)?)?.iter().rev();
    Some(bytes.fold(0, |value, byte| value << 8 | u64::from(*byte)))
}

/// Returns the little-endian 32-bit number at `at`.
fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    u32::try_from(number_at(bytes, at, 4)?).ok()
}

/// Returns the little-endian 64-bit number at `at`.
fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    number_at(bytes, at, 8)
}

/// Returns the CRC-32 (IEEE 802.3) of `parts`, one after the other.
#[must_use]
pub fn crc32(parts: &[&[u8]]) -> u32 {
    let mut crc = !0_u32;
    for byte in parts.iter().flat_map(|part| part.iter()) {
        crc = (crc >> 8) ^ CRC_TABLE[((crc ^ u32::from(*byte)) & 0xff) as usize];
    }
    !crc
}

/// The table of [`crc32`], one entry per byte value.
static CRC_TABLE: [u32; 256] = {
    let mut table = [0_u32; 256];
    let mut index = 0;
    while index < 256 {
        let mut crc = index as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 {
                (crc >> 1) ^ 0xedb8_8320
            } else {
                crc >> 1
            };
            bit += 1;
        }
        table[index] = crc;
        index += 1;
    }
    table
};

impl<'a> Bundle<'a> {
    /// Returns the total length that the header names, of at least [`HEADER_SIZE`] bytes.
    ///
    /// # Errors
    ///
    /// [`BundleError::Truncated`] and [`BundleError::NoMagic`].
    pub fn total_length(header: &[u8]) -> Result<u64, BundleError> {
        if header.len() < HEADER_SIZE {
            return Err(BundleError::Truncated);
        }
        if !header.starts_with(&MAGIC) {
            return Err(BundleError::NoMagic);
        }
        u64_at(header, 8).ok_or(BundleError::Truncated)
    }

    /// Checks header, tables and segments of a bundle.
    ///
    /// # Errors
    ///
    /// Every [`BundleError`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, BundleError> {
        let length =
            usize::try_from(Self::total_length(bytes)?).map_err(|_| BundleError::Malformed)?;
        let bytes = bytes.get(..length).ok_or(BundleError::Truncated)?;
        let count = |at| {
            u32_at(bytes, at)
                .map(|count| count as usize)
                .ok_or(BundleError::Truncated)
        };
        let (segments, entries) = (count(20)?, count(24)?);
        if segments > MAX_SEGMENTS || entries > MAX_ENTRIES {
            return Err(BundleError::Malformed);
        }
        let bundle = Self {
            bytes,
            segments,
            entries,
        };
        if bundle.bytes.len() < bundle.tables_end() {
            return Err(BundleError::Truncated);
        }
        bundle.check()?;
        Ok(bundle)
    }

    /// Returns where the tables end.
    const fn tables_end(&self) -> usize {
        HEADER_SIZE + self.segments * SEGMENT_SIZE + self.entries * ENTRY_SIZE
    }

    /// Checks the checksum and the bounds of every row.
    #[inline(always)]
    fn check(&self) -> Result<(), BundleError> {
        let mut parts: [&[u8]; MAX_SEGMENTS + 3] = [&[]; MAX_SEGMENTS + 3];
        parts[0] = &self.bytes[..16];
        parts[1] = &[0; 4];
        parts[2] = &self.bytes[20..self.tables_end()];
        for index in 0..self.segments {
            let segment = self.segment(index).ok_or(BundleError::Malformed)?;
            if !segment.address.is_multiple_of(crate::PAGE_SIZE)
                || segment.file_size > segment.memory_size
            {
                return Err(BundleError::Malformed);
            }
            parts[index + 3] = self.slice(segment.offset, segment.file_size)?;
        }
        for entry in self.entries() {
            self.data(&entry?)?;
        }
        if u32_at(self.bytes, 16) == Some(crc32(&parts)) {
            Ok(())
        } else {
            Err(BundleError::BadChecksum)
        }
    }

    /// Returns bytes of the bundle that begin on a page.
    fn slice(&self, offset: u64, length: u64) -> Result<&'a [u8], BundleError> {
        if !offset.is_multiple_of(crate::PAGE_SIZE) {
            return Err(BundleError::Malformed);
        }
        let start = usize::try_from(offset).map_err(|_| BundleError::Malformed)?;
        let length = usize::try_from(length).map_err(|_| BundleError::Malformed)?;
        let end = start.checked_add(length).ok_or(BundleError::Malformed)?;
        self.bytes.get(start..end).ok_or(BundleError::Truncated)
    }

    /// Returns the address of the first process's first instruction.
    #[must_use]
    pub fn entry_point(&self) -> u64 {
        u64_at(self.bytes, 32).unwrap_or(0)
    }

    /// Returns row `index` of the segment table.
    #[must_use]
    pub fn segment(&self, index: usize) -> Option<Segment> {
        if index >= self.segments {
            return None;
        }
        let row = HEADER_SIZE + index * SEGMENT_SIZE;
        Some(Segment {
            offset: u64_at(self.bytes, row)?,
            file_size: u64_at(self.bytes, row + 8)?,
            address: u64_at(self.bytes, row + 16)?,
            memory_size: u64_at(self.bytes, row + 24)?,
            flags: u32_at(self.bytes, row + 32)?,
        })
    }

    /// Returns the segments of the first process.
    pub fn segments(&self) -> impl Iterator<Item = Segment> {
        (0..self.segments).filter_map(|index| self.segment(index))
    }

    /// Returns the rows of the entry table.
    pub fn entries(&self) -> impl Iterator<Item = Result<Entry<'a>, BundleError>> {
        (0..self.entries).map(|index| self.entry(index).ok_or(BundleError::Malformed))
    }

    /// Returns row `index` of the entry table.
    fn entry(&self, index: usize) -> Option<Entry<'a>> {
        let row = HEADER_SIZE + self.segments * SEGMENT_SIZE + index * ENTRY_SIZE;
        let name = self.bytes.get(row..row + NAME_SIZE)?;
        let end = name.iter().position(|byte| *byte == 0).unwrap_or(NAME_SIZE);
        Some(Entry {
            name: &name[..end],
            offset: u64_at(self.bytes, row + 40)?,
            length: u64_at(self.bytes, row + 48)?,
            checksum: u32_at(self.bytes, row + 56)?,
        })
    }

    /// Returns the entry with this name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<Entry<'a>> {
        self.entries()
            .flatten()
            .find(|entry| entry.name == name.as_bytes())
    }

    /// Returns the bytes of an entry, not checked against its checksum.
    ///
    /// # Errors
    ///
    /// [`BundleError::Truncated`] and [`BundleError::Malformed`] for an entry of another bundle.
    pub fn data(&self, entry: &Entry<'_>) -> Result<&'a [u8], BundleError> {
        self.slice(entry.offset, entry.length)
    }
}
