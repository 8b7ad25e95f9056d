//! From a syntax tree to a typed plan: names, types, implicit casts, result column names; with diagnostics that name the thing, the place
//! and the next step.
//!
//! Binding goes on after an error: what could not be bound becomes a scalar of unknown type or a table of unknown columns, about which
//! nothing more is said. The same serves open schemas, which only a run can tell (`bag_unpack`, a watchlist that is not here).
//!
//! A tabular `let` is bound at its definition, to find what is wrong with it, and anew at each use, so that every use has columns of its
//! own; functions likewise. `materialize`, `as` and the table before `invoke` are shared instead ([`RelOp::Shared`](crate::plan::RelOp)).

mod answers;
mod calls;
pub(crate) mod casts;
mod diagnostics;
mod elements;
mod finish;
pub mod forms;
mod ids;
mod judge;
mod naming;
pub(crate) mod operators;
mod options;
mod pattern;
mod relation;
mod scalar;
mod scope;
mod shapes;
mod source;
mod spread;
mod statements;
mod stored;
pub mod trace;

use std::collections::HashMap;
use std::rc::Rc;

use hashbrown::HashSet;

use self::ids::ColumnSet;
use model::{Column, Diagnostic, DiagnosticKind, Render, StoredFunction, Timestamp, Type};

use crate::eval::Runtime;
use crate::plan::{ColumnId, Plan, Rel, Subquery};
use crate::syntax::Parsed;
use crate::syntax::ast::Place;
use crate::watch;
use scope::UserFunction;
use trace::Trace;

/// What names mean outside the query.
pub trait Schema {
    /// Columns of a table of the workspace, or nothing.
    fn table(&self, name: &str) -> Option<Vec<Column>>;

    /// Names of all tables, for wildcards, `search`, `find` and "did you mean".
    fn tables(&self) -> Vec<String>;

    /// Whether there is a table of that name; asked much more often than for its columns.
    fn has_table(&self, name: &str) -> bool {
        self.table(name).is_some()
    }

    /// The name of each table, in any order.
    fn each_table(&self, f: &mut dyn FnMut(&str)) {
        self.tables().iter().for_each(|name| f(name));
    }

    fn function(&self, name: &str) -> Option<StoredFunction>;

    /// Names of all stored functions, for completion.
    fn functions(&self) -> Vec<String> {
        Vec::new()
    }

    /// Runs a relation now, because the columns of the next operator depend on its rows (`bag_unpack`, `pivot`). `subqueries` are those
    /// that it may refer to. Gives a number by which [`crate::plan::TableRef::computed`] finds the rows again, and the rows, whose columns
    /// are named by [`ColumnId`]. `None` when only checking: the schema stays open.
    fn run(&self, rel: &Rel, subqueries: &[Subquery]) -> Result<Option<(u32, Vec<arrow::record_batch::RecordBatch>)>, String>;

    /// Reads what `externaldata` names, when this is a run and reading outside is allowed here; gives the number by which
    /// [`crate::plan::TableRef::computed`] finds the rows. The message of an error is for people.
    fn external(&self, wanted: &External) -> Result<Option<u32>, String> {
        let _ = wanted;
        Ok(None)
    }

    /// Whether the text is a transformation of a data collection rule: it has functions that no other query has.
    fn is_transformation(&self) -> bool {
        false
    }

    /// Columns of a watchlist, when there is one of that alias. Its rows are those of the table [`watchlist_table`] names.
    fn watchlist(&self, alias: &str) -> Option<Vec<Column>> {
        let _ = alias;
        None
    }
}

/// What `externaldata` asks for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct External {
    pub columns: Vec<(String, Type)>,
    /// As written.
    pub locations: Vec<String>,
    /// In lower case; what the location ends in says it where it is not given.
    pub format: Option<String>,
    pub ignore_first_record: bool,
    /// The JSON of `ingestionMapping`.
    pub mapping: Option<String>,
}

/// The name that a plan's [`TableRef`](crate::plan::TableRef) has for the rows of a watchlist.
pub fn watchlist_table(alias: &str) -> String {
    format!("_GetWatchlist('{alias}')")
}

