use super::*;

const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nbroken line\napp:x:1000:1001::/:/bin/sh\n";
const GROUP: &str = "root:x:0:\nwheel:x:10:root,app\nweb:x:33:app\n";

#[test]
fn a_name_gives_its_line_and_its_groups() {
    let found = find("app", PASSWD, GROUP).unwrap();
    assert_eq!(
        found,
        Found {
            uid: 1000,
            gid: 1001,
            groups: vec![10, 33]
        }
    );
}

#[test]
fn a_number_needs_no_line() {
    let found = find("4711", PASSWD, GROUP).unwrap();
    assert_eq!((found.uid, found.gid, found.groups), (4711, 0, vec![]));
    assert_eq!(find("1000", PASSWD, GROUP).unwrap().gid, 1001);
}

#[test]
fn a_group_takes_the_place_of_the_users_own() {
    let found = find("app:web", PASSWD, GROUP).unwrap();
    assert_eq!((found.gid, found.groups), (33, vec![]));
    assert_eq!(find("app:77", PASSWD, GROUP).unwrap().gid, 77);
}

#[test]
fn names_that_are_not_there_are_told() {
    assert_eq!(
        find("nobody", PASSWD, GROUP),
        Err(UserError::NoUser("nobody".to_owned()))
    );
    assert_eq!(
        find("app:staff", PASSWD, GROUP),
        Err(UserError::NoGroup("staff".to_owned()))
    );
}
