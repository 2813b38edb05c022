//! A plugin of QEMU that writes down every instruction of the machine before it is executed, and, with
//! `memory=on`, every access to memory, to the file that `out=` names; `trace::record` says how.
//!
//! It is loaded into the emulator, whose functions `emulator` declares. Nothing here judges what it sees:
//! `cargo xtask` does.

mod emulator;

use std::collections::HashMap;
use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::fs::File;
use std::io::Write;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use emulator::{AccessInformation, PluginId, TranslationBlock};
use trace::record::{Access, Instruction, Record};

/// The version of the plugin interface that this is written for.
#[unsafe(no_mangle)]
pub static qemu_plugin_version: c_int = 4;

/// Bytes that are written at a time.
const BATCH: usize = 1 << 16;

/// Where records go.
struct Recorder {
    file: File,
    waiting: Vec<u8>,
    numbers: HashMap<Instruction, u32>,
}

/// The recorder, and whether accesses are recorded.
static RECORDER: OnceLock<(Mutex<Recorder>, bool)> = OnceLock::new();

impl Recorder {
    /// Adds a record.
    fn add(&mut self, record: &Record) {
        let (words, length) = record.words();
        for word in &words[..length] {
            self.waiting.extend_from_slice(&word.to_le_bytes());
        }
        if self.waiting.len() >= BATCH {
            self.flush();
        }
    }

    /// Writes what was added. There is nobody to tell where that fails: who reads finds the end missing.
    fn flush(&mut self) {
        let _ = self.file.write_all(&self.waiting);
        self.waiting.clear();
    }

    /// Returns the number of an instruction, which is defined where it is new.
    fn number(&mut self, instruction: Instruction) -> u32 {
        if let Some(number) = self.numbers.get(&instruction) {
            return *number;
        }
        let number = self.numbers.len() as u32;
        self.numbers.insert(instruction, number);
        self.add(&Record::Define(instruction));
        number
    }
}

/// Returns the recorder for this thread alone.
fn recorder() -> Option<MutexGuard<'static, Recorder>> {
    let (recorder, _) = RECORDER.get()?;
    Some(recorder.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Returns the value of an argument of the plugin.
fn argument<'a>(arguments: &'a [String], name: &str) -> Option<&'a str> {
    let pairs = arguments.iter().filter_map(|text| text.split_once('='));
    let mut found = pairs.filter(|(key, _)| *key == name);
    found.next().map(|(_, value)| value)
}

/// Returns the arguments as text.
///
/// # Safety
///
/// `texts` points to `count` strings that end with zero.
unsafe fn texts(count: c_int, texts: *const *const c_char) -> Vec<String> {
    let count = usize::try_from(count).unwrap_or(0);
    let read = |index| {
        // SAFETY: the index is below the number of strings, as the caller promises.
        let text = unsafe { texts.add(index) };
        // SAFETY: there is a pointer.
        let text = unsafe { text.read() };
        // SAFETY: it points to a string that ends with zero.
        let text = unsafe { CStr::from_ptr(text) };
        text.to_string_lossy().into_owned()
    };
    (0..count).map(read).collect()
}

/// Begins to record; a status other than 0 ends the emulator.
///
/// # Safety
///
/// The emulator calls it once, with its arguments as strings that end with zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn qemu_plugin_install(
    plugin: PluginId,
    _: *const c_void,
    count: c_int,
    arguments: *const *const c_char,
) -> c_int {
    // SAFETY: these are the emulator's.
    let arguments = unsafe { texts(count, arguments) };
    let Some(file) = argument(&arguments, "out") else {
        return 1;
    };
    let Ok(file) = File::options().write(true).open(file) else {
        return 1;
    };
    let recorder = Recorder {
        file,
        waiting: Vec::with_capacity(BATCH + 64),
        numbers: HashMap::new(),
    };
    let with_memory = argument(&arguments, "memory") == Some("on");
    if RECORDER.set((Mutex::new(recorder), with_memory)).is_err() {
        return 1;
    }
    // SAFETY: the identifier is the emulator's, the function has the type that it wants.
    unsafe { emulator::qemu_plugin_register_vcpu_tb_trans_cb(plugin, translated) };
    // SAFETY: as before; the function asks for no data.
    unsafe { emulator::qemu_plugin_register_atexit_cb(plugin, ended, std::ptr::null_mut()) };
    0
}

/// Defines the instructions of a block, and asks to be told of each.
extern "C" fn translated(_: PluginId, block: *mut TranslationBlock) {
    let Some((_, with_memory)) = RECORDER.get() else {
        return;
    };
    // SAFETY: the emulator gave the block for this call.
    let count = unsafe { emulator::qemu_plugin_tb_n_insns(block) };
    for index in 0..count {
        // SAFETY: the index is below their number.
        let handle = unsafe { emulator::qemu_plugin_tb_get_insn(block, index) };
        // SAFETY: the emulator gave the instruction for this call.
        let instruction = unsafe { emulator::instruction(handle) };
        let Some(mut recorder) = recorder() else {
            return;
        };
        let number = recorder.number(instruction);
        drop(recorder);
        // A number, not a pointer: nobody follows it.
        let data = number as usize as *mut c_void;
        // SAFETY: the instruction is that of this call, the function has the type that is wanted.
        unsafe { emulator::qemu_plugin_register_vcpu_insn_exec_cb(handle, executed, 0, data) };
        if *with_memory {
            let both = 3;
            // SAFETY: as before.
            unsafe {
                emulator::qemu_plugin_register_vcpu_mem_cb(handle, accessed, 0, both, data);
            };
        }
    }
}

/// Records an instruction.
extern "C" fn executed(core: c_uint, data: *mut c_void) {
    if let Some(mut recorder) = recorder() {
        recorder.add(&Record::Execute {
            core: core as u8,
            number: data as usize as u32,
        });
    }
}

/// Records an access.
extern "C" fn accessed(core: c_uint, information: AccessInformation, address: u64, _: *mut c_void) {
    // SAFETY: the emulator gave the information for this call.
    let Some((is_store, size, physical)) = (unsafe { emulator::access(information, address) })
    else {
        return;
    };
    if let Some(mut recorder) = recorder() {
        recorder.add(&Record::Access(Access {
            core: core as u8,
            is_store,
            size,
            address,
            physical,
        }));
    }
}

/// Writes the rest.
extern "C" fn ended(_: PluginId, _: *mut c_void) {
    if let Some(mut recorder) = recorder() {
        recorder.flush();
    }
}
