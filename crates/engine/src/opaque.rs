//! Wraps a KQL expression as a single DataFusion function.
//!
//! DataFusion traverses every expression recursively a dozen times, rewriting and comparing it each time. For deep or long expressions the
//! cost in stack and time is high, and the optimizer gains nothing. Such an expression is therefore compiled by KQL's own evaluator, and
//! DataFusion sees a call with the columns it reads. The evaluator also limits intermediate results: see [`kql::eval::Evaluator`].

use std::collections::HashSet;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::arrow::record_batch::{RecordBatch, RecordBatchOptions};
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::logical_expr::{ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility};
use kql::eval::{EvalError, Evaluator, Runtime, is_growing};
use kql::functions::Column;
use kql::plan::{Expr as KqlExpr, ExprKind, Field};
use kql::watch::{self, Watch};
use model::{ByteSize, QueryError};

use crate::expr::column;
use crate::node::run_error;
use crate::values::schema_of;

/// Maximum number of calls and constants of an expression passed to DataFusion node by node.
const LARGEST_SHOWN: usize = 48;
/// Maximum nesting depth of such an expression.
const DEEPEST_SHOWN: usize = 16;

/// True if `source` should be wrapped. Stops as soon as that is decided.
pub(crate) fn is_better_hidden(source: &KqlExpr) -> bool {
    let mut seen = 0;
    let mut waiting = vec![(source, 0)];
    while let Some((part, depth)) = waiting.pop() {
        seen += 1;
        if seen > LARGEST_SHOWN || depth > DEEPEST_SHOWN {
            return true;
        }
        if let ExprKind::Call { function, args } = &part.kind {
            // Only the evaluator accounts for intermediate results within an expression.
            if depth > 0 && is_growing(function.name) || args.len() > LARGEST_SHOWN {
                return true;
            }
            waiting.extend(args.iter().map(|arg| (arg, depth + 1)));
        }
    }
    false
}

/// Wraps `source` as a call of one function with the columns it reads.
pub(crate) fn hidden(source: &KqlExpr, runtime: &Runtime) -> std::result::Result<Expr, QueryError> {
    let (mut seen, mut fields, mut deterministic) = (HashSet::new(), Vec::new(), true);
    source.walk(&mut |part| match &part.kind {
        ExprKind::Column(id) if seen.insert(*id) => fields.push(Field { id: *id, name: id.to_string().into(), ty: part.ty }),
        ExprKind::Call { function, .. } => deterministic &= function.deterministic,
        _ => {}
    });
    let evaluator = Evaluator::new(source, &fields, runtime).map_err(refused)?;
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let takes = if fields.is_empty() { TypeSignature::Nullary } else { TypeSignature::Any(fields.len()) };
    let function = Hidden {
        name: format!("kql:expression{number}"),
        number,
        evaluator: Arc::new(evaluator),
        schema: schema_of(&fields),
        returns: source.ty.arrow(),
        signature: Signature::new(takes, if deterministic { Volatility::Immutable } else { Volatility::Volatile }),
        watch: Watch::current(),
    };
    Ok(ScalarUDF::new_from_impl(function).call(fields.iter().map(|field| column(field.id)).collect()))
}

/// Converts a compile error to a query error.
fn refused(why: EvalError) -> QueryError {
    match why {
        EvalError::Stopped => QueryError::Cancelled,
        EvalError::Memory(_) => QueryError::Memory(ByteSize(watch::memory() as u64)),
        why => QueryError::Run(why.to_string()),
    }
}

struct Hidden {
    name: String,
    /// Unique per function.
    number: u64,
    evaluator: Arc<Evaluator>,
    schema: SchemaRef,
    returns: DataType,
    signature: Signature,
    watch: Option<Watch>,
}

impl std::fmt::Debug for Hidden {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)
    }
}

impl PartialEq for Hidden {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for Hidden {}

impl Hash for Hidden {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.number.hash(state);
    }
}

impl ScalarUDFImpl for Hidden {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        watch::check().map_err(run_error)?;
        Ok(self.returns.clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let _entered = match &self.watch {
            None => None,
            Some(watch) => {
                watch.check().map_err(run_error)?;
                Some(watch.enter())
            }
        };
        let constant = self.signature.volatility == Volatility::Immutable
            && !args.args.is_empty()
            && args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let columns = args.args.into_iter().map(|arg| arg.into_array(rows)).collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?;
        let answer = match self.evaluator.eval_column(&batch).map_err(run_error)? {
            Column::Scalar(one) => return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&one, 0)?)),
            Column::Array(answer) => answer,
        };
        if answer.len() != rows || answer.data_type() != &self.returns {
            return exec_err!("`{}` gave {} values of {} for {rows} rows", self.name, answer.len(), answer.data_type());
        }
        Ok(if constant { ColumnarValue::Scalar(ScalarValue::try_from_array(&answer, 0)?) } else { ColumnarValue::Array(answer) })
    }
}