/// What came of binding.
#[derive(Clone, Debug)]
pub struct Bound {
    /// Nothing when there are errors, and when `open` says why.
    pub plan: Option<Plan>,
    /// Result columns; `None` as type where it is not known, `None` as a whole where the schema is open.
    pub columns: Option<Vec<(String, Option<Type>)>>,
    pub diagnostics: Vec<Diagnostic>,
    /// Why there is no plan though the text is not wrong: something in it is known only elsewhere, or is not allowed here. A check passes;
    /// a run must fail with this.
    pub open: Option<Diagnostic>,
}

/// Binds a parsed text. Never fails and never panics.
pub fn bind(parsed: &Parsed, schema: &dyn Schema, now: Timestamp) -> Bound {
    let mut binder = Binder::new(schema, now, false);
    let mut answer = binder.script(&parsed.script);
    if binder.ingestion_wanted {
        // Only now is it worth carrying the instant of arrival along with every row.
        binder = Binder::new(schema, now, true);
        answer = binder.script(&parsed.script);
    }
    binder.finish(answer, parsed.diagnostics.clone())
}

/// Binds a parsed text as Kusto's own checker judges it, which is stricter in some places than its engine, and knows functions that cannot run
/// here. What it accepts and a run here would not is in `open`.
pub fn judge(parsed: &Parsed, schema: &dyn Schema, now: Timestamp) -> Bound {
    let mut binder = Binder { strict: true, ..Binder::new(schema, now, false) };
    let answer = binder.script(&parsed.script);
    binder.finish(answer, parsed.diagnostics.clone())
}

/// As [`bind`], with what was seen on the way.
pub fn bind_traced(parsed: &Parsed, schema: &dyn Schema, now: Timestamp) -> (Bound, Trace) {
    let mut binder = Binder::new(schema, now, false);
    binder.trace = Some(Box::default());
    let answer = binder.script(&parsed.script);
    let trace = binder.trace.take().map(|trace| *trace).unwrap_or_default();
    (binder.finish(answer, parsed.diagnostics.clone()), trace)
}

/// How deep expressions, tables and functions may be nested. A thread with a stack of 2 MiB can do this.
const DEEPEST: usize = 200;

/// How deep the value of a variable may be that an expression takes up: with the expression around it, it stays below what evaluators take.
const DEEPEST_VALUE: usize = 256;

/// How many calls of functions a query may come to, those of its `let`s once each place where they are used: each is a kernel.
const MOST_CALLS: usize = 100_000;

/// How many columns a table may come to within a query.
const WIDEST: usize = 10_000;

/// How many operators may stand on top of each other in a plan: whoever walks it does so by recursion.
const HIGHEST: usize = 400;

/// How many tables and operators a query may come to once its `let`s are put in their places.
const LARGEST: usize = 20_000;

struct Binder<'s> {
    schema: &'s dyn Schema,
    runtime: Runtime,
    diagnostics: Vec<Diagnostic>,
    /// Errors of `let`s that read missing tables, reported if they are never used.
    held: Vec<(scope::Use, Vec<Diagnostic>)>,
    open: Option<Diagnostic>,
    subqueries: Vec<Subquery>,
    render: Option<Render>,
    more: Vec<(String, Rel)>,
    /// What the query calls its answer, where it gives several tables.
    answer_name: Option<String>,
    /// The operator that ends the text: it alone may give several tables.
    last_operator: Option<Place>,
    next_column: u32,
    next_shared: u32,
    /// Columns whose types are not known.
    unknown: ColumnSet,
    /// Columns that hold what `hll` gives.
    sketches: HashSet<ColumnId>,
    /// What is known of the inside of dynamic columns.
    natures: HashMap<ColumnId, judge::Nature>,
    /// Stand for parameters of functions that are only looked at: the same for all rows.
    parameters: HashSet<ColumnId>,
    /// Columns around the operator at hand, in a check, and whether there may be others.
    around: Vec<crate::plan::Field>,
    around_open: bool,
    /// Columns of tables that may have others by name, and are given to the reader as these, in a check.
    listed: ColumnSet,
    /// Calls are judged as Kusto's checker does, see [`judge()`].
    strict: bool,
    depth: usize,
    work: usize,
    calls: usize,
    /// Above zero while something is bound only to find what is wrong with it.
    trials: usize,
    /// Stored functions that are being bound, with the place of the outermost call.
    calling: Vec<(String, Place)>,
    stored: HashMap<String, Option<Rc<UserFunction>>>,
    /// Columns that operators keep as hidden ones, and `summarize` as keys: the input of an `mv-apply` whose body runs over all its rows.
    carried: Vec<ColumnId>,
    /// What several new columns are parts of: computed once, below them. See `spread`.
    staged: Vec<(crate::plan::Expr, crate::plan::Field)>,
    /// Properties of the query that `bin_auto` reads.
    bin_auto: options::BinAuto,
    /// Scans carry the hidden column of arrival.
    with_ingestion: bool,
    /// The text asks for `ingestion_time()` and scans do not carry it yet.
    ingestion_wanted: bool,
    /// Where somebody wants to know what was seen.
    trace: Option<Box<Trace>>,
}

