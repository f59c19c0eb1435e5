use super::*;

/// Runs a program as the kernel does, on what it would be asked.
fn ask(program: &[Instruction], kind: i32, access: i32, major: i32, minor: i32) -> bool {
    let mut registers = [0_i32; 11];
    let context = [access << 16 | kind, major, minor];
    let mut at = 0;
    loop {
        let step = program[at];
        let destination = usize::from(step.registers & 15);
        let source = usize::from(step.registers >> 4);
        let mut jump = false;
        match step.operation {
            LOAD_WORD => {
                registers[destination] = context[usize::try_from(step.offset / 4).unwrap()];
            }
            MOVE => registers[destination] = step.constant,
            MOVE_REGISTER => registers[destination] = registers[source],
            AND => registers[destination] &= step.constant,
            SHIFT_RIGHT => registers[destination] >>= step.constant,
            JUMP_NOT_EQUAL => jump = registers[destination] != step.constant,
            JUMP_NOT_EQUAL_REGISTER => jump = registers[destination] != registers[source],
            JUMP_EQUAL => jump = registers[destination] == step.constant,
            EXIT => return registers[0] == 1,
            other => panic!("unknown operation {other:x}"),
        }
        at += 1;
        if jump {
            at += usize::try_from(step.offset).unwrap();
        }
    }
}

fn compiled(devices: &str) -> Vec<Instruction> {
    let json = format!(
        r#"{{"ociVersion":"1.1.0","linux":{{"resources":{{"devices":{devices}}},
            "devices":[{{"path":"/dev/fuse","type":"c","major":10,"minor":229}}]}}}}"#
    );
    program(&rules(&crate::spec::parse(&json).unwrap()).unwrap())
}

#[test]
fn what_every_container_has_is_allowed_and_nothing_else() {
    let program = compiled(r#"[{"allow":false,"access":"rwm"}]"#);
    assert!(ask(&program, CHAR, READ | WRITE, 1, 3));
    assert!(ask(&program, CHAR, READ, 136, 7));
    assert!(ask(&program, CHAR, READ | WRITE, 10, 229));
    assert!(!ask(&program, CHAR, READ, 1, 1));
    assert!(!ask(&program, BLOCK, READ, 254, 0));
    assert!(!ask(&program, BLOCK, READ, 1, 3));
    // A node can be made, but not opened.
    assert!(ask(&program, BLOCK, MAKE, 254, 0));
    assert!(!ask(&program, BLOCK, MAKE | READ, 254, 0));
}

#[test]
fn without_rules_the_same_holds() {
    let program = compiled("[]");
    assert!(ask(&program, CHAR, WRITE, 1, 3));
    assert!(!ask(&program, BLOCK, READ, 254, 0));
}

#[test]
fn the_last_rule_that_matches_decides() {
    let program = compiled(
        r#"[{"allow":true,"type":"b","major":8,"access":"rwm"},
            {"allow":false,"type":"b","major":8,"minor":1,"access":"w"}]"#,
    );
    assert!(ask(&program, BLOCK, READ | WRITE, 8, 0));
    assert!(ask(&program, BLOCK, READ, 8, 1));
    assert!(!ask(&program, BLOCK, WRITE, 8, 1));
    assert!(!ask(&program, BLOCK, READ | WRITE, 8, 1));
}

#[test]
fn a_privileged_container_may_use_all() {
    let program = compiled(r#"[{"allow":true,"access":"rwm"}]"#);
    assert!(ask(&program, BLOCK, READ | WRITE | MAKE, 254, 16));
    assert!(ask(&program, CHAR, READ | WRITE, 10, 200));
}

#[test]
fn more_rules_than_fit_are_refused() {
    let rule = r#"{"allow":true,"type":"c","major":1,"access":"r"}"#;
    let many = vec![rule; 500].join(",");
    let json =
        format!(r#"{{"ociVersion":"1.1.0","linux":{{"resources":{{"devices":[{many}]}}}}}}"#);
    assert!(rules(&crate::spec::parse(&json).unwrap()).is_err());
}

/// The kernel's verifier refuses a program that has an instruction no path leads to.
#[test]
fn every_instruction_can_be_reached() {
    for devices in [
        "[]",
        r#"[{"allow":false,"access":"rwm"}]"#,
        r#"[{"allow":true}]"#,
    ] {
        let program = compiled(devices);
        let mut reached = vec![false; program.len()];
        let mut paths = vec![0];
        while let Some(at) = paths.pop() {
            if std::mem::replace(&mut reached[at], true) {
                continue;
            }
            let step = program[at];
            match step.operation {
                EXIT => continue,
                JUMP_NOT_EQUAL | JUMP_NOT_EQUAL_REGISTER | JUMP_EQUAL => {
                    paths.push(at + 1 + usize::try_from(step.offset).unwrap());
                }
                _ => {}
            }
            paths.push(at + 1);
        }
        assert!(reached.iter().all(|reached| *reached), "{devices}");
    }
}
