//! Adapts every [`ScalarFn`], with its types and compiled kernel, to DataFusion's `ScalarUDF`.
//!
//! The name contains the resolved signature (`kql:bin(datetime,timespan):datetime`), because a datetime and a long have the same Arrow type
//! and different semantics; the name alone identifies the kernel in our function table. No function is declared strict: our kernels handle
//! nulls.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::logical_expr::expr::schema_name_from_exprs;
use datafusion::logical_expr::{ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility};
use kql::Value;
use kql::eval::evaluate;
use kql::functions::{Args, Column, Kernel, Prepare, PrepareError, ScalarFn};
use kql::watch::{self, Watch};
use model::{Timestamp, Type};

use crate::node::run_error;

/// A call of one function: types resolved, constants compiled.
pub(crate) struct Call {
    name: String,
    /// The KQL name.
    function: &'static str,
    kernel: Arc<dyn Kernel>,
    returns: DataType,
    signature: Signature,
    deterministic: bool,
    now: Timestamp,
    watch: Option<Watch>,
}

impl Call {
    /// Compiles `function` for arguments of `types`; `constants` holds the values of constant arguments.
    pub(crate) fn prepare(
        function: &'static ScalarFn,
        types: &[Type],
        constants: &[Option<Value>],
        returns: Type,
        now: Timestamp,
    ) -> std::result::Result<ScalarUDF, PrepareError> {
        let kernel = (function.prepare)(&Prepare { constants, types, returns, now })?;
        let names: Vec<&str> = types.iter().map(|ty| ty.name()).collect();
        Ok(Self::new(
            format!("kql:{}({}):{returns}", function.name, names.join(",")),
            function.name,
            kernel.into(),
            returns.arrow(),
            types.len(),
            function.deterministic,
            now,
            Watch::current(),
        ))
    }

    /// An engine-internal function, outside KQL's table; shared by queries, so it has no cancellation.
    pub(crate) fn internal(name: &'static str, kernel: Box<dyn Kernel>, returns: DataType, args: usize) -> ScalarUDF {
        Self::new(name.to_owned(), name, kernel.into(), returns, args, true, Timestamp::clamp_ticks(0), None)
    }

    #[expect(clippy::too_many_arguments, reason = "called here only")]
    fn new(
        name: String,
        function: &'static str,
        kernel: Arc<dyn Kernel>,
        returns: DataType,
        args: usize,
        deterministic: bool,
        now: Timestamp,
        watch: Option<Watch>,
    ) -> ScalarUDF {
        let volatility = if deterministic { Volatility::Immutable } else { Volatility::Volatile };
        let takes = if args == 0 { TypeSignature::Nullary } else { TypeSignature::Any(args) };
        let signature = Signature::new(takes, volatility);
        ScalarUDF::new_from_impl(Self { name, function, kernel, returns, signature, deterministic, now, watch })
    }
}

impl std::fmt::Debug for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)
    }
}

// Constants are also literal arguments, which DataFusion compares itself.
impl PartialEq for Call {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.now == other.now
    }
}

impl Eq for Call {}

impl Hash for Call {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for Call {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    /// Asked by all rules of the planner, so that a cancelled query ends here.
    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        watch::check().map_err(run_error)?;
        Ok(self.returns.clone())
    }

    /// As by default. The planner builds the names of nested calls again at each level; those of a cancelled query are not used.
    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        watch::check().map_err(run_error)?;
        Ok(format!("{}({})", self.name, schema_name_from_exprs(args)?))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let constant = self.deterministic && args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let arrays = args
            .args
            .into_iter()
            .map(|arg| {
                Ok(match arg {
                    ColumnarValue::Array(array) => Column::Array(array),
                    ColumnarValue::Scalar(value) => Column::Scalar(value.to_array_of_size(1)?),
                })
            })
            .collect::<Result<Vec<_>>>()?;
        let answer = match &self.watch {
            // The engine's own kernels allocate little beyond their input.
            None => self.kernel.eval(&Args { arrays: &arrays, rows }),
            Some(watch) => {
                let _entered = watch.enter();
                let text = self.returns == DataType::Utf8View;
                evaluate(self.function, self.kernel.as_ref(), &arrays, rows, text).map_err(run_error)?
            }
        };
        if answer.len() != rows || answer.data_type() != &self.returns {
            return exec_err!("`{}` gave {} values of {} for {rows} rows", self.name, answer.len(), answer.data_type());
        }
        Ok(if constant { ColumnarValue::Scalar(ScalarValue::try_from_array(&answer, 0)?) } else { ColumnarValue::Array(answer) })
    }
}