impl<'s> Binder<'s> {
    fn new(schema: &'s dyn Schema, now: Timestamp, with_ingestion: bool) -> Self {
        Self {
            schema,
            runtime: Runtime { now },
            diagnostics: Vec::new(),
            held: Vec::new(),
            open: None,
            subqueries: Vec::new(),
            render: None,
            more: Vec::new(),
            answer_name: None,
            last_operator: None,
            next_column: 0,
            next_shared: 0,
            unknown: ColumnSet::default(),
            sketches: HashSet::new(),
            natures: HashMap::new(),
            parameters: HashSet::new(),
            around: Vec::new(),
            around_open: false,
            listed: ColumnSet::default(),
            strict: false,
            depth: 0,
            work: 0,
            calls: 0,
            trials: 0,
            calling: Vec::new(),
            stored: HashMap::new(),
            carried: Vec::new(),
            staged: Vec::new(),
            bin_auto: Default::default(),
            with_ingestion,
            ingestion_wanted: false,
            trace: None,
        }
    }

    /// One level deeper; false where that is too deep. Each true wants a [`Binder::leave`].
    fn enter(&mut self, place: &Place) -> bool {
        if self.is_stopped() {
            return false;
        }
        if self.depth >= DEEPEST {
            self.report(diagnostics::TOO_DEEP, place, format!("nested more than {DEEPEST} levels deep"));
            return false;
        }
        self.depth += 1;
        true
    }

    fn leave(&mut self) {
        self.depth -= 1;
    }

    /// True once nobody waits for the plan any more. What has been bound so far is not used.
    fn is_stopped(&mut self) -> bool {
        if watch::stopped() && self.open.is_none() {
            self.postpone(diagnostics::RUN, &(0..0), "the query was stopped");
        }
        watch::stopped()
    }

    /// Counts calls of functions; false where there are too many.
    fn count_calls(&mut self, calls: usize, place: &Place) -> bool {
        self.calls = self.calls.saturating_add(calls);
        if self.calls > MOST_CALLS {
            self.report(diagnostics::TOO_LARGE, place, format!("the query comes to more than {MOST_CALLS} calls of functions"));
        }
        self.calls <= MOST_CALLS
    }

    /// Counts an operator; false where there are too many.
    fn count(&mut self, place: &Place) -> bool {
        if self.is_stopped() {
            return false;
        }
        self.work += 1;
        if self.work > LARGEST {
            self.report(diagnostics::TOO_LARGE, place, format!("the query comes to more than {LARGEST} operators"));
        }
        self.work <= LARGEST
    }

    /// Binds something only to find what is wrong with it, or what it looks like.
    fn trial<T>(&mut self, bind: impl FnOnce(&mut Self) -> T) -> T {
        let (subqueries, more, open, render) = (self.subqueries.len(), self.more.len(), self.open.clone(), self.render.clone());
        self.trials += 1;
        let answer = bind(self);
        self.trials -= 1;
        self.subqueries.truncate(subqueries);
        self.more.truncate(more);
        self.open = open;
        self.render = render;
        answer
    }

    /// There will be no plan, though nothing is wrong with the text.
    fn postpone(&mut self, code: &'static str, place: &Place, message: impl Into<String>) {
        self.postpone_with(code, place, message, None);
    }

    fn postpone_with(&mut self, code: &'static str, place: &Place, message: impl Into<String>, help: Option<String>) {
        if self.open.is_none() {
            let (start, end) = (place.start, place.end);
            self.open = Some(Diagnostic { code, kind: DiagnosticKind::Semantic, message: message.into(), help, start, end });
        }
    }
}
