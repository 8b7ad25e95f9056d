//! Binds a syntax tree to a typed plan: resolves names and types, inserts implicit casts and names result columns. Diagnostics state the
//! object, the location and the next step.
//!
//! Binding continues after an error: an expression that could not be bound becomes a scalar of unknown type or a table of unknown columns,
//! which causes no further diagnostics. Open schemas known only at run time (`bag_unpack`, a missing watchlist) are handled in the same
//! way.
//!
//! A tabular `let` is bound at its definition, to report errors, and again at each use, so that every use has its own column ids; likewise
//! functions. `materialize`, `as` and the input of `invoke` are shared instead ([`RelOp::Shared`](crate::plan::RelOp)).

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
mod timeless;
pub mod trace;

use std::cell::Cell;
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

/// Resolves names defined outside the query.
pub trait Schema {
    /// Columns of a workspace table; `None` if there is no such table.
    fn table(&self, name: &str) -> Option<Vec<Column>>;

    /// Names of all tables, for wildcards, `search`, `find` and suggestions.
    fn tables(&self) -> Vec<String>;

    /// True if the table exists; called much more often than `table`.
    fn has_table(&self, name: &str) -> bool {
        self.table(name).is_some()
    }

    /// Calls `f` with the name of each table, in any order.
    fn each_table(&self, f: &mut dyn FnMut(&str)) {
        self.tables().iter().for_each(|name| f(name));
    }

    /// Calls `f` with the names of tables that [`Schema::table`] returns and wildcards, `search` and `find` skip: they have no rows. Some of
    /// the names may be in [`Schema::tables`] as well.
    fn each_unlisted_table(&self, _f: &mut dyn FnMut(&str)) {}

    fn function(&self, name: &str) -> Option<StoredFunction>;

    /// Names of all stored functions, for completion.
    fn functions(&self) -> Vec<String> {
        Vec::new()
    }

    /// Runs a relation during binding, because the columns of the next operator depend on its rows (`bag_unpack`, `pivot`). `subqueries`
    /// are those it may reference. Returns a number by which [`crate::plan::TableRef::computed`] finds the rows, and the rows, whose
    /// columns are named by [`ColumnId`]. Returns `None` when only checking: the schema stays open.
    fn run(&self, rel: &Rel, subqueries: &[Subquery]) -> Result<Option<(u32, Vec<arrow::record_batch::RecordBatch>)>, String>;

    /// Reads the data of `externaldata`, if the query is run and external access is enabled; returns the number by which
    /// [`crate::plan::TableRef::computed`] finds the rows. The error is a user-facing message.
    fn external(&self, wanted: &External) -> Result<Option<u32>, String> {
        let _ = wanted;
        Ok(None)
    }

    /// True if the text is the transformation of a data collection rule, which may use additional functions.
    fn is_transformation(&self) -> bool {
        false
    }

    /// Columns of the watchlist with this alias, if it exists. Its rows are in the table named by [`watchlist_table`].
    fn watchlist(&self, alias: &str) -> Option<Vec<Column>> {
        let _ = alias;
        None
    }
}

/// Parameters of an `externaldata` operator.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct External {
    pub columns: Vec<(String, Type)>,
    /// As written.
    pub locations: Vec<String>,
    /// In lower case; derived from the location's extension if absent.
    pub format: Option<String>,
    pub ignore_first_record: bool,
    /// The JSON of `ingestionMapping`.
    pub mapping: Option<String>,
}

/// The name in a plan's [`TableRef`](crate::plan::TableRef) of the rows of a watchlist.
pub fn watchlist_table(alias: &str) -> String {
    format!("_GetWatchlist('{alias}')")
}

/// Result of binding.
#[derive(Clone, Debug)]
pub struct Bound {
    /// `None` if there are errors or `open` is set.
    pub plan: Option<Plan>,
    /// Result columns; the type is `None` if unknown, the list is `None` if the schema is open.
    pub columns: Option<Vec<(String, Option<Type>)>>,
    pub diagnostics: Vec<Diagnostic>,
    /// Why there is no plan although the text is valid: it uses something that is unavailable or not allowed here. A check passes; a run
    /// must fail with this.
    pub open: Option<Diagnostic>,
}

/// Binds a parsed text. Never fails and never panics.
pub fn bind(parsed: &Parsed, schema: &dyn Schema, now: Timestamp) -> Bound {
    let mut binder = Binder::new(schema, now, false);
    let mut answer = binder.script(&parsed.script);
    if binder.ingestion_wanted {
        // Bind again with ingestion times, which are carried along with every row only if used.
        binder = Binder::new(schema, now, true);
        answer = binder.script(&parsed.script);
    }
    binder.finish(answer, parsed.diagnostics.clone())
}

/// A bound text for a cache of plans.
#[derive(Clone, Debug)]
pub struct Reusable {
    pub bound: Bound,
    /// The plan may run at another time: no value in it was computed from the time of binding.
    pub timeless: bool,
    /// Operators and calls of the plan, as a measure of its memory.
    pub size: usize,
}

/// Like [`bind`], for a plan that may be run again. Where possible, calls of `now` and `ago` stay in the plan.
pub fn bind_for_reuse(text: &str, parsed: &Parsed, schema: &dyn Schema, now: Timestamp) -> Reusable {
    let defers_clock = schema.is_transformation() && timeless::is_row_wise(text);
    let mut binder = Binder { defers_clock, ..Binder::new(schema, now, false) };
    let mut answer = binder.script(&parsed.script);
    if binder.ingestion_wanted {
        binder = Binder { defers_clock, ..Binder::new(schema, now, true) };
        answer = binder.script(&parsed.script);
    }
    let (clock_read, size) = (binder.clock_read.get(), binder.work + binder.calls);
    let calls_stored = binder.stored.values().any(Option::is_some);
    let bound = binder.finish(answer, parsed.diagnostics.clone());
    if defers_clock && clock_read && (calls_stored || bound.plan.is_none()) {
        // Something must know the time when it is bound, or a stored function may have such operators.
        return Reusable { bound: bind(parsed, schema, now), timeless: false, size };
    }
    Reusable { bound, timeless: defers_clock || !clock_read, size }
}

