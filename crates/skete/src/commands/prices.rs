//! `skete prices`.

use std::path::Path;

use clap::{Args, Subcommand, ValueEnum};
use serde::Serialize;
use skete_billing::{Decimal, PriceList, Rate};

use crate::failure::Failure;
use crate::files;
use crate::output::{self, Document, Table};
use crate::paths::Paths;

/// Largest file that is taken for a price list, in bytes.
const MAX_BYTES: u64 = 1 << 20;

/// Names the price list of commands that are told none.
pub(crate) const ENV: &str = "SKETE_PRICES";

/// The price list of commands that could be told one, and are not.
pub(crate) const DEFAULT: &str = "own-hardware";
/// Digits after the point that amounts are shown with at least.
pub(crate) const DIGITS: u32 = 2;

/// Price lists.
#[derive(Debug, Subcommand)]
pub enum Prices {
    /// List the price lists that come with Skete
    #[command(visible_alias = "list")]
    Ls(Ls),
    /// Show a price list
    Show(Show),
    /// Check price lists, and tell by line what is wrong
    Check(Check),
}

impl Prices {
    /// Does it.
    ///
    /// # Errors
    /// A list cannot be read, or standard output not written.
    pub fn run(&self) -> Result<u8, Failure> {
        match self {
            Self::Ls(ls) => ls.run(),
            Self::Show(show) => show.run(),
            Self::Check(check) => check.run(),
        }
    }
}

/// List the price lists that come with Skete.
#[derive(Debug, Args)]
pub struct Ls {
    /// Only names
    #[arg(short, long)]
    quiet: bool,
    /// How to show them
    #[arg(short, long, value_enum)]
    output: Option<Document>,
}

/// One list as `-o json` shows it.
#[derive(Debug, Serialize)]
struct Listed {
    name: String,
    version: String,
    currency: String,
    title: String,
}

impl Ls {
    fn run(&self) -> Result<u8, Failure> {
        let lists = PriceList::shipped().map(|(name, text)| {
            let list = PriceList::parse(text, name)?;
            Ok::<_, Failure>(Listed {
                name: list.name,
                version: list.version,
                currency: list.currency.to_string(),
                title: list.title,
            })
        });
        let lists = lists.collect::<Result<Vec<_>, _>>()?;
        if let Some(format) = self.output {
            output::document(&lists, format)?;
        } else if self.quiet {
            let names: String = lists
                .iter()
                .map(|list| format!("{}\n", list.name))
                .collect();
            output::print(&names)?;
        } else {
            let mut table = Table::new(&["NAME", "VERSION", "CURRENCY", "TITLE"]);
            for list in lists {
                table.row(vec![list.name, list.version, list.currency, list.title]);
            }
            output::print(&table.render())?;
        }
        Ok(0)
    }
}

/// Show a price list.
#[derive(Debug, Args)]
pub struct Show {
    /// A name, or a file (FILE.toml, ./FILE)
    #[arg(value_name = "NAME|FILE")]
    list: String,
    /// How to show it
    #[arg(short, long, value_enum)]
    output: Option<ShowFormat>,
}

/// What `skete prices show -o` takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ShowFormat {
    /// The file as it is: a beginning for one's own.
    Toml,
}

impl Show {
    fn run(&self) -> Result<u8, Failure> {
        let text = read(&self.list)?;
        let list = PriceList::parse(&text, &self.list)?;
        if self.output.is_some() {
            output::print(&text)?;
            return Ok(0);
        }
        let mut shown = format!(
            "{} (edition {}, {})\n",
            list.title, list.version, list.currency
        );
        if let Some(source) = &list.source {
            shown.push_str(&format!("published at {source}\n"));
        }
        for period in &list.periods {
            let since = jiff::Timestamp::from_nanosecond(period.start_ns.into())?;
            let since = list.zone.0.to_datetime(since);
            shown.push_str(&format!("\nsince {since}:\n"));
            let mut table = Table::new(&["SKU", "METER", "PRICE", "UNIT", "FOR"]);
            for rate in &period.rates {
                table.row(rate_row(rate));
            }
            shown.push_str(&table.render());
        }
        for discount in &list.discounts {
            shown.push_str(&format!(
                "\ndiscount {}: {}\n",
                discount.name, discount.percent
            ));
        }
        output::print(&shown)?;
        Ok(0)
    }
}

