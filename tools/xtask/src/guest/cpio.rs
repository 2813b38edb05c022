//! Writes cpio archives of the `newc` kind, which Linux unpacks as its initial file system.

use anyhow::{Context, Result};

/// File type bits of the mode: a folder.
const FOLDER: u32 = 0o040_000;
/// File type bits of the mode: an ordinary file.
const FILE: u32 = 0o100_000;
/// File type bits of the mode: a symbolic link.
const LINK: u32 = 0o120_000;
/// File type bits of the mode: a character device.
const CHARACTER_DEVICE: u32 = 0o020_000;
/// Name of the record that ends an archive.
const TRAILER: &str = "TRAILER!!!";

/// An archive in the making. All files belong to root and were changed at time 0, so equal
/// contents give equal archives.
#[derive(Debug, Default)]
pub struct Archive {
    bytes: Vec<u8>,
    records: u32,
}

/// One record's header fields that differ between kinds.
struct Record<'a> {
    name: &'a str,
    mode: u32,
    device: (u32, u32),
    content: &'a [u8],
}

impl Archive {
    /// Adds a folder; those above it have to be there.
    pub fn folder(&mut self, name: &str) -> Result<()> {
        self.record(&Record {
            name,
            mode: FOLDER | 0o755,
            device: (0, 0),
            content: &[],
        })
    }

    /// Adds a file that everybody may execute.
    pub fn executable(&mut self, name: &str, content: &[u8]) -> Result<()> {
        self.record(&Record {
            name,
            mode: FILE | 0o755,
            device: (0, 0),
            content,
        })
    }

    /// Adds a symbolic link.
    pub fn link(&mut self, name: &str, to: &str) -> Result<()> {
        self.record(&Record {
            name,
            mode: LINK | 0o777,
            device: (0, 0),
            content: to.as_bytes(),
        })
    }

    /// Adds a character device.
    pub fn character_device(&mut self, name: &str, major: u32, minor: u32) -> Result<()> {
        let mode = CHARACTER_DEVICE | 0o600;
        self.record(&Record {
            name,
            mode,
            device: (major, minor),
            content: &[],
        })
    }

    /// Returns the archive's bytes.
    pub fn finish(mut self) -> Result<Vec<u8>> {
        self.records = 0; // the last record has inode 0
        self.record(&Record {
            name: TRAILER,
            mode: 0,
            device: (0, 0),
            content: &[],
        })?;
        self.bytes.resize(self.bytes.len().next_multiple_of(512), 0);
        Ok(self.bytes)
    }

    /// Appends one record: magic, thirteen numbers in hexadecimal, name, content.
    fn record(&mut self, record: &Record<'_>) -> Result<()> {
        let size = u32::try_from(record.content.len())
            .with_context(|| format!("{} is too large for a cpio archive", record.name))?;
        let name_size = u32::try_from(record.name.len() + 1)?;
        let links = if record.mode & FOLDER == FOLDER { 2 } else { 1 };
        let (major, minor) = record.device;
        let numbers = [
            self.records,
            record.mode,
            0,
            0,
            links,
            0,
            size,
            0,
            0,
            major,
            minor,
            name_size,
            0,
        ];
        self.bytes.extend(b"070701");
        for number in numbers {
            self.bytes.extend(format!("{number:08X}").bytes());
        }
        self.bytes.extend(record.name.bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend(record.content);
        self.pad();
        self.records += 1;
        Ok(())
    }

    /// Fills up to a multiple of four bytes.
    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_has_the_layout_that_linux_documents() {
        let mut archive = Archive::default();
        archive.executable("init", b"#!x").expect("small");
        let bytes = archive.finish().expect("small");
        let header = "070701\
            00000000000081ED000000000000000000000001000000000000000300000000\
            000000000000000000000000\
            0000000500000000";
        assert_eq!(std::str::from_utf8(&bytes[..110]), Ok(header));
        assert_eq!(&bytes[110..120], b"init\0\0#!x\0");
        assert_eq!(&bytes[120..126], b"070701");
        assert!(bytes.len().is_multiple_of(512));
    }

    #[test]
    fn every_record_begins_on_a_multiple_of_four() {
        let mut archive = Archive::default();
        for length in 0..9 {
            archive
                .executable(&"n".repeat(length + 1), &vec![1; length])
                .expect("small");
        }
        let bytes = archive.finish().expect("small");
        let starts = bytes
            .windows(6)
            .enumerate()
            .filter(|(_, window)| *window == b"070701");
        assert!(starts.clone().all(|(at, _)| at.is_multiple_of(4)));
        assert_eq!(starts.count(), 10);
    }

    #[test]
    fn equal_contents_give_equal_archives() {
        let archive = || {
            let mut archive = Archive::default();
            archive.folder("bin").expect("small");
            archive.link("bin/sh", "busybox").expect("small");
            archive.character_device("console", 5, 1).expect("small");
            archive.finish().expect("small")
        };
        assert_eq!(archive(), archive());
    }
}
