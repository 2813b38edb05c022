//! Exits, devices and exceptions of RISC-V.

use core::arch::asm;
use core::sync::atomic::AtomicU8;
use core::sync::atomic::Ordering::Relaxed;

use riscv_regs::Exception;

use super::catch::{Caught, catch};
use super::facts::facts;
use super::{firmware, port};
use crate::machine::Exit;
use crate::report::{Law, Verdict, Why, equal, hold};

/// Where neither memory nor a device is.
const NOTHING: u64 = 0x1200_0000;

/// What exits store to the scratch register, on whichever processor they are made.
const KNOWN: u8 = 0xa5;
/// Whether the hart has Zcb: 0 where nobody tried, 1 for no, 2 for yes.
static HAS_ZCB: AtomicU8 = AtomicU8::new(0);

/// Ways to leave the guest.
pub const EXITS: [Exit; 8] = [
    Exit {
        name: "hypercall",
        make: hypercall,
        is_quiet: true,
    },
    Exit {
        name: "set_timer",
        make: || equal("error", 0, firmware::set_timer(u64::MAX)),
        is_quiet: true,
    },
    Exit {
        name: "remote_fence",
        make: || equal("error", 0, firmware::fence(facts().harts[0])),
        is_quiet: true,
    },
    Exit {
        name: "described_store",
        make: described_store,
        is_quiet: true,
    },
    Exit {
        name: "described_load",
        make: described_load,
        is_quiet: true,
    },
    Exit {
        name: "decoded_store_and_load",
        make: || decoded(KNOWN),
        is_quiet: true,
    },
    Exit {
        name: "injected_access_fault",
        make: load_of_nothing,
        is_quiet: false,
    },
    Exit {
        name: "injected_illegal_instruction",
        make: hypervisor_register,
        is_quiet: false,
    },
];

/// Laws of devices.
pub const DEVICE: [Law; 5] = [
    Law {
        name: "the_console_refuses_what_is_no_memory",
        check: console_refuses,
    },
    Law {
        name: "the_port_prints",
        check: port_prints,
    },
    Law {
        name: "a_described_access_reaches_its_register",
        check: described,
    },
    Law {
        name: "a_decoded_access_reaches_its_register",
        check: || (0..=255).try_fold(0, |count, value| Ok(count + decoded(value)?)),
    },
    Law {
        name: "a_load_extends_by_its_sign_or_not",
        check: extends,
    },
];

/// Laws of exceptions.
pub const EXCEPTION: [Law; 4] = [
    Law {
        name: "a_load_of_nothing_faults_there",
        check: load_of_nothing,
    },
    Law {
        name: "a_store_to_nothing_faults_there",
        check: store_to_nothing,
    },
    Law {
        name: "a_register_that_is_not_there_is_an_illegal_instruction",
        check: machine_register,
    },
    Law {
        name: "a_hypervisors_register_is_an_illegal_instruction",
        check: hypervisor_register,
    },
];

/// Asks for the version of the interface.
fn hypercall() -> Verdict {
    let (error, version) = firmware::specification();
    equal("error", 0, error)?;
    hold(version >> 24 >= 2, "version", 2 << 24, version)
}

/// Writes the scratch register.
fn described_store() -> Verdict {
    port::store(port::SCRATCH, KNOWN);
    Ok(1)
}

/// Reads it back.
fn described_load() -> Verdict {
    let old = port::load(port::SCRATCH);
    equal(
        "scratch register",
        old.into(),
        port::load(port::SCRATCH).into(),
    )
}

/// Writes the scratch register and reads it back, every value.
fn described() -> Verdict {
    for value in 0..=255 {
        port::store(port::SCRATCH, value);
        equal(
            "scratch register",
            value.into(),
            port::load(port::SCRATCH).into(),
        )?;
    }
    Ok(256)
}

/// Loads the scratch register by both instructions.
fn extends() -> Verdict {
    port::store(port::SCRATCH, 0x80);
    let (signed, unsigned): (u64, u64);
    // SAFETY: the address is that of the scratch register, which has no effect.
    unsafe {
        asm!("lb {0}, 0({2})", "lbu {1}, 0({2})", out(reg) signed, out(reg) unsigned,
             in(reg) port::SCRATCH, options(nostack));
    }
    equal("with its sign", 0xffff_ffff_ffff_ff80, signed)?;
    equal("without", 0x80, unsigned)
}

