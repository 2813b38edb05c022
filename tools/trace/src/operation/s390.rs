//! s390x (PoP, appendix B, "Lists of Instructions"; chapter 10 for what the supervisor has alone).

use super::Operation;

/// Operation codes of one byte that are privileged or semiprivileged: SSM, LPSW, DIAGNOSE, BRANCH AND
/// SET and the like are told apart by their second byte and are below.
const ONE: [u8; 8] = [0x80, 0x82, 0x83, 0xac, 0xad, 0xae, 0xb1, 0xb6];
/// Second bytes of privileged instructions that begin with 0xb2: STIDP, SCK, STCKC, SCKC, SPT, STPT, SPKA,
/// IPK, SPX, STPX, STAP, SIE, PC to IAC, SAC, SERVC, IVSK, ISKE, RRBE, SSKE, TB, SCHM to TSCH, TPI, LURA,
/// STURA, MSTA, SACF, STSI, STFL, LPSWE.
const B2: [u8; 43] = [
    0x02, 0x04, 0x06, 0x07, 0x08, 0x09, 0x0a, 0x0b, 0x10, 0x11, 0x12, 0x14, 0x18, 0x19, 0x20, 0x23,
    0x24, 0x25, 0x29, 0x2a, 0x2b, 0x2c, 0x30, 0x31, 0x32, 0x33, 0x34, 0x35, 0x36, 0x37, 0x38, 0x39,
    0x3a, 0x3b, 0x3c, 0x46, 0x47, 0x4b, 0x79, 0x7d, 0xb1, 0xb2, 0x5f,
];
/// PTLB, IPTE, ... that begin with 0xb2.
const B2_FLUSH: [u8; 2] = [0x0d, 0x21];
/// CSP, which stores and flushes.
const COMPARE_AND_PURGE: u8 = 0x50;
/// Second bytes of privileged instructions that begin with 0xb9: LURAG, EPAIR, ESAIR, STURG, ESSA, PFMF,
/// PTF, SSAIR, LASP's.
const B9: [u8; 9] = [0x05, 0x9a, 0x9b, 0x25, 0xab, 0xaf, 0xa2, 0x9f, 0xaa];
/// IDTE, CRDTE.
const B9_FLUSH: [u8; 2] = [0x8e, 0x8f];
/// CSPG.
const B9_COMPARE_AND_PURGE: u8 = 0x8a;
/// Last bytes of atomic instructions that begin with 0xeb: CSY, CSG, CDSY, CDSG, LAN, LAO, LAX, LAA, LAAL
/// in both sizes.
const EB_ATOMIC: [u8; 14] = [
    0x14, 0x30, 0x31, 0x3e, 0xf4, 0xf6, 0xf7, 0xf8, 0xfa, 0xe4, 0xe6, 0xe7, 0xe8, 0xea,
];
/// The same of NIY, OIY, XIY, ASI, ALSI, AGSI, ALGSI, which are atomic on a processor with interlocked
/// access: a compiler also counts with them in a word of its stack, which nobody else has.
const EB_INTERLOCKED: [u8; 7] = [0x54, 0x56, 0x57, 0x6a, 0x6e, 0x7a, 0x7e];
/// The register that the stack is named by (s390x ELF ABI, "Register Roles").
const STACK: u8 = 15;
/// The control registers with spaces: primary, secondary, home.
const SPACES: [u8; 3] = [1, 7, 13];
/// `bc 0, 92`
const MARK: [u8; 4] = [0x47, 0, 0, 92];

/// Returns what an instruction is.
pub fn operation(code: &[u8]) -> Operation {
    match code {
        _ if *code == MARK => Operation::MARK,
        // BCR 15,0 and BCR 14,0 serialize.
        [0x07, 0xf0 | 0xe0] => Operation::FENCE,
        [0xb2, 0x7c, ..] => Operation::COUNTER,
        [0xb2, second, ..] if B2_FLUSH.contains(second) => Operation::FLUSH,
        [0xb9, second, ..] if B9_FLUSH.contains(second) => Operation::FLUSH,
        [0xb2, COMPARE_AND_PURGE, ..] | [0xb9, B9_COMPARE_AND_PURGE, ..] => Operation {
            is_atomic: true,
            ..Operation::FLUSH
        },
        [0xb2, second, ..] if B2.contains(second) => Operation::PRIVILEGED,
        [0xb9, second, ..] if B9.contains(second) => Operation::PRIVILEGED,
        // LCTL, LCTLG.
        [0xb7, registers, ..] => load_control(*registers),
        [0xeb, registers, _, _, _, 0x2f] => load_control(*registers),
        // STCTG, LPSWEY, SIY's.
        [0xeb, _, _, _, _, 0x25 | 0x71 | 0x8a] => Operation::PRIVILEGED,
        [0xeb, _, _, _, _, last] if EB_ATOMIC.contains(last) => Operation::ATOMIC,
        [0xeb, _, base, _, _, last] if EB_INTERLOCKED.contains(last) => interlocked(*base),
        // LRAG, LRAY; TPROT, STRAG, LASP; MVCP, MVCS, MVCK.
        [0xe3, _, _, _, _, 0x03 | 0x13] => Operation::PRIVILEGED,
        [0xe5, 0x00..=0x02, ..] | [0xd9..=0xdb, ..] => Operation::PRIVILEGED,
        // CSST.
        [0xc8, second, ..] if second & 15 == 2 => Operation::ATOMIC,
        // CS, CDS, TS, PLO.
        [0xba | 0xbb | 0x93 | 0xee, ..] => Operation::ATOMIC,
        // NI, OI, XI.
        [0x94 | 0x96 | 0x97, _, base, ..] => interlocked(*base),
        // STOSM may set the masks.
        [0xad, ..] => Operation::ENABLES,
        [first, ..] if ONE.contains(first) => Operation::PRIVILEGED,
        _ => Operation::PLAIN,
    }
}

