//! Every name is well-formed and stands for one thing.

use std::collections::BTreeSet;

use toml::Spanned;

use crate::refusal::{MAX_NAME, Problem, Reason};
use crate::source::{SystemSource, in_order};

/// Checks all names of the manifest.
pub(super) fn check(source: &SystemSource) -> Result<(), Problem> {
    let servers = in_order(&source.server).into_iter().map(|(name, _)| name);
    let templates = in_order(&source.template).into_iter().map(|(name, _)| name);
    let guests = in_order(&source.guest).into_iter().map(|(name, _)| name);
    let mut all: Vec<_> = servers.chain(templates).chain(guests).collect();
    all.sort_by_key(|name| name.span().start);
    let mut seen = BTreeSet::new();
    for name in all {
        well_formed(name)?;
        if !seen.insert(name.get_ref()) {
            return Err(Reason::DuplicateName(name.get_ref().clone()).at(name.span()));
        }
    }
    check_parts(source)
}

/// Checks the names of packages, devices and peers.
fn check_parts(source: &SystemSource) -> Result<(), Problem> {
    for process in source.server.values().chain(source.template.values()) {
        well_formed(&process.package)?;
        process.uses.keys().try_for_each(well_formed)?;
    }
    for guest in source.guest.values() {
        guest.devices.keys().try_for_each(well_formed)?;
        for device in guest.devices.keys() {
            if guest
                .servers
                .get_ref()
                .iter()
                .any(|server| server.get_ref() == device.get_ref())
            {
                return Err(Reason::DuplicateName(device.get_ref().clone()).at(device.span()));
            }
        }
    }
    source.text.keys().try_for_each(well_formed)?;
    source.init.as_ref().map_or(Ok(()), well_formed)
}

/// Checks the characters and the length of a name.
fn well_formed(name: &Spanned<String>) -> Result<(), Problem> {
    let text = name.get_ref();
    let known = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if (1..=MAX_NAME).contains(&text.len()) && text.bytes().all(known) {
        Ok(())
    } else {
        Err(Reason::BadName(text.clone()).at(name.span()))
    }
}
