//! Sums by the hour, made from the records: of each sandbox, and of each Namespace.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Connection, params};
use skete_usage::fold_hours;

use crate::error::Problem;
use crate::journals;
use crate::quantities::Quantities;

/// Hours and Namespaces whose sums are no longer what their sandboxes come to.
#[derive(Debug, Default)]
pub(crate) struct Touched(BTreeSet<(i64, i64)>);

impl Touched {
    /// Makes the sums of a sandbox anew, from its records.
    pub(crate) fn journal(&mut self, sqlite: &Connection, journal: i64) -> Result<(), Problem> {
        let namespace = namespace_of(sqlite, journal)?;
        let mut upsert = sqlite.prepare_cached(
            "INSERT INTO pod_hour (hour, namespace, journal, quantities) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT DO UPDATE SET quantities = excluded.quantities
             WHERE quantities <> excluded.quantities",
        )?;
        for (hour, quantities) in of_journal(sqlite, journal)? {
            let blob = quantities.to_blob();
            if upsert.execute(params![hour, namespace, journal, blob])? > 0 {
                self.0.insert((hour, namespace));
            }
        }
        Ok(())
    }

    /// Makes the sums of Namespaces anew, from those of their sandboxes.
    pub(crate) fn write(&self, sqlite: &Connection) -> Result<(), Problem> {
        let mut select = sqlite
            .prepare_cached("SELECT quantities FROM pod_hour WHERE hour = ?1 AND namespace = ?2")?;
        let mut upsert = sqlite.prepare_cached(
            "INSERT INTO namespace_hour (hour, namespace, quantities) VALUES (?1, ?2, ?3)
             ON CONFLICT DO UPDATE SET quantities = excluded.quantities",
        )?;
        for (hour, namespace) in &self.0 {
            let mut sum = Quantities::default();
            let mut rows = select.query([hour, namespace])?;
            while let Some(row) = rows.next()? {
                sum.add(&quantities(row, 0, *hour)?);
            }
            upsert.execute(params![hour, namespace, sum.to_blob()])?;
        }
        Ok(())
    }
}

/// What a sandbox was given and used in each hour, from its records.
pub(crate) fn of_journal(
    sqlite: &Connection,
    journal: i64,
) -> Result<BTreeMap<i64, Quantities>, Problem> {
    let hours = journals::read(sqlite, journal, fold_hours)?;
    let sums = hours.iter().map(|(hour, totals)| (*hour, totals.into()));
    Ok(sums.collect())
}

/// The Namespace that a sandbox's Pod is in.
pub(crate) fn namespace_of(sqlite: &Connection, journal: i64) -> Result<i64, Problem> {
    let mut select = sqlite.prepare_cached(
        "SELECT namespace FROM pod JOIN journal ON journal.pod = pod.id WHERE journal.id = ?1",
    )?;
    Ok(select.query_row([journal], |row| row.get(0))?)
}

/// The sums in a column of a row.
pub(crate) fn quantities(
    row: &rusqlite::Row,
    column: usize,
    hour: i64,
) -> Result<Quantities, Problem> {
    // It is a BLOB: the table is strict.
    let blob = row.get_ref(column)?.as_blob().unwrap_or_default();
    Quantities::of_blob(blob).ok_or(Problem::DamagedSum { hour })
}
