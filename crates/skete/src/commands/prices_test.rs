use super::*;

fn name(list: Result<Option<PriceList>, Failure>) -> Option<String> {
    list.unwrap_or_else(|failure| panic!("{:?}", failure.message()))
        .map(|list| list.name)
}

#[test]
fn a_flag_goes_before_the_machines_list_and_that_before_the_default() {
    let root = tempfile::tempdir().unwrap();
    let paths = Paths::new(root.path(), root.path());
    assert_eq!(name(chosen(None, &paths)), None);
    assert_eq!(name(chosen(Some(""), &paths)), None);
    assert_eq!(
        name(machines(None, &paths).map(Some)).as_deref(),
        Some(DEFAULT)
    );

    std::fs::write(
        paths.prices(),
        read("cloud-run").unwrap_or_else(|_| panic!("none")),
    )
    .unwrap();
    assert_eq!(name(chosen(None, &paths)).as_deref(), Some("cloud-run"));
    assert_eq!(
        name(chosen(Some("fargate"), &paths)).as_deref(),
        Some("fargate")
    );

    std::fs::write(paths.prices(), "name = 1").unwrap();
    let told = chosen(None, &paths).map(|_| ()).unwrap_err();
    assert!(told.message().unwrap().contains("prices.toml"));
}
