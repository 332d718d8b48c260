//! The report as JSON.

use serde_json::{Map, Value, json};

use super::super::ablation::{effect, split};
use super::super::case::{Bar, Case};
use super::super::row::{LeftOut, Measured, Row, by_case};
use super::super::scaling::efficiency;
use super::super::verdict::{describe, judge};
use super::data::Report;
use crate::peers;

impl Report<'_> {
    pub(in crate::harness) fn to_json(&self) -> Value {
        let window = self.options.window;
        let cases = by_case(self.rows).map(|rows| {
            let case = rows[0].case;
            let metrics = case.metrics.iter();
            let metrics = metrics.map(|metric| json!({ "name": metric.name, "unit": metric.unit }));
            let contenders = rows.iter();
            let contenders = contenders.map(|row| (row.who(), contender(row)));
            let bars = case.bars.iter().map(|one| bar(one, case, self.rows));
            let mut found = json!({
                "suite": case.suite,
                "case": case.name,
                "window_s": window.max(case.window_min).as_secs_f64(),
                "metrics": metrics.collect::<Vec<_>>(),
                "contenders": contenders.collect::<Map<_, _>>(),
            });
            if let Some(scale) = case.scale {
                let of_row = |row: &Row| (row.who(), json!(efficiency(row, self.rows)));
                found["workers"] = scale.workers.get().into();
                found["efficiency"] = rows.iter().map(of_row).collect();
            }
            if let Some(place) = case.place {
                found["workload"] = place.workload.into();
                found["condition"] = place.condition.name.into();
            }
            match self.options.is_ablation() {
                true => found["ablation"] = ablation(rows),
                false => found["bars"] = bars.collect(),
            }
            found
        });
        let conclusions = self.options.suites.iter().filter_map(|suite| {
            let conclusion = (suite.conclusion)(self.rows_of(suite));
            Some((suite.name.to_owned(), conclusion?.data))
        });
        let conclusions: Map<_, _> = match self.options.is_ablation() {
            true => Map::new(),
            false => conclusions.collect(),
        };
        json!({
            "conclusions": conclusions,
            "machine": self.machine,
            "others": self.others,
            "client_cpus": self.options.cpus.client().map(ToString::to_string),
            "peers": peers::versions(),
            "window_s": window.as_secs_f64(),
            "rounds": self.options.rounds,
            "cases": cases.collect::<Vec<_>>(),
        })
    }
}

fn contender(row: &Row) -> Value {
    let rounds = row.measured().map(|measured| round(row, measured));
    let mut contender = json!({
        "rounds": rounds.collect::<Vec<_>>(),
        "failures": row.failures().collect::<Vec<_>>(),
    });
    let limited: Vec<_> = row.client_limited().map(|metric| metric.name).collect();
    if !limited.is_empty() {
        contender["client_limited"] = limited.into();
    }
    match row.left_out {
        Some(LeftOut::SameAs(twin)) => contender["same_as"] = twin.into(),
        Some(LeftOut::NotInstalled(program)) => contender["not_installed"] = program.into(),
        Some(LeftOut::Obstacle(why)) => contender["obstacle"] = why.into(),
        None => {}
    }
    contender
}

fn round(row: &Row, measured: &Measured) -> Value {
    let metrics = row.case.metrics.iter().zip(&measured.found.values);
    let values = metrics.map(|(metric, value)| (metric.name.to_owned(), json!(value)));
    let mut round = json!({
        "values": values.collect::<Map<_, _>>(),
        "others": measured.others,
    });
    if let Some(stalls) = measured.found.stalls {
        round["stalls"] = json!(stalls);
    }
    if !measured.found.client_late.is_empty() {
        let late = row.case.metrics.iter().zip(&measured.found.client_late);
        let late =
            late.filter_map(|(metric, late)| Some((metric.name.to_owned(), json!((*late)?))));
        round["client_late"] = late.collect::<Map<_, _>>().into();
    }
    if !measured.found.details.is_null() {
        round["details"] = measured.found.details.clone();
    }
    round
}

/// What the absence of each heuristic does to each metric.
fn ablation(of_case: &[Row]) -> Value {
    let (with, without) = split(of_case);
    let effects = without.iter().flat_map(|row| {
        with.case.metrics.iter().map(|metric| {
            json!({
                "without": row.without,
                "metric": metric.name,
                "higher_is_better": metric.higher_is_better,
                "effect": effect(row, with, metric),
            })
        })
    });
    effects.collect()
}

fn bar(bar: &Bar, case: &Case, rows: &[Row]) -> Value {
    json!({
        "metric": bar.metric,
        "limit": describe(bar, case),
        "unit": bar.unit(case),
        "result": judge(bar, case, rows),
    })
}
