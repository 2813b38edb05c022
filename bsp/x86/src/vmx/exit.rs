//! Between a guest's entries: the event that is injected, and what an exit was.

use super::structure::{State, change, note, read, write};
use crate::guest::{self, INTERRUPT, NON_MASKABLE, TIMER, VALID, X86Guest};
use abi::exit::RouteKey;
use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering};
use kernel::arch::{Access, Exit};
use x86_regs::Cr0;
use x86_regs::one_reg::Register;
use x86_regs::vmcs::{
    self, BLOCKED_BY_MOV_SS, BLOCKED_BY_NMI, BLOCKED_BY_STI, ControlAccess, Event, Field, Reason,
    Violation, exit, kind,
};

/// Writes the event that is injected, and what changed of the interruptibility.
pub fn prepare_events(state: &State) {
    let changes = state.changes.replace(0);
    let event = state.event.get();
    if event & VALID != 0 || changes & change::STALE_EVENT != 0 {
        let protected = Cr0::from_bits(read(Field::GUEST_CR0)).protection();
        let length = state.event_length.get();
        let injected = Event::from_bits(event as u32).injected(protected, length);
        write(Field::ENTRY_ERROR, event >> 32);
        write(Field::ENTRY_LENGTH, length);
        write(Field::ENTRY_EVENT, u64::from(injected.into_bits()));
    }
    if changes & !change::STALE_EVENT == 0 {
        return;
    }
    let mut blocked = read(Field::INTERRUPTIBILITY);
    if changes & change::SHADOW_OVER != 0 {
        blocked &= !(BLOCKED_BY_STI | BLOCKED_BY_MOV_SS);
    }
    if changes & change::NMI_AGAIN != 0 {
        blocked &= !BLOCKED_BY_NMI;
    }
    if changes & change::NMI_LASTS != 0 {
        blocked |= BLOCKED_BY_NMI;
    }
    write(Field::INTERRUPTIBILITY, blocked);
}

/// Returns what the exit of a guest was.
pub fn left(guest: &X86Guest, registers: &[AtomicU64; 16]) -> Option<Exit> {
    let reason = Reason::from_bits(read(Field::EXIT_REASON) as u32);
    let qualification = read(Field::QUALIFICATION);
    let own = Event::from_bits(read(Field::EXIT_EVENT) as u32);
    let details = [
        u64::from(reason.into_bits()),
        qualification,
        u64::from(own.into_bits()),
    ];
    if reason.entry_failed() {
        note(guest, change::STALE_EVENT);
        let [reason, ..] = details;
        let details = [u64::MAX, reason, qualification];
        return Some(Exit::Other { details });
    }
    let is_delivered = keep_event(guest);
    // Instructions are named by their bytes, the first the least significant.
    let instruction = |bits| Some(Exit::Instruction { bits });
    match reason.basic() {
        exit::EXCEPTION => exception(guest, own, is_delivered, details),
        exit::INTERRUPT | exit::INIT | exit::TIMER => None,
        exit::INTERRUPT_WINDOW => Some(Exit::Window {
            lines: guest.lines.get() & (INTERRUPT | TIMER),
        }),
        exit::NMI_WINDOW => Some(Exit::Window {
            lines: NON_MASKABLE,
        }),
        exit::HLT => {
            guest.skip(read(Field::EXIT_LENGTH));
            let blocked = read(Field::INTERRUPTIBILITY) & BLOCKED_BY_NMI;
            guest.is_masked.set(blocked);
            Some(Exit::Idle)
        }
        exit::VMCALL => {
            guest.skip(read(Field::EXIT_LENGTH));
            Some(Exit::Hypercall)
        }
        exit::CPUID => instruction(0xa20f),
        exit::INVD => instruction(0x080f),
        exit::WBINVD => instruction(0x090f),
        exit::XSETBV => instruction(0xd1_010f),
        exit::READ_REGISTER => instruction(0x320f),
        exit::WRITE_REGISTER => instruction(0x300f),
        exit::CONTROL_REGISTER => {
            let access = ControlAccess::from_bits(qualification);
            if access.number() == 8 && access.kind() == TO {
                // The priority is the interrupt controller's.
                return Some(other(exit::CONTROL_REGISTER, details));
            }
            control_register(guest, access, registers);
            None
        }
        exit::PORT => {
            let first = vmcs::Port::from_bits(qualification).described();
            Some(guest.port_exit(first, read(Field::EXIT_LENGTH)))
        }
        exit::EPT_VIOLATION => Some(violation(guest, qualification, is_delivered)),
        _ => Some(other(reason.basic(), details)),
    }
}

