//! The functions of QEMU that a plugin calls (its manual, "QEMU TCG Plugins", section "Plugin API").

use std::ffi::{c_int, c_uint, c_void};

use trace::record::{Instruction, LONGEST};

/// A plugin's identifier.
pub type PluginId = u64;
/// What an access is.
pub type AccessInformation = u32;

/// A block of instructions that is being translated.
#[repr(C)]
pub struct TranslationBlock {
    _opaque: [u8; 0],
}

/// An instruction of such a block.
#[repr(C)]
pub struct Handle {
    _opaque: [u8; 0],
}

/// A physical address.
#[repr(C)]
pub struct PhysicalAddress {
    _opaque: [u8; 0],
}

/// Is called for a block that is translated.
type Translated = extern "C" fn(PluginId, *mut TranslationBlock);
/// Is called before an instruction.
type Executed = extern "C" fn(c_uint, *mut c_void);
/// Is called for an access.
type Accessed = extern "C" fn(c_uint, AccessInformation, u64, *mut c_void);
/// Is called at the end.
type Ended = extern "C" fn(PluginId, *mut c_void);

unsafe extern "C" {
    pub fn qemu_plugin_register_vcpu_tb_trans_cb(plugin: PluginId, callback: Translated);
    pub fn qemu_plugin_register_atexit_cb(plugin: PluginId, callback: Ended, data: *mut c_void);
    pub fn qemu_plugin_tb_n_insns(block: *const TranslationBlock) -> usize;
    pub fn qemu_plugin_tb_get_insn(block: *const TranslationBlock, index: usize) -> *mut Handle;
    fn qemu_plugin_insn_vaddr(instruction: *const Handle) -> u64;
    fn qemu_plugin_insn_haddr(instruction: *const Handle) -> *mut c_void;
    fn qemu_plugin_insn_size(instruction: *const Handle) -> usize;
    fn qemu_plugin_insn_data(
        instruction: *const Handle,
        destination: *mut c_void,
        length: usize,
    ) -> usize;
    pub fn qemu_plugin_register_vcpu_insn_exec_cb(
        instruction: *mut Handle,
        callback: Executed,
        flags: c_int,
        data: *mut c_void,
    );
    pub fn qemu_plugin_register_vcpu_mem_cb(
        instruction: *mut Handle,
        callback: Accessed,
        flags: c_int,
        which: c_int,
        data: *mut c_void,
    );
    fn qemu_plugin_mem_is_store(information: AccessInformation) -> bool;
    fn qemu_plugin_mem_size_shift(information: AccessInformation) -> c_uint;
    fn qemu_plugin_get_hwaddr(information: AccessInformation, address: u64)
    -> *mut PhysicalAddress;
    fn qemu_plugin_hwaddr_phys_addr(address: *const PhysicalAddress) -> u64;
}

/// Returns an instruction.
///
/// # Safety
///
/// `handle` is an instruction of the block that is being translated.
pub unsafe fn instruction(handle: *mut Handle) -> Instruction {
    // SAFETY: the caller promises that it is one.
    let address = unsafe { qemu_plugin_insn_vaddr(handle) };
    // SAFETY: as before.
    let host = unsafe { qemu_plugin_insn_haddr(handle) } as usize as u64;
    // SAFETY: as before.
    let length = unsafe { qemu_plugin_insn_size(handle) }.min(LONGEST);
    let mut bytes = [0; LONGEST];
    let place = bytes.as_mut_ptr().cast();
    // SAFETY: the buffer has at least so many bytes.
    unsafe { qemu_plugin_insn_data(handle, place, length) };
    Instruction {
        address,
        host,
        length: length as u8,
        bytes,
    }
}

/// Returns whether an access stores, how many bytes, and where; nothing where it is to no memory.
///
/// # Safety
///
/// It is called from the callback of the access, with what that was given.
pub unsafe fn access(information: AccessInformation, address: u64) -> Option<(bool, u16, u64)> {
    // SAFETY: the caller promises that this is of an access.
    let is_store = unsafe { qemu_plugin_mem_is_store(information) };
    // SAFETY: as before.
    let shift = unsafe { qemu_plugin_mem_size_shift(information) };
    // SAFETY: as before.
    let found = unsafe { qemu_plugin_get_hwaddr(information, address) };
    if found.is_null() {
        return None;
    }
    // SAFETY: it is an address, and stays one until the callback returns.
    let physical = unsafe { qemu_plugin_hwaddr_phys_addr(found) };
    Some((is_store, 1 << shift.min(15), physical))
}
