//! Writes the boot bundle that `abi::bundle` reads.

use abi::bundle::{
    ENTRY_SIZE, HEADER_SIZE, MAGIC, MAX_ENTRIES, MAX_SEGMENTS, NAME_SIZE, SEGMENT_SIZE, crc32,
};
use anyhow::{Result, bail, ensure};

/// A segment of the first process, with its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Page-aligned virtual address.
    pub address: u64,
    /// Bytes in memory, whole pages.
    pub memory_size: u64,
    /// `READ`, `WRITE`, `EXECUTE` of `abi::bundle`.
    pub flags: u32,
    /// Its first bytes; the rest is zero.
    pub bytes: Vec<u8>,
}

/// A bundle in the making.
#[derive(Clone, Debug, Default)]
pub struct Writer {
    entry_point: u64,
    segments: Vec<Segment>,
    entries: Vec<(String, Vec<u8>)>,
}

impl Writer {
    /// Begins a bundle whose first process has these segments.
    pub fn new(entry_point: u64, segments: Vec<Segment>) -> Result<Self> {
        ensure!(
            segments.len() <= MAX_SEGMENTS,
            "the first process has {} segments, a bundle holds {MAX_SEGMENTS}",
            segments.len()
        );
        for segment in &segments {
            ensure!(
                segment.address.is_multiple_of(abi::PAGE_SIZE)
                    && segment.bytes.len() as u64 <= segment.memory_size,
                "segment at {:#x} is not page-aligned or longer than its memory",
                segment.address
            );
        }
        Ok(Self {
            entry_point,
            segments,
            entries: Vec::new(),
        })
    }

    /// Adds a file.
    pub fn add(&mut self, name: &str, bytes: Vec<u8>) -> Result<()> {
        ensure!(
            self.entries.len() < MAX_ENTRIES,
            "a bundle holds {MAX_ENTRIES} files at most"
        );
        ensure!(
            (1..=NAME_SIZE).contains(&name.len()) && !name.contains('\0'),
            "`{name}` is no name for a bundle entry: 1 to {NAME_SIZE} bytes"
        );
        if self.entries.iter().any(|(known, _)| known == name) {
            bail!("the bundle already has an entry `{name}`");
        }
        self.entries.push((name.to_owned(), bytes));
        Ok(())
    }

    /// Returns the bundle's bytes.
    pub fn finish(self) -> Vec<u8> {
        let tables =
            HEADER_SIZE + self.segments.len() * SEGMENT_SIZE + self.entries.len() * ENTRY_SIZE;
        let (mut rows, mut data) = (Vec::new(), Vec::new());
        let base = page_aligned(tables);
        for segment in &self.segments {
            let offset = append(&mut data, &segment.bytes, base);
            rows.extend(segment_row(segment, offset));
        }
        for (name, bytes) in &self.entries {
            let offset = append(&mut data, bytes, base);
            rows.extend(entry_row(name, bytes, offset));
        }
        let mut bundle = self.header((base + data.len()) as u64);
        bundle.extend(rows);
        let checksum = self.checksum(&bundle);
        bundle[16..20].copy_from_slice(&checksum.to_le_bytes());
        bundle.resize(base, 0);
        bundle.extend(data);
        bundle
    }

    /// Returns the header, its checksum still zero.
    fn header(&self, length: u64) -> Vec<u8> {
        let mut header = Vec::with_capacity(HEADER_SIZE);
        header.extend(MAGIC);
        header.extend(length.to_le_bytes());
        header.extend(0_u32.to_le_bytes());
        header.extend((self.segments.len() as u32).to_le_bytes());
        header.extend((self.entries.len() as u32).to_le_bytes());
        header.extend(0_u32.to_le_bytes());
        header.extend(self.entry_point.to_le_bytes());
        header.resize(HEADER_SIZE, 0);
        header
    }

    /// Returns the checksum over `front` (header and tables) and the segments' bytes.
    fn checksum(&self, front: &[u8]) -> u32 {
        let segments = self.segments.iter().map(|segment| segment.bytes.as_slice());
        let parts: Vec<&[u8]> = std::iter::once(front).chain(segments).collect();
        crc32(&parts)
    }
}

/// Returns one row of the segment table.
fn segment_row(segment: &Segment, offset: u64) -> Vec<u8> {
    let numbers = [
        offset,
        segment.bytes.len() as u64,
        segment.address,
        segment.memory_size,
    ];
    let mut row: Vec<u8> = numbers
        .iter()
        .flat_map(|number| number.to_le_bytes())
        .collect();
    row.extend(segment.flags.to_le_bytes());
    row.resize(SEGMENT_SIZE, 0);
    row
}

/// Returns one row of the entry table.
fn entry_row(name: &str, bytes: &[u8], offset: u64) -> Vec<u8> {
    let mut row = name.as_bytes().to_vec();
    row.resize(NAME_SIZE, 0);
    row.extend(offset.to_le_bytes());
    row.extend((bytes.len() as u64).to_le_bytes());
    row.extend(crc32(&[bytes]).to_le_bytes());
    row.resize(ENTRY_SIZE, 0);
    row
}

