//! What code of a kernel is reached from some of its functions, by the relocations in it.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use elf::abi::{SHF_EXECINSTR, SHT_RELA, STT_FUNC};

use super::kernel_code::Image;
use crate::trace::image::short;

/// A function of a kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function<'a> {
    /// Its name, as a person reads it.
    pub name: String,
    /// Where it is.
    pub address: u64,
    /// Its instructions.
    pub code: &'a [u8],
}

impl<'a> Image<'a> {
    /// Returns the functions whose names end with one of `roots`, and all that they refer to, and so
    /// on, but for those whose names end with one of `ends`.
    ///
    /// # Errors
    ///
    /// When no function is a root, or the file is cut or has no relocations to follow.
    pub fn reached(&self, roots: &[&str], ends: &[&str]) -> Result<Vec<Function<'a>>> {
        let functions: BTreeMap<u64, Function<'a>> = self.functions()?;
        let is =
            |name: &str, wanted: &str| name == wanted || name.ends_with(&format!("::{wanted}"));
        let references = self.references()?;
        ensure!(
            !references.is_empty(),
            "no relocations: link with --emit-relocs"
        );
        let start = |function: &&Function| roots.iter().any(|root| is(&function.name, root));
        let mut waiting: Vec<_> = functions.values().filter(start).collect();
        ensure!(!waiting.is_empty(), "no function is one of {roots:?}");
        let mut reached = BTreeMap::new();
        while let Some(function) = waiting.pop() {
            if ends.iter().any(|end| is(&function.name, end))
                || reached.insert(function.address, function.clone()).is_some()
            {
                continue;
            }
            let end = function.address + function.code.len() as u64;
            for (_, target) in references.range(function.address..end) {
                waiting.extend(target.iter().filter_map(|target| functions.get(target)));
            }
        }
        Ok(reached.into_values().collect())
    }

    /// Returns all functions, by their addresses.
    fn functions(&self) -> Result<BTreeMap<u64, Function<'a>>> {
        let mut functions = BTreeMap::new();
        for (symbol, name) in &self.symbols {
            let section = self.sections.get(usize::from(symbol.st_shndx));
            let Some((section, _)) = section.filter(|_| symbol.st_symtype() == STT_FUNC) else {
                continue;
            };
            let start = usize::try_from(symbol.st_value - section.sh_addr)?;
            let length = usize::try_from(symbol.st_size)?;
            let (bytes, _) = self.file.section_data(section)?;
            let code = bytes.get(start..).and_then(|rest| rest.get(..length));
            let function = Function {
                name: short(name),
                address: symbol.st_value,
                code: code.context("a function that is cut")?,
            };
            functions.insert(symbol.st_value, function);
        }
        Ok(functions)
    }

    /// Returns what instructions refer to, by their addresses.
    fn references(&self) -> Result<BTreeMap<u64, Vec<u64>>> {
        let mut references: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        for (header, _) in &self.sections {
            let about = self.sections.get(header.sh_info as usize);
            let is_code =
                about.is_some_and(|(about, _)| about.sh_flags & u64::from(SHF_EXECINSTR) != 0);
            if header.sh_type != SHT_RELA || !is_code {
                continue;
            }
            for relocation in self.file.section_data_as_relas(header)? {
                let target = self.target(&relocation)?;
                references
                    .entry(relocation.r_offset)
                    .or_default()
                    .push(target);
            }
        }
        Ok(references)
    }
}
