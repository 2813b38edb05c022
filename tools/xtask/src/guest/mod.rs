//! What guests boot: the cache of fetched kernels, our initial file system, foreign images.

pub mod cache;
pub mod catalogue;
pub mod cpio;
pub mod image;
pub mod initramfs;
