//! RISC-V (Unprivileged ISA, chapter "RV32/64G Instruction Set Listings"; Privileged ISA, chapters
//! "RISC-V Privileged Instruction Set Listings" and "Control and Status Registers").

use super::Operation;

/// Registers of a space: `satp`, `hgatp`, `vsatp`.
const SPACES: [u32; 3] = [0x180, 0x680, 0x280];
/// The status register that has the interrupt enable, as the supervisor sees it.
const STATUS: u32 = 0x100;
/// The retired instructions.
const RETIRED: u32 = 0xc02;
/// `slti zero, zero, 92`, a hint for nobody's hardware.
const MARK: u32 = 0x05c0_2013;
const WAIT_FOR_INTERRUPT: u32 = 0x1050_0073;

/// Returns what an instruction is.
pub fn operation(code: &[u8]) -> Operation {
    // Compressed instructions are none of these.
    let Ok(bytes) = <[u8; 4]>::try_from(code) else {
        return Operation::PLAIN;
    };
    let word = u32::from_le_bytes(bytes);
    match word & 0x7f {
        _ if word == MARK => Operation::MARK,
        0x0f if matches!(word >> 12 & 7, 0 | 1) => Operation::FENCE,
        0x2f => Operation::ATOMIC,
        0x73 => system(word),
        _ => Operation::PLAIN,
    }
}

/// Returns what an instruction of the opcode SYSTEM is.
fn system(word: u32) -> Operation {
    match word >> 12 & 7 {
        0 => environment(word),
        // Loads and stores of guests' memory.
        4 => Operation::PRIVILEGED,
        function => register(word, function),
    }
}

/// Returns what an instruction that has a number in place of a register is.
fn environment(word: u32) -> Operation {
    match word >> 25 {
        // ECALL and EBREAK.
        0 if word >> 20 <= 1 => Operation::PLAIN,
        // SFENCE.VMA, SINVAL.VMA, HFENCE.VVMA, HINVAL.VVMA, HFENCE.GVMA, HINVAL.GVMA; and what stands
        // around SINVAL, SFENCE.W.INVAL and SFENCE.INVAL.IR.
        0x09 | 0x0b | 0x11 | 0x13 | 0x31 | 0x33 | 0x0c => Operation::FLUSH,
        _ if word == WAIT_FOR_INTERRUPT => Operation::ENABLES,
        _ => Operation::PRIVILEGED,
    }
}

/// Returns what an access to a control and status register is.
fn register(word: u32, function: u32) -> Operation {
    let (number, source) = (word >> 20, word >> 15 & 31);
    // Setting and clearing no bits writes nothing.
    let writes = matches!(function, 1 | 5) || source != 0;
    if number == RETIRED {
        return Operation::COUNTER;
    }
    if number >> 8 & 3 == 0 {
        return Operation::PLAIN;
    }
    if writes && SPACES.contains(&number) {
        return Operation::SPACE;
    }
    // CSRSI of bit 1 enables interrupts.
    if number == STATUS && function == 6 && source & 2 != 0 {
        return Operation::ENABLES;
    }
    Operation::PRIVILEGED
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns what a word is.
    fn of(word: u32) -> Operation {
        operation(&word.to_le_bytes())
    }

    #[test]
    fn instructions_are_what_an_assembler_calls_them() {
        // sfence.vma; sfence.vma a0, a1; hfence.gvma; sinval.vma a0, a1
        for word in [0x1200_0073, 0x12b5_0073, 0x6200_0073, 0x16b5_0073] {
            assert_eq!(of(word), Operation::FLUSH, "{word:#x}");
        }
        // csrw satp, t0; csrw hgatp, t0
        assert_eq!(of(0x1802_9073), Operation::SPACE);
        assert_eq!(of(0x6802_9073), Operation::SPACE);
        // csrr a0, satp; csrr a0, scause; sret; csrw sscratch, sp
        for word in [0x1800_2573, 0x1420_2573, 0x1020_0073, 0x1401_1073] {
            assert_eq!(of(word), Operation::PRIVILEGED, "{word:#x}");
        }
        // fence rw, rw; fence.i
        assert_eq!(of(0x0330_000f), Operation::FENCE);
        assert_eq!(of(0x0000_100f), Operation::FENCE);
        // lr.d a0, (a1); amoadd.w a0, a1, (a2)
        assert_eq!(of(0x1005_b52f), Operation::ATOMIC);
        assert_eq!(of(0x00b6_252f), Operation::ATOMIC);
        // rdinstret a0; rdtime a0; ecall; add a0, a1, a2
        assert_eq!(of(0xc020_2573), Operation::COUNTER);
        for word in [0xc010_2573, 0x0000_0073, 0x00c5_8533] {
            assert_eq!(of(word), Operation::PLAIN, "{word:#x}");
        }
        // wfi; csrsi sstatus, 2
        assert_eq!(of(0x1050_0073), Operation::ENABLES);
        assert_eq!(of(0x1001_6073), Operation::ENABLES);
        assert_eq!(of(MARK), Operation::MARK);
        // c.nop
        assert_eq!(operation(&[1, 0]), Operation::PLAIN);
    }
}
