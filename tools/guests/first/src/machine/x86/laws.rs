//! Exits, devices and exceptions of x86-64.

use core::arch::asm;

use super::facts::facts;
use super::processor::{Leaf, identify, input, output, output_string, read_register};
use super::traps::{Caught, GENERAL_PROTECTION, INVALID_OPCODE, catch};
use super::{X86, apic, port, ports, traps};
use crate::interrupts::{Source, taken};
use crate::machine::{Exit, Machine};
use crate::report::{Law, Verdict, Why, equal, hold};
use crate::waiting;

/// What exits store, on whichever processor they are made.
const KNOWN: u8 = 0xa5;
/// Where neither memory nor a device is.
const NOTHING: usize = 0xd000_0000;
/// A port at which nothing is.
const NO_PORT: u16 = 0x1f0f;
/// A model-specific register that no processor has.
const NO_REGISTER: u32 = 0x4fff_ff00;
/// Why the bare machine is not asked for it.
const TCG_HAS_ALL: &str = "QEMU's processor reads every register as zero";

/// Ways to leave the guest.
pub const EXITS: [Exit; 8] = [
    Exit {
        name: "hypercall",
        make: hypercall,
        is_quiet: true,
    },
    Exit {
        name: "identify",
        make: same_identity,
        is_quiet: true,
    },
    Exit {
        name: "read_register",
        make: apic_base,
        is_quiet: true,
    },
    Exit {
        name: "port_store",
        make: || {
            output(port::SCRATCH, KNOWN);
            Ok(1)
        },
        is_quiet: true,
    },
    Exit {
        name: "port_load",
        make: || {
            equal(
                "scratch register",
                KNOWN.into(),
                input(port::SCRATCH).into(),
            )
        },
        is_quiet: true,
    },
    Exit {
        name: "decoded_store",
        make: || {
            apic::store(apic::TASK_PRIORITY, 0);
            Ok(1)
        },
        is_quiet: true,
    },
    Exit {
        name: "decoded_load",
        make: || equal("task priority", 0, apic::load(apic::TASK_PRIORITY).into()),
        is_quiet: true,
    },
    Exit {
        name: "injected_general_protection",
        make: read_of_no_register,
        is_quiet: false,
    },
];

/// Laws of devices.
pub const DEVICE: [Law; 11] = [
    Law {
        name: "the_port_keeps_every_byte",
        check: port_keeps,
    },
    Law {
        name: "the_port_prints_a_string",
        check: port_prints_string,
    },
    Law {
        name: "a_port_of_nothing_has_all_ones",
        check: no_port,
    },
    Law {
        name: "a_port_of_nothing_has_all_ones_in_every_size",
        check: ports::nothing,
    },
    Law {
        name: "a_wide_load_of_a_port_begins_with_its_register",
        check: ports::wide_load,
    },
    Law {
        name: "a_wide_store_to_a_port_begins_with_its_register",
        check: ports::wide_store,
    },
    Law {
        name: "the_port_loads_a_string",
        check: ports::load_string,
    },
    Law {
        name: "memory_of_nothing_has_all_ones",
        check: no_memory,
    },
    Law {
        name: "a_decoded_access_reaches_its_register",
        check: decoded,
    },
    Law {
        name: "every_form_of_an_access_is_decoded",
        check: forms,
    },
    Law {
        name: "cr8_is_the_task_priority_and_holds_interrupts_back",
        check: priority,
    },
];

/// Laws of exceptions.
pub const EXCEPTION: [Law; 4] = [
    Law {
        name: "a_read_of_no_register_is_a_general_protection",
        check: read_of_no_register,
    },
    Law {
        name: "a_write_of_no_register_is_a_general_protection",
        check: write_of_no_register,
    },
    Law {
        name: "an_instruction_that_is_none_is_an_invalid_opcode",
        check: no_instruction,
    },
    Law {
        name: "a_priority_that_is_none_is_a_general_protection",
        check: no_priority,
    },
];

/// Calls the hypervisor.
fn hypercall() -> Verdict {
    if !facts().is_virtual {
        return Err(Why::Skipped("the bare machine has no hypervisor"));
    }
    let is_amd = identify(0, 0).ecx == u32::from_le_bytes(*b"cAMD");
    let call = if is_amd { amd_call } else { intel_call };
    let caught = catch(3, call);
    hold(caught.is_none(), "an exception", 0, 1)
}