fn rate_row(rate: &Rate) -> Vec<String> {
    let per = match rate.per_unit() {
        1 => rate.unit_name().to_owned(),
        _ => rate.unit_name().replace("Hours", "Seconds"),
    };
    let tier = |tier: &skete_billing::Tier| match tier.up_to {
        Some(up_to) => format!("{} up to {up_to}", tier.price),
        None => tier.price.to_string(),
    };
    let price = match rate.price {
        Some(price) => price.to_string(),
        None => rate
            .tiers
            .iter()
            .map(tier)
            .collect::<Vec<_>>()
            .join(", then "),
    };
    let selector = &rate.selector;
    let words = [
        ("architecture", &selector.architecture),
        ("runtime", &selector.runtime),
        ("namespace", &selector.namespace),
    ];
    let words = words
        .into_iter()
        .filter_map(|(key, value)| Some(format!("{key}={}", value.as_ref()?)));
    let pairs = selector.labels.iter().chain(&selector.annotations);
    let pairs = pairs.map(|(key, value)| format!("{key}={value}"));
    let who: Vec<_> = words.chain(pairs).collect();
    let who = if who.is_empty() {
        "all".to_owned()
    } else {
        who.join(",")
    };
    vec![
        rate.sku.clone(),
        rate.meter.name().to_owned(),
        price,
        per,
        who,
    ]
}

/// Check price lists.
#[derive(Debug, Args)]
pub struct Check {
    /// Files
    #[arg(required = true, value_name = "FILE")]
    files: Vec<String>,
}

impl Check {
    fn run(&self) -> Result<u8, Failure> {
        super::for_each(&self.files, |file| {
            let list = PriceList::parse(&read_file(file)?, file).map_err(told)?;
            let rates = list.periods.iter().map(|period| period.rates.len() as u64);
            output::print(&format!(
                "{file}: price list {} {}: {} and {}\n",
                list.name,
                list.version,
                count(rates.sum(), "rate"),
                count(list.discounts.len() as u64, "discount"),
            ))
        })
    }
}

/// So many of something, in words.
pub(crate) fn count(number: u64, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}

/// The price list of this name, or in this file.
///
/// # Errors
/// There is none of that name, or the file cannot be read, or is none.
pub(crate) fn find(name: &str) -> Result<PriceList, Failure> {
    PriceList::parse(&read(name)?, name).map_err(told)
}

/// The price list that somebody chose: by a flag or the environment, or for the machine by a file in
/// the state directory; `None` if nobody did.
///
/// # Errors
/// As for [`find`].
pub(crate) fn chosen(name: Option<&str>, paths: &Paths) -> Result<Option<PriceList>, Failure> {
    let of_machine = paths.prices();
    match name.filter(|name| !name.is_empty()) {
        Some(name) => find(name).map(Some),
        None if of_machine.exists() => find(&of_machine.to_string_lossy()).map(Some),
        None => Ok(None),
    }
}

/// The same; and the default if nobody did.
///
/// # Errors
/// As for [`find`].
pub(crate) fn machines(name: Option<&str>, paths: &Paths) -> Result<PriceList, Failure> {
    chosen(name, paths)?.map_or_else(|| find(DEFAULT), Ok)
}

/// A problem a line.
fn told(error: skete_billing::ListError) -> Failure {
    Failure::own(error.to_string())
}

fn read(name: &str) -> Result<String, Failure> {
    if name.contains('/') || name.ends_with(".toml") {
        return read_file(name);
    }
    let found = PriceList::shipped().find(|(shipped, _)| *shipped == name);
    found.map(|(_, text)| text.to_owned()).ok_or_else(|| {
        let names: Vec<_> = PriceList::shipped().map(|(name, _)| name).collect();
        Failure::own(format!(
            "there is no price list {name:?}: give one of {}, or a file as ./{name}.toml",
            names.join(", ")
        ))
    })
}

fn read_file(file: &str) -> Result<String, Failure> {
    let bytes = files::read_bounded(Path::new(file), MAX_BYTES)
        .map_err(|error| Failure::own(format!("cannot read {file}: {error}")))?;
    String::from_utf8(bytes).map_err(|_| Failure::own(format!("{file}: not UTF-8 text")))
}

/// Amounts as JSON has them: exact decimal numbers are text.
pub(crate) fn decimal(amount: &skete_billing::Money, digits: u32) -> String {
    skete_billing::money::significant(amount, digits, Decimal::DIGITS)
}

#[cfg(test)]
#[path = "prices_test.rs"]
mod tests;