/// Returns what an interlocked update is, by the byte that begins with its base register.
fn interlocked(base: u8) -> Operation {
    if base >> 4 == STACK {
        Operation::PLAIN
    } else {
        Operation::ATOMIC
    }
}

/// Returns what loading a range of control registers is.
fn load_control(registers: u8) -> Operation {
    let (first, last) = (registers >> 4, registers & 15);
    let is_loaded = |register: &u8| {
        let distance = |to: u8| to.wrapping_sub(first) & 15;
        distance(*register) <= distance(last)
    };
    if SPACES.iter().any(is_loaded) {
        Operation::SPACE
    } else {
        Operation::PRIVILEGED
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_compiler_counts_on_its_stack_is_not_atomic() {
        // agsi 184(%r15),-6; oi 8(%r15),1
        for code in [&[0xeb, 0xfa, 0xf0, 0xb8, 0, 0x7a][..], &[0x96, 1, 0xf0, 8]] {
            assert_eq!(operation(code), Operation::PLAIN, "{code:x?}");
        }
        // agsi 8(%r1),1; csg %r1,%r2,8(%r15)
        for code in [[0xeb, 1, 0x10, 8, 0, 0x7a], [0xeb, 0x12, 0xf0, 8, 0, 0x30]] {
            assert_eq!(operation(&code), Operation::ATOMIC, "{code:x?}");
        }
    }

    #[test]
    fn instructions_are_what_an_assembler_calls_them() {
        // ptlb; ipte %r1,%r2; idte %r1,%r2,%r3
        for code in [
            [0xb2, 0x0d, 0, 0],
            [0xb2, 0x21, 0, 0x12],
            [0xb9, 0x8e, 0x20, 0x13],
        ] {
            assert_eq!(operation(&code), Operation::FLUSH, "{code:x?}");
        }
        // lctlg %c1,%c1,0(%r2); lctlg %c0,%c15,0(%r2); lctlg %c13,%c13,0(%r2)
        for registers in [0x11, 0x0f, 0xdd, 0xf1] {
            let code = [0xeb, registers, 0x20, 0, 0, 0x2f];
            assert_eq!(operation(&code), Operation::SPACE, "{code:x?}");
        }
        // lctlg %c0,%c0,0(%r2); lpswe 0(%r2); stctg %c1,%c1,0(%r2); sckc 0(%r2); sacf 0
        for code in [
            &[0xeb, 0x00, 0x20, 0, 0, 0x2f][..],
            &[0xb2, 0xb2, 0x20, 0],
            &[0xeb, 0x11, 0x20, 0, 0, 0x25],
            &[0xb2, 0x06, 0x20, 0],
            &[0xb2, 0x79, 0, 0],
        ] {
            assert_eq!(operation(code), Operation::PRIVILEGED, "{code:x?}");
        }
        // csg %r1,%r2,0(%r3); cs %r1,%r2,0(%r3); laag %r1,%r2,0(%r3); agsi 0(%r1),1
        for code in [
            &[0xeb, 0x12, 0x30, 0, 0, 0x30][..],
            &[0xba, 0x12, 0x30, 0],
            &[0xeb, 0x12, 0x30, 0, 0, 0xe8],
            &[0xeb, 0x01, 0x10, 0, 0, 0x7a],
        ] {
            assert_eq!(operation(code), Operation::ATOMIC, "{code:x?}");
        }
        // bcr 15,0; bcr 14,0; stckf 0(%r15)
        assert_eq!(operation(&[0x07, 0xf0]), Operation::FENCE);
        assert_eq!(operation(&[0x07, 0xe0]), Operation::FENCE);
        assert_eq!(operation(&[0xb2, 0x7c, 0xf0, 0]), Operation::COUNTER);
        // br %r14; svc 0; lg %r4,0
        for code in [&[0x07, 0xfe][..], &[0x0a, 0], &[0xe3, 0x40, 0, 0, 0, 4]] {
            assert_eq!(operation(code), Operation::PLAIN, "{code:x?}");
        }
        assert_eq!(operation(&MARK), Operation::MARK);
    }
}