/// Binds a parsed text with the rules of Kusto's checker, which is stricter than its engine in some places, and knows functions that cannot
/// run here. Anything it accepts that cannot run here is in `open`.
pub fn judge(parsed: &Parsed, schema: &dyn Schema, now: Timestamp) -> Bound {
    let mut binder = Binder { strict: true, ..Binder::new(schema, now, false) };
    let answer = binder.script(&parsed.script);
    binder.finish(answer, parsed.diagnostics.clone())
}

/// Like [`bind`], and returns a trace for editors.
pub fn bind_traced(parsed: &Parsed, schema: &dyn Schema, now: Timestamp) -> (Bound, Trace) {
    let mut binder = Binder::new(schema, now, false);
    binder.trace = Some(Box::default());
    let answer = binder.script(&parsed.script);
    let trace = binder.trace.take().map(|trace| *trace).unwrap_or_default();
    (binder.finish(answer, parsed.diagnostics.clone()), trace)
}

/// Maximum nesting depth of expressions, tables and functions. Fits a 2 MiB stack.
const DEEPEST: usize = 200;

/// Maximum depth of a variable's value when substituted into an expression: together with the expression it stays below the evaluators'
/// limit.
const DEEPEST_VALUE: usize = 256;

/// Maximum number of function calls in a query, counting those of a `let` at each use: each is a kernel.
const MOST_CALLS: usize = 100_000;

/// Maximum number of columns of a table within a query.
const WIDEST: usize = 10_000;

/// Maximum height of the operator tree, because plans are traversed recursively.
const HIGHEST: usize = 400;

/// Maximum number of tables and operators in a query after expanding its `let`s.
const LARGEST: usize = 20_000;

struct Binder<'s> {
    schema: &'s dyn Schema,
    runtime: Runtime,
    diagnostics: Vec<Diagnostic>,
    /// Errors of `let`s that read missing tables, reported only if they are never used.
    held: Vec<(scope::Use, Vec<Diagnostic>)>,
    open: Option<Diagnostic>,
    subqueries: Vec<Subquery>,
    render: Option<Render>,
    more: Vec<(String, Rel)>,
    /// The name given by the query to its result, if it returns several tables.
    answer_name: Option<String>,
    /// The final operator: only it may return several tables.
    last_operator: Option<Place>,
    next_column: u32,
    next_shared: u32,
    /// Columns of unknown type.
    unknown: ColumnSet,
    /// Columns that hold results of `hll`.
    sketches: HashSet<ColumnId>,
    /// Known content kinds of dynamic columns.
    natures: HashMap<ColumnId, judge::Nature>,
    /// Placeholders for parameters of functions bound without a call: the same for all rows.
    parameters: HashSet<ColumnId>,
    /// In a check: columns visible to the current operator, and whether there may be others.
    around: Vec<crate::plan::Field>,
    around_open: bool,
    /// In a check: known columns of tables that may have others.
    listed: ColumnSet,
    /// Check calls with the rules of Kusto's checker, see [`judge()`].
    strict: bool,
    depth: usize,
    work: usize,
    calls: usize,
    /// Greater than zero while something is bound only to find its errors.
    trials: usize,
    /// Stored functions being bound, with the location of the outermost call.
    calling: Vec<(String, Place)>,
    stored: HashMap<String, Option<Rc<UserFunction>>>,
    /// Columns that operators keep as hidden columns, and `summarize` as keys: the input of an `mv-apply` whose subquery runs over all rows
    /// at once.
    carried: Vec<ColumnId>,
    /// Subexpressions shared by several new columns, computed once below them. See `spread`.
    staged: Vec<(crate::plan::Expr, crate::plan::Field)>,
    /// Query options used by `bin_auto`.
    bin_auto: options::BinAuto,
    /// Scans include the hidden ingestion-time column.
    with_ingestion: bool,
    /// The text calls `ingestion_time()`, but scans do not include the column yet.
    ingestion_wanted: bool,
    /// Records references, if requested.
    trace: Option<Box<Trace>>,
    /// A call of `now` or `ago` was folded, or would have been.
    clock_read: Cell<bool>,
    /// Do not fold them.
    defers_clock: bool,
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
            clock_read: Cell::new(false),
            defers_clock: false,
        }
    }

    /// Increases the nesting depth; false if it is too deep. Each true requires a [`Binder::leave`].
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

    /// True once the query is cancelled. The partial result is not used.
    fn is_stopped(&mut self) -> bool {
        if watch::stopped() && self.open.is_none() {
            self.postpone(diagnostics::RUN, &(0..0), "the query was stopped");
        }
        watch::stopped()
    }

    /// Counts function calls; false if there are too many.
    fn count_calls(&mut self, calls: usize, place: &Place) -> bool {
        self.calls = self.calls.saturating_add(calls);
        if self.calls > MOST_CALLS {
            self.report(diagnostics::TOO_LARGE, place, format!("the query comes to more than {MOST_CALLS} calls of functions"));
        }
        self.calls <= MOST_CALLS
    }

    /// Counts an operator; false if there are too many.
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

    /// Binds something only for its diagnostics or its type.
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

    /// Records why there is no plan although the text is valid.
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