/// Makes a call that does not exist, as processors of AMD do.
fn amd_call() {
    // SAFETY: it returns an error in rax.
    unsafe { asm!("vmmcall", inout("rax") u64::from(u32::MAX) => _, options(nostack)) };
}

/// Makes a call that does not exist, as processors of Intel do.
fn intel_call() {
    // SAFETY: it returns an error in rax.
    unsafe { asm!("vmcall", inout("rax") u64::from(u32::MAX) => _, options(nostack)) };
}

/// Asks what the processor is, twice.
fn same_identity() -> Verdict {
    let Leaf { eax, ebx, ecx, edx } = identify(0, 0);
    let again = identify(0, 0);
    equal("eax", eax.into(), again.eax.into())?;
    equal("ebx", ebx.into(), again.ebx.into())?;
    equal("ecx", ecx.into(), again.ecx.into())?;
    equal("edx", edx.into(), again.edx.into())
}

/// Reads where the local APIC is.
fn apic_base() -> Verdict {
    equal(
        "base of the APIC",
        0xfee0_0000,
        read_register(0x1b) & !0xfff,
    )
}

/// Writes the scratch register and reads it back, every value.
fn port_keeps() -> Verdict {
    for value in 0..=255 {
        output(port::SCRATCH, value);
        equal(
            "scratch register",
            value.into(),
            input(port::SCRATCH).into(),
        )?;
    }
    Ok(256)
}

/// Prints a line by an instruction that takes its bytes from memory.
fn port_prints_string() -> Verdict {
    port::wait();
    output_string(port::TRANSMIT, b"first: a string\n");
    Ok(1)
}

/// Reads a port at which nothing is.
fn no_port() -> Verdict {
    output(NO_PORT, 0);
    equal("value", 0xff, input(NO_PORT).into())
}

/// Writes and reads where nothing is.
fn no_memory() -> Verdict {
    if !facts().is_virtual {
        return Err(Why::Skipped("QEMU's machine has zeros there"));
    }
    port::store(NOTHING, 0);
    equal("value", 0xffff_ffff, port::load(NOTHING).into())
}

/// Writes entries of the I/O APIC's table and reads them back.
fn decoded() -> Verdict {
    for vector in 0x20..0xff {
        port::select(port::FREE_PIN, 0);
        port::store(port::WINDOW, port::MASKED | vector);
        port::select(port::FREE_PIN, 1);
        port::store(port::WINDOW, vector << 24);
        equal(
            "upper half",
            u64::from(vector) << 24,
            port::load(port::WINDOW).into(),
        )?;
        port::select(port::FREE_PIN, 0);
        let entry = u64::from(port::MASKED | vector);
        equal("lower half", entry, port::load(port::WINDOW).into())?;
    }
    Ok(0xff - 0x20)
}

/// Accesses the window by several encodings of the instruction.
fn forms() -> Verdict {
    const START: usize = port::WINDOW - 0x10;
    port::select(port::FREE_PIN, 0);
    let (direct, indexed, extended, kept): (u64, u64, u64, u64);
    // SAFETY: the address is that of the window, whose entry is masked all the time.
    unsafe {
        asm!(
            "mov dword ptr [{base} + 0x10], 0x10031",
            "mov {direct:e}, [{base} + 0x10]",
            "mov r14d, 0x10032",
            "mov [{base} + {index} * 4], r14d",
            "mov {kept}, -1",
            "mov {kept:e}, [{base} + {index} * 4]",
            "mov dword ptr [{base} + 0x10], 0x10033",
            "lea r13, [{base}]",
            "mov r15d, [r13 + 0x10]",
            "mov {extended}, r15",
            "mov eax, 0x10034",
            "mov [{base} + 0x10], eax",
            "mov eax, 0",
            "mov eax, [{base} + 0x10]",
            base = in(reg) START,
            index = in(reg) 4_u64,
            direct = out(reg) direct,
            kept = out(reg) indexed,
            extended = out(reg) extended,
            out("rax") kept,
            out("r13") _,
            out("r14") _,
            out("r15") _,
            options(nostack),
        );
    }
    equal("with a constant", 0x10031, direct)?;
    equal(
        "with an index, and the upper half is zero",
        0x10032,
        indexed,
    )?;
    equal("with registers above the eighth", 0x10033, extended)?;
    equal("with the accumulator", 0x10034, kept)
}

