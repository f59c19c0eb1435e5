use crate::testing::{a_months_pods, shipped, tally, window};
use crate::{Invoice, Pricing};

#[test]
fn whatever_a_tenant_calls_things_is_text_on_the_page() {
    let list = shipped("fargate");
    let pricing = Pricing::new(&list, window(30 * 86_400));
    let mut pods = a_months_pods(60);
    for run in &mut pods {
        run.pod.controller = None;
        run.pod.name = format!("<script>alert('{}')</script>", run.pod.uid);
        run.pod.namespace = "a&b\"c".to_owned();
    }
    let invoice = Invoice::new(&tally(&pricing, "ns-1", &pods)).unwrap();
    let page = invoice.to_html("A <b>");
    assert!(!page.contains("<script") && !page.contains("<b>"));
    assert!(page.contains("<dd>a&amp;b&quot;c</dd>"));
    assert!(page.contains("&lt;script&gt;alert(&#39;"));
    assert!(page.contains("2026-11-01 to 2026-11-30 (UTC)"), "{page}");
    let more = invoice.workloads.len() - 40;
    assert!(page.contains(&format!("And {more} more, with lower amounts.")));
    assert!(page.contains(&format!("<dd>{} USD</dd>", invoice.total)));
    // Nothing is fetched from anywhere.
    assert!(!page.contains("src=") && !page.contains("http") && !page.contains("@import"));
}
