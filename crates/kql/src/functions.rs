//! The table of scalar functions, including operators. To add one, add one file here and one line in [`register!`] below.
//!
//! A function has two steps: `resolve` determines types when the query is bound; `prepare` compiles constants (regexes, term sets, JSON
//! paths) once per query and returns a [`Kernel`] that runs over Arrow arrays. Kernels never fail on data: if a value cannot be computed it
//! is null.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use arrow::array::ArrayRef;
use model::{Timestamp, Type};

use crate::Value;

/// A scalar function or operator: all metadata needed by the binder, the engine, the documentation and completion.
pub struct ScalarFn {
    /// The name in a call, or the symbol of an operator (`"=="`, `"!has_cs"`).
    pub name: &'static str,
    /// Deprecated or alternative names.
    pub aliases: &'static [&'static str],
    pub summary: &'static str,
    pub signature: Signature,
    /// Parameter names for documentation, for functions with a [`Signature::Custom`], which has none.
    pub parameters: &'static [&'static str],
    /// An expression, and its value as formatted by `tostring`; run as tests and shown in the reference.
    pub examples: &'static [(&'static str, &'static str)],
    pub prepare: fn(&Prepare) -> Result<Box<dyn Kernel>, PrepareError>,
    /// A native operation of the engine with exactly the same semantics, if any; the engine may use it if it is faster.
    pub native: Native,
    /// Equal arguments give equal results (all functions except `rand` and `new_guid`).
    pub deterministic: bool,
    /// The value depends on the time of the query: `now` and `ago`.
    pub reads_clock: bool,
}

impl ScalarFn {
    /// Default values of optional fields: `ScalarFn { name: …, ..ScalarFn::DEFAULT }`.
    pub const DEFAULT: ScalarFn = ScalarFn {
        name: "",
        aliases: &[],
        summary: "",
        signature: Signature::Fixed { args: &[], required: 0, returns: Type::Bool },
        parameters: &[],
        examples: &[],
        prepare: |_| Err(PrepareError::Unsupported),
        native: Native::None,
        deterministic: true,
        reads_clock: false,
    };
}

impl ScalarFn {
    /// The name in messages: an internal variant of a function with several columns is shown under the public name.
    pub fn shown(&self) -> &'static str {
        self.name.trim_start_matches('$')
    }
}

impl fmt::Debug for ScalarFn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// Parameters and result type of a function.
pub enum Signature {
    /// Parameters with names and types; those after `required` are optional. Implicit casts are inserted by the binder (int → long → real,
    /// dynamic → the parameter type).
    Fixed { args: &'static [(&'static str, Type)], required: usize, returns: Type },
    /// The first overload that matches without a cast, otherwise the first that matches with casts.
    Overloads(&'static [Overload]),
    /// Any other signature: computes the parameter and result types from the arguments.
    Custom(fn(&[Arg]) -> Result<Resolved, SignatureError>),
}

pub struct Overload {
    pub args: &'static [(&'static str, Type)],
    pub returns: Type,
}

/// An argument as seen by the binder.
pub struct Arg<'a> {
    pub ty: Type,
    pub constant: Option<&'a Value>,
}

/// Parameter types and result type of a call.
#[derive(Debug, PartialEq)]
pub struct Resolved {
    /// One per argument; the binder inserts casts where types differ.
    pub args: Vec<Type>,
    pub returns: Type,
}

/// Why a call does not match; the binder adds the function's name and the location.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignatureError {
    /// Wrong number of arguments: at least, at most.
    Count { least: usize, most: Option<usize> },
    /// Argument `index` has the wrong type; `wants` names the expected types.
    Type { index: usize, wants: Cow<'static, str> },
    /// Argument `index` must be a constant, or has an invalid value.
    Constant { index: usize, wants: Cow<'static, str> },
    /// A valid call that is not supported, with the reason.
    Unsupported(&'static str),
}

/// What is known before the first row.
pub struct Prepare<'a> {
    /// The value of each constant argument.
    pub constants: &'a [Option<Value>],
    pub types: &'a [Type],
    pub returns: Type,
    /// The value of `now()`, fixed for the query.
    pub now: Timestamp,
}

/// Why a call with these constants cannot run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PrepareError {
    #[error("{0}")]
    Constant(String),
    #[error("not available here")]
    Unsupported,
    /// Requires data or a service that this server does not include; says which.
    #[error("{0}")]
    Lacking(&'static str),
}

/// Arguments of one call over one batch.
pub struct Args<'a> {
    pub arrays: &'a [Column],
    pub rows: usize,
}

