//! S once more, without this program: the floors that only read as scripts for pgbench, which runs them on the schemas that
//! `dmp load ratios --floor-database` leaves behind. The SQL is the floors' own; only what is asked for is drawn by pgbench.

use std::fmt::Write;
use store::random::Random;

use super::statement::{Statement, Value};
use super::supply::{DOSSIERS, PEOPLE, Supply, dmp_id, matricule};

/// A script, and the schema in which it runs.
pub(crate) struct Script {
    pub(crate) name: &'static str,
    pub(crate) schema: &'static str,
    pub(crate) text: String,
}

/// Those of resolving an identifier and of reading the facts of a decision.
pub(crate) fn scripts() -> [Script; 2] {
    let supply = Supply::new(Random::seeded(0));
    let resolve = Drawn {
        among: PEOPLE,
        sample: matricule(0),
        expression: "'2850469' || lpad(CAST(:number AS text), 8, '0')",
    };
    let revision = Drawn {
        among: DOSSIERS,
        sample: dmp_id(0),
        expression: "lpad(CAST(:number AS text), 20, '0')",
    };
    [
        Script {
            name: "resolve",
            schema: "load_identifier",
            text: resolve.script(&supply.resolve()),
        },
        Script {
            name: "revision",
            schema: "load_consent",
            text: revision.script(&supply.last_revision(&dmp_id(0))),
        },
    ]
}

/// What differs from one transaction to the next.
struct Drawn {
    /// How many there are.
    among: i64,
    /// The first of them, as a statement binds it.
    sample: String,
    /// The same in SQL, of the `:number` that pgbench draws.
    expression: &'static str,
}

impl Drawn {
    fn script(&self, statements: &[Statement]) -> String {
        let mut script = format!("\\set number random(0, {})\n", self.among - 1);
        for statement in statements {
            let _infallible = writeln!(script, "{};", self.filled(statement));
        }
        script
    }

    /// The statement with what it binds in its places. The last place first: `$1` is also how `$10` begins.
    fn filled(&self, statement: &Statement) -> String {
        let mut sql = statement.sql.to_owned();
        for (place, value) in statement.values.iter().enumerate().rev() {
            sql = sql.replace(&format!("${}", place + 1), &self.sql(value));
        }
        sql
    }

    fn sql(&self, value: &Value) -> String {
        match value {
            Value::Text(text) if *text == self.sample => self.expression.to_owned(),
            Value::Text(text) => format!("'{}'", text.replace('\'', "''")),
            Value::Number(number) => number.to_string(),
            Value::Bytes(bytes) => format!("'\\x{}'", hex::encode(bytes)),
            Value::Id(id) => format!("'{id}'"),
            Value::Flag(flag) => flag.to_string(),
            Value::NoBytes => "NULL".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

    use super::*;

    /// No place is left open, and each script asks for somebody whom pgbench draws.
    #[test]
    fn scripts_are_filled() {
        for script in scripts() {
            assert!(!script.text.contains('$'), "{}", script.text);
            assert_eq!(script.text.matches(":number").count(), 1, "{}", script.text);
            assert!(script.text.starts_with("\\set number random(0, ") && script.text.ends_with(";\n"));
        }
    }
}
