//! The report of a load as one page.

use std::fmt::Write;

use crate::operation::Ending;
use crate::peak::Peak;
use crate::plot::{Axis, Line, beginning, escaped, heading, over_time, plot, time};
use crate::report::Report;
use crate::tally::{Counts, Second};
use crate::usage::Usage;

/// The page of a report.
pub(crate) fn page(report: &Report) -> String {
    let conditions = &report.conditions;
    let mut page = beginning("What the suite bore", &conditions.sentence(), conditions.optimised);
    for sentence in Peak::of(report).iter().flat_map(Peak::sentences) {
        let _infallible = write!(page, "<p>{}</p>", escaped(&sentence));
    }
    page.push_str(&table(report));
    page.push_str(&plots(report));
    let scenario = toml::to_string(&report.conditions.scenario).unwrap_or_default();
    let _infallible = write!(page, "<h2>The scenario</h2><pre>{}</pre></html>", escaped(&scenario));
    page
}

fn plots(report: &Report) -> String {
    let seconds = &report.seconds;
    let series = |name: &str, value: fn(&Second) -> f64| over_time(name, seconds.iter().map(value));
    let calls = [
        series("due", |second| second.intended as f64),
        series("done", |second| second.done as f64),
        series("failed", |second| second.failed as f64),
        series("not sent", |second| second.not_sent as f64),
    ];
    let latencies = [
        series("p50", |second| second.p50_ms),
        series("p99", |second| second.p99_ms),
    ];
    let under_way = [series("in flight", |second| second.in_flight as f64)];
    let of_processes = |value: fn(&Usage) -> f64| -> Vec<Line> {
        let processes = report.usage.iter();
        processes
            .map(|(name, usage)| over_time(name, usage.iter().map(value)))
            .collect()
    };
    let mut plots = heading("Latency by percentile, in milliseconds") + &by_percentile(report);
    plots += &(heading("Calls a second") + &plot(&calls, &time(seconds.len())));
    plots += &(heading("Latency second by second, in milliseconds") + &plot(&latencies, &time(seconds.len())));
    plots += &(heading("Calls under way") + &plot(&under_way, &time(seconds.len())));
    if report.usage.is_empty() {
        plots += "<p>The services did not run on this machine, or were not found: memory and processor time are left out.</p>";
        return plots;
    }
    let memory = of_processes(|usage| usage.memory_bytes as f64 / f64::from(1 << 20));
    let cpu = of_processes(|usage| usage.cpu_percent);
    plots += &(heading("Resident memory, in MiB") + &plot(&memory, &time(seconds.len())));
    plots += &(heading("Processor time, in hundredths of one processor") + &plot(&cpu, &time(seconds.len())));
    plots
}

fn table(report: &Report) -> String {
    let mut table = "<table><tr><th></th><th>due</th><th>done</th><th>failed</th><th>not sent</th><th>done/s</th>\
                     <th>p50 ms</th><th>p90 ms</th><th>p99 ms</th><th>p99.9 ms</th><th>max ms</th></tr>"
        .to_owned();
    let total = report.total();
    let rows = report.operations.iter().map(|(name, counts)| (name.as_str(), counts));
    for (name, counts) in rows.chain([("all", &total)]) {
        table.push_str(&row(name, counts, report.elapsed_seconds));
    }
    table.push_str("</table>");
    let failures = report.operations.iter().flat_map(|(name, counts)| {
        let endings = counts.endings.iter().filter(|(ending, _)| *ending != Ending::DONE);
        endings
            .map(move |(ending, count)| format!("<tr><td>{name}</td><td>{}</td><td>{count}</td></tr>", escaped(ending)))
    });
    let failures: String = failures.collect();
    if failures.is_empty() {
        return table + "<p>Every try succeeded.</p>";
    }
    table + "<h2>Tries that did not succeed</h2><table>" + &failures + "</table>"
}

fn row(name: &str, counts: &Counts, seconds: f64) -> String {
    let mut row = format!(
        "<tr><td>{name}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{:.1}</td>",
        counts.intended,
        counts.done(),
        counts.failures(),
        counts.not_sent,
        counts.done() as f64 / seconds.max(f64::EPSILON),
    );
    for percent in [50.0, 90.0, 99.0, 99.9, 100.0] {
        let _infallible = write!(row, "<td>{:.1}</td>", counts.latency.milliseconds(percent));
    }
    row + "</tr>"
}

/// Lines over the share of calls that took longer, on a scale that gives each nine the same room.
fn by_percentile(report: &Report) -> String {
    let nines = |percent: f64| -(1.0 - percent / 100.0).log10();
    let percents = [0.0, 25.0, 50.0, 75.0, 90.0, 95.0, 98.0, 99.0, 99.5, 99.9, 99.95, 99.99];
    let line = |(name, counts): (&String, &Counts)| Line {
        name: name.clone(),
        points: percents
            .iter()
            // No more nines than the number of calls can tell.
            .filter(|percent| counts.latency.count() as f64 * (1.0 - **percent / 100.0) >= 1.0)
            .map(|percent| (nines(*percent), counts.latency.milliseconds(*percent)))
            .collect(),
    };
    let lines: Vec<Line> = report.operations.iter().map(line).collect();
    let marks = [0.0, 50.0, 90.0, 99.0, 99.9, 99.99].map(|percent| (nines(percent), format!("{percent} %")));
    let axis = Axis {
        max: 4.0,
        marks: marks.to_vec(),
    };
    plot(&lines, &axis)
}
