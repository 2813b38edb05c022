//! The kernel and the files that Linux was measured with, and whether these are they.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::guest::cache::Files;

/// The record.
const RECORD: &str = include_str!("linux.toml");

/// What the file says.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(
    dead_code,
    reason = "how it is measured is for readers, and a test holds it to the truth"
)]
struct Record {
    kernel: String,
    kernel_sha256: String,
    initramfs_sha256: String,
    memory: String,
    command_lines: Vec<String>,
}

/// Returns the record.
fn record() -> Result<Record> {
    toml::from_str(RECORD).context("linux.toml")
}

/// Says on standard error which files are not those of the record.
pub fn compare(files: &Files) -> Result<()> {
    let record = record()?;
    let pairs = [
        (&files.kernel, record.kernel_sha256),
        (&files.initramfs, record.initramfs_sha256),
    ];
    for (file, known) in pairs {
        let found = hash(file)?;
        if found != known {
            let file = file.display();
            eprintln!(
                "Linux: {file} has SHA-256 {found}, and was recorded with {known} ({})",
                record.kernel
            );
        }
    }
    Ok(())
}

/// Returns the SHA-256 of a file in hexadecimal digits.
fn hash(file: &Path) -> Result<String> {
    let bytes = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let digest = Sha256::digest(bytes);
    Ok(digest.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::super::linux::{MEMORY, command_lines};
    use super::*;

    #[test]
    fn the_record_says_how_linux_is_measured() {
        let record = record().expect("parses");
        assert_eq!(record.command_lines, command_lines());
        assert_eq!(record.memory, format!("{}M", MEMORY.bytes() >> 20));
        for sum in [record.kernel_sha256, record.initramfs_sha256] {
            assert_eq!(sum.len(), 64);
        }
    }
}
