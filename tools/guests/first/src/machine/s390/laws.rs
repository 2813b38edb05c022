//! Exits, devices and exceptions of s390x.

use core::arch::asm;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;

use s390_regs::lowcore;

use super::control::{self, order};
use super::facts::facts;
use super::{prefix, service, translation};
use crate::interrupts::PROCESSORS;
use crate::machine::{Exit, Machine, This};
use crate::report::{Law, Verdict, Why, equal, hold};

/// Program interruptions: there is no such operation, no such memory; an operand is not as it
/// should be.
const OPERATION: u64 = 1;
const ADDRESSING: u64 = 5;
const SPECIFICATION: u64 = 6;
/// Reads what the machine is.
const READ_INFORMATION: u32 = 0x0002_0001;

/// Ways to leave the guest.
pub const EXITS: [Exit; 10] = [
    Exit {
        name: "service_call",
        make: service::read_information,
        is_quiet: false,
    },
    Exit {
        name: "sense",
        make: sense,
        is_quiet: true,
    },
    Exit {
        name: "store_identification",
        make: identification,
        is_quiet: true,
    },
    Exit {
        name: "store_address",
        make: address,
        is_quiet: true,
    },
    Exit {
        name: "store_prefix",
        make: prefix,
        is_quiet: true,
    },
    Exit {
        name: "store_level",
        make: level,
        is_quiet: true,
    },
    Exit {
        name: "forwarded_store",
        make: forwarded_store,
        is_quiet: true,
    },
    Exit {
        name: "forwarded_load",
        make: forwarded_load,
        is_quiet: true,
    },
    Exit {
        name: "injected_specification",
        make: service_call_of_odd_block,
        is_quiet: false,
    },
    Exit {
        name: "injected_addressing",
        make: load_of_nothing,
        is_quiet: false,
    },
];

/// Laws of devices.
pub const DEVICE: [Law; 2] = [
    Law {
        name: "the_console_takes_a_line",
        check: service::print_checked,
    },
    Law {
        name: "a_forwarded_access_reaches_its_register",
        check: forwarded,
    },
];

/// Laws of exceptions.
pub const EXCEPTION: [Law; 9] = [
    Law {
        name: "a_load_of_nothing_is_an_addressing_exception",
        check: load_of_nothing,
    },
    Law {
        name: "a_store_to_nothing_is_an_addressing_exception",
        check: store_to_nothing,
    },
    Law {
        name: "a_service_call_of_an_odd_block_is_a_specification_exception",
        check: service_call_of_odd_block,
    },
    Law {
        name: "a_service_call_in_the_prefix_area_is_a_specification_exception",
        check: || service_call_of(0x1000),
    },
    Law {
        name: "an_operation_that_is_none_is_an_operation_exception",
        check: no_operation,
    },
    Law {
        name: "a_diagnose_that_is_none_is_a_specification_exception",
        check: no_diagnose,
    },
    Law {
        name: "a_subchannel_that_is_none_is_not_operational",
        check: no_subchannel,
    },
    Law {
        name: "an_access_reaches_the_page_that_the_tables_name",
        check: translation::access,
    },
    Law {
        name: "a_page_that_the_tables_do_not_name_is_a_translation_exception",
        check: translation::fault,
    },
];

/// Asks for its own state, which is that of a CPU that operates.
fn sense() -> Verdict {
    let (condition, _) = control::signal(control::own_address(), order::SENSE, 0);
    equal("condition code", 0, condition)
}

/// Asks what the CPU is, twice.
fn identification() -> Verdict {
    equal(
        "identification",
        control::identification(),
        control::identification(),
    )
}

/// Asks for its address.
fn address() -> Verdict {
    let expected = facts().addresses[This::index()];
    equal("address", expected.into(), control::own_address().into())
}

/// Asks for its prefix.
fn prefix() -> Verdict {
    let is_first = This::index() == 0;
    hold(
        (control::prefix() == 0) == is_first,
        "prefix",
        0,
        control::prefix().into(),
    )
}

/// Asks on what kind of machine it runs.
fn level() -> Verdict {
    let level = control::level();
    hold((1..=3).contains(&level), "level", 3, level)
}

/// What a processor expects and gets: 0 for nothing, 1 for an exception, 2 for one that came; then
/// its code and where it was.
static PLACES: [[AtomicU64; 3]; PROCESSORS] =
    [const { [const { AtomicU64::new(0) }; 3] }; PROCESSORS];

/// Does what may provoke a program interruption, and returns its code and the address of the
/// instruction. Execution went on behind that.
pub fn catch(action: impl FnOnce()) -> (u64, u64) {
    let [state, code, place] = &PLACES[This::index()];
    state.store(1, Relaxed);
    action();
    match state.swap(0, Relaxed) {
        2 => (code.load(Relaxed), place.load(Relaxed)),
        _ => (0, 0),
    }
}

/// Notes a program interruption. One that nobody expects ends the guest.
pub extern "C" fn program_interruption() {
    let code = u64::from(prefix::load_half(lowcore::CODES + 6));
    let length = u64::from(prefix::load_half(lowcore::CODES + 4) & 7);
    let behind = prefix::load(lowcore::PROGRAM_OLD + 8);
    let [state, code_place, place] = &PLACES[This::index()];
    assert!(
        state.load(Relaxed) == 1,
        "program interruption {code:#x} before {behind:#x}"
    );
    state.store(2, Relaxed);
    code_place.store(code, Relaxed);
    if code == translation::PAGE_TRANSLATION {
        // The old PSW is at the instruction: without a skip it would be tried again.
        place.store(behind, Relaxed);
        prefix::store(lowcore::PROGRAM_OLD + 8, behind + length);
    } else {
        place.store(behind - length, Relaxed);
    }
}

