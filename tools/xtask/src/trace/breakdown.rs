//! Where the instructions of a piece are: sums by function, and the way through them.

use std::collections::HashMap;
use std::fmt::Write;

use ::trace::record::Instruction;
use anyhow::Result;

use super::image::{Attribution, Place};

/// An instruction with its place.
#[derive(Clone, Debug)]
struct Step {
    image: String,
    place: Place,
}

/// Where a piece's instructions are.
#[derive(Debug)]
pub struct Breakdown {
    steps: Vec<Step>,
    code: Vec<Instruction>,
}

/// A number of instructions, and what they have in common.
pub type Part = (u64, String);

impl Breakdown {
    /// Looks up all instructions of a piece.
    pub fn new(attribution: &Attribution<'_>, piece: impl Iterator<Item = Instruction>) -> Self {
        let mut known: HashMap<Instruction, Step> = HashMap::new();
        let code: Vec<_> = piece.collect();
        let look = |instruction: &Instruction| {
            let (image, place) = attribution.place(instruction);
            let image = image.to_owned();
            Step { image, place }
        };
        let steps = code.iter().map(|instruction| {
            let step = known
                .entry(*instruction)
                .or_insert_with(|| look(instruction));
            step.clone()
        });
        Self {
            steps: steps.collect(),
            code,
        }
    }

    /// Returns the sums by what `name` says of a step, the largest first.
    fn sums(&self, name: impl Fn(&Step) -> String) -> Vec<Part> {
        let mut sums: HashMap<String, u64> = HashMap::new();
        for step in &self.steps {
            *sums.entry(name(step)).or_default() += 1;
        }
        let mut parts: Vec<_> = sums
            .into_iter()
            .map(|(name, count)| (count, name))
            .collect();
        parts.sort_by(|one, other| other.0.cmp(&one.0).then(one.1.cmp(&other.1)));
        parts
    }

    /// Returns the sums by the function that was compiled, others inlined into it.
    pub fn by_function(&self) -> Vec<Part> {
        self.sums(|step| {
            let outermost = step.place.functions.last().map_or("?", String::as_str);
            format!("{}: {outermost}", step.image)
        })
    }

    /// Returns the sums by the function that was written.
    pub fn by_source(&self) -> Vec<Part> {
        self.sums(|step| {
            let innermost = step.place.functions.first().map_or("?", String::as_str);
            format!("{}: {innermost}", step.image)
        })
    }

    /// Returns how the piece goes from function to function: how many instructions it stays in each, and
    /// through which inlined ones it came there.
    pub fn way(&self) -> Vec<Part> {
        let mut way: Vec<Part> = Vec::new();
        for step in &self.steps {
            let chain: Vec<_> = step
                .place
                .functions
                .iter()
                .rev()
                .map(|path| last_two(path))
                .collect();
            let name = format!("{}: {}", step.image, chain.join(" > "));
            match way.last_mut() {
                Some((count, last)) if *last == name => *count += 1,
                _ => way.push((1, name)),
            }
        }
        way
    }

    /// Returns all instructions, a line each.
    pub fn listing(&self) -> Result<String> {
        let mut text = String::new();
        for (step, instruction) in self.steps.iter().zip(&self.code) {
            let bytes: Vec<_> = instruction
                .code()
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect();
            let innermost = step.place.functions.first().map_or("?", String::as_str);
            let Instruction { address, .. } = instruction;
            let bytes = bytes.join(" ");
            let (image, line) = (&step.image, &step.place.line);
            writeln!(
                text,
                "{address:#018x} {bytes:24} {image:12} {innermost}  {line}"
            )?;
        }
        Ok(text)
    }

    /// Returns the whole as text.
    pub fn render(&self, title: &str) -> Result<String> {
        let mut text = format!("{title}: {} instructions\n", self.steps.len());
        let tables = [
            ("by compiled function", self.by_function()),
            ("by function of the source", self.by_source()),
            ("in order", self.way()),
        ];
        for (head, parts) in tables {
            writeln!(text, "\n{head}")?;
            for (count, name) in parts {
                writeln!(text, "{count:8}  {name}")?;
            }
        }
        Ok(text)
    }
}

/// Returns the last two parts of a path: a type and its method.
fn last_two(path: &str) -> &str {
    let ends = path.rmatch_indices("::").map(|(index, _)| index);
    ends.take(2).last().map_or(path, |index| &path[index + 2..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_shortened_to_type_and_method() {
        let of = |text: &str| last_two(text).to_owned();
        assert_eq!(of("kernel::fast::look::find"), "look::find");
        assert_eq!(of("find"), "find");
        assert_eq!(of("look::find"), "find");
    }
}
