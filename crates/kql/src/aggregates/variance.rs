//! `variance`, `stdev`, `covariance`, with their `…p` (population) and `…if` variants — computed by Welford's update and Chan's merge,
//! which are numerically stable for large means. The result for fewer than two values is 0.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array};
use arrow::datatypes::{DataType, Float64Type};
use model::Type;

use super::predicate::{self, selected};
use super::sum::reals;
use super::{AggregateFn, Emit, Family, Groups, Naming, argument};
use crate::functions::{Arg, PrepareError, Resolved, Signature, SignatureError};

pub static FAMILY: Family = &[
    &STDEV,
    &STDEVIF,
    &STDEVP,
    &STDEVPIF,
    &VARIANCE,
    &VARIANCEIF,
    &VARIANCEP,
    &VARIANCEPIF,
    &COVARIANCE,
    &COVARIANCEIF,
    &COVARIANCEP,
    &COVARIANCEPIF,
];

const BASE: AggregateFn =
    AggregateFn { signature: Signature::Custom(argument::summable_to_real), state: |_| state(), ..AggregateFn::DEFAULT };
const BASE_IF: AggregateFn =
    AggregateFn { signature: Signature::Custom(|args| predicate::resolve::<1>(args, argument::summable_to_real)), ..BASE };
const BASE_2: AggregateFn = AggregateFn { signature: Signature::Custom(resolve_two), ..BASE };
const BASE_2_IF: AggregateFn = AggregateFn { signature: Signature::Custom(|args| predicate::resolve::<2>(args, resolve_two)), ..BASE };

static STDEV: AggregateFn = AggregateFn {
    name: "stdev",
    summary: "Standard deviation of a sample",
    naming: Naming::Prefix("stdev"),
    start: |_| moments(SAMPLE_ROOT),
    // Recorded from Microsoft's engine.
    examples: &[
        ("datatable(x:long)[1, 3] | summarize round(stdev(x), 6)", "1.414214"),
        ("datatable(x:long)[5] | summarize stdev(x)", "0.0"),
    ],
    ..BASE
};

static STDEVIF: AggregateFn = AggregateFn {
    name: "stdevif",
    summary: "Standard deviation of a sample, of the rows for which a predicate is true",
    naming: Naming::Prefix("stdevif"),
    start: |start| predicate::start::<1>(start, |_| moments(SAMPLE_ROOT)),
    // The public KQL reference, page `stdevif-aggregation-function`.
    examples: &[("range x from 1 to 100 step 1 | summarize round(stdevif(x, x % 2 == 0), 10)", "29.1547594742")],
    ..BASE_IF
};

static STDEVP: AggregateFn = AggregateFn {
    name: "stdevp",
    summary: "Standard deviation of a population",
    naming: Naming::Prefix("stdevp"),
    start: |_| moments(POPULATION_ROOT),
    examples: &[("datatable(x:long)[1, 3] | summarize stdevp(x)", "1.0")],
    ..BASE
};

static STDEVPIF: AggregateFn = AggregateFn {
    name: "stdevpif",
    summary: "Standard deviation of a population, of the rows for which a predicate is true",
    naming: Naming::Prefix("stdevpif"),
    start: |start| predicate::start::<1>(start, |_| moments(POPULATION_ROOT)),
    examples: &[("datatable(x:long)[1, 3, 9] | summarize stdevpif(x, x < 9)", "1.0")],
    ..BASE_IF
};

static VARIANCE: AggregateFn = AggregateFn {
    name: "variance",
    summary: "Variance of a sample",
    naming: Naming::Prefix("variance"),
    start: |_| moments(SAMPLE),
    examples: &[("datatable(x:long)[1, 3] | summarize variance(x)", "2.0")],
    ..BASE
};

static VARIANCEIF: AggregateFn = AggregateFn {
    name: "varianceif",
    summary: "Variance of a sample, of the rows for which a predicate is true",
    naming: Naming::Prefix("varianceif"),
    start: |start| predicate::start::<1>(start, |_| moments(SAMPLE)),
    // The public KQL reference, page `varianceif-aggregation-function`.
    examples: &[("range x from 1 to 100 step 1 | summarize varianceif(x, x % 2 == 0)", "850.0")],
    ..BASE_IF
};

static VARIANCEP: AggregateFn = AggregateFn {
    name: "variancep",
    summary: "Variance of a population",
    naming: Naming::Prefix("variancep"),
    start: |_| moments(POPULATION),
    examples: &[("datatable(x:long)[1, 3] | summarize variancep(x)", "1.0")],
    ..BASE
};

static VARIANCEPIF: AggregateFn = AggregateFn {
    name: "variancepif",
    summary: "Variance of a population, of the rows for which a predicate is true",
    naming: Naming::Prefix("variancepif"),
    start: |start| predicate::start::<1>(start, |_| moments(POPULATION)),
    examples: &[("datatable(x:long)[1, 3, 9] | summarize variancepif(x, x < 9)", "1.0")],
    ..BASE_IF
};

static COVARIANCE: AggregateFn = AggregateFn {
    name: "covariance",
    summary: "Covariance of two samples",
    naming: Naming::Prefix("covariance"),
    start: |_| moments(SAMPLE),
    examples: &[("datatable(x:real, y:real)[1,14, 2,10, 3,17, 4,20, 5,50] | summarize covariance(x, y)", "20.5")],
    ..BASE_2
};

