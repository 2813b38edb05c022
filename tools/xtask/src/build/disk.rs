//! A bootable disk for UEFI: a GUID partition table with one FAT volume, on which the loader, the
//! kernel and the bundle are.

use std::fs::{self, File};
use std::io::{Cursor, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use fatfs::{FatType, FileSystem, FormatVolumeOptions, FsOptions};
use gpt::{GptConfig, mbr::ProtectiveMBR, partition_types};

use crate::workspace::Workspace;

use super::{cargo, elf};

/// The package of the loader.
pub const LOADER: &str = "bsp-x86-loader";
/// Its target.
pub const TARGET: &str = "x86_64-unknown-uefi";
/// Bytes of a sector.
const SECTOR: u64 = 512;
/// First byte of the volume.
const START: u64 = 1 << 20;
/// The least that a FAT32 volume can have, as firmware wants it, with room to spare.
const LEAST: u64 = 40 << 20;

/// Returns the disk with this kernel and bundle, beside the bundle; an equal one is not made again.
pub fn build(workspace: &Workspace, kernel: &Path, bundle: &Path) -> Result<PathBuf> {
    let loader = read(&cargo::build_for(workspace, LOADER, TARGET)?)?;
    let image = elf::stripped(&read(kernel)?)?;
    let sum = abi::bundle::crc32(&[&loader, &image]);
    let stem = bundle.file_stem().unwrap_or_default().to_string_lossy();
    let disk = bundle.with_file_name(format!("{stem}-{sum:08x}.img"));
    if disk.is_file() {
        return Ok(disk);
    }
    let files = [
        ("EFI/BOOT/BOOTX64.EFI", loader),
        ("skerry/kernel", image),
        ("skerry/bundle", read(bundle)?),
    ];
    let volume = volume(&files).context("cannot make a FAT volume")?;
    let draft = disk.with_extension("draft");
    write(&draft, &volume).with_context(|| format!("cannot write {}", draft.display()))?;
    fs::rename(&draft, &disk).with_context(|| format!("cannot write {}", disk.display()))?;
    Ok(disk)
}

/// Returns the bytes of a FAT volume with these files.
fn volume(files: &[(&str, Vec<u8>)]) -> Result<Vec<u8>> {
    let content: u64 = files.iter().map(|(_, bytes)| bytes.len() as u64).sum();
    let size = (content + content / 8).next_multiple_of(1 << 20) + LEAST;
    let mut bytes = vec![0; usize::try_from(size)?];
    let options = FormatVolumeOptions::new()
        .fat_type(FatType::Fat32)
        .bytes_per_cluster(512)
        .volume_label(*b"SKERRY     ");
    fatfs::format_volume(Cursor::new(&mut bytes[..]), options)?;
    let volume = FileSystem::new(Cursor::new(&mut bytes[..]), FsOptions::new())?;
    {
        let root = volume.root_dir();
        for (path, content) in files {
            for (end, _) in path.match_indices('/') {
                root.create_dir(&path[..end])?;
            }
            root.create_file(path)?.write_all(content)?;
        }
    }
    volume.unmount()?;
    Ok(bytes)
}

/// Writes a disk with this volume as its only partition.
fn write(path: &Path, volume: &[u8]) -> Result<()> {
    let mut file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(path)?;
    // The table's copy is behind the volume.
    let size = START + volume.len() as u64 + (1 << 20);
    file.set_len(size)?;
    let sectors = u32::try_from(size / SECTOR - 1).unwrap_or(u32::MAX);
    ProtectiveMBR::with_lb_size(sectors).overwrite_lba0(&mut file)?;
    let mut disk = GptConfig::new()
        .writable(true)
        .create_from_device(file, None)?;
    let length = volume.len() as u64 / SECTOR;
    disk.add_partition_at("skerry", 1, START / SECTOR, length, partition_types::EFI, 0)?;
    let mut file = disk.write()?;
    file.seek(SeekFrom::Start(START))?;
    file.write_all(volume)?;
    Ok(())
}

/// Returns the bytes of a file.
fn read(file: &Path) -> Result<Vec<u8>> {
    fs::read(file).with_context(|| format!("cannot read {}", file.display()))
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn files_of_a_volume_come_back() {
        let large = vec![7; 3 << 20];
        let files = [("a/b/one", b"1".to_vec()), ("a/two", large)];
        let mut bytes = volume(&files).expect("there is room");
        let volume = FileSystem::new(Cursor::new(&mut bytes[..]), FsOptions::new());
        let volume = volume.expect("is a volume");
        for (path, content) in &files {
            let mut found = Vec::new();
            let mut file = volume.root_dir().open_file(path).expect("is there");
            file.read_to_end(&mut found).expect("is whole");
            assert!(found == *content, "{path}");
        }
    }

    #[test]
    fn the_partition_begins_with_its_volume() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("disk");
        let volume = volume(&[("x", vec![1])]).expect("there is room");
        write(&path, &volume).expect("can be written");
        let disk = GptConfig::new().open(&path).expect("has a table");
        let only = disk.partitions().get(&1).expect("has a partition");
        assert_eq!(
            only.bytes_start(*disk.logical_block_size()).ok(),
            Some(START)
        );
        let bytes = fs::read(&path).expect("can be read");
        let start = usize::try_from(START).expect("is small");
        assert!(bytes[start..start + volume.len()] == volume);
    }
}
