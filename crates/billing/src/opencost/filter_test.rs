use super::*;
use crate::opencost::tests::node;
use crate::testing::{NOVEMBER, SECOND, pod_use, size, span};

fn holds(filter: &str) -> bool {
    let mut used = pod_use("u1", vec![span(NOVEMBER, SECOND, size(1000, 1024))]);
    used.pod
        .labels
        .insert("app.kubernetes.io/name".into(), "web".into());
    Filter::parse(filter).unwrap().holds(&used, &node())
}

#[test]
fn a_filter_holds_as_opencost_reads_it() {
    for (filter, expected) in [
        ("", true),
        (r#"namespace:"team-a""#, true),
        (r#"namespace:"x","team-a""#, true),
        (r#"namespace!:"team-a""#, false),
        (r#"namespace ~: "am-""#, true),
        (r#"namespace<~:"team"+pod~>:"u1""#, true),
        (r#"namespace!<~:"team""#, false),
        (r#"label[app.kubernetes.io/name]:"web"+uid:"u1""#, true),
        (r#"label[other]:"__unallocated__""#, true),
        (r#"cluster:"x"|node:"node-1""#, true),
        (r#"(cluster:"x"|node:"node-1")+pod:"x""#, false),
        (r#"controllerKind:"Job""#, false),
    ] {
        assert_eq!(holds(filter), expected, "{filter}");
    }
}

#[test]
fn a_filter_of_one_uid_is_known() {
    let uid = |filter: &str| Filter::parse(filter).unwrap().uid().map(str::to_owned);
    assert_eq!(uid(r#"uid:"a""#), Some("a".to_owned()));
    assert_eq!(uid(r#"(uid:"a")"#), Some("a".to_owned()));
    for several in ["", r#"uid!:"a""#, r#"uid:"a","b""#, r#"uid:"a"|pod:"b""#] {
        assert_eq!(uid(several), None, "{several}");
    }
}

#[test]
fn what_is_no_filter_is_refused_by_the_place() {
    for (filter, told) in [
        ("namespce:\"a\"", "at byte 0: want cluster"),
        ("namespace=\"a\"", "at byte 9: want :"),
        ("namespace:a", "at byte 10: want a value"),
        ("namespace:\"a", "no end"),
        ("namespace:\"a\"x", "want +, | or the end"),
        ("node:\"a\"+node:\"b\"|node:\"c\"", "want parentheses"),
        ("(node:\"a\"", "want )"),
        ("label:\"a\"", "at byte 0"),
        ("label[x:\"a\"", "at byte 0"),
        ("é", "at byte 0"),
    ] {
        let error = Filter::parse(filter).unwrap_err().to_string();
        assert!(error.contains(told), "{filter}: {error}");
    }
    assert!(
        Filter::parse(&"(".repeat(4000))
            .unwrap_err()
            .to_string()
            .contains("too many")
    );
    assert!(
        Filter::parse(&" x".repeat(4000))
            .unwrap_err()
            .to_string()
            .contains("longer")
    );
}
