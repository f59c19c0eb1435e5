//! An invoice as a page to print.

use std::fmt::{self, Write};

use crate::invoice::{Invoice, InvoiceLine};

const STYLE: &str = include_str!("invoice.css");
/// Workloads that the page names; the others are summed up in a line.
const MAX_WORKLOADS: usize = 40;

impl Invoice {
    /// The invoice as one HTML page that needs no other file, for a screen and for paper.
    #[must_use]
    pub fn to_html(&self, issuer: &str) -> String {
        let mut page = String::new();
        // Writing to a String cannot fail.
        let _ = self.write_html(&mut page, issuer);
        page
    }

    fn write_html(&self, page: &mut String, issuer: &str) -> fmt::Result {
        let tenant = Escaped(&self.tenant);
        let issuer = Escaped(issuer);
        let (start, end) = self.days();
        write!(
            page,
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <title>Invoice: {tenant}, {start}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
             <main>\n<header>\n<p class=\"issuer\">{issuer}</p>\n<h1>Invoice</h1>\n</header>\n\
             <dl>\n<div><dt>Tenant</dt><dd>{tenant}</dd></div>\n"
        )?;
        if let Some(uid) = &self.namespace_uid {
            let uid = Escaped(uid);
            writeln!(
                page,
                "<div><dt>Namespace</dt><dd class=\"id\">{uid}</dd></div>"
            )?;
        }
        let list = &self.price_list;
        write!(
            page,
            "<div><dt>Period</dt><dd>{start} to {end} ({})</dd></div>\n\
             <div><dt>Prices</dt><dd>{}, edition {}</dd></div>\n\
             <div><dt>Pods</dt><dd>{}{}</dd></div>\n\
             <div class=\"total\"><dt>Total</dt><dd>{} {}</dd></div>\n</dl>\n",
            Escaped(&self.time_zone),
            Escaped(&list.title),
            Escaped(&list.version),
            self.pods,
            self.notes(),
            self.total,
            self.currency,
        )?;
        page.push_str(
            "<h2>What was charged</h2>\n<table>\n<thead><tr><th>Item</th><th class=\"n\">Quantity\
             </th><th>Unit</th><th class=\"n\">Price</th><th class=\"n\">Amount</th></tr></thead>\n\
             <tbody>\n",
        );
        for line in &self.lines {
            write_line(page, line)?;
        }
        write!(
            page,
            "</tbody>\n<tfoot><tr><th colspan=\"4\">Total, {}</th><td class=\"n\">{}</td></tr>\
             </tfoot>\n</table>\n",
            self.currency, self.total
        )?;
        page.push_str(
            "<h2>By workload</h2>\n<table>\n<thead><tr><th>Workload</th><th class=\"n\">Pods</th>\
             <th class=\"n\">Amount</th></tr></thead>\n<tbody>\n",
        );
        for workload in self.workloads.iter().take(MAX_WORKLOADS) {
            writeln!(
                page,
                "<tr><td>{} {}</td><td class=\"n\">{}</td><td class=\"n\">{}</td></tr>",
                Escaped(&workload.kind),
                Escaped(&workload.name),
                workload.pods,
                workload.amount
            )?;
        }
        page.push_str("</tbody>\n</table>\n");
        if let Some(more) = self.workloads.len().checked_sub(MAX_WORKLOADS + 1) {
            writeln!(page, "<p>And {} more, with lower amounts.</p>", more + 1)?;
        }
        page.push_str(
            "<footer><p>Amounts are rounded once, and sum to the total.</p></footer>\n</main>\n\
             </body>\n</html>\n",
        );
        Ok(())
    }

    /// What has to be said of the Pods.
    fn notes(&self) -> String {
        let mut notes = String::new();
        if self.running > 0 {
            let _ = write!(notes, ", {} still running: charged so far", self.running);
        }
        if self.bounded > 0 {
            let _ = write!(
                notes,
                ", {} ended unseen: up to their last sign",
                self.bounded
            );
        }
        notes
    }
}

fn write_line(page: &mut String, line: &InvoiceLine) -> fmt::Result {
    write!(page, "<tr><td>{}", Escaped(&line.sku))?;
    if let Some(discount) = &line.discount {
        let name = Escaped(&discount.name);
        write!(page, " <small>less {} ({name})</small>", discount.percent)?;
    }
    writeln!(
        page,
        "</td><td class=\"n\">{}</td><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td></tr>",
        line.quantity, line.unit, line.unit_price, line.amount
    )
}

/// Text in HTML: names come from tenants.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "html_test.rs"]
mod tests;
