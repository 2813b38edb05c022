//! Guests, and the processes that are made for each.

use std::collections::BTreeSet;
use std::path::PathBuf;

use toml::Spanned;

use crate::compiled::{Guest, GuestDevice, GuestImage, GuestIndex, ProcessIndex};
use crate::refusal::{Place, Problem, Reason};
use crate::source::{GuestDeviceSource, GuestSource, ProcessSource, SystemSource, in_order};

use super::facts::{Facts, LARGE_PAGE, spanned, whole};
use super::images::{Images, KernelImage};
use super::processes::{Draft, Identity, draft, sbi_call, sbi_touch};
use super::{BundleFile, GuestOverrides, devices, option, process_index};

/// A guest's name with its place in the file.
type Name<'a> = &'a Spanned<String>;

/// Makes the guests of a manifest.
pub(super) struct Guests<'a, 'b> {
    /// The manifest.
    pub(super) source: &'a SystemSource,
    /// What the command line changes in the first guest.
    pub(super) overrides: &'b GuestOverrides,
    /// The machine.
    pub(super) facts: &'b Facts,
    /// Where images come from.
    pub(super) images: &'b mut dyn Images,
    /// All processes so far.
    pub(super) drafts: &'b mut Vec<Draft<'a>>,
    /// All files so far.
    pub(super) files: &'b mut Vec<BundleFile>,
}

