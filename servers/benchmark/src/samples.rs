//! What a row's rounds took, and its line.

use rt::{log, sys};

/// Rounds of each row.
pub const ROUNDS: usize = 2000;

/// What the rounds of one row took.
#[derive(Debug)]
pub struct Samples {
    cost: u64,
    count: usize,
    taken: [u32; ROUNDS],
}

impl Samples {
    /// Returns no samples; `cost` is what two readings of the counter with nothing between them
    /// are apart, which is taken from each.
    #[must_use]
    pub const fn new(cost: u64) -> Self {
        Self {
            cost,
            count: 0,
            taken: [0; ROUNDS],
        }
    }

    /// Adds what lies between two readings of the counter.
    pub fn add(&mut self, before: u64, after: u64) {
        self.add_instructions(sys::counted_instructions(before, after));
    }

    /// Adds so many instructions, those of counting included.
    pub fn add_instructions(&mut self, count: u64) {
        if let Some(place) = self.taken.get_mut(self.count) {
            let taken = count.wrapping_sub(self.cost);
            *place = u32::try_from(taken).unwrap_or(u32::MAX);
            self.count += 1;
        }
    }

    /// Returns smallest, median and largest.
    #[must_use]
    pub fn spread(&mut self) -> [u64; 3] {
        let taken = &mut self.taken[..self.count];
        taken.sort_unstable();
        [0, taken.len() / 2, taken.len().saturating_sub(1)]
            .map(|index| taken.get(index).map_or(0, |taken| u64::from(*taken)))
    }

    /// Prints the line of the row.
    pub fn print(&mut self, name: &str) {
        let [least, median, most] = self.spread();
        let count = self.count;
        sys::mark();
        log!("bench {name} instructions={median} ({least} to {most}, {count} rounds)");
    }
}

#[cfg(test)]
mod tests {
    use super::Samples;

    #[test]
    fn the_median_is_without_the_cost_of_counting() {
        let mut samples = Samples::new(1);
        for after in [109, 141, 105, 141, 141] {
            samples.add(100, after);
        }
        assert_eq!(samples.spread(), [4, 40, 40]);
    }

    #[test]
    fn no_samples_are_no_panic() {
        assert_eq!(Samples::new(1).spread(), [0; 3]);
    }
}
