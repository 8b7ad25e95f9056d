//! Projections. DataFusion looks up each column among all and prints every expression to derive the schema, which takes a second for
//! thousands of columns and cannot be interrupted; the schema of a wide projection is derived here.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::datatypes::Field;
use datafusion::common::{DFSchema, Result, TableReference};
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, Projection};
use kql::watch;
use model::QueryError;

use super::{Lowered, broken};
use crate::node::run_error;

/// Minimum number of expressions of a wide projection.
const WIDE: usize = 512;

pub(crate) fn project(input: LogicalPlan, exprs: Vec<Expr>) -> Lowered {
    if watch::stopped() {
        return Err(QueryError::Cancelled);
    }
    let input = Arc::new(input);
    let projection = if exprs.len() < WIDE { Projection::try_new(exprs, input) } else { wide(exprs, input) };
    projection.map(LogicalPlan::Projection).map_err(|why| if watch::stopped() { QueryError::Cancelled } else { broken(why) })
}

/// Like [`Projection::try_new`], without functional dependencies, which only save work.
fn wide(exprs: Vec<Expr>, input: Arc<LogicalPlan>) -> Result<Projection> {
    let below = input.schema();
    let places: HashMap<&str, usize> = below.fields().iter().enumerate().map(|(at, field)| (field.name().as_str(), at)).collect();
    let mut fields: Vec<(Option<TableReference>, Arc<Field>)> = Vec::with_capacity(exprs.len());
    for expr in &exprs {
        watch::check().map_err(run_error)?;
        let place = match expr {
            Expr::Column(column) if column.relation.is_none() => places.get(column.name.as_str()),
            _ => None,
        };
        fields.push(match place {
            Some(at) => {
                let (table, field) = below.qualified_field(*at);
                (table.cloned(), field.clone())
            }
            None => expr.to_field(below.as_ref())?,
        });
    }
    let schema = Arc::new(DFSchema::new_with_metadata(fields, below.metadata().clone())?);
    Projection::try_new_with_schema(exprs, input, schema)
}

#[cfg(test)]
mod tests {
    use datafusion::logical_expr::{EmptyRelation, lit};

    use super::*;
    use crate::expr::column;

    #[test]
    fn a_wide_projection_has_the_schema_of_any_other() {
        let empty = LogicalPlan::EmptyRelation(EmptyRelation { produce_one_row: true, schema: Arc::new(DFSchema::empty()) });
        let computed: Vec<Expr> = (0..WIDE as i64).map(|number| lit(number).alias(format!("c{number}"))).collect();
        let columns: Vec<Expr> = (0..WIDE).rev().map(|number| column(format!("c{number}"))).collect();
        let ours = project(project(empty.clone(), computed.clone()).unwrap(), columns.clone()).unwrap();
        let theirs = Projection::try_new(computed, Arc::new(empty)).map(LogicalPlan::Projection).unwrap();
        let theirs = Projection::try_new(columns, Arc::new(theirs)).map(LogicalPlan::Projection).unwrap();
        assert_eq!(ours.schema(), theirs.schema());
    }
}
