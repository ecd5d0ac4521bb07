//! A database as an application keeps it: an order book, accounts, and a ledger that must balance.

use crate::Outcome;
use crate::random::Random;
use rusqlite::{Connection, Transaction, params};
use std::path::Path;
use std::thread;
use std::time::Duration;

/// Accounts at the beginning.
const ACCOUNTS: u32 = 5_000;

/// Rows of one transaction while the database is made.
const BATCH: u64 = 20_000;

const SCHEMA: &str = "
    CREATE TABLE accounts (id INTEGER PRIMARY KEY, name TEXT NOT NULL, balance INTEGER NOT NULL);
    CREATE TABLE movements (id INTEGER PRIMARY KEY, account INTEGER NOT NULL, amount INTEGER NOT NULL);
    CREATE TABLE orders (id INTEGER PRIMARY KEY, account INTEGER NOT NULL, state TEXT NOT NULL,
        cents INTEGER NOT NULL, note TEXT NOT NULL, token TEXT NOT NULL);";

/// Makes a database of about `megabytes`, in WAL mode.
pub fn make(path: &Path, megabytes: u64) -> Outcome<()> {
    if path.exists() {
        return Err(format!("{} is there already", path.display()).into());
    }
    let mut connection = open(path)?;
    // Nothing of it is worth keeping before it is whole.
    connection.pragma_update(None, "synchronous", "OFF")?;
    connection.execute_batch(SCHEMA)?;
    let mut random = Random::new(1);
    let transaction = connection.transaction()?;
    for id in 1..=ACCOUNTS {
        let name = random.words(2);
        transaction.execute("INSERT INTO accounts VALUES (?1, ?2, 0)", params![id, name])?;
    }
    transaction.commit()?;
    while size(&connection)? < megabytes * 1_000_000 {
        let transaction = connection.transaction()?;
        orders(&transaction, &mut random, BATCH)?;
        transaction.commit()?;
    }
    let orders = count(&connection, "SELECT count(*) FROM orders")?;
    let size = size(&connection)?;
    connection.close().map_err(|(_, error)| error)?;
    println!(
        "made {} of {} MB: {ACCOUNTS} accounts, {orders} orders",
        path.display(),
        size / 1_000_000
    );
    Ok(())
}

/// Commits a movement, its account's new balance and an order, again and again, until `stop` is
/// there. Every commit keeps the sum of the balances equal to the sum of the movements.
pub fn write(path: &Path, stop: &Path) -> Outcome<()> {
    let mut connection = open(path)?;
    let mut random = Random::new(2);
    while !stop.exists() {
        let transaction = connection.transaction()?;
        let (account, amount) = (
            1 + random.below(ACCOUNTS),
            i64::from(random.below(10_000)) - 4_000,
        );
        let movement = params![account, amount];
        transaction.execute(
            "INSERT INTO movements (account, amount) VALUES (?1, ?2)",
            movement,
        )?;
        transaction.execute(
            "UPDATE accounts SET balance = balance + ?2 WHERE id = ?1",
            movement,
        )?;
        orders(&transaction, &mut random, 1)?;
        transaction.commit()?;
        // A busy application, not a flood: the tour is about the snapshot.
        thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// Adds orders, in one transaction.
pub fn append(path: &Path, rows: u64) -> Outcome<()> {
    let mut connection = open(path)?;
    let transaction = connection.transaction()?;
    orders(&transaction, &mut Random::new(3), rows)?;
    transaction.commit()?;
    println!("{rows} new orders");
    Ok(())
}

/// Changes state and note of one of every `one_in` orders: spread over the whole table.
pub fn change(path: &Path, one_in: u32) -> Outcome<()> {
    let mut connection = open(path)?;
    let last = u32::try_from(count(&connection, "SELECT max(id) FROM orders")?)?;
    let mut random = Random::new(4);
    let transaction = connection.transaction()?;
    let mut changed = 0;
    for first in (1..=last).step_by(usize::try_from(one_in)?) {
        let id = first + random.below(one_in);
        changed += transaction.execute(
            "UPDATE orders SET state = 'returned', note = ?2 WHERE id = ?1",
            params![id, random.words(12)],
        )?;
    }
    transaction.commit()?;
    println!("changed {changed} of {last} orders, everywhere in the table");
    Ok(())
}

/// Prints how many movements were committed.
pub fn movements(path: &Path) -> Outcome<()> {
    println!("{}", count(&open(path)?, "SELECT count(*) FROM movements")?);
    Ok(())
}

/// Opens a database to write to.
fn open(path: &Path) -> Outcome<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(Duration::from_secs(60))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    Ok(connection)
}

/// One number.
pub fn count(connection: &Connection, query: &str) -> Outcome<u64> {
    let number: i64 = connection.query_row(query, [], |row| row.get(0))?;
    Ok(u64::try_from(number)?)
}

/// Bytes of the main file.
fn size(connection: &Connection) -> Outcome<u64> {
    let pages = count(connection, "PRAGMA page_count")?;
    Ok(pages * count(connection, "PRAGMA page_size")?)
}

fn orders(transaction: &Transaction, random: &mut Random, number: u64) -> Outcome<()> {
    let mut insert = transaction.prepare_cached(
        "INSERT INTO orders (account, state, cents, note, token) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    for _ in 0..number {
        insert.execute(params![
            1 + random.below(ACCOUNTS),
            "confirmed",
            random.below(1_000_000),
            random.words(18),
            random.token(),
        ])?;
    }
    Ok(())
}
