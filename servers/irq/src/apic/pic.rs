//! Two 8259s that nothing is connected to: a guest sets them up and masks them.

/// One chip.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Chip {
    mask: u8,
    /// Words of the initialisation that are still to come.
    expected: u8,
    /// The trigger register.
    edges: u8,
}

/// Both chips.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pics([Chip; 2]);

impl Pics {
    /// Returns the chip and what of it is at a port: 0 command, 1 data, 2 triggers.
    fn at(&mut self, port: u64) -> Option<(&mut Chip, u64)> {
        let [first, second] = &mut self.0;
        match port {
            0x20 | 0x21 => Some((first, port & 1)),
            0xa0 | 0xa1 => Some((second, port & 1)),
            0x4d0 => Some((first, 2)),
            0x4d1 => Some((second, 2)),
            _ => None,
        }
    }

    /// Reads a port: nothing is ever requested or in service.
    pub fn read(&mut self, port: u64) -> u8 {
        match self.at(port) {
            Some((chip, 1)) => chip.mask,
            Some((chip, 2)) => chip.edges,
            Some(_) => 0,
            None => 0xff,
        }
    }

    /// Writes a port.
    pub fn write(&mut self, port: u64, value: u8) {
        match self.at(port) {
            Some((chip, 0)) if value & 0x10 != 0 => {
                chip.mask = 0;
                // The second word, the third unless it is single, and the fourth if asked for.
                chip.expected = 1 + u8::from(value & 2 == 0) + (value & 1);
            }
            Some((chip, 1)) if chip.expected > 0 => chip.expected -= 1,
            Some((chip, 1)) => chip.mask = value,
            Some((chip, 2)) => chip.edges = value,
            Some(_) | None => {}
        }
    }
}