/// Appends `bytes` to `data` as whole pages; returns their offset in the bundle.
fn append(data: &mut Vec<u8>, bytes: &[u8], base: usize) -> u64 {
    let offset = base + data.len();
    data.extend(bytes);
    data.resize(page_aligned(data.len()), 0);
    offset as u64
}

/// Returns `length` rounded up to whole pages.
const fn page_aligned(length: usize) -> usize {
    length.next_multiple_of(abi::PAGE_SIZE as usize)
}

#[cfg(test)]
mod tests {
    use abi::bundle::{Bundle, BundleError, EXECUTE, READ, WRITE};

    use super::*;

    /// Returns a bundle of two segments and two files.
    fn example() -> Vec<u8> {
        let text = Segment {
            address: 0x10000,
            memory_size: 0x2000,
            flags: READ | EXECUTE,
            bytes: vec![0x13; 5000],
        };
        let data = Segment {
            address: 0x20000,
            memory_size: 0x3000,
            flags: READ | WRITE,
            bytes: vec![7],
        };
        let mut writer = Writer::new(0x10040, vec![text, data]).expect("good segments");
        writer
            .add("manifest", b"hello".to_vec())
            .expect("a good entry");
        writer.add("empty", Vec::new()).expect("a good entry");
        writer.finish()
    }

    #[test]
    fn a_written_bundle_reads_back() {
        let bytes = example();
        let bundle = Bundle::parse(&bytes).expect("parses");
        assert_eq!(bundle.entry_point(), 0x10040);
        let segments: Vec<_> = bundle.segments().collect();
        assert_eq!(
            (segments[0].address, segments[0].memory_size),
            (0x10000, 0x2000)
        );
        assert_eq!(
            (segments[1].file_size, segments[1].flags),
            (1, READ | WRITE)
        );
        let offset = usize::try_from(segments[0].offset).expect("small");
        assert_eq!(bytes[offset..offset + 5000], [0x13; 5000]);
        let entry = bundle.find("manifest").expect("is there");
        assert_eq!(bundle.data(&entry), Ok(&b"hello"[..]));
        assert_eq!(entry.checksum, crc32(&[b"hello"]));
        assert_eq!(bundle.find("empty").expect("is there").length, 0);
        assert_eq!(bundle.find("nothing"), None);
    }

    #[test]
    fn a_flipped_byte_of_what_the_kernel_uses_is_refused() {
        let good = example();
        let bundle = Bundle::parse(&good).expect("parses");
        let tables = HEADER_SIZE + 2 * SEGMENT_SIZE + 2 * ENTRY_SIZE;
        let text = bundle.segment(0).expect("is there");
        let start = usize::try_from(text.offset).expect("small");
        for at in (0..tables).chain(start..start + 5000) {
            let mut bad = good.clone();
            bad[at] ^= 0x40;
            assert!(Bundle::parse(&bad).is_err(), "byte {at}");
        }
    }

    #[test]
    fn a_flipped_byte_of_a_file_does_not_match_its_checksum() {
        let mut bytes = example();
        let offset = Bundle::parse(&bytes)
            .expect("parses")
            .find("manifest")
            .expect("there")
            .offset;
        bytes[usize::try_from(offset).expect("small")] ^= 1;
        let bundle = Bundle::parse(&bytes).expect("parses");
        let entry = bundle.find("manifest").expect("is there");
        assert_ne!(
            crc32(&[bundle.data(&entry).expect("in range")]),
            entry.checksum
        );
    }

    #[test]
    fn a_truncated_bundle_is_refused() {
        let good = example();
        for length in (0..good.len()).step_by(97).chain([good.len() - 1]) {
            let outcome = Bundle::parse(&good[..length]);
            assert_eq!(
                outcome.err(),
                Some(BundleError::Truncated),
                "{length} bytes"
            );
        }
    }

    #[test]
    fn what_a_bundle_cannot_hold_is_refused() {
        let mut writer = Writer::new(0, Vec::new()).expect("no segments");
        assert!(writer.add("", Vec::new()).is_err());
        assert!(writer.add(&"x".repeat(NAME_SIZE + 1), Vec::new()).is_err());
        writer.add("twice", Vec::new()).expect("the first time");
        assert!(writer.add("twice", Vec::new()).is_err());
        for index in 1..MAX_ENTRIES {
            writer
                .add(&index.to_string(), Vec::new())
                .expect("there is room");
        }
        assert!(writer.add("one more", Vec::new()).is_err());
        let unaligned = Segment {
            address: 1,
            memory_size: 4096,
            flags: READ,
            bytes: vec![],
        };
        assert!(Writer::new(0, vec![unaligned]).is_err());
    }
}