/// Scratch register of a 16550, whose registers have the numbers from 0 on.
pub const SCRATCH: u64 = 7;
/// In the description of an access: it stores.
pub const STORE: u64 = 1 << 34;
/// What exits store to it, on whichever processor they are made.
const KNOWN: u8 = 0xa5;
/// Whether there is a device: 0 where nobody tried, 1 for no, 2 for yes.
static HAS_DEVICE: AtomicU64 = AtomicU64::new(0);

/// Accesses a byte of a device by DIAGNOSE with our own code; returns what is in the register of
/// the value behind it.
fn access(description: u64, value: u64) -> u64 {
    let found: u64;
    // SAFETY: the access is to a register without effects, or is an exception, which is caught.
    unsafe {
        asm!(".insn rs, 0x83000000, %r2, %r3, 0x510", inout("r2") value => found,
             in("r3") description, options(nostack));
    }
    found
}

/// Says why there is no device; the first to ask tries it.
pub fn need_device() -> Verdict {
    if HAS_DEVICE.load(Relaxed) == 0 {
        let (code, _) = catch(|| {
            access(SCRATCH | STORE, KNOWN.into());
        });
        HAS_DEVICE.store(if code == 0 { 2 } else { 1 }, Relaxed);
    }
    match HAS_DEVICE.load(Relaxed) {
        2 => Ok(1),
        _ => Err(Why::Skipped("the bare machine has no DIAGNOSE of ours")),
    }
}

/// Writes the scratch register and reads it back, every value.
fn forwarded() -> Verdict {
    need_device()?;
    for value in 0..=255 {
        access(SCRATCH | STORE, value | 0x1200);
        equal("scratch register", value, access(SCRATCH, u64::MAX))?;
    }
    Ok(256)
}

/// Writes it.
fn forwarded_store() -> Verdict {
    need_device()?;
    access(SCRATCH | STORE, KNOWN.into());
    Ok(1)
}

/// Reads it.
fn forwarded_load() -> Verdict {
    need_device()?;
    equal("scratch register", KNOWN.into(), access(SCRATCH, 0))
}

/// Compares an exception with what it should be.
pub fn expect(found: (u64, u64), code: u64, at: u64) -> Verdict {
    equal("code", code, found.0)?;
    equal("instruction", at, found.1)
}

/// Loads behind all memory.
fn load_of_nothing() -> Verdict {
    let mut at = 0_u64;
    let nothing = facts().memory + (1 << 20);
    let found = catch(|| {
        // SAFETY: the load is an exception, which is caught.
        unsafe {
            asm!("larl {0}, 2f", "2: lg {1}, 0({2})", out(reg) at, out(reg) _, in(reg_addr) nothing,
                 options(nostack));
        }
    });
    expect(found, ADDRESSING, at)
}

/// Stores behind all memory.
fn store_to_nothing() -> Verdict {
    let mut at = 0_u64;
    let nothing = facts().memory + (1 << 20);
    let found = catch(|| {
        // SAFETY: the store is an exception, which is caught.
        unsafe {
            asm!("larl {0}, 2f", "2: stg {1}, 0({1})", out(reg) at, in(reg_addr) nothing, options(nostack));
        }
    });
    expect(found, ADDRESSING, at)
}

/// Calls the service processor with a block that is not aligned.
fn service_call_of_odd_block() -> Verdict {
    service_call_of(0x10_0004)
}

/// Calls the service processor with a block where none may be.
fn service_call_of(block: u64) -> Verdict {
    let mut at = 0_u64;
    let found = catch(|| {
        // SAFETY: the call is an exception, which is caught.
        unsafe {
            asm!("larl {0}, 2f", "2: .insn rre, 0xb2200000, {1}, {2}", out(reg) at,
                 in(reg) u64::from(READ_INFORMATION), in(reg) block, options(nostack));
        }
    });
    expect(found, SPECIFICATION, at)
}

/// Executes what is no operation.
fn no_operation() -> Verdict {
    let mut at = 0_u64;
    let found = catch(|| {
        // SAFETY: it is an exception, which is caught.
        unsafe { asm!("larl {0}, 2f", "2: .short 0", out(reg) at, options(nostack)) };
    });
    expect(found, OPERATION, at)
}

/// Calls a hypervisor with a code that none has.
fn no_diagnose() -> Verdict {
    let mut at = 0_u64;
    let found = catch(|| {
        // SAFETY: it is an exception, which is caught.
        unsafe {
            asm!("larl {0}, 2f", "2: .insn rs, 0x83000000, %r0, %r0, 0x501", out(reg) at,
                 options(nostack));
        }
    });
    expect(found, SPECIFICATION, at)
}

/// Asks a subchannel that is not there for its state.
fn no_subchannel() -> Verdict {
    /// Subchannel 0.0.ffff.
    const LAST: u64 = 0x1_ffff;
    let mut state = [0_u64; 12];
    let condition: u64;
    // SAFETY: TSCH stores at most 96 bytes at the operand's address.
    unsafe {
        asm!(".insn s, 0xb2350000, 0({1})", "ipm {0}", "srlg {0}, {0}, 28", lateout(reg) condition,
             in(reg_addr) state.as_mut_ptr(), in("r1") LAST, options(nostack));
    }
    equal("condition code", 3, condition & 3)
}