impl<'a> Guests<'a, '_> {
    /// Returns all guests, with the place that gives each its memory.
    pub(super) fn all(&mut self) -> Result<Vec<(Place, Guest)>, Problem> {
        let rows = in_order(&self.source.guest);
        if rows.is_empty() && *self.overrides != GuestOverrides::default() {
            let place = option("--guest, --initrd, --append, --memory, --vcpus or --reboots");
            return Err(Reason::NoGuest.at_place(place));
        }
        let none = GuestOverrides::default();
        let overrides = self.overrides;
        (0_u16..)
            .zip(rows)
            .map(|(index, (name, guest))| {
                let overrides = if index == 0 { overrides } else { &none };
                self.guest(GuestIndex(index), name, guest, overrides)
            })
            .collect()
    }

    /// Returns one guest.
    fn guest(
        &mut self,
        index: GuestIndex,
        name: Name<'_>,
        source: &'a GuestSource,
        overrides: &GuestOverrides,
    ) -> Result<(Place, Guest), Problem> {
        let cores = self.cores(name, source, overrides)?;
        let place = match overrides.memory {
            Some(_) => option("--memory"),
            None => Place::Span(source.memory.span()),
        };
        let memory = match overrides.memory {
            Some(size) => whole("memory of a guest", size, LARGE_PAGE, option("--memory"))?,
            None => spanned("memory of a guest", &source.memory, LARGE_PAGE)?,
        };
        let (vcpu, irq) = self.servers(index, name, source, &cores)?;
        let devices = self.devices(index, name, source, &cores)?;
        devices::check_guest(source, memory, self.facts.machine)?;
        let boot = self.boot(source, overrides)?;
        let quota = match &source.quota {
            Some(size) => spanned("quota of a guest", size, LARGE_PAGE)?,
            None => memory,
        };
        let guest = Guest {
            name: name.get_ref().clone(),
            memory: memory.bytes(),
            memory_base: self.facts.machine.guest_memory_base,
            cores,
            kernel: boot.kernel,
            initrd: boot.initrd,
            append: boot.append,
            vcpu,
            irq,
            devices,
            population: overrides.population.unwrap_or(source.population),
            reboots: overrides.reboots.or(source.reboots),
            quota: quota.bytes(),
        };
        Ok((place, guest))
    }

    /// Returns the core of each vCPU.
    fn cores(
        &self,
        name: Name<'_>,
        source: &GuestSource,
        overrides: &GuestOverrides,
    ) -> Result<Vec<u16>, Problem> {
        if let Some(vcpus) = overrides.vcpus {
            if vcpus == 0 {
                return Err(Reason::NoCores(name.get_ref().clone()).at_place(option("--vcpus")));
            }
            return Ok((0..vcpus).map(|vcpu| vcpu % self.facts.cores).collect());
        }
        if source.cores.is_empty() {
            return Err(Reason::NoCores(name.get_ref().clone()).at(name.span()));
        }
        source
            .cores
            .iter()
            .map(|core| self.facts.core(*core.get_ref(), core.span()))
            .collect()
    }

    /// Makes the processes of the guest's servers; returns its vcpu and its irq server.
    fn servers(
        &mut self,
        index: GuestIndex,
        name: Name<'_>,
        source: &'a GuestSource,
        cores: &[u16],
    ) -> Result<(ProcessIndex, ProcessIndex), Problem> {
        let mut seen = BTreeSet::new();
        for server in source.servers.get_ref() {
            if !seen.insert(server.get_ref()) {
                return Err(Reason::DuplicateName(server.get_ref().clone()).at(server.span()));
            }
            let identity = identity(name, server.get_ref(), index, server);
            let process = self.instantiate(identity, server, cores)?;
            let draft = &mut self.drafts[usize::from(process.0)].process;
            if draft.image == "vcpu" {
                draft.panic_on_sbi = source.panic_on_sbi.map(sbi_call).or(draft.panic_on_sbi);
                draft.touch_on_sbi = source.touch_on_sbi.map(sbi_touch);
            }
        }
        let vcpu = self.only(index, name, "vcpu", source)?;
        Ok((vcpu, self.only(index, name, "irq", source)?))
    }

    /// Returns the only process of the guest that is of `package`.
    fn only(
        &self,
        index: GuestIndex,
        name: Name<'_>,
        package: &'static str,
        source: &GuestSource,
    ) -> Result<ProcessIndex, Problem> {
        let is_it = |draft: &Draft<'_>| {
            draft.process.guest == Some(index) && draft.process.image == package
        };
        let found = self.drafts.iter().filter(|draft| is_it(draft)).count();
        match self.drafts.iter().position(is_it) {
            Some(position) if found == 1 => Ok(process_index(position)),
            _ => {
                let guest = name.get_ref().clone();
                Err(Reason::ServerCount {
                    guest,
                    package,
                    found,
                }
                .at(source.servers.span()))
            }
        }
    }

    /// Makes the processes of the guest's devices, one each.
    fn devices(
        &mut self,
        index: GuestIndex,
        name: Name<'_>,
        source: &'a GuestSource,
        cores: &[u16],
    ) -> Result<Vec<GuestDevice>, Problem> {
        in_order(&source.devices)
            .into_iter()
            .map(|(device_name, device)| {
                let span = device.span();
                let device: &GuestDeviceSource = device.get_ref();
                let identity = identity(name, device_name.get_ref(), index, device_name);
                let process = self.instantiate(identity, &device.server, cores)?;
                let machine = self.facts.machine;
                let (space, base) = devices::place(device.base, device.port, machine, span)?;
                Ok(GuestDevice {
                    name: device_name.get_ref().clone(),
                    model: self.drafts[usize::from(process.0)].process.image.clone(),
                    base,
                    size: device.size.unwrap_or(devices::DEFAULT_DEVICE_SIZE),
                    irq: device.irq,
                    process,
                    space,
                })
            })
            .collect()
    }

    /// Makes one process of a template.
    fn instantiate(
        &mut self,
        identity: Identity,
        template: &Spanned<String>,
        cores: &[u16],
    ) -> Result<ProcessIndex, Problem> {
        let unknown = || Reason::UnknownTemplate(template.get_ref().clone()).at(template.span());
        let source: &'a ProcessSource = self
            .source
            .template
            .get(template.get_ref().as_str())
            .ok_or_else(unknown)?;
        if let Some(device) = &source.device {
            return Err(Reason::DeviceInTemplate.at(device.span()));
        }
        let mut made = draft(identity, source, self.facts)?;
        if !made.cores_are_given {
            made.process.cores = cores.to_vec();
            made.process.cores.sort_unstable();
            made.process.cores.dedup();
            made.cores_are_given = true;
        }
        self.drafts.push(made);
        Ok(process_index(self.drafts.len() - 1))
    }

    /// Returns what the guest boots.
    fn boot(&mut self, source: &GuestSource, overrides: &GuestOverrides) -> Result<Boot, Problem> {
        let (reference, place) = match &overrides.kernel {
            Some(kernel) => (kernel.as_str(), option("--guest")),
            None => (
                source.kernel.get_ref().as_str(),
                Place::Span(source.kernel.span()),
            ),
        };
        let machine = self.facts.machine;
        let kernel = self
            .images
            .kernel(reference, machine)
            .map_err(|line| Reason::BadImage(line).at_place(place))?;
        let initrd = self.initrd(source, overrides, &kernel)?;
        // The manifest's line was written for the manifest's kernel.
        let own = overrides.kernel.is_none().then_some(source.append.as_str());
        let words: Vec<_> = own.into_iter().chain(overrides.append.as_deref()).collect();
        let image = GuestImage {
            image: self.file("kernel", kernel.file),
            load: kernel.load,
            entry_point: kernel.entry_point,
            memory_size: kernel.memory_size,
        };
        let append = words.join(" ").trim().to_owned();
        Ok(Boot {
            kernel: image,
            initrd: initrd.map(|file| self.file("initrd", file)),
            append,
        })
    }

    /// Returns the guest's initial file system.
    fn initrd(
        &mut self,
        source: &GuestSource,
        overrides: &GuestOverrides,
        kernel: &KernelImage,
    ) -> Result<Option<PathBuf>, Problem> {
        let (reference, place) = match (&overrides.initrd, &source.initrd) {
            (Some(initrd), _) => (initrd.as_str(), option("--initrd")),
            (None, Some(initrd)) if overrides.kernel.is_none() => {
                (initrd.get_ref().as_str(), Place::Span(initrd.span()))
            }
            _ => return Ok(kernel.initrd.clone().map(|initrd| initrd.file)),
        };
        let initrd = self.images.initrd(reference);
        let initrd = initrd.map_err(|line| Reason::BadImage(line).at_place(place))?;
        Ok(Some(initrd.file))
    }

    /// Returns the bundle entry of `file`, which is in the bundle only once.
    fn file(&mut self, kind: &str, file: PathBuf) -> String {
        if let Some(known) = self.files.iter().find(|known| known.file == file) {
            return known.entry.clone();
        }
        let same = self
            .files
            .iter()
            .filter(|known| known.entry.starts_with(kind))
            .count();
        let entry = format!("{kind}-{same}");
        self.files.push(BundleFile {
            entry: entry.clone(),
            file,
        });
        entry
    }
}

/// What a guest boots.
struct Boot {
    kernel: GuestImage,
    initrd: Option<String>,
    append: String,
}

/// Returns who the process `role` of a guest is.
fn identity(guest: Name<'_>, role: &str, index: GuestIndex, at: &Spanned<String>) -> Identity {
    let name = format!("{}.{role}", guest.get_ref());
    Identity {
        name,
        role: role.to_owned(),
        guest: Some(index),
        place: Place::Span(at.span()),
    }
}
