//! The third channel of the interval timer (8254), by which guests learn how fast their counter goes.
//!
//! Channels 0 and 1 are nowhere connected: they take what is written and count nothing. Of channel 2
//! the modes differ in nothing that a guest of today looks at: its output rises when the count ends.

/// Counts per second.
const FREQUENCY: u128 = 1_193_182;
/// The data of channel 2.
pub const CHANNEL_2: u16 = 0x42;
/// Control of all channels.
pub const CONTROL: u16 = 0x43;
/// Gate and output of channel 2.
pub const GATE: u16 = 0x61;

/// The timer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pit {
    /// The count as it was written.
    count: u16,
    /// The low byte was written, or read, and the high one is next.
    high_is_next: bool,
    /// Bits 0 and 1 of the gate's port: the gate, and the speaker.
    gate: u8,
    /// Counts before the gate was last opened, or the count was written.
    before: u64,
    /// When that was, if the gate is open.
    since: Option<u64>,
}

impl Pit {
    /// Returns how far it has counted; `time` is the machine's counter, and its ticks per second.
    fn counted(&self, (now, ticks): (u64, u64)) -> u64 {
        let passed = self.since.map_or(0, |since| now.saturating_sub(since));
        let counts = u128::from(passed) * FREQUENCY / u128::from(ticks.max(1));
        self.before.saturating_add(counts as u64)
    }

    /// Returns the count that is written; 0 stands for the most.
    fn whole(&self) -> u64 {
        match self.count {
            0 => 1 << 16,
            count => u64::from(count),
        }
    }

    /// Returns whether the high byte is next, and lets the other one follow.
    const fn flip(&mut self) -> bool {
        self.high_is_next = !self.high_is_next;
        !self.high_is_next
    }

    /// Reads a port.
    pub fn read(&mut self, port: u16, time: (u64, u64)) -> u8 {
        let counted = self.counted(time);
        match port {
            CHANNEL_2 => {
                let left = self.whole().wrapping_sub(counted) as u16;
                let [low, high] = left.to_le_bytes();
                let is_high = self.flip();
                if is_high { high } else { low }
            }
            // Bit 4 moves with every refresh of memory.
            GATE => self.gate | u8::from(counted >= self.whole()) << 5 | (counted as u8 & 1) << 4,
            _ => 0,
        }
    }

    /// Writes a port.
    pub fn write(&mut self, port: u16, value: u8, time: (u64, u64)) {
        match port {
            CONTROL if value >> 6 == 2 => self.high_is_next = false,
            CHANNEL_2 => {
                let [low, high] = self.count.to_le_bytes();
                let is_high = self.flip();
                let bytes = if is_high { [low, value] } else { [value, high] };
                self.count = u16::from_le_bytes(bytes);
                self.before = 0;
                self.since = (self.gate & 1 == 1).then_some(time.0);
            }
            GATE => {
                self.before = self.counted(time);
                self.gate = value & 3;
                self.since = (value & 1 == 1).then_some(time.0);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_output_rises_when_the_count_ends_and_not_while_the_gate_is_shut() {
        const TICKS: u64 = 1_193_182_000;
        let mut pit = Pit::default();
        pit.write(CONTROL, 0xb0, (0, TICKS));
        pit.write(CHANNEL_2, 0x10, (0, TICKS));
        pit.write(CHANNEL_2, 0, (0, TICKS));
        let output = |pit: &mut Pit, now| pit.read(GATE, (now, TICKS)) >> 5 & 1;
        assert_eq!(output(&mut pit, 1_000_000), 0);
        pit.write(GATE, 1, (1_000_000, TICKS));
        assert_eq!(output(&mut pit, 1_015_999), 0);
        assert_eq!(pit.read(CHANNEL_2, (1_004_000, TICKS)), 12);
        assert_eq!(output(&mut pit, 1_016_000), 1);
        pit.write(GATE, 0, (1_008_000, TICKS));
        assert_eq!(output(&mut pit, 9_000_000), 0);
    }
}
