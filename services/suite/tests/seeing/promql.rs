//! As much of PromQL as it takes to find the metrics and labels of an expression.

/// What an expression asks for.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Asked {
    /// Each metric with its matchers.
    pub(crate) metrics: Vec<(String, Vec<Matcher>)>,
    /// The labels by which it groups or joins.
    pub(crate) labels: Vec<String>,
}

/// What is asked of a label.
#[derive(Debug, PartialEq)]
pub(crate) struct Matcher {
    pub(crate) label: String,
    /// The value that it must have; `None` for every other way of asking.
    pub(crate) value: Option<String>,
}

const GROUPING: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];
const WORDS: [&str; 14] = [
    "and", "or", "unless", "bool", "offset", "sum", "avg", "min", "max", "count", "topk", "bottomk", "quantile",
    "group",
];

/// Reads an expression.
pub(crate) fn read(expression: &str) -> Asked {
    let mut asked = Asked::default();
    let mut rest = expression;
    while let Some(first) = rest.chars().next() {
        if first == '[' {
            rest = after(rest, ']');
        } else if first == '$' || first.is_ascii_digit() {
            // A variable of Grafana, a number or a duration.
            rest = word(&rest[1..]).1;
        } else if starts_name(first) {
            rest = name(rest, &mut asked);
        } else {
            assert_ne!(first, '"', "a string outside of a matcher in {expression}");
            rest = &rest[first.len_utf8()..];
        }
    }
    asked
}

fn name<'a>(text: &'a str, asked: &mut Asked) -> &'a str {
    let (name, rest) = word(text);
    let next = rest.trim_start();
    if GROUPING.contains(&name) {
        let list = next
            .strip_prefix('(')
            .unwrap_or_else(|| panic!("{name} without labels"));
        let (labels, rest) = list.split_once(')').unwrap();
        let labels = labels.split(',').map(str::trim).filter(|label| !label.is_empty());
        asked.labels.extend(labels.map(str::to_owned));
        return rest;
    }
    if WORDS.contains(&name) || next.starts_with('(') {
        return rest;
    }
    let (matchers, rest) = match next.strip_prefix('{') {
        Some(matchers) => matched(matchers),
        None => (Vec::new(), rest),
    };
    asked.metrics.push((name.to_owned(), matchers));
    rest
}

/// Matchers, and what follows the brace that ends them.
fn matched(mut text: &str) -> (Vec<Matcher>, &str) {
    let mut matchers = Vec::new();
    loop {
        text = text.trim_start_matches([' ', ',']);
        if let Some(rest) = text.strip_prefix('}') {
            return (matchers, rest);
        }
        let (label, rest) = word(text);
        assert!(!label.is_empty(), "a matcher without a label: {text}");
        let (operator, rest) = rest.split_once('"').unwrap();
        let (value, rest) = rest.split_once('"').unwrap();
        matchers.push(Matcher {
            label: label.to_owned(),
            value: (operator.trim() == "=").then(|| value.to_owned()),
        });
        text = rest;
    }
}

fn after(text: &str, end: char) -> &str {
    text.split_once(end).unwrap_or_else(|| panic!("no {end} in {text}")).1
}

fn starts_name(character: char) -> bool {
    character.is_ascii_alphabetic() || character == '_'
}

fn word(text: &str) -> (&str, &str) {
    let end = text.find(|character: char| !(starts_name(character) || character.is_ascii_digit()));
    text.split_at(end.unwrap_or(text.len()))
}

#[test]
fn metrics_and_labels_are_found_and_nothing_else() {
    let expression = r#"histogram_quantile(0.99, sum by (le, a) (rate(x_bucket{b=~"c{1}|d", e!="f", g="h"}[5m])))
        > 2e3 and on (i) y offset 5m unless count(z{}) / $__range == 1"#;
    let matcher = |label: &str, value: Option<&str>| Matcher {
        label: label.to_owned(),
        value: value.map(str::to_owned),
    };
    let asked = read(expression);
    let on_x = vec![matcher("b", None), matcher("e", None), matcher("g", Some("h"))];
    let metrics = [("x_bucket", on_x), ("y", vec![]), ("z", vec![])];
    assert_eq!(
        asked.metrics,
        metrics.map(|(name, matchers)| (name.to_owned(), matchers))
    );
    assert_eq!(asked.labels, ["le", "a", "i"]);
}
