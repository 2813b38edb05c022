//! Sizes of kernel and server images.

use std::fs;

use anyhow::Result;
use manifest::Overrides;

use crate::build::system::{self, Programs};
use crate::guest::catalogue::NoImages;
use crate::machine::Machine;
use crate::workspace::Workspace;

use super::{Report, deps, sources};
use crate::build::kernel_code::{CodeSizes, Image};

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
        let bytes = fs::read(&programs.kernel)?;
        let kernel = Image::parse(&bytes)?;
        let CodeSizes { resident, boot } = kernel.code();
        let limit = Machine::find(compiled.machine.bsp)?.kernel_text_max;
        let line = format!(
            "{shown}: kernel text {resident} of {limit} bytes, and {boot} that are given back"
        );
        if resident > limit {
            &mut report.wrong
        } else {
            &mut report.notes
        }
        .push(line);
        let references = kernel.references_to_boot()?;
        (report.wrong).extend(references.iter().map(|line| format!("{shown}: {line}")));
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