/// Writes the scratch register and reads it back by instructions that the hardware does not
/// describe to a hypervisor: C.SB and C.LBU (Zcb), of which it tells nothing but the address.
fn decoded(value: u8) -> Verdict {
    if !has_zcb() {
        return Err(Why::Skipped(
            "the hart has no Zcb: it describes every access",
        ));
    }
    match compressed(port::SCRATCH, value) {
        Ok(found) => equal("scratch register", value.into(), found.into()),
        Err(caught) => hold(false, "an exception", 0, caught.cause),
    }
}

/// Tells whether the hart has Zcb; the first to ask tries it on memory.
fn has_zcb() -> bool {
    if HAS_ZCB.load(Relaxed) == 0 {
        let mut memory = 0_u8;
        let tried = compressed(core::ptr::from_mut(&mut memory).expose_provenance(), KNOWN);
        HAS_ZCB.store(if tried == Ok(KNOWN) { 2 } else { 1 }, Relaxed);
    }
    HAS_ZCB.load(Relaxed) == 2
}

/// Stores a byte and loads it back by instructions of Zcb.
fn compressed(address: usize, value: u8) -> Result<u8, Caught> {
    let mut found = 0_u64;
    let caught = catch(|| {
        // SAFETY: the caller's address is a byte of its own, or a register without effects. The
        // instructions are `c.sb a1, 0(a0)` and `c.lbu a1, 0(a0)`.
        unsafe {
            asm!(".half 0x890c", "li a1, 0", ".half 0x810c", in("a0") address,
                 inlateout("a1") u64::from(value) => found, options(nostack));
        }
    });
    match caught {
        None => Ok(found as u8),
        Some(caught) => Err(caught),
    }
}

/// The firmware refuses to print what is not in memory.
fn console_refuses() -> Verdict {
    if !facts().is_virtual {
        return Err(Why::Skipped(
            "OpenSBI 1.5 reads from there and never comes back",
        ));
    }
    let (error, _) = firmware::write(NOTHING, 16);
    equal("error", (-3_i64).cast_unsigned(), error)
}

/// Prints a line by the port.
fn port_prints() -> Verdict {
    port::print(b"first: a line by the port\n");
    Ok(1)
}

/// Compares an exception with what it should be.
fn expect(caught: Option<Caught>, cause: Exception, pc: u64, value: Option<u64>) -> Verdict {
    let none = Caught {
        cause: u64::MAX,
        program_counter: 0,
        value: 0,
    };
    let caught = caught.unwrap_or(none);
    equal("cause", cause.number(), caught.cause)?;
    equal("program counter", pc, caught.program_counter)?;
    value.map_or(Ok(1), |value| equal("value", value, caught.value))
}

/// Loads where nothing is.
fn load_of_nothing() -> Verdict {
    let mut place = 0_u64;
    let caught = catch(|| {
        // SAFETY: the load faults, which is caught.
        unsafe {
            asm!("lla {0}, 2f", "2: lw zero, 0({1})", out(reg) place, in(reg) NOTHING, options(nostack));
        }
    });
    expect(caught, Exception::LoadAccess, place, Some(NOTHING))
}

/// Stores where nothing is.
fn store_to_nothing() -> Verdict {
    let mut place = 0_u64;
    let caught = catch(|| {
        // SAFETY: the store faults, which is caught.
        unsafe {
            asm!("lla {0}, 2f", "2: sw zero, 8({1})", out(reg) place, in(reg) NOTHING, options(nostack));
        }
    });
    expect(caught, Exception::StoreAccess, place, Some(NOTHING + 8))
}

/// Reads a register of machine mode.
fn machine_register() -> Verdict {
    let mut place = 0_u64;
    let caught = catch(|| {
        // SAFETY: the read is illegal, which is caught.
        unsafe {
            asm!("lla {0}, 2f", "2: csrr zero, mstatus", out(reg) place, options(nostack));
        }
    });
    expect(caught, Exception::IllegalInstruction, place, None)
}

/// Reads a register of a hypervisor, which a guest does not have.
fn hypervisor_register() -> Verdict {
    if !facts().is_virtual {
        return Err(Why::Skipped("the bare machine may have the register"));
    }
    let mut place = 0_u64;
    let caught = catch(|| {
        // SAFETY: the read is illegal, which is caught. The register is hgatp.
        unsafe {
            asm!("lla {0}, 2f", "2: csrr zero, 0x680", out(reg) place, options(nostack));
        }
    });
    expect(caught, Exception::IllegalInstruction, place, None)
}
