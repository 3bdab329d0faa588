//! Machine checks and the like, from rasdaemon's database, by the `sqlite3` program: a library for one query a few times an
//! hour would be a heavy guest.

use std::path::Path;

use lifeboat_model::hardware::{HardwareReading, HardwareSource::MachineChecks};

use super::program::{Silent, ask};

/// Machine checks and PCIe errors; a table that this rasdaemon has not is not asked.
const TABLES: &str = "select name from sqlite_master where type = 'table'";

pub(super) async fn read(database: &Path, sqlite: &str) -> HardwareReading {
    if !database.exists() {
        return HardwareReading::absent(
            MachineChecks,
            format!("there is no {}: rasdaemon does not run here", database.display()),
        );
    }
    let file = database.to_string_lossy();
    let tables = match ask(sqlite, &["-readonly", &file, TABLES]).await {
        Ok((tables, 0)) => tables,
        Ok((_, code)) => return unreadable(format!("{sqlite} ended with code {code}")),
        Err(Silent::Missing) => {
            return HardwareReading::absent(
                MachineChecks,
                format!("{sqlite} is not installed, which reads rasdaemon's database"),
            );
        }
        Err(Silent::Failed(why)) => return unreadable(why),
    };
    let has = |table: &str| tables.lines().any(|line| line.trim() == table);
    let (mut corrected, mut uncorrected) = (0_u64, 0_u64);
    for (table, query) in [
        (
            "mce_record",
            "select count(*), 0 from mce_record where (status >> 61) & 1 = 0 union all select 0, count(*) from mce_record where (status >> 61) & 1 = 1",
        ),
        (
            "aer_event",
            "select count(*), 0 from aer_event where err_type like 'Corrected%' union all select 0, count(*) from aer_event where err_type like 'Uncorrected%' or err_type = 'Fatal'",
        ),
    ] {
        if !has(table) {
            continue;
        }
        match ask(sqlite, &["-readonly", &file, query]).await {
            Ok((rows, 0)) => {
                for row in rows.lines() {
                    let mut numbers = row.split('|').map(|number| number.trim().parse::<u64>().unwrap_or(0));
                    corrected = corrected.saturating_add(numbers.next().unwrap_or(0));
                    uncorrected = uncorrected.saturating_add(numbers.next().unwrap_or(0));
                }
            }
            Ok((_, code)) => return unreadable(format!("{sqlite} ended with code {code} for {table}")),
            Err(Silent::Missing) => return unreadable(format!("{sqlite} has gone")),
            Err(Silent::Failed(why)) => return unreadable(why),
        }
    }
    let detail =
        format!("{corrected} corrected and {uncorrected} uncorrected machine checks and PCIe errors on record");
    HardwareReading { corrected, uncorrected, ..HardwareReading::of(MachineChecks, detail) }
}

/// The database is there and cannot be read: that is no sign of health either.
fn unreadable(why: String) -> HardwareReading {
    HardwareReading::absent(MachineChecks, format!("rasdaemon's database cannot be read: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A database as rasdaemon makes it, with some rows.
    async fn database(dir: &Path, rows: &str) -> std::path::PathBuf {
        let path = dir.join("ras.db");
        let schema = "create table mce_record (id integer primary key, timestamp text, status integer);
            create table aer_event (id integer primary key, timestamp text, dev_name text, err_type text);";
        let done = ask("sqlite3", &[&path.to_string_lossy(), &format!("{schema}{rows}")]).await;
        assert!(matches!(done, Ok((_, 0))), "sqlite3 is needed: tools/install-deps.sh");
        path
    }

    #[tokio::test]
    async fn what_was_corrected_is_told_from_what_was_not() {
        let dir = tempfile::tempdir().expect("a directory");
        // Bit 63: valid; bit 61: uncorrected.
        let rows = "insert into mce_record (status) values (-9223372036854775808), (-6917529027641081856), (1);
            insert into aer_event (err_type) values ('Corrected'), ('Corrected'), ('Uncorrected (Non-Fatal)'), ('Fatal');";
        let reading = read(&database(dir.path(), rows).await, "sqlite3").await;
        assert_eq!((reading.corrected, reading.uncorrected, &reading.absent), (4, 3, &None), "{reading:?}");
        let empty = tempfile::tempdir().expect("a directory");
        let reading = read(&database(empty.path(), "").await, "sqlite3").await;
        assert_eq!((reading.corrected, reading.uncorrected, &reading.absent), (0, 0, &None), "{reading:?}");
    }

    #[tokio::test]
    async fn what_is_missing_or_unreadable_is_absent_and_said() {
        let dir = tempfile::tempdir().expect("a directory");
        let absent = |reading: HardwareReading| reading.absent.expect("it says nothing");
        assert!(absent(read(&dir.path().join("none"), "sqlite3").await).contains("rasdaemon does not run"));
        let file = dir.path().join("garbage");
        std::fs::write(&file, "no database at all, and long enough to be looked at as one".repeat(100))
            .expect("written");
        assert!(absent(read(&file, "sqlite3").await).contains("cannot be read"));
        assert!(absent(read(&file, "/nonexistent/sqlite3").await).contains("not installed"));
        assert!(
            absent(read(&file, "/usr/bin/yes").await).contains("cannot be read"),
            "what prints for ever is not waited for"
        );
    }
}
