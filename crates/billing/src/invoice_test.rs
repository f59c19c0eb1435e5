use super::*;
use crate::testing::{
    NOVEMBER, SECOND, a_months_pods, list, money, pod_use, shipped, size, span, tally, window,
};
use crate::{Money, Pricing};

fn sum<'a>(amounts: impl Iterator<Item = &'a String>) -> Money {
    amounts.map(|amount| money(amount)).sum()
}

#[test]
fn lines_and_workloads_sum_to_the_total() {
    for name in ["fargate", "own-hardware", "opencost", "cloud-run"] {
        let list = shipped(name);
        let pricing = Pricing::new(&list, window(30 * 86_400));
        let tally = tally(&pricing, "team-a", &a_months_pods(300));
        let invoice = Invoice::new(&tally).unwrap();
        let total = money(&invoice.total);
        assert_eq!(sum(invoice.lines.iter().map(|line| &line.amount)), total);
        assert_eq!(
            sum(invoice.workloads.iter().map(|workload| &workload.amount)),
            total
        );
        let exact = tally.settle().unwrap().total(&tally.totals);
        assert_eq!(decimal(&crate::money::rounded(&exact, 2), 2), invoice.total);
        assert!(total > money("1"), "{total}");
    }
}

#[test]
fn months_follow_each_other_without_a_gap_or_an_overlap() {
    let list = shipped("fargate");
    let mut pods = a_months_pods(100);
    let long = span(NOVEMBER - 1, 31 * 86_400 * SECOND, size(250, 256));
    pods.push(pod_use("long", vec![long]));
    let cost = |window| {
        let pricing = Pricing::new(&list, window);
        let tally = tally(&pricing, "team-a", &pods);
        tally.settle().unwrap().total(&tally.totals)
    };
    let month = |text: &str| text.parse::<Month>().unwrap().window(&list.zone);
    let months = ["2026-10", "2026-11", "2026-12"].map(month);
    let whole = Window::new(months[0].from_ns, months[2].to_ns).unwrap();
    let parts = months.map(cost);
    assert!(parts[0] > money("0") && parts[2] > money("0"));
    assert_eq!(parts.iter().sum::<Money>(), cost(whole));
}

#[test]
fn a_month_is_one_of_the_calendar_of_its_zone() {
    for text in [
        "2026-13",
        "2026-1",
        "26-11",
        "2026-11-01",
        "november",
        "+026-11",
    ] {
        let error = text.parse::<Month>().unwrap_err();
        assert_eq!(error, format!("{text:?} is not a month, as 2026-11"));
    }
    let berlin = Zone::try_from("Europe/Berlin".to_owned()).unwrap();
    let october = "2026-10".parse::<Month>().unwrap().window(&berlin);
    assert_eq!(
        timestamp(october.from_ns).to_string(),
        "2026-09-30T22:00:00Z"
    );
    assert_eq!(timestamp(october.to_ns).to_string(), "2026-10-31T23:00:00Z");
    assert_eq!("2026-02".parse::<Month>().unwrap().to_string(), "2026-02");
}

#[test]
fn currencies_without_cents_have_none_on_the_invoice() {
    let text = "name = \"yen\"\ntitle = \"\"\nversion = \"1\"\ncurrency = \"JPY\"\n[[period]]\n\
                from = 2026-01-01\n[[period.rate]]\nsku = \"pod\"\nmeter = \"pod\"\nprice = \"0.5\"\n";
    let list = list(text);
    let pricing = Pricing::new(&list, window(30 * 86_400));
    let invoice = Invoice::new(&tally(&pricing, "team-a", &a_months_pods(40))).unwrap();
    assert_eq!(invoice.total, (invoice.pods.div_ceil(2)).to_string());
}

#[test]
fn the_lines_as_csv_have_the_total_last() {
    let list = shipped("own-hardware");
    let pricing = Pricing::new(&list, window(30 * 86_400));
    let mut pods = a_months_pods(40);
    for run in &mut pods {
        run.pod
            .labels
            .insert("io.skete/can-wait".to_owned(), "true".to_owned());
    }
    let invoice = Invoice::new(&tally(&pricing, "team-a", &pods)).unwrap();
    let mut text = Vec::new();
    invoice.write_csv(&mut text).unwrap();
    let mut csv = csv::Reader::from_reader(&text[..]);
    let rows: Vec<Vec<String>> = csv.deserialize().map(Result::unwrap).collect();
    assert_eq!(rows.len(), invoice.lines.len() + 1);
    assert_eq!(rows[1][6..8], ["off-peak", "40"]);
    assert_eq!(rows.last().unwrap()[8..], [invoice.total, "EUR".to_owned()]);
}
