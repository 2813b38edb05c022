//! x86-64 (SDM 2, appendix A, "Opcode Map"; APM 3 for what AMD has alone).

use super::Operation;

/// The displacement of the NOP that is a mark.
const MARK: [u8; 4] = *b"Sker";

/// An instruction without its prefixes.
struct Parts<'a> {
    is_locked: bool,
    /// A prefix that chooses between instructions: 0x66, 0xf2 or 0xf3.
    selector: Option<u8>,
    opcode: &'a [u8],
}

/// Takes the prefixes off.
fn parts(code: &[u8]) -> Parts<'_> {
    let (mut is_locked, mut selector) = (false, None);
    let mut opcode = code;
    while let [first, rest @ ..] = opcode {
        match first {
            0xf0 => is_locked = true,
            0x66 | 0xf2 | 0xf3 => selector = Some(*first),
            0x67 | 0x2e | 0x36 | 0x3e | 0x26 | 0x64 | 0x65 | 0x40..=0x4f => {}
            _ => break,
        }
        opcode = rest;
    }
    Parts {
        is_locked,
        selector,
        opcode,
    }
}

/// Returns what an instruction is.
pub fn operation(code: &[u8]) -> Operation {
    let parts = parts(code);
    if parts.is_locked {
        return Operation::ATOMIC;
    }
    match parts.opcode {
        // XCHG with memory is locked by itself.
        [0x86 | 0x87, modes, ..] if modes >> 6 != 3 => Operation::ATOMIC,
        // STI, and HLT, which waits with interrupts enabled.
        [0xfb | 0xf4, ..] => Operation::ENABLES,
        // CLI, IRET, IN, OUT, INS, OUTS.
        [0xfa | 0xcf | 0xe4..=0xe7 | 0xec..=0xef | 0x6c..=0x6f, ..] => Operation::PRIVILEGED,
        [0x0f, 0x1f, 0x80, rest @ ..] if *rest == MARK => Operation::MARK,
        [0x0f, rest @ ..] => second(rest, parts.selector),
        _ => Operation::PLAIN,
    }
}

/// Returns what an instruction of the second map is.
fn second(opcode: &[u8], selector: Option<u8>) -> Operation {
    match opcode {
        [0x31, ..] => Operation::COUNTER,
        // MOV to CR3; to and from other control and debug registers.
        [0x22, modes, ..] if modes >> 3 & 7 == 3 => Operation::SPACE,
        [0x20..=0x23, ..] => Operation::PRIVILEGED,
        // LLDT, LTR and what else loads: all but SLDT, STR, VERR, VERW.
        [0x00, modes, ..] if matches!(modes >> 3 & 7, 2 | 3) => Operation::PRIVILEGED,
        [0x01, modes, ..] => group_7(*modes),
        // CLTS, SYSRET, INVD, WBINVD, WRMSR, RDMSR.
        [0x06..=0x09 | 0x30 | 0x32, ..] => Operation::PRIVILEGED,
        // VMREAD, VMWRITE; with a prefix they are others.
        [0x78 | 0x79, ..] if selector.is_none() => Operation::PRIVILEGED,
        // VMPTRLD, VMCLEAR, VMXON, VMPTRST.
        [0xc7, modes, ..] if modes >> 6 != 3 && modes >> 3 & 7 >= 6 => Operation::PRIVILEGED,
        // LFENCE, MFENCE, SFENCE.
        [0xae, modes, ..] if *modes >= 0xe8 && selector.is_none() => Operation::FENCE,
        // INVEPT, INVVPID, INVPCID.
        [0x38, 0x80..=0x82, ..] => Operation::FLUSH,
        _ => Operation::PLAIN,
    }
}

/// Returns what an instruction of group 7 is.
fn group_7(modes: u8) -> Operation {
    match modes {
        // VMCALL, XGETBV, VMFUNC, XEND, XTEST, VMMCALL, RDPKRU, WRPKRU, RDTSCP.
        0xc1 | 0xd0 | 0xd4..=0xd6 | 0xd9 | 0xee | 0xef | 0xf9 => Operation::PLAIN,
        // STGI lets interrupts in.
        0xdc => Operation::ENABLES,
        // INVLPGA; INVLPGB, TLBSYNC.
        0xdf | 0xfe | 0xff => Operation::FLUSH,
        _ if modes >> 6 == 3 => Operation::PRIVILEGED,
        // INVLPG.
        _ if modes >> 3 & 7 == 7 => Operation::FLUSH,
        // LGDT, LIDT, LMSW; SGDT and SIDT may be allowed.
        _ if matches!(modes >> 3 & 7, 2 | 3 | 6) => Operation::PRIVILEGED,
        _ => Operation::PLAIN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_are_what_an_assembler_calls_them() {
        // invlpg [rax]; invpcid rax, [rbx]; invlpga
        for code in [
            &[0x0f, 0x01, 0x38][..],
            &[0x66, 0x0f, 0x38, 0x82, 0x03],
            &[0x0f, 0x01, 0xdf],
        ] {
            assert_eq!(operation(code), Operation::FLUSH, "{code:x?}");
        }
        // mov cr3, rax; mov cr3, r8
        assert_eq!(operation(&[0x0f, 0x22, 0xd8]), Operation::SPACE);
        assert_eq!(operation(&[0x41, 0x0f, 0x22, 0xd8]), Operation::SPACE);
        // mov rax, cr3; swapgs; sysretq; iretq; wrmsr; out dx, al; vmrun; ltr ax; cli
        for code in [
            &[0x0f, 0x20, 0xd8][..],
            &[0x0f, 0x01, 0xf8],
            &[0x48, 0x0f, 0x07],
            &[0x48, 0xcf],
            &[0x0f, 0x30],
            &[0xee],
            &[0x0f, 0x01, 0xd8],
            &[0x0f, 0x00, 0xd8],
            &[0xfa],
        ] {
            assert_eq!(operation(code), Operation::PRIVILEGED, "{code:x?}");
        }
        // mfence; lock cmpxchg [rdi], rsi; xchg [rdi], rax
        assert_eq!(operation(&[0x0f, 0xae, 0xf0]), Operation::FENCE);
        let locked = [0xf0, 0x48, 0x0f, 0xb1, 0x37];
        assert_eq!(operation(&locked), Operation::ATOMIC);
        assert_eq!(operation(&[0x48, 0x87, 0x07]), Operation::ATOMIC);
        // xchg rax, rdi; wrgsbase rax; syscall; mov rax, [rdi]
        for code in [
            &[0x48, 0x87, 0xf8][..],
            &[0xf3, 0x48, 0x0f, 0xae, 0xd8],
            &[0x0f, 0x05],
            &[0x48, 0x8b, 0x07],
        ] {
            assert_eq!(operation(code), Operation::PLAIN, "{code:x?}");
        }
        assert_eq!(operation(&[0x0f, 0x31]), Operation::COUNTER);
        let mark = [0x0f, 0x1f, 0x80, b'S', b'k', b'e', b'r'];
        assert_eq!(operation(&mark), Operation::MARK);
    }
}
