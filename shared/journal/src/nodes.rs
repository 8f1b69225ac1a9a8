//! Every SQL statement about logs, the hashes of their trees, and their checkpoints.

use std::collections::{BTreeSet, HashMap};

use sqlx::{QueryBuilder, Row};
use store::{Engine, Error, NewRow, Result, Value, padded, push_list};
use uuid::Uuid;

use crate::entries::{from_u64, hash, to_u64};
use crate::hash::Hash;
use crate::tree::{Node, fold};

/// A log as its row says.
pub(crate) struct LogRow {
    pub(crate) id: i64,
    pub(crate) verifier_key: String,
}

/// The log named `origin`.
pub(crate) async fn find_log<DB: Engine>(connection: &mut DB::Connection, origin: &str) -> Result<Option<LogRow>> {
    let row = sqlx::query("SELECT log_id, verifier_key FROM journal_logs WHERE origin = $1")
        .bind(origin)
        .fetch_optional(connection)
        .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(LogRow {
        id: row.try_get("log_id")?,
        verifier_key: row.try_get("verifier_key")?,
    }))
}

/// Begins the log named `origin`, without entries. False when somebody else has begun it meanwhile.
pub(crate) async fn insert_log<DB: Engine>(
    connection: &mut DB::Connection,
    origin: &str,
    verifier_key: &str,
) -> Result<bool> {
    let inserted = sqlx::query(
        "INSERT INTO journal_logs (log_id, origin, verifier_key, tree_size)
         SELECT COALESCE(MAX(log_id), 0) + 1, $1, $2, 0 FROM journal_logs WHERE true
         ON CONFLICT DO NOTHING RETURNING log_id",
    )
    .bind(origin)
    .bind(verifier_key)
    .fetch_optional(connection)
    .await?;
    Ok(inserted.is_some())
}

/// Takes hold of the log until the end of the transaction: whoever else would append waits here. Answers its size.
pub(crate) async fn lock_log<DB: Engine>(connection: &mut DB::Connection, log: i64) -> Result<u64> {
    let row =
        sqlx::query("UPDATE journal_logs SET tree_size = tree_size WHERE log_id = $1 RETURNING tree_size AS tree_size")
            .bind(log)
            .fetch_one(connection)
            .await?;
    to_u64(row.try_get("tree_size")?)
}

/// Takes hold of the log and moves it from one size to another. False when it has another size than the first, or when one of
/// the `unseen` ids is staged.
pub(crate) async fn advance<DB: Engine>(
    connection: &mut DB::Connection,
    log: i64,
    (from, to): (u64, u64),
    unseen: &[Uuid],
) -> Result<bool> {
    let mut lists: Vec<Vec<Option<Uuid>>> = padded(unseen)
        .map(|ids| ids.map(Option::<&Uuid>::copied).collect())
        .collect();
    if lists.is_empty() {
        // One that is nobody's, so that it is the same statement either way.
        lists.push(vec![None]);
    }
    let mut update = QueryBuilder::<DB>::new("UPDATE journal_logs SET tree_size = ");
    update.push_bind(from_u64(to)).push(" WHERE log_id = ").push_bind(log);
    update.push(" AND tree_size = ").push_bind(from_u64(from));
    for ids in lists {
        update
            .push(" AND NOT EXISTS (SELECT 1 FROM journal_staged WHERE +log_id = ")
            .push_bind(log);
        update.push(" AND entry_id IN ");
        push_list(&mut update, ids);
        update.push(")");
    }
    update.push(" RETURNING tree_size AS tree_size");
    Ok(update.build().fetch_optional(connection).await?.is_some())
}

/// The row of a checkpoint.
pub(crate) fn checkpoint(log: i64, size: u64, note: &str) -> NewRow {
    NewRow {
        columns: "journal_checkpoints (log_id, tree_size, note)",
        values: vec![
            Value::Number(log),
            Value::Number(from_u64(size)),
            Value::Text(note.to_owned()),
        ],
    }
}

/// The largest checkpoint with its size.
pub(crate) async fn last_checkpoint<DB: Engine>(
    connection: &mut DB::Connection,
    log: i64,
) -> Result<Option<(u64, String)>> {
    let row = sqlx::query(
        "SELECT tree_size, note FROM journal_checkpoints WHERE log_id = $1 ORDER BY tree_size DESC LIMIT 1",
    )
    .bind(log)
    .fetch_optional(connection)
    .await?;
    row.map(|row| Ok((to_u64(row.try_get("tree_size")?)?, row.try_get("note")?)))
        .transpose()
}

/// The smallest checkpoint of at least `size` leaves, with its size.
pub(crate) async fn checkpoint_from<DB: Engine>(
    connection: &mut DB::Connection,
    log: i64,
    size: u64,
) -> Result<Option<(u64, String)>> {
    let row = sqlx::query(
        "SELECT tree_size, note FROM journal_checkpoints
         WHERE log_id = $1 AND tree_size >= $2 ORDER BY tree_size LIMIT 1",
    )
    .bind(log)
    .bind(from_u64(size))
    .fetch_optional(connection)
    .await?;
    row.map(|row| Ok((to_u64(row.try_get("tree_size")?)?, row.try_get("note")?)))
        .transpose()
}

