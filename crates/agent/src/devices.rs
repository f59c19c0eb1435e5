//! Which devices a container may use: a program in the kernel, attached to its cgroup, is asked
//! whenever one is made or opened. libcontainer has this only with a C library.

use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;
use std::path::Path;

use oci_spec::runtime::{LinuxDeviceCgroup, LinuxDeviceType, Spec};

use crate::sys;

/// One instruction of `linux/bpf.h`: operation, registers, offset, constant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct Instruction {
    operation: u8,
    /// Destination in the low half, source in the high half.
    registers: u8,
    offset: i16,
    constant: i32,
}

// Operations, as `linux/bpf.h` composes them.
const LOAD_WORD: u8 = 0x61;
const MOVE: u8 = 0xb7;
const MOVE_REGISTER: u8 = 0xbf;
const AND: u8 = 0x57;
const SHIFT_RIGHT: u8 = 0x77;
const JUMP_NOT_EQUAL: u8 = 0x55;
const JUMP_NOT_EQUAL_REGISTER: u8 = 0x5d;
const JUMP_EQUAL: u8 = 0x15;
const EXIT: u8 = 0x95;

// What the kernel asks about, `struct bpf_cgroup_dev_ctx`, and where the program keeps it.
const RESULT: u8 = 0;
const CONTEXT: u8 = 1;
const KIND: u8 = 2;
const ACCESS: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;
const WANTED: u8 = 6;

const BLOCK: i32 = 1;
const CHAR: i32 = 2;
const MAKE: i32 = 1;
const READ: i32 = 2;
const WRITE: i32 = 4;
const ALL: i32 = MAKE | READ | WRITE;

/// The kernel takes no longer programs from the unprivileged; ample for a list of devices.
const MAX_RULES: usize = 400;

/// A rule: what is none matches all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Rule {
    allow: bool,
    kind: Option<i32>,
    access: i32,
    major: Option<i32>,
    minor: Option<i32>,
}

impl Rule {
    fn device(major: i32, minor: Option<i32>) -> Self {
        Self {
            allow: true,
            kind: Some(CHAR),
            access: ALL,
            major: Some(major),
            minor,
        }
    }

    /// Making a node gives no access to what it names.
    fn make(kind: i32) -> Self {
        Self {
            allow: true,
            kind: Some(kind),
            access: MAKE,
            major: None,
            minor: None,
        }
    }
}

/// Lets a container use the devices of its specification and those that every container has.
pub(crate) fn restrict(cgroup: &Path, spec: &Spec) -> io::Result<()> {
    let rules = rules(spec)?;
    let program = sys::load_device_program(&program(&rules))?;
    sys::attach_device_program(program.as_fd(), File::open(cgroup)?.as_fd())
}

/// In the order of the specification: the last that matches decides, and nothing is allowed else.
fn rules(spec: &Spec) -> io::Result<Vec<Rule>> {
    let linux = spec.linux().as_ref();
    let resources = linux.and_then(|linux| linux.resources().as_ref());
    let given = resources.and_then(|resources| resources.devices().as_deref());
    let mut rules: Vec<Rule> = given.unwrap_or_default().iter().map(rule).collect();
    for device in linux
        .and_then(|linux| linux.devices().as_deref())
        .unwrap_or_default()
    {
        let kind = match device.typ() {
            LinuxDeviceType::B => Some(BLOCK),
            LinuxDeviceType::C | LinuxDeviceType::U => Some(CHAR),
            _ => continue,
        };
        rules.push(Rule {
            allow: true,
            kind,
            access: ALL,
            major: number(Some(device.major())),
            minor: number(Some(device.minor())),
        });
    }
    rules.extend([Rule::make(CHAR), Rule::make(BLOCK)]);
    // null, zero, full, random, urandom; tty, ptmx; pseudo-terminals
    rules.extend([3, 5, 7, 8, 9].map(|minor| Rule::device(1, Some(minor))));
    rules.extend([0, 2].map(|minor| Rule::device(5, Some(minor))));
    rules.push(Rule::device(136, None));
    if rules.len() > MAX_RULES {
        return Err(io::Error::other(format!("more than {MAX_RULES} rules")));
    }
    Ok(rules)
}

