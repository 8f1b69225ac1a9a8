//! The ratios for a terminal.

use std::fmt::Write;

use super::Ratios;

impl Ratios {
    /// For a terminal: ratios first.
    pub fn text(&self) -> String {
        let parts = [
            self.conditions.clone(),
            self.full_speed(),
            self.at_half(),
            self.beside_a_peer(),
            self.left_out(),
        ];
        let told = parts.iter().filter(|part| !part.is_empty());
        let told: Vec<String> = told.map(|part| part.trim_end().to_owned() + "\n").collect();
        told.join("\n")
    }

    fn full_speed(&self) -> String {
        let mut text = format!(
            "{:<15} {:>7} {:>6} {:>7} {:>6} {:>4}  {:>9} {:>9} {:>9}  {:>16} {:>16} {:>16}\n",
            "",
            "of E",
            "aim",
            "of S",
            "aim",
            "",
            "ours/s",
            "E/s",
            "S/s",
            "ours p50/p99 ms",
            "E p50/p99 ms",
            "S p50/p99 ms"
        );
        for row in &self.rows {
            let _infallible = writeln!(
                text,
                "{:<15} {:>7.3} {:>6} {:>7} {:>6} {:>4}  {:>9.0} {:>9.0} {:>9}  {:>16} {:>16} {:>16}",
                row.name,
                row.of_echo,
                aim(row.aim_of_echo),
                known(row.of_statements, 3),
                aim(row.aim_of_statements),
                yes(row.reaches()),
                row.ours,
                row.echo,
                known(row.statements, 0),
                pair(row.ours_ms),
                pair(row.echo_ms),
                row.statements_ms.map_or(String::new(), pair),
            );
        }
        text
    }

    fn at_half(&self) -> String {
        if self.rows.iter().all(|row| row.at_half.is_none()) {
            return String::new();
        }
        let mut text = format!(
            "when calls arrive at half of that rate, whatever is answered, each at half of its own:\n{:<15} {:>16} {:>16} \
             {:>16}  {:>20} {:>4}\n",
            "", "ours p50/p99 ms", "E p50/p99 ms", "S p50/p99 ms", "p99 to slower floor", ""
        );
        for (name, at_half) in self
            .rows
            .iter()
            .filter_map(|row| Some((&row.name, row.at_half.as_ref()?)))
        {
            let _infallible = writeln!(
                text,
                "{name:<15} {:>16} {:>16} {:>16}  {:>20} {:>4}",
                pair(at_half.ours_ms),
                pair(at_half.echo_ms),
                at_half.statements_ms.map_or(String::new(), pair),
                format!("{:.1} (at most {})", at_half.of_slower, at_half.aim),
                yes(at_half.reaches()),
            );
        }
        text
    }

    fn beside_a_peer(&self) -> String {
        let mut text = format!("a peer, {}:\n", self.peer_source);
        for (peer, row) in self.beside() {
            let (least, most) = peer.of_echo;
            let _infallible = writeln!(
                text,
                "  {} at {} of E, beside {} at {:.3}",
                peer.does,
                range(least, most),
                row.name,
                row.of_echo
            );
        }
        text
    }

    fn left_out(&self) -> String {
        let lines = self
            .rows
            .iter()
            .map(|row| format!("  {}: {}\n", row.name, row.leaves_out));
        "what the floors leave out:\n".to_owned() + &lines.collect::<String>()
    }
}

/// An aim, where there is one.
pub(super) fn aim(aim: f64) -> String {
    if aim > 0.0 { format!("{aim}") } else { String::new() }
}

/// A number, where there is one.
pub(super) fn known(number: Option<f64>, digits: usize) -> String {
    number.map_or(String::new(), |number| format!("{number:.digits$}"))
}

/// Median and 99th percentile.
pub(super) fn pair((p50, p99): (f64, f64)) -> String {
    format!("{p50:.1}/{p99:.1}")
}

pub(super) fn yes(reached: bool) -> &'static str {
    if reached { "yes" } else { "no" }
}

/// One number, or from one to another.
pub(super) fn range(least: f64, most: f64) -> String {
    if least < most {
        format!("{least}–{most}")
    } else {
        format!("{least}")
    }
}
