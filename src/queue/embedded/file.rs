//! The file itself: opened, locked against other processes, and opened anew after a failure.

use std::path::{Path, PathBuf};

use redb::{Database, DatabaseError, ReadTransaction, ReadableDatabase, WriteTransaction};

use crate::{guarded_file, queue::QueueError};

/// An open file. All calls block.
#[derive(Debug)]
pub(super) struct File {
    path: PathBuf,
    /// None after a failure: an I/O error makes the handle useless.
    database: Option<Database>,
}

/// Why a transaction did not happen.
pub(super) enum Failure {
    /// The text says what to do.
    Setup(String),
    /// The file cannot be read or written.
    File(Box<redb::Error>),
}

impl<E: Into<redb::Error>> From<E> for Failure {
    fn from(error: E) -> Failure {
        Failure::File(Box::new(error.into()))
    }
}

impl File {
    /// Opens the file and makes it, with its folder, if it is missing.
    pub(super) fn open(path: &Path) -> Result<File, QueueError> {
        Ok(File { path: path.to_owned(), database: Some(open(path)?) })
    }

    /// Runs `work` in a transaction, which is on disk when this returns.
    pub(super) fn write<T>(
        &mut self,
        work: impl FnOnce(&WriteTransaction) -> Result<T, Failure>,
    ) -> Result<T, QueueError> {
        self.attempt(|database| {
            let transaction = database.begin_write()?;
            let result = work(&transaction)?;
            transaction.commit()?;
            Ok(result)
        })
    }

    /// Runs `work` on what is committed.
    pub(super) fn read<T>(
        &mut self,
        work: impl FnOnce(&ReadTransaction) -> Result<T, Failure>,
    ) -> Result<T, QueueError> {
        self.attempt(|database| work(&database.begin_read()?))
    }

    fn attempt<T>(
        &mut self,
        work: impl FnOnce(&Database) -> Result<T, Failure>,
    ) -> Result<T, QueueError> {
        let database = match self.database.take() {
            Some(database) => database,
            None => open(&self.path)?,
        };
        let result = work(&database);
        if !matches!(result, Err(Failure::File(_))) {
            self.database = Some(database);
        }
        result.map_err(|failure| match failure {
            Failure::Setup(text) => QueueError::Setup(text),
            Failure::File(error) => {
                QueueError::Unavailable(format!("the file {}: {error}", self.path.display()))
            }
        })
    }
}

fn open(path: &Path) -> Result<Database, QueueError> {
    let setup = |what: String| {
        QueueError::Setup(format!("cannot open the queue's file {}: {what}", path.display()))
    };
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)
            .map_err(|error| setup(format!("its folder cannot be made: {error}")))?;
    }
    guarded_file::open_store(path, &Database::builder()).map_err(|error| match error {
        DatabaseError::DatabaseAlreadyOpen => setup(
            "another process has it open. The embedded queue serves one process: stop the other \
             one and let watcher and consumer share a process (entra-relay run), or use RabbitMQ"
                .into(),
        ),
        other => setup(format!("{other}; broker.path must name a file that entra-relay may write")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_folder_is_made_and_a_second_opener_is_told_who_shares_the_file() {
        let dir = tempfile::tempdir().expect("tempdir");
        let path = dir.path().join("a/b/queue.redb");
        let first = File::open(&path).expect("open");
        let error = File::open(&path).expect_err("locked");
        let text = error.to_string();
        assert!(!error.is_transient() && text.contains("a/b/queue.redb"), "{text}");
        assert!(text.contains("entra-relay run"), "{text}");
        drop(first);
        File::open(&path).expect("free again");
    }

    #[test]
    fn what_is_no_queue_is_refused_by_name() {
        let dir = tempfile::tempdir().expect("tempdir");
        let path = dir.path().join("queue.redb");
        std::fs::write(&path, "no database, but long enough to be looked at").expect("write");
        let text = File::open(&path).expect_err("refused").to_string();
        assert!(text.contains("queue.redb") && text.contains("broker.path"), "{text}");
        let text = File::open(dir.path()).expect_err("a folder").to_string();
        assert!(text.contains("broker.path"), "{text}");
    }

    #[test]
    fn a_failed_transaction_leaves_nothing_and_the_file_stays_usable() {
        const TABLE: redb::TableDefinition<u64, u64> = redb::TableDefinition::new("t");
        let dir = tempfile::tempdir().expect("tempdir");
        let mut file = File::open(&dir.path().join("queue.redb")).expect("open");
        let failed = file.write(|transaction| {
            transaction.open_table(TABLE)?.insert(1, 1)?;
            Err::<(), _>(Failure::File(Box::new(redb::Error::Corrupted("made up".into()))))
        });
        assert!(failed.expect_err("failed").is_transient());
        let count = file.write(|transaction| {
            use redb::ReadableTableMetadata;
            Ok(transaction.open_table(TABLE)?.len()?)
        });
        assert_eq!(count.expect("opened anew"), 0);
    }
}
