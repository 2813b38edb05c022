//! Where guests' kernels and initial file systems come from.

use std::path::PathBuf;

use crate::machine::Machine;

/// A kernel, unpacked to a flat image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelImage {
    /// The flat image.
    pub file: PathBuf,
    /// Guest-physical address of its first byte.
    pub load: u64,
    /// Guest-physical address of its first instruction.
    pub entry_point: u64,
    /// Bytes from `load` that it uses.
    pub memory_size: u64,
    /// The initial file system that goes with it where none is named.
    pub initrd: Option<InitrdImage>,
}

/// An initial file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InitrdImage {
    /// The file.
    pub file: PathBuf,
}

/// Finds the files that a manifest names.
pub trait Images {
    /// Returns the kernel that `reference` names: an entry of the guest cache, or a path.
    ///
    /// # Errors
    ///
    /// One line that says what is wrong with it.
    fn kernel(&mut self, reference: &str, machine: &Machine) -> Result<KernelImage, String>;

    /// Returns the initial file system that `reference` names.
    ///
    /// # Errors
    ///
    /// One line that says what is wrong with it.
    fn initrd(&mut self, reference: &str) -> Result<InitrdImage, String>;
}