/// Returns an exit of no class of its own: with SVM's code and the processor's own reason, or with
/// that reason and [`VALID`] where SVM has no such exit.
fn other(basic: u16, [reason, qualification, event]: [u64; 3]) -> Exit {
    let code = exit::other(basic, qualification, Event::from_bits(event as u32));
    let details = [code.unwrap_or(VALID | reason), qualification, event];
    Exit::Other { details }
}

/// The kind of an access to a control register that is a MOV to it.
const TO: u8 = 0;

/// Makes an access to a control register of which some bits are not the guest's.
fn control_register(guest: &X86Guest, access: ControlAccess, registers: &[AtomicU64; 16]) {
    const STACK_POINTER: u8 = 4;
    let word = &registers[usize::from(access.register())];
    let value = match access.register() {
        STACK_POINTER => read(Field::GUEST_RSP),
        _ => word.load(Ordering::Relaxed),
    };
    match (access.number(), access.kind()) {
        // The instruction is made again: with what it sets in the shadow, it no longer leaves the
        // guest, and the processor makes it with all that goes with it.
        // Outside of 64-bit mode the upper half is none of the value.
        (0, TO) if guest::is_good(Register::Cr0, value & 0xffff_ffff) => {
            write(Field::CR0_SHADOW, value & 0xffff_ffff);
        }
        (8, _) => {
            match access.register() {
                STACK_POINTER => write(Field::GUEST_RSP, guest.vmx.priority.get()),
                _ => word.store(guest.vmx.priority.get(), Ordering::Relaxed),
            }
            guest.skip(read(Field::EXIT_LENGTH));
        }
        // #GP with an error code of 0.
        _ => guest.vmx.event.set(VALID | 1 << 11 | 3 << 8 | 13),
    }
}

/// Keeps the event that was being delivered, to be injected again; returns whether there was none.
fn keep_event(guest: &X86Guest) -> bool {
    let state = &guest.vmx;
    let event = Event::from_bits(read(Field::VECTORING_EVENT) as u32);
    if !event.valid() {
        state.event.set(0);
        return true;
    }
    let error = if event.has_error() {
        read(Field::VECTORING_ERROR)
    } else {
        0
    };
    let kept = event.with_unblocked_nmi(false).into_bits();
    state.event.set(error << 32 | u64::from(kept));
    state.event_length.set(read(Field::EXIT_LENGTH));
    if event.kind() == kind::NMI {
        note(guest, change::NMI_AGAIN);
    }
    false
}

/// Returns the exit of an exception; a non-maskable interrupt is the host's.
fn exception(
    guest: &X86Guest,
    event: Event,
    is_delivered: bool,
    details: [u64; 3],
) -> Option<Exit> {
    if event.kind() == kind::NMI {
        // SAFETY: the gate of vector 2 is there, and its handler returns with every register as it
        // was. Its IRET lets the next one come.
        unsafe { asm!("int 2") };
        return None;
    }
    if event.unblocked_nmi() && is_delivered {
        note(guest, change::NMI_LASTS);
    }
    Some(other(exit::EXCEPTION, details))
}

/// Returns the exit of an access that the guest's tables do not allow.
fn violation(guest: &X86Guest, qualification: u64, is_delivered: bool) -> Exit {
    let violation = Violation::from_bits(qualification);
    if violation.unblocked_nmi() && is_delivered {
        note(guest, change::NMI_LASTS);
    }
    let virtual_address = if violation.has_linear() {
        read(Field::LINEAR_ADDRESS)
    } else {
        0
    };
    Exit::Access(Access {
        key: RouteKey::Device,
        address: read(Field::GUEST_PHYSICAL),
        virtual_address,
        cause: violation.page_fault(),
        description: 0,
    })
}
