//! What is asked.

use super::QueryError;
use super::filter::Filter;
use super::property::Property;
use super::window::{duration, parse};
use skete_usage::Window;

/// Most steps of a window.
const MAX_STEPS: i64 = 10_000;
/// What OpenCost aggregates by if nobody says.
const AGGREGATE: &str = "cluster,node,namespace,pod,container";
/// Parameters of OpenCost that are not honoured, unless they say what happens anyway.
const UNSUPPORTED: [&str; 11] = [
    "external",
    "idleByNode",
    "includeProportionalAssetResourceCosts",
    "limit",
    "offset",
    "shareCost",
    "shareIdle",
    "shareLabels",
    "shareNamespaces",
    "shareTenancyCosts",
    "sortBy",
];

/// A query of allocations or assets.
#[derive(Debug, Clone)]
pub struct Query {
    pub(super) window: Window,
    /// The window, cut into steps.
    pub(super) steps: Vec<Window>,
    pub(super) step_ns: u64,
    pub(super) aggregate: Vec<Property>,
    pub(super) filter: Filter,
    pub(super) idle: bool,
}

impl Query {
    /// Reads the query of a URL, what stands behind its `?`.
    ///
    /// # Errors
    /// [`QueryError`], which names the parameter.
    pub fn parse(text: &str, now_ns: i64) -> Result<Self, QueryError> {
        let mut window = None;
        let mut aggregate = AGGREGATE.to_owned();
        let mut step = None;
        let mut accumulate = false;
        let mut idle = false;
        let mut filter = String::new();
        for (name, value) in form_urlencoded::parse(text.as_bytes()) {
            match name.as_ref() {
                "window" => window = Some(parse(&value, now_ns)?),
                "aggregate" if value.is_empty() => {}
                "aggregate" => aggregate = value.into_owned(),
                "step" => step = steps("step", &value)?,
                "accumulate" => match value.as_ref() {
                    "hour" => step = Some(3_600_000_000_000),
                    "day" => step = Some(86_400_000_000_000),
                    "week" => step = Some(7 * 86_400_000_000_000),
                    "all" => accumulate = true,
                    value => accumulate = flag("accumulate", value)?,
                },
                "includeIdle" => idle = flag("includeIdle", &value)?,
                "filter" => filter = value.into_owned(),
                // Nothing is sampled.
                "resolution" => {
                    steps("resolution", &value)?;
                }
                name if UNSUPPORTED.contains(&name) => {
                    if !["", "false", "0"].contains(&value.as_ref()) {
                        return Err(QueryError::Unsupported(name.to_owned()));
                    }
                }
                name => return Err(QueryError::Unknown(name.to_owned())),
            }
        }
        let window = window.ok_or(QueryError::Missing("window"))?;
        let length = window.to_ns - window.from_ns;
        let step = step.filter(|_| !accumulate).unwrap_or(length).min(length);
        if length.div_euclid(step) >= MAX_STEPS {
            let problem = format!("the window has more than {MAX_STEPS} steps: want a longer step");
            return Err(QueryError::value("step", problem));
        }
        let step_ns = step.unsigned_abs();
        let starts =
            (window.from_ns..window.to_ns).step_by(usize::try_from(step).unwrap_or(usize::MAX));
        let cut = starts.filter_map(|start| Window::of_length(start, step_ns).intersect(window));
        Ok(Self {
            window,
            steps: cut.collect(),
            step_ns,
            aggregate: Property::list(&aggregate)?,
            filter: Filter::parse(&filter)?,
            idle,
        })
    }

    /// Its steps, one after the other.
    #[must_use]
    pub fn steps(&self) -> &[Window] {
        &self.steps
    }

    /// The UID of the Pod that it is about, if it is about one alone.
    #[must_use]
    pub fn pod(&self) -> Option<&str> {
        self.filter.uid()
    }
}

fn steps(parameter: &'static str, text: &str) -> Result<Option<i64>, QueryError> {
    if text.is_empty() {
        return Ok(None);
    }
    let problem = || QueryError::value(parameter, format!("{text:?} is no time: want 1h, 1d"));
    duration(text).map(Some).ok_or_else(problem)
}

fn flag(parameter: &'static str, text: &str) -> Result<bool, QueryError> {
    match text {
        "true" | "1" => Ok(true),
        "false" | "0" | "" => Ok(false),
        _ => Err(QueryError::value(
            parameter,
            format!("{text:?} is neither true nor false"),
        )),
    }
}
