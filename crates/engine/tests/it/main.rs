//! Integration tests of the engine: query text in, result out.

mod answers;
mod attacks;
mod cancel;
mod damage;
mod examples;
mod files;
mod limits;
mod made_rows;
mod no_rows;
mod plans;
mod published;
mod several;
mod wide;
mod workspace;

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use engine::{Engine, Options, SystemClock, TablesAs};
use model::{Answer, Query, QueryEngine, QueryError};

/// Engines with all execution options, which must return the same results.
fn ways() -> &'static [Engine] {
    static WAYS: OnceLock<Vec<Engine>> = OnceLock::new();
    WAYS.get_or_init(|| {
        let plain = Options { optimize: true, batch_size: 8192, partitions: 1, ..Options::default() };
        let ways = [
            plain,
            Options { optimize: false, ..plain },
            Options { batch_size: 1, ..plain },
            Options { partitions: 4, ..plain },
            Options { tables: TablesAs::Parquet, partitions: 4, ..plain },
            Options { tables: TablesAs::Memory, partitions: 4, ..plain },
            Options { tables: TablesAs::Mixed, batch_size: 1, ..plain },
            Options { interpret: true, ..plain },
        ];
        ways.into_iter().map(|options| Engine::new(None, Arc::new(SystemClock::default()), options).unwrap()).collect()
    })
}

/// Rows with cells formatted as by `tostring`, joined by `|`.
fn printed(answer: &Answer) -> Vec<String> {
    let row = |batch: &arrow::record_batch::RecordBatch, row: usize| {
        let cells = answer.columns.iter().zip(batch.columns());
        cells.map(|(column, array)| kql::Value::from_cell(array, row, column.ty).to_text()).collect::<Vec<_>>().join("|")
    };
    answer.batches.iter().flat_map(|batch| (0..batch.num_rows()).map(move |index| row(batch, index))).collect()
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// Held by latency tests: a test that uses all processors must not run concurrently.
fn measuring() -> MutexGuard<'static, ()> {
    static MEASURING: Mutex<()> = Mutex::new(());
    MEASURING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The rows of `kql`, asserted to be equal with all execution options.
fn rows(kql: &str) -> Vec<String> {
    let answers: Vec<Vec<String>> =
        ways().iter().map(|engine| printed(&ask(engine, Query::new(kql)).unwrap_or_else(|why| panic!("{kql}: {why}")))).collect();
    for other in &answers[1..] {
        assert_eq!(&answers[0], other, "{kql}");
    }
    answers.into_iter().next().unwrap()
}

fn ask(engine: &Engine, query: Query) -> Result<Answer, QueryError> {
    block_on(engine.query(query))
}
