use super::*;

fn meta(mode: u16) -> Meta {
    Meta {
        mode,
        uid: 1,
        gid: 2,
        mtime: (3, 4),
        xattrs: 0,
    }
}

fn tree() -> Tree {
    Tree::new(meta(S_IFDIR | 0o755), 1 << 30)
}

#[test]
fn times_come_back_and_those_out_of_range_are_clamped() {
    for time in [
        (0, 0),
        (-1, 999_999_999),
        (1 << 32, 5),
        ((1 << 33) - 1, 1),
        (-(1 << 33), 0),
    ] {
        assert_eq!(unpack_time(pack_time(time)), time);
    }
    assert_eq!(
        unpack_time(pack_time((i64::MAX, 0))),
        ((1 << 33) - 1, 999_999_999)
    );
    assert_eq!(unpack_time(pack_time((i64::MIN, 7))), (-(1 << 33), 0));
}

#[test]
fn a_replaced_directory_takes_its_children_with_it() {
    let mut tree = tree();
    let file = tree.add_inode(meta(crate::format::S_IFREG), 0, Data::Blocks(0));
    let a = tree.link_directory(ROOT, b"a", meta(S_IFDIR));
    tree.link(a, b"b", file);
    tree.link(ROOT, b"a", file);
    let again = tree.link_directory(ROOT, b"a", meta(S_IFDIR));
    assert!(!tree.node(a).is_live());
    assert_eq!(tree.child(ROOT, b"a"), Some(again));
    assert_eq!(tree.child(again, b"b"), None);
}

#[test]
fn many_names_are_found_again_after_the_table_has_grown() {
    let mut tree = tree();
    let file = tree.add_inode(meta(crate::format::S_IFREG), 0, Data::Blocks(0));
    let ids: Vec<_> = (0..5000)
        .map(|n| tree.link(ROOT, format!("n{n}").as_bytes(), file))
        .collect();
    for (n, id) in ids.into_iter().enumerate() {
        assert_eq!(tree.child(ROOT, format!("n{n}").as_bytes()), Some(id));
    }
    assert_eq!(tree.child(ROOT, b"n5000"), None);
}

#[test]
fn extents_come_back() {
    let mut tree = tree();
    let extents = Extents {
        start: 9,
        piece_bits: 4,
        runs: vec![(1, 2), (3, 0)],
    };
    let Data::Chunks(at) = tree.add_extents(&extents) else {
        panic!()
    };
    assert_eq!(tree.extents(at), extents);
}

#[test]
fn memory_beyond_the_limit_is_refused() {
    let mut tree = Tree::new(meta(S_IFDIR), 100_000);
    assert!(tree.check().is_ok());
    let name = [b'x'; 200];
    for n in 0..1000_u32 {
        let inode = tree.add_inode(meta(S_IFCHR), 0, Data::Device(0));
        tree.link(ROOT, &[&n.to_le_bytes(), &name[..]].concat(), inode);
    }
    assert_eq!(tree.check(), Err(EntryError::TooMuchMetadata(100_000)));
}
