use super::*;

fn holds(selector: &str) -> bool {
    let labels = [("app", "web"), ("tier", "front")];
    let labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned()));
    selector.parse::<Selector>().unwrap().holds(&labels.into())
}

#[test]
fn requirements_mean_what_they_mean_to_kubectl() {
    for right in [
        "app=web",
        "app==web",
        "app = web , tier=front",
        "app!=db",
        "none!=db",
        "app in (db, web)",
        "app notin (db,cache),tier",
        "none notin (db)",
        "app",
        "!none",
    ] {
        assert!(holds(right), "{right}");
    }
    for wrong in [
        "app=db",
        "app=web,tier=back",
        "app!=web",
        "app in (db)",
        "app notin (db,web)",
        "none",
        "!app",
        "none in (a)",
    ] {
        assert!(!holds(wrong), "{wrong}");
    }
}

#[test]
fn what_is_no_requirement_is_refused_with_what_is_wanted() {
    for wrong in [
        "", "a=b,", "=b", "a b", "a in b", "a in (b", "a=b c", "a>1", "app~web",
    ] {
        let told = wrong.parse::<Selector>().unwrap_err();
        assert!(told.contains("KEY=VALUE"), "{wrong}: {told}");
    }
}