static COVARIANCEIF: AggregateFn = AggregateFn {
    name: "covarianceif",
    summary: "Covariance of two samples, of the rows for which a predicate is true",
    naming: Naming::Prefix("covarianceif"),
    start: |start| predicate::start::<2>(start, |_| moments(SAMPLE)),
    // The public KQL reference, page `covarianceif-aggregation-function`.
    examples: &[(
        "range x from 1 to 100 step 1 | extend y = iff(x % 2 == 0, x * 2, x * 3) | summarize round(covarianceif(x, y, x % 3 == 0), 6)",
        "2142.0",
    )],
    ..BASE_2_IF
};

static COVARIANCEP: AggregateFn = AggregateFn {
    name: "covariancep",
    summary: "Covariance of two populations",
    naming: Naming::Prefix("covariancep"),
    start: |_| moments(POPULATION),
    // The public KQL reference, page `covariancep-aggregation-function`.
    examples: &[("datatable(x:real, y:real)[1,14, 2,10, 3,17, 4,20, 5,50] | summarize round(covariancep(x, y), 6)", "16.4")],
    ..BASE_2
};

static COVARIANCEPIF: AggregateFn = AggregateFn {
    name: "covariancepif",
    summary: "Covariance of two populations, of the rows for which a predicate is true",
    naming: Naming::Prefix("covariancepif"),
    start: |start| predicate::start::<2>(start, |_| moments(POPULATION)),
    examples: &[("datatable(x:real, y:real)[1,1, 3,3, 9,0] | summarize covariancepif(x, y, x < 9)", "1.0")],
    ..BASE_2_IF
};

fn resolve_two(args: &[Arg]) -> Result<Resolved, SignatureError> {
    argument::count(args, 2, 2)?;
    Ok(Resolved { args: vec![argument::summable(args, 0)?, argument::summable(args, 1)?], returns: Type::Real })
}

fn state() -> Vec<DataType> {
    vec![DataType::Float64; 4]
}

/// Computes the result from the number of values and the sum of products.
type Finish = fn(n: f64, products: f64) -> f64;

const SAMPLE: Finish = |n, products| if n > 1.0 { products / (n - 1.0) } else { 0.0 };
const POPULATION: Finish = |n, products| if n > 0.0 { products / n } else { 0.0 };
const SAMPLE_ROOT: Finish = |n, products| SAMPLE(n, products).sqrt();
const POPULATION_ROOT: Finish = |n, products| POPULATION(n, products).sqrt();

fn moments(finish: Finish) -> Result<Box<dyn Groups>, PrepareError> {
    Ok(Box::new(Moments { finish, groups: Vec::new() }))
}

/// Count, means of both columns, and the sum of products of deviations.
#[derive(Clone, Copy, Default)]
struct Moment {
    n: f64,
    x: f64,
    y: f64,
    products: f64,
}

impl Moment {
    fn add(&mut self, x: f64, y: f64) {
        self.n += 1.0;
        let dx = x - self.x;
        self.x += dx / self.n;
        self.y += (y - self.y) / self.n;
        self.products += dx * (y - self.y);
    }

    fn merge(&mut self, other: &Moment) {
        if other.n == 0.0 {
            return;
        }
        if self.n == 0.0 {
            *self = *other;
            return;
        }
        let n = self.n + other.n;
        let (dx, dy) = (other.x - self.x, other.y - self.y);
        self.products += other.products + dx * dy * self.n * other.n / n;
        self.x += dx * other.n / n;
        self.y += dy * other.n / n;
        self.n = n;
    }
}

struct Moments {
    finish: Finish,
    groups: Vec<Moment>,
}

impl Groups for Moments {
    fn update(&mut self, args: &[ArrayRef], groups: &[usize], filter: Option<&BooleanArray>, total: usize) {
        self.groups.resize(total, Moment::default());
        let xs = reals(&args[0]);
        let ys = args.get(1).map(reals);
        for (row, group) in selected(groups, filter) {
            if xs.is_null(row) || ys.as_ref().is_some_and(|ys| ys.is_null(row)) {
                continue;
            }
            let x = xs.value(row);
            self.groups[group].add(x, ys.as_ref().map_or(x, |ys| ys.value(row)));
        }
    }

    fn merge(&mut self, state: &[ArrayRef], groups: &[usize], total: usize) {
        self.groups.resize(total, Moment::default());
        let column = |index: usize| state[index].as_primitive::<Float64Type>();
        let (n, x, y, products) = (column(0), column(1), column(2), column(3));
        for (row, group) in groups.iter().enumerate() {
            self.groups[*group].merge(&Moment { n: n.value(row), x: x.value(row), y: y.value(row), products: products.value(row) });
        }
    }

    fn state(&mut self, which: Emit) -> Vec<ArrayRef> {
        let taken = which.take(&mut self.groups);
        let column = |get: fn(&Moment) -> f64| Arc::new(Float64Array::from_iter_values(taken.iter().map(get))) as ArrayRef;
        vec![column(|m| m.n), column(|m| m.x), column(|m| m.y), column(|m| m.products)]
    }

    fn evaluate(&mut self, which: Emit) -> ArrayRef {
        Arc::new(Float64Array::from_iter_values(which.take(&mut self.groups).iter().map(|m| (self.finish)(m.n, m.products))))
    }

    fn size(&self) -> usize {
        self.groups.capacity() * size_of::<Moment>()
    }
}