/// The rows of completed subtrees. Leaves are kept by their entries.
pub(crate) fn rows(log: i64, nodes: &[(Node, Hash)]) -> impl Iterator<Item = NewRow> {
    let above = nodes.iter().filter(|(node, _)| node.level > 0);
    above.map(move |(node, hash)| row(log, *node, hash))
}

fn row(log: i64, node: Node, hash: &Hash) -> NewRow {
    NewRow {
        columns: "journal_nodes (log_id, level, position, hash)",
        values: vec![
            Value::Number(log),
            Value::Number(i64::from(node.level)),
            Value::Number(from_u64(node.position)),
            Value::Bytes(hash.to_vec()),
        ],
    }
}

/// The hashes of complete subtrees. Missing ones are left out.
pub(crate) async fn hashes<DB: Engine>(
    connection: &mut DB::Connection,
    log: i64,
    nodes: &BTreeSet<Node>,
) -> Result<HashMap<Node, Hash>> {
    let (leaves, above): (Vec<Node>, Vec<Node>) = nodes.iter().partition(|node| node.level == 0);
    let mut found = HashMap::with_capacity(nodes.len());
    // Each by a query of its own within the statement, which is one step down an index, whatever there is to know of the
    // table when it is planned: as a join, PostgreSQL may compare all that there is with all that is asked.
    for rows in padded(&leaves) {
        let mut select = QueryBuilder::<DB>::new(
            "SELECT CAST(0 AS BIGINT) AS level, v.column1 AS position, (SELECT e.leaf_hash FROM journal_entries e
                WHERE e.leaf_index = v.column1 AND e.log_id = ",
        );
        select.push_bind(log).push(") AS hash FROM (");
        select.push_values(rows, |mut row, node| {
            row.push_bind(node.map(|node| from_u64(node.position)));
        });
        select.push(") AS v");
        gather::<DB>(connection, select, &mut found).await?;
    }
    for rows in padded(&above) {
        let mut select = QueryBuilder::<DB>::new(
            "SELECT v.column1 AS level, v.column2 AS position, (SELECT n.hash FROM journal_nodes n
                WHERE n.level = v.column1 AND n.position = v.column2 AND n.log_id = ",
        );
        select.push_bind(log).push(") AS hash FROM (");
        select.push_values(rows, |mut row, node| {
            row.push_bind(node.map(|node| i64::from(node.level)));
            row.push_bind(node.map(|node| from_u64(node.position)));
        });
        select.push(") AS v");
        gather::<DB>(connection, select, &mut found).await?;
    }
    Ok(found)
}

/// Adds the nodes that a statement finds. One that it does not find has no hash.
async fn gather<DB: Engine>(
    connection: &mut DB::Connection,
    mut select: QueryBuilder<DB>,
    found: &mut HashMap<Node, Hash>,
) -> Result<()> {
    for row in select.build().fetch_all(connection).await? {
        let Some(bytes) = row.try_get("hash")? else { continue };
        let level = row.try_get::<i64, _>("level")?;
        let node = Node {
            level: u32::try_from(level).map_err(|_| Error::Corrupt("journal_nodes.level"))?,
            position: to_u64(row.try_get("position")?)?,
        };
        found.insert(node, hash(bytes)?);
    }
    Ok(())
}

/// The hashes of `count` subtrees of one level from `position` on, from left to right, as many as are complete.
pub(crate) async fn row_of_hashes<DB: Engine>(
    connection: &mut DB::Connection,
    log: i64,
    from: Node,
    count: u64,
) -> Result<Vec<Hash>> {
    let end = from_u64(from.position.saturating_add(count));
    let query = if from.level == 0 {
        sqlx::query(
            "SELECT leaf_hash AS hash FROM journal_entries
             WHERE log_id = $1 AND leaf_index >= $2 AND leaf_index < $3 ORDER BY leaf_index",
        )
        .bind(log)
    } else {
        sqlx::query(
            "SELECT hash FROM journal_nodes
             WHERE log_id = $1 AND position >= $2 AND position < $3 AND level = $4 ORDER BY position",
        )
        .bind(log)
    };
    let query = query.bind(from_u64(from.position)).bind(end);
    let query = if from.level == 0 {
        query
    } else {
        query.bind(i64::from(from.level))
    };
    let rows = query.fetch_all(connection).await?;
    rows.iter().map(|row| hash(row.try_get("hash")?)).collect()
}

/// The hash that each element folds to, all read together. A missing subtree is a corrupt tree.
pub(crate) async fn elements<DB: Engine>(
    connection: &mut DB::Connection,
    log: i64,
    elements: &[Vec<Node>],
) -> Result<Vec<Hash>> {
    let wanted = elements.iter().flatten().copied().collect();
    let known = hashes::<DB>(connection, log, &wanted).await?;
    elements.iter().map(|element| element_hash(element, &known)).collect()
}

/// The hash of one element, from the hashes of its subtrees.
pub(crate) fn element_hash(element: &[Node], known: &HashMap<Node, Hash>) -> Result<Hash> {
    let hashes: Option<Vec<Hash>> = element.iter().map(|node| known.get(node).copied()).collect();
    hashes
        .and_then(|hashes| fold(&hashes))
        .ok_or(Error::Corrupt("journal_nodes"))
}
