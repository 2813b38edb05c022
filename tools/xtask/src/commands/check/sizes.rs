//! Sizes of kernel and server images.

use std::fs;

use anyhow::Result;
use manifest::Overrides;

use crate::build::elf;
use crate::build::system::{self, Programs};
use crate::guest::catalogue::NoImages;
use crate::workspace::Workspace;

use super::{Report, deps, sources};

/// The most bytes of code in the kernel: what it has, rounded up, so that growth is seen.
///
/// The goal is 64 KiB. `opt-level = "s"` or `"z"` for all of it saves 5 KB only (measured at
/// 101734), so it has to come from the code: boot (device tree, ISA string, bundle) has 27 KB,
/// formatting and panic messages 13 KB, what is inlined into `act`, `act_locked` and `settle` 26 KB.
const KERNEL_TEXT_MAX: u64 = 104 << 10;

/// Builds every system of the repository, which checks `image_max`, and checks the kernel's code.
pub fn check(workspace: &Workspace) -> Result<Report> {
    let mut report = Report::default();
    for file in deps::manifests(workspace.root())? {
        let shown = sources::relative(workspace.root(), &file);
        let compiled = system::compile(workspace, &file, &Overrides::default(), &mut NoImages)?;
        let absent = system::absent(workspace, &compiled);
        if !absent.is_empty() {
            let absent = absent.join(", ");
            report.absent.push(format!("{shown}: package {absent}"));
            continue;
        }
        let programs = Programs::build(workspace, &compiled)?;
        let text = elf::text_size(&fs::read(&programs.kernel)?)?;
        let line = format!("{shown}: kernel text {text} of {KERNEL_TEXT_MAX} bytes");
        if text > KERNEL_TEXT_MAX {
            &mut report.wrong
        } else {
            &mut report.notes
        }
        .push(line);
        match programs.sizes(&compiled) {
            Ok(sizes) => report.notes.extend(
                sizes
                    .iter()
                    .map(|(package, bytes)| format!("{shown}: {package} {bytes} bytes")),
            ),
            Err(error) => report.wrong.push(format!("{shown}: {error:#}")),
        }
    }
    Ok(report)
}
