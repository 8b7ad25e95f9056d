//! The table of scalar functions, operators included. Adding one is one file here and one line in [`register!`] below.
//!
//! A function has two steps: `resolve` settles types when the query is bound, `prepare` compiles what is constant (regexes, term sets,
//! JSON paths) once per query, and the [`Kernel`] it gives runs over Arrow arrays. Kernels never fail on data: what cannot be computed
//! is null.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use arrow::array::ArrayRef;
use model::{Timestamp, Type};

use crate::Value;

/// A scalar function or operator: everything the binder, the engine, the documentation and completion need to know of it.
pub struct ScalarFn {
    /// As called; operators by their sign (`"=="`, `"!has_cs"`).
    pub name: &'static str,
    /// Older or alternative names.
    pub aliases: &'static [&'static str],
    pub summary: &'static str,
    pub signature: Signature,
    /// Names of the parameters, for people, where `signature` has none: a [`Signature::Custom`] takes what it takes.
    pub parameters: &'static [&'static str],
    /// Each is run as a test and shown in the reference: an expression, and its value as `tostring` prints it.
    pub examples: &'static [(&'static str, &'static str)],
    pub prepare: fn(&Prepare) -> Result<Box<dyn Kernel>, PrepareError>,
    /// Which native operation has exactly this meaning, if one has: the engine may then use it where that is quicker.
    pub native: Native,
    /// The same arguments give the same value (all but `rand`, `new_guid`).
    pub deterministic: bool,
}

impl ScalarFn {
    /// Defaults for the fields that most functions leave alone: `ScalarFn { name: …, ..ScalarFn::DEFAULT }`.
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
    };
}

impl ScalarFn {
    /// The name for messages: a twin of a function that gives several columns goes by that function's.
    pub fn shown(&self) -> &'static str {
        self.name.trim_start_matches('$')
    }
}

impl fmt::Debug for ScalarFn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// What a function takes and gives.
pub enum Signature {
    /// Arguments with their names and types; those after `required` may be left out. Implicit casts are inserted by the binder
    /// (int → long → real, dynamic → the type asked for).
    Fixed { args: &'static [(&'static str, Type)], required: usize, returns: Type },
    /// The first of these that fits without a cast, otherwise the first that fits with one.
    Overloads(&'static [Overload]),
    /// Anything else: looks at the arguments and says which types it wants and gives.
    Custom(fn(&[Arg]) -> Result<Resolved, SignatureError>),
}

pub struct Overload {
    pub args: &'static [(&'static str, Type)],
    pub returns: Type,
}

/// An argument as the binder sees it.
pub struct Arg<'a> {
    pub ty: Type,
    pub constant: Option<&'a Value>,
}

/// What a function wants its arguments to be, and what it gives.
#[derive(Debug, PartialEq)]
pub struct Resolved {
    /// One an argument; the binder casts where they differ from what is there.
    pub args: Vec<Type>,
    pub returns: Type,
}

/// Why a call does not fit; the binder adds the function's name and the place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignatureError {
    /// Wrong number of arguments: at least, at most.
    Count { least: usize, most: Option<usize> },
    /// Argument `index` has the wrong type; `wants` names the right ones.
    Type { index: usize, wants: Cow<'static, str> },
    /// Argument `index` must be a constant, or is one that is not allowed.
    Constant { index: usize, wants: Cow<'static, str> },
    /// A form of the call that is understood and not offered; says which.
    Unsupported(&'static str),
}

/// What is known before the first row.
pub struct Prepare<'a> {
    /// The value of each argument that is constant.
    pub constants: &'a [Option<Value>],
    pub types: &'a [Type],
    pub returns: Type,
    /// What `now()` answers, pinned for the query.
    pub now: Timestamp,
}

/// Why a call with these constants cannot run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PrepareError {
    #[error("{0}")]
    Constant(String),
    #[error("not available here")]
    Unsupported,
    /// Needs something that this server does not come with; says what.
    #[error("{0}")]
    Lacking(&'static str),
}

/// Arguments of one call over one batch.
pub struct Args<'a> {
    pub arrays: &'a [Column],
    pub rows: usize,
}

/// One argument: a whole array, or one value for all rows.
#[derive(Clone, Debug)]
pub enum Column {
    Array(ArrayRef),
    /// An array of length one.
    Scalar(ArrayRef),
}

impl Args<'_> {
    /// Argument `index` with one entry a row; a constant is repeated.
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

/// A compiled call. `eval` gives an array of `args.rows` entries laid out as [`Type::arrow`] of the resolved return type.
pub trait Kernel: Send + Sync {
    fn eval(&self, args: &Args) -> ArrayRef;
}

/// A native operation of the engine with exactly the function's meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Native {
    None,
    /// Two-valued comparisons: the engine may use its own in positive conjuncts of a `where`.
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

/// The function called `name`, aliases included. KQL's function names are case-sensitive.
pub fn find(name: &str) -> Option<&'static ScalarFn> {
    static INDEX: std::sync::LazyLock<hashbrown::HashMap<&'static str, &'static ScalarFn>> = std::sync::LazyLock::new(|| {
        all()
            .flat_map(|function| std::iter::once(function.name).chain(function.aliases.iter().copied()).map(move |name| (name, function)))
            .collect()
    });
    INDEX.get(name).copied()
}

/// All functions, in the order of the table.
pub fn all() -> impl Iterator<Item = &'static ScalarFn> {
    FUNCTIONS.iter().flat_map(|family| family.iter().copied())
}

/// One file gives one family: a single function, or operators that share a kernel.
pub type Family = &'static [&'static ScalarFn];

/// A kernel from a closure.
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
