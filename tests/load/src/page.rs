//! The report as one page: no script, no font, no picture from elsewhere.

use std::fmt::Write;

use crate::report::Report;
use crate::tally::{Counts, Second};
use crate::usage::Usage;

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 240.0;
/// Room for the numbers of the axes.
const LEFT: f64 = 64.0;
const BELOW: f64 = 26.0;

/// Points of a line; a longer one is thinned by keeping the highest of each stretch, so that no peak is lost.
const POINTS_MAX: usize = 800;

/// Told apart by people who do not see all colours, after Okabe and Ito.
const COLOURS: [&str; 11] = [
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f7f7f", "#000000", "#8c564b", "#9467bd",
    "#bcbd22",
];

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:900px;margin:2em auto;padding:0 1em;color:#222}\
table{border-collapse:collapse;font-variant-numeric:tabular-nums}td,th{padding:.15em .7em;text-align:right;\
border-bottom:1px solid #ddd}td:first-child,th:first-child{text-align:left}svg{width:100%;height:auto}\
text{font:11px system-ui,sans-serif;fill:#555}.warn{background:#fde8d7;padding:.6em 1em}pre{background:#f4f4f4;\
padding:1em;overflow:auto}";

/// A line of a plot.
struct Line {
    name: String,
    points: Vec<(f64, f64)>,
}

/// How an axis is read.
struct Axis {
    /// Where it ends.
    max: f64,
    /// Places and what is written there.
    marks: Vec<(f64, String)>,
}

/// The page of a report.
pub(crate) fn page(report: &Report) -> String {
    let mut page = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>dmp load</title><style>{STYLE}</style>\
         <h1>What the suite bore</h1><p>{}</p>",
        escaped(&report.conditions.sentence())
    );
    if !report.conditions.optimised {
        page.push_str("<p class=\"warn\">A debug build of the client: these figures say nothing about speed.</p>");
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

fn heading(text: &str) -> String {
    format!("<h2>{text}</h2>")
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
        let endings = counts.endings.iter().filter(|(ending, _)| *ending != "OK");
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

fn over_time(name: &str, values: impl Iterator<Item = f64>) -> Line {
    let values: Vec<f64> = values.collect();
    let stretch = values.len().div_ceil(POINTS_MAX).max(1);
    let highest = values
        .chunks(stretch)
        .map(|chunk| chunk.iter().copied().fold(0.0, f64::max));
    Line {
        name: name.to_owned(),
        points: highest
            .enumerate()
            .map(|(place, value)| ((place * stretch) as f64, value))
            .collect(),
    }
}

fn time(seconds: usize) -> Axis {
    let max = (seconds.saturating_sub(1)).max(1) as f64;
    let marks = (0..=4).map(|quarter| {
        let at = max * f64::from(quarter) / 4.0;
        (at, format!("{at:.0} s"))
    });
    Axis {
        max,
        marks: marks.collect(),
    }
}

fn plot(lines: &[Line], across: &Axis) -> String {
    let highest = lines
        .iter()
        .flat_map(|line| &line.points)
        .map(|(_, y)| *y)
        .fold(0.0, f64::max);
    let top = round_up(highest);
    let place = |(x, y): (f64, f64)| {
        let across = LEFT + x / across.max * (WIDTH - LEFT - 8.0);
        (across, (HEIGHT - BELOW) * (1.0 - y / top) + 6.0)
    };
    let mut svg = format!("<svg viewBox=\"0 0 {WIDTH} {}\" role=\"img\">", HEIGHT + 20.0);
    for quarter in 0..=4 {
        let value = top * f64::from(quarter) / 4.0;
        let (_, y) = place((0.0, value));
        let _infallible = write!(
            svg,
            "<line x1=\"{LEFT}\" x2=\"{WIDTH}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"#ddd\"/>\
             <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            LEFT - 6.0,
            y + 4.0,
            short(value)
        );
    }
    for (at, name) in &across.marks {
        let (x, _) = place((*at, 0.0));
        let (anchor, y) = (if *at > across.max * 0.99 { "end" } else { "middle" }, HEIGHT - 4.0);
        let _infallible = write!(
            svg,
            "<text x=\"{x:.1}\" y=\"{y}\" text-anchor=\"{anchor}\">{name}</text>"
        );
    }
    let mut key = LEFT;
    for (line, colour) in lines.iter().zip(COLOURS.iter().cycle()) {
        let points = line.points.iter().map(|point| place(*point));
        let points: String = points.map(|(x, y)| format!("{x:.1},{y:.1} ")).collect();
        let name = escaped(&line.name);
        let _infallible = write!(
            svg,
            "<polyline points=\"{points}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\"><title>{name}</title>\
             </polyline><rect x=\"{key:.0}\" y=\"{}\" width=\"10\" height=\"10\" fill=\"{colour}\"/>\
             <text x=\"{:.0}\" y=\"{}\">{name}</text>",
            HEIGHT + 6.0,
            key + 14.0,
            HEIGHT + 15.0
        );
        key += 26.0 + 6.2 * line.name.chars().count() as f64;
    }
    svg + "</svg>"
}

/// The next of 1, 2 and 5 times a power of ten.
fn round_up(value: f64) -> f64 {
    if value <= 0.0 {
        return 1.0;
    }
    let power = 10_f64.powf(value.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|step| step * power);
    steps.into_iter().find(|step| *step >= value).unwrap_or(value)
}

fn short(value: f64) -> String {
    if value >= 10.0 || value == 0.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.2}")
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_end_above_what_is_shown() {
        for (value, top) in [
            (0.0, 1.0),
            (0.03, 0.05),
            (1.0, 1.0),
            (1.1, 2.0),
            (49.0, 50.0),
            (51.0, 100.0),
        ] {
            assert!((round_up(value) - top).abs() < 1e-9, "{value}");
        }
    }

    /// A day of seconds fits, and its one peak is still there.
    #[test]
    fn no_peak_is_thinned_away() {
        let values = (0..86_400).map(|second| if second == 4_711 { 99.0 } else { 1.0 });
        let line = over_time("x", values);
        assert!(line.points.len() <= POINTS_MAX);
        assert!(line.points.iter().any(|(_, y)| *y > 98.0));
    }

    #[test]
    fn what_is_shown_cannot_break_the_page() {
        assert_eq!(escaped("<a & \"b\">"), "&lt;a &amp; &quot;b&quot;&gt;");
        let line = Line {
            name: "<script>".to_owned(),
            points: vec![(0.0, 0.0), (1.0, 3.0)],
        };
        let svg = plot(&[line], &time(2));
        assert!(svg.contains("&lt;script&gt;") && !svg.contains("<script>"));
    }
}
