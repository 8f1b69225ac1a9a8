//! What pages with plots are made of: no script, no font, no picture from elsewhere.

use std::fmt::Write;

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 240.0;
/// Room for the numbers of the axes.
const LEFT: f64 = 64.0;
const BELOW: f64 = 26.0;

/// Horizontal bars: the height of each, room for names and for what is told, where the axis ends at least and at most,
/// in parts of the aim.
const BAR: f64 = 22.0;
const BARS_LEFT: f64 = 180.0;
const BARS_RIGHT: f64 = 170.0;
const BARS_TO: f64 = 1.2;
const BARS_TO_AT_MOST: f64 = 3.0;
const REACHED: &str = "#009e73";
const MISSED: &str = "#d55e00";

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
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) points: Vec<(f64, f64)>,
}

/// How an axis is read.
pub(crate) struct Axis {
    /// Where it ends.
    pub(crate) max: f64,
    /// Places and what is written there.
    pub(crate) marks: Vec<(f64, String)>,
}

/// A bar of a plot: how much was reached of what was asked for.
pub(crate) struct Bar {
    pub(crate) name: String,
    /// In parts of the aim: 1 is the aim.
    pub(crate) reached: f64,
    /// What is written beside it.
    pub(crate) told: String,
}

/// How a page begins, up to what it holds for.
pub(crate) fn beginning(title: &str, conditions: &str, optimised: bool) -> String {
    let mut page = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>dmp load</title><style>{STYLE}</style>\
         <h1>{title}</h1><p>{}</p>",
        escaped(conditions)
    );
    if !optimised {
        page.push_str("<p class=\"warn\">A debug build of the client: these figures say nothing about speed.</p>");
    }
    page
}

pub(crate) fn heading(text: &str) -> String {
    format!("<h2>{text}</h2>")
}

/// A line of values, one a second.
pub(crate) fn over_time(name: &str, values: impl Iterator<Item = f64>) -> Line {
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

/// An axis of seconds.
pub(crate) fn time(seconds: usize) -> Axis {
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

/// Lines over an axis, with their key below.
pub(crate) fn plot(lines: &[Line], across: &Axis) -> String {
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

/// Horizontal bars, with a line where the aim is.
pub(crate) fn bars(bars: &[Bar]) -> String {
    let furthest = bars.iter().map(|bar| bar.reached).fold(BARS_TO, f64::max);
    let end = furthest.min(BARS_TO_AT_MOST);
    let across = |reached: f64| BARS_LEFT + reached.min(end) / end * (WIDTH - BARS_LEFT - BARS_RIGHT);
    let height = BAR * bars.len() as f64;
    let mut svg = format!("<svg viewBox=\"0 0 {WIDTH} {}\" role=\"img\">", height + BELOW);
    for (bar, turn) in bars.iter().zip(0_u32..) {
        let (top, end) = (BAR * f64::from(turn), across(bar.reached));
        let colour = if bar.reached >= 1.0 { REACHED } else { MISSED };
        let _infallible = write!(
            svg,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text><rect x=\"{BARS_LEFT}\" y=\"{}\" width=\"{:.1}\" \
             height=\"{}\" fill=\"{colour}\"/><text x=\"{:.1}\" y=\"{}\">{}</text>",
            BARS_LEFT - 6.0,
            top + 15.0,
            escaped(&bar.name),
            top + 4.0,
            end - BARS_LEFT,
            BAR - 8.0,
            end + 6.0,
            top + 15.0,
            escaped(&bar.told)
        );
    }
    let aim = across(1.0);
    let _infallible = write!(
        svg,
        "<line x1=\"{aim:.1}\" x2=\"{aim:.1}\" y1=\"0\" y2=\"{height}\" stroke=\"#000\" stroke-dasharray=\"4 3\"/>\
         <text x=\"{aim:.1}\" y=\"{}\" text-anchor=\"middle\">aim</text>",
        height + 16.0
    );
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

/// Text that cannot become markup.
pub(crate) fn escaped(text: &str) -> String {
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

    /// A bar that reaches far beyond the aim, or not at all, stays within its plot.
    #[test]
    fn bars_stay_within_their_plot() {
        let bar = |reached| Bar {
            name: "list of E".to_owned(),
            reached,
            told: "<told>".to_owned(),
        };
        let svg = bars(&[bar(0.0), bar(1.0), bar(50.0)]);
        assert!(svg.contains("&lt;told&gt;") && svg.contains("width=\"0.0\""), "{svg}");
        assert!(
            svg.contains(&format!("width=\"{:.1}\"", WIDTH - BARS_LEFT - BARS_RIGHT)),
            "{svg}"
        );
    }
}