/// One argument: an array with one entry per row, or a single value for all rows.
#[derive(Clone, Debug)]
pub enum Column {
    Array(ArrayRef),
    /// An array of length one.
    Scalar(ArrayRef),
}

impl Args<'_> {
    /// Argument `index` with one entry per row; a constant is expanded.
    pub fn array(&self, index: usize) -> ArrayRef {
        match &self.arrays[index] {
            Column::Array(array) => array.clone(),
            Column::Scalar(one) => crate::eval::repeat(one, self.rows),
        }
    }

    pub fn len(&self) -> usize {
        self.arrays.len()
    }

    pub fn is_empty(&self) -> bool {
        self.arrays.is_empty()
    }
}

/// A compiled call. `eval` returns an array of `args.rows` entries in the representation of [`Type::arrow`] of the resolved result type.
pub trait Kernel: Send + Sync {
    fn eval(&self, args: &Args) -> ArrayRef;
}

/// A native operation of the engine with exactly the function's semantics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Native {
    None,
    /// Comparisons: the engine may use its own in positive conjuncts of a `where`.
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    And,
    Or,
    Not,
    IsNull,
    IsNotNull,
}

/// Finds the function `name`, including aliases. KQL's function names are case-sensitive.
pub fn find(name: &str) -> Option<&'static ScalarFn> {
    static INDEX: std::sync::LazyLock<hashbrown::HashMap<&'static str, &'static ScalarFn>> = std::sync::LazyLock::new(|| {
        all()
            .flat_map(|function| std::iter::once(function.name).chain(function.aliases.iter().copied()).map(move |name| (name, function)))
            .collect()
    });
    INDEX.get(name).copied()
}

/// All functions, in table order.
pub fn all() -> impl Iterator<Item = &'static ScalarFn> {
    FUNCTIONS.iter().flat_map(|family| family.iter().copied())
}

/// The functions of one file: a single function, or operators that share a kernel.
pub type Family = &'static [&'static ScalarFn];

/// Creates a kernel from a closure.
pub fn kernel<F>(eval: F) -> Box<dyn Kernel>
where
    F: Fn(&Args) -> ArrayRef + Send + Sync + 'static,
{
    struct Closure<F>(F);
    impl<F: Fn(&Args) -> ArrayRef + Send + Sync> Kernel for Closure<F> {
        fn eval(&self, args: &Args) -> ArrayRef {
            (self.0)(args)
        }
    }
    Box::new(Closure(eval))
}

/// A kernel shared between threads.
pub type SharedKernel = Arc<dyn Kernel>;

/// Declares the modules and collects each one's `FAMILY`.
macro_rules! families {
    ($($name:ident),* $(,)?) => {
        $(mod $name;)*
        static FUNCTIONS: &[Family] = &[$($name::FAMILY),*];
    };
}

pub mod columns;
mod patterns;
mod shapes;
mod sieve;
mod signatures;
pub mod terms;
pub mod transformation;

pub(crate) use hashes::hash_of;

families! {  // alphabetical
    arithmetic,
    arrays,
    bags,
    bin,
    bits,
    calendar,
    cast,
    compare,
    condition,
    convert,
    date_text,
    encode,
    extract,
    geo_cells,
    geo_lines,
    geo_overlays,
    geo_points,
    geo_polygons,
    geohash,
    hashes,
    hll,
    index,
    indexof,
    ipv4,
    ipv6,
    jsonpath,
    logic,
    matches_regex,
    math,
    membership,
    misc,
    parse_text,
    parse_xml,
    punycode,
    series,
    series_decompose,
    series_fft,
    series_fit,
    series_periods,
    sets,
    special,
    split,
    strcat,
    strlen,
    tdigest,
    text_match,
    units,
    zones,
}

#[cfg(test)]
mod tests;
