use super::*;
use crate::Invoice;
use crate::testing::{a_months_pods, shipped, tally, window};

#[test]
fn what_comes_twice_counts_once_and_what_comes_differently_is_refused() {
    let list = shipped("fargate");
    let pricing = Pricing::new(&list, window(30 * 86_400));
    let pods = a_months_pods(50);
    let once = Invoice::new(&tally(&pricing, "team-a", &pods)).unwrap();
    let twice: Vec<_> = pods.iter().rev().chain(&pods).cloned().collect();
    let mut tally = tally(&pricing, "team-a", &twice);
    assert_eq!(Invoice::new(&tally).unwrap(), once);
    let mut other = pods[0].clone();
    other.spans[0].end_ns += 1;
    let error = tally.add(&other).unwrap_err();
    assert_eq!(
        error.to_string(),
        "Pod 0: two records of it differ: keep the one that tells of its whole life"
    );
}

#[test]
fn a_name_that_was_used_again_is_another_tenant() {
    let list = shipped("fargate");
    let pricing = Pricing::new(&list, window(30 * 86_400));
    let mut pods = a_months_pods(10);
    for run in &mut pods[5..] {
        run.pod.namespace_uid = Some("ns-2".to_owned());
    }
    let error = Invoice::new(&tally(&pricing, "team-a", &pods)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "Namespace \"team-a\" is more than one: ns-1 and ns-2: name the tenant by its Namespace's UID"
    );
    let second = Invoice::new(&tally(&pricing, "ns-2", &pods)).unwrap();
    assert_eq!(second.tenant, "team-a");
    assert_eq!(second.namespace_uid.as_deref(), Some("ns-2"));
    assert_eq!(second.pods, 5);
}

#[test]
fn others_pods_are_left_out() {
    let list = shipped("fargate");
    let pricing = Pricing::new(&list, window(30 * 86_400));
    let invoice = Invoice::new(&tally(&pricing, "team-b", &a_months_pods(10))).unwrap();
    assert_eq!((invoice.pods, invoice.total.as_str()), (0, "0.00"));
    assert_eq!(invoice.tenant, "team-b");
}
