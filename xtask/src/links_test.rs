use super::*;

#[test]
fn a_link_that_leads_nowhere_and_a_page_that_nobody_finds_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write(
        "docs/src/SUMMARY.md",
        "- [One](one.md)\n- [Two](a/two.md)\n",
    );
    write(
        "docs/src/one.md",
        "[two](a/two.md#part) [out](https://example.com/x) [here](#part)\n",
    );
    write(
        "docs/src/a/two.md",
        "[up](../one.md) `f[i](x, y)` [gone](gone.md)\n",
    );
    write("docs/src/lost.md", "");
    write("target/x.md", "[gone](gone.md)");
    assert_eq!(
        broken(dir.path()),
        [
            "docs/src/a/two.md: gone.md leads nowhere",
            "docs/src/lost.md is not in docs/src/SUMMARY.md"
        ]
    );
}
