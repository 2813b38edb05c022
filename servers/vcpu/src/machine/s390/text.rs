//! Instruction text: what SIE gives of an instruction that it leaves to the host.

/// An operand in storage: a base register and a displacement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Base register; 0 is none.
    pub base: u8,
    /// Displacement.
    pub displacement: i64,
}

/// An instruction (PoP chapters 7, 10 and 14).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instruction {
    /// DIAGNOSE.
    Diagnose {
        /// First register.
        r1: u8,
        /// Second register.
        r3: u8,
        /// Its address is the function code.
        code: Place,
    },
    /// SIGNAL PROCESSOR.
    SignalProcessor {
        /// Gets the status; the parameter is in the odd one of its pair.
        r1: u8,
        /// Has the CPU address.
        r3: u8,
        /// Its address is the order.
        order: Place,
    },
    /// SERVICE CALL.
    ServiceCall {
        /// Has the command.
        r1: u8,
        /// Has the address of the control block.
        r2: u8,
    },
    /// LOAD CONTROL, of 32 bits, or of 64 where `is_long`.
    LoadControl {
        /// First control register.
        r1: u8,
        /// Last one.
        r3: u8,
        /// Where the values are.
        from: Place,
        /// Whether the values have 64 bits.
        is_long: bool,
    },
    /// STORE SYSTEM INFORMATION.
    StoreSystemInformation(Place),
    /// STORE CPU ID.
    StoreCpuId(Place),
    /// STORE CPU ADDRESS.
    StoreCpuAddress(Place),
    /// SET PREFIX.
    SetPrefix(Place),
    /// STORE PREFIX.
    StorePrefix(Place),
    /// SET CLOCK.
    SetClock(Place),
    /// STORE FACILITY LIST.
    StoreFacilityList,
    /// TEST PENDING INTERRUPTION.
    TestPendingInterruption,
    /// Any other instruction of the channel subsystem.
    Channel,
    /// None of them.
    Other,
}

/// Text of an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Text([u8; 6]);

impl Text {
    /// Returns the text in the bits of an exit: its first two bytes are bits 47 to 32.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        let [_, _, a, b, c, d, e, f] = bits.to_be_bytes();
        Self([a, b, c, d, e, f])
    }

    /// Returns the text of an instruction whose first bytes these are.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 6]) -> Self {
        Self(bytes)
    }

    /// Returns the bytes of the instruction (PoP chapter 5, "Instruction Formats").
    #[must_use]
    pub const fn length(self) -> u64 {
        match self.0[0] >> 6 {
            0 => 2,
            1 | 2 => 4,
            _ => 6,
        }
    }

    /// Returns an operand with a displacement of 12 bits.
    const fn short_place(self) -> Place {
        let [_, _, base, low, ..] = self.0;
        Place {
            base: base >> 4,
            displacement: ((base & 15) as i64) << 8 | low as i64,
        }
    }

    /// Returns an operand with a displacement of 20 bits and a sign.
    const fn long_place(self) -> Place {
        let [.., high, _] = self.0;
        let short = self.short_place();
        Place {
            base: short.base,
            displacement: (high as i8 as i64) << 12 | short.displacement,
        }
    }

    /// Returns the instruction.
    #[must_use]
    pub const fn decode(self) -> Instruction {
        let [first, second, _, fourth, _, last] = self.0;
        let (r1, r3) = (second >> 4, second & 15);
        let place = self.short_place();
        match (first, second) {
            (0x83, _) => Instruction::Diagnose {
                r1,
                r3,
                code: place,
            },
            (0xae, _) => Instruction::SignalProcessor {
                r1,
                r3,
                order: place,
            },
            (0xb7, _) => Instruction::LoadControl {
                r1,
                r3,
                from: place,
                is_long: false,
            },
            (0xeb, _) if last == 0x2f => Instruction::LoadControl {
                r1,
                r3,
                from: self.long_place(),
                is_long: true,
            },
            (0xb2, 0x20) => Instruction::ServiceCall {
                r1: fourth >> 4,
                r2: fourth & 15,
            },
            (0xb2, 0x02) => Instruction::StoreCpuId(place),
            (0xb2, 0x04) => Instruction::SetClock(place),
            (0xb2, 0x10) => Instruction::SetPrefix(place),
            (0xb2, 0x11) => Instruction::StorePrefix(place),
            (0xb2, 0x12) => Instruction::StoreCpuAddress(place),
            (0xb2, 0x7d) => Instruction::StoreSystemInformation(place),
            (0xb2, 0xb1) => Instruction::StoreFacilityList,
            (0xb2, 0x36) => Instruction::TestPendingInterruption,
            (0xb2, 0x30..=0x3c | 0x5f | 0x76) => Instruction::Channel,
            _ => Instruction::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Instruction, Place, Text};

    fn decoded(bits: u64) -> Instruction {
        Text::from_bits(bits).decode()
    }

    #[test]
    fn text_is_decoded_as_the_manual_has_it() {
        let place = |base, displacement| Place { base, displacement };
        let cases = [
            (
                0x8324_0500_0000,
                Instruction::Diagnose {
                    r1: 2,
                    r3: 4,
                    code: place(0, 0x500),
                },
            ),
            (
                0xae13_2012_0000,
                Instruction::SignalProcessor {
                    r1: 1,
                    r3: 3,
                    order: place(2, 0x12),
                },
            ),
            (0xb220_0024_0000, Instruction::ServiceCall { r1: 2, r2: 4 }),
            (0xb202_f0a8_0000, Instruction::StoreCpuId(place(15, 0xa8))),
            (0xb210_1000_0000, Instruction::SetPrefix(place(1, 0))),
            (0xb211_1004_0000, Instruction::StorePrefix(place(1, 4))),
            (
                0xb212_1fff_0000,
                Instruction::StoreCpuAddress(place(1, 0xfff)),
            ),
            (0xb204_1000_0000, Instruction::SetClock(place(1, 0))),
            (
                0xb27d_1000_0000,
                Instruction::StoreSystemInformation(place(1, 0)),
            ),
            (0xb2b1_00c8_0000, Instruction::StoreFacilityList),
            (0xb236_0000_0000, Instruction::TestPendingInterruption),
            (0xb233_1000_0000, Instruction::Channel),
            (0xb25f_0010_0000, Instruction::Channel),
            (
                0xb700_1000_0000,
                Instruction::LoadControl {
                    r1: 0,
                    r3: 0,
                    from: place(1, 0),
                    is_long: false,
                },
            ),
            (
                0xeb06_1ff0_ff2f,
                Instruction::LoadControl {
                    r1: 0,
                    r3: 6,
                    from: place(1, -16),
                    is_long: true,
                },
            ),
            (0xb214_0000_0000, Instruction::Other),
            (0, Instruction::Other),
        ];
        for (bits, instruction) in cases {
            assert_eq!(decoded(bits), instruction, "{bits:#x}");
        }
    }

    #[test]
    fn the_first_bits_tell_the_length() {
        let length = |first: u64| Text::from_bits(first << 40).length();
        assert_eq!([0x07, 0x47, 0x83, 0xb2, 0xeb].map(length), [2, 4, 4, 4, 6]);
    }
}