fn rule(given: &LinuxDeviceCgroup) -> Rule {
    let access = given.access().as_deref().unwrap_or("rwm");
    let bit = |letter, bit| if access.contains(letter) { bit } else { 0 };
    Rule {
        allow: given.allow(),
        kind: match given.typ() {
            Some(LinuxDeviceType::B) => Some(BLOCK),
            Some(LinuxDeviceType::C | LinuxDeviceType::U) => Some(CHAR),
            _ => None,
        },
        access: bit('m', MAKE) | bit('r', READ) | bit('w', WRITE),
        major: number(given.major()),
        minor: number(given.minor()),
    }
}

/// Negative numbers stand for all.
fn number(given: Option<i64>) -> Option<i32> {
    given
        .and_then(|number| i32::try_from(number).ok())
        .filter(|number| *number >= 0)
}

const fn instruction(
    operation: u8,
    destination: u8,
    source: u8,
    offset: i16,
    constant: i32,
) -> Instruction {
    Instruction {
        operation,
        registers: destination | source << 4,
        offset,
        constant,
    }
}

fn program(rules: &[Rule]) -> Vec<Instruction> {
    let mut program = vec![
        instruction(LOAD_WORD, KIND, CONTEXT, 0, 0),
        instruction(MOVE_REGISTER, ACCESS, KIND, 0, 0),
        instruction(AND, KIND, 0, 0, 0xffff),
        instruction(SHIFT_RIGHT, ACCESS, 0, 0, 16),
        instruction(LOAD_WORD, MAJOR, CONTEXT, 4, 0),
        instruction(LOAD_WORD, MINOR, CONTEXT, 8, 0),
    ];
    // The last rule that matches decides, so it is asked first.
    for rule in rules.iter().rev() {
        let mut block = Vec::new();
        // Offsets of jumps are put in when the length of the block is known.
        let differs = |block: &mut Vec<Instruction>, register, wanted: Option<i32>| {
            if let Some(wanted) = wanted {
                block.push(instruction(JUMP_NOT_EQUAL, register, 0, 0, wanted));
            }
        };
        differs(&mut block, KIND, rule.kind);
        differs(&mut block, MAJOR, rule.major);
        differs(&mut block, MINOR, rule.minor);
        if rule.access != ALL {
            block.push(instruction(MOVE_REGISTER, WANTED, ACCESS, 0, 0));
            block.push(instruction(AND, WANTED, 0, 0, rule.access));
            // All that is wanted has to be allowed; any of it can be denied.
            block.push(if rule.allow {
                instruction(JUMP_NOT_EQUAL_REGISTER, WANTED, ACCESS, 0, 0)
            } else {
                instruction(JUMP_EQUAL, WANTED, 0, 0, 0)
            });
        }
        block.push(instruction(MOVE, RESULT, 0, 0, i32::from(rule.allow)));
        block.push(instruction(EXIT, 0, 0, 0, 0));
        let length = block.len();
        // Two instructions: it asks nothing. What came after it could not be reached, and the
        // kernel refuses a program with such a part.
        let decides_all = length == 2;
        for (index, instruction) in block.iter_mut().enumerate() {
            let jumps = [JUMP_NOT_EQUAL, JUMP_NOT_EQUAL_REGISTER, JUMP_EQUAL];
            if jumps.contains(&instruction.operation) {
                instruction.offset = i16::try_from(length - index - 1).unwrap_or(0);
            }
        }
        program.extend(block);
        if decides_all {
            return program;
        }
    }
    program.push(instruction(MOVE, RESULT, 0, 0, 0));
    program.push(instruction(EXIT, 0, 0, 0, 0));
    program
}

#[cfg(test)]
#[path = "devices_test.rs"]
mod tests;
