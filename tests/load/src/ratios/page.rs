//! The ratios as one page.

use std::fmt::Write;

use super::text::{aim, known, pair, range, yes};
use super::{Ratios, Row};
use crate::plot::{Bar, bars, beginning, escaped, heading};

impl Ratios {
    /// For a browser: one page that needs nothing else.
    pub fn page(&self) -> String {
        let mut page = beginning("How near the suite is to its floors", FLOORS, self.optimised);
        page += &table(
            &["", "of E", "aim", "of S", "aim", "reached", "ours/s", "E/s", "S/s"],
            self.rows.iter().map(ratios),
        );
        page += &(heading("Ratios in parts of their aims") + &bars(&self.bars()));
        page += &heading("Latencies at half of the rate that was borne, in milliseconds");
        page += "<p>Calls arrive whatever is answered, for each contender at half of its own rate.</p>";
        page += &table(
            &[
                "",
                "ours p50/p99",
                "E p50/p99",
                "S p50/p99",
                "p99 to slower floor",
                "at most",
                "reached",
            ],
            self.rows.iter().filter_map(at_half),
        );
        page += &heading("Latencies at full speed, in milliseconds");
        page += &table(
            &["", "ours p50/p99", "E p50/p99", "S p50/p99"],
            self.rows.iter().map(at_full),
        );
        page += &heading("Beside a peer");
        let _infallible = write!(page, "<p>{}.</p>", escaped(&self.peer_source));
        page += &table(&["", "of E", "our", "of E"], self.peer_rows());
        page += &heading("What the floors leave out");
        page += &table(
            &["", ""],
            self.rows
                .iter()
                .map(|row| vec![row.name.clone(), row.leaves_out.clone()]),
        );
        let _infallible = write!(
            page,
            "{}<p>{}</p></html>",
            heading("Conditions"),
            escaped(&self.conditions)
        );
        page
    }

    fn bars(&self) -> Vec<Bar> {
        let bar = |row: &Row, floor: &str, ratio: f64, aim: f64| Bar {
            name: format!("{} of {floor}", row.name),
            reached: ratio / aim,
            told: format!("{ratio:.3} (aim {aim})"),
        };
        let of_row = |row: &Row| {
            let echo = (row.aim_of_echo > 0.0).then(|| bar(row, "E", row.of_echo, row.aim_of_echo));
            let asked = row.of_statements.filter(|_| row.aim_of_statements > 0.0);
            let statements = asked.map(|ratio| bar(row, "S", ratio, row.aim_of_statements));
            echo.into_iter().chain(statements).collect::<Vec<_>>()
        };
        self.rows.iter().flat_map(of_row).collect()
    }

    fn peer_rows(&self) -> impl Iterator<Item = Vec<String>> {
        self.beside().map(|(peer, row)| {
            let (least, most) = peer.of_echo;
            vec![
                peer.does.clone(),
                range(least, most),
                row.name.clone(),
                format!("{:.3}", row.of_echo),
            ]
        })
    }
}

const FLOORS: &str = "E is a bare unary gRPC call. S is the call's own SQL statements, with the same durability, run through \
                      sqlx alone. Both are measured in the same run, in turn with the suite.";

fn ratios(row: &Row) -> Vec<String> {
    vec![
        row.name.clone(),
        format!("{:.3}", row.of_echo),
        aim(row.aim_of_echo),
        known(row.of_statements, 3),
        aim(row.aim_of_statements),
        yes(row.reaches()).to_owned(),
        format!("{:.0}", row.ours),
        format!("{:.0}", row.echo),
        known(row.statements, 0),
    ]
}

fn at_full(row: &Row) -> Vec<String> {
    vec![
        row.name.clone(),
        pair(row.ours_ms),
        pair(row.echo_ms),
        row.statements_ms.map_or(String::new(), pair),
    ]
}

fn at_half(row: &Row) -> Option<Vec<String>> {
    let half = row.at_half.as_ref()?;
    Some(vec![
        row.name.clone(),
        pair(half.ours_ms),
        pair(half.echo_ms),
        half.statements_ms.map_or(String::new(), pair),
        format!("{:.1}", half.of_slower),
        half.aim.to_string(),
        yes(half.reaches()).to_owned(),
    ])
}

fn table(titles: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let cells = |tag: &str, texts: &mut dyn Iterator<Item = &str>| {
        let cells = texts.map(|text| format!("<{tag}>{}</{tag}>", escaped(text)));
        format!("<tr>{}</tr>", cells.collect::<String>())
    };
    let head = cells("th", &mut titles.iter().copied());
    let rows = rows.map(|row| cells("td", &mut row.iter().map(String::as_str)));
    format!("<table>{head}{}</table>", rows.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ratios::row::tests::row;
    use crate::ratios::subjects::{PEER_SOURCE, peers};

    /// Whoever reads the terminal or the page finds ratios, aims, what was reached, the peer, and the conditions.
    #[test]
    fn text_and_page_tell_the_same() {
        let ratios = Ratios {
            conditions: "on a <quiet> machine".to_owned(),
            optimised: true,
            rows: ["submit", "list"]
                .map(|name| row(name, &[(10.0, 100.0, 20.0)]))
                .to_vec(),
            peer_source: PEER_SOURCE.to_owned(),
            peers: peers(),
        };
        let (text, page) = (ratios.text(), ratios.page());
        for told in [
            "0.100",
            "0.075",
            "0.500",
            "0.6",
            "create 20 kB",
            "0.015",
            "three calls and tokens",
        ] {
            assert!(
                text.contains(told) && page.contains(told),
                "{told} is missing in {text}{page}"
            );
        }
        assert!(text.contains("on a <quiet>") && page.contains("on a &lt;quiet&gt;"));
        assert!(!page.contains("read one"), "a peer's call stands beside one of ours");
        assert_eq!(page.matches("<svg").count(), 1);
    }
}