/// Holds its own interrupt back by CR8, and lets it come, and finds CR8 and the register of the task
/// priority to be one.
fn priority() -> Verdict {
    const ROUNDS: u64 = 100;
    /// The upper half of the interrupt's vector.
    const OWN: u64 = traps::PROCESSOR as u64 >> 4;
    for round in 0..ROUNDS {
        let before = taken(Source::Processor);
        let blocking = OWN + round % (16 - OWN);
        set_cr8(blocking);
        X86::interrupt(X86::index());
        waiting::pause(1);
        let meanwhile = taken(Source::Processor);
        let (found, register) = (cr8(), apic::load(apic::TASK_PRIORITY));
        set_cr8(round % OWN);
        let came = waiting::busy(1000, || taken(Source::Processor) > before);
        apic::store(apic::TASK_PRIORITY, round as u32 & 0x3f);
        let stored = cr8();
        apic::store(apic::TASK_PRIORITY, 0);
        equal("it came while it was held back", before, meanwhile)?;
        equal("CR8", blocking, found)?;
        equal("task priority", blocking << 4, register.into())?;
        hold(came, "it did not come", 1, 0)?;
        equal("it came again", before + 1, taken(Source::Processor))?;
        equal("CR8 behind a store", (round & 0x3f) >> 4, stored)?;
    }
    Ok(ROUNDS)
}

/// Writes CR8.
fn set_cr8(value: u64) {
    // SAFETY: it says which interrupts are taken; no compiled code depends on it.
    unsafe { asm!("mov cr8, {}", in(reg) value, options(nostack)) };
}

/// Reads CR8.
fn cr8() -> u64 {
    let value;
    // SAFETY: reading the register has no effect.
    unsafe { asm!("mov {}, cr8", out(reg) value, options(nostack)) };
    value
}

/// Compares an exception with what it should be.
fn expect(caught: Option<Caught>, vector: u64, at: u64) -> Verdict {
    let none = Caught {
        vector: u64::MAX,
        instruction: 0,
        error: 0,
    };
    let caught = caught.unwrap_or(none);
    equal("vector", vector, caught.vector)?;
    equal("instruction", at, caught.instruction)?;
    equal("error code", 0, caught.error)
}

/// Reads a register that no processor has.
fn read_of_no_register() -> Verdict {
    if !facts().is_virtual {
        return Err(Why::Skipped(TCG_HAS_ALL));
    }
    let mut at = 0_u64;
    let caught = catch(2, || {
        // SAFETY: the read is an exception, which is caught.
        unsafe {
            asm!("lea {0}, [rip + 2f]", "2: rdmsr", out(reg) at, in("ecx") NO_REGISTER,
                 out("eax") _, out("edx") _, options(nostack));
        }
    });
    expect(caught, GENERAL_PROTECTION, at)
}

/// Writes a register that no processor has.
fn write_of_no_register() -> Verdict {
    if !facts().is_virtual {
        return Err(Why::Skipped(TCG_HAS_ALL));
    }
    let mut at = 0_u64;
    let caught = catch(2, || {
        // SAFETY: the write is an exception, which is caught.
        unsafe {
            asm!("lea {0}, [rip + 2f]", "2: wrmsr", out(reg) at, in("ecx") NO_REGISTER,
                 in("eax") 0, in("edx") 0, options(nostack));
        }
    });
    expect(caught, GENERAL_PROTECTION, at)
}

/// Writes a priority that there is not.
fn no_priority() -> Verdict {
    if !facts().is_virtual {
        return Err(Why::Skipped("QEMU's processor takes every value"));
    }
    let mut at = 0_u64;
    let caught = catch(4, || {
        // SAFETY: the write is an exception, which is caught.
        unsafe {
            asm!("lea {0}, [rip + 2f]", "2: mov cr8, rcx", out(reg) at, in("rcx") 16,
                 options(nostack));
        }
    });
    expect(caught, GENERAL_PROTECTION, at)?;
    equal("CR8", 0, cr8())
}

/// Executes what is no instruction.
fn no_instruction() -> Verdict {
    let mut at = 0_u64;
    let caught = catch(2, || {
        // SAFETY: it is an exception, which is caught.
        unsafe { asm!("lea {0}, [rip + 2f]", "2: ud2", out(reg) at, options(nostack)) };
    });
    expect(caught, INVALID_OPCODE, at)
}
