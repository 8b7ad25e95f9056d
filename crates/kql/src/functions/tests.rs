//! Runs every example of every function, and tests invariants of all kernels.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use model::{Column as SchemaColumn, StoredFunction, Timestamp};

use super::{Arg, Args, Column, Prepare, Resolved, Signature, all};
use crate::Value;
use crate::bind::{Schema, bind};
use crate::eval::{Evaluator, Runtime};
use crate::plan::{Expr, Rel, RelOp, Subquery};
use crate::syntax::ast;

struct Nothing;

impl Schema for Nothing {
    fn table(&self, _: &str) -> Option<Vec<SchemaColumn>> {
        None
    }

    fn tables(&self) -> Vec<String> {
        Vec::new()
    }

    fn function(&self, _: &str) -> Option<StoredFunction> {
        None
    }

    fn is_transformation(&self) -> bool {
        true
    }

    fn run(&self, _: &Rel, _: &[Subquery]) -> Result<Option<(u32, Vec<RecordBatch>)>, String> {
        Ok(None)
    }
}

fn runtime() -> Runtime {
    Runtime { now: Timestamp::parse_iso("2026-01-02T03:04:05Z").unwrap() }
}

/// The bound expression of `print v = <text>`.
fn expression(text: &str) -> Result<Expr, String> {
    let parsed = crate::syntax::parse(&format!("print v = {text}"));
    let bound = bind(&parsed, &Nothing, runtime().now);
    if !bound.diagnostics.is_empty() {
        return Err(bound.diagnostics.iter().map(|diagnostic| diagnostic.message.clone()).collect::<Vec<_>>().join("; "));
    }
    match bound.plan.map(|plan| plan.root.op) {
        Some(RelOp::Project { exprs, .. }) if exprs.len() == 1 => Ok(exprs.into_iter().next().unwrap()),
        other => Err(format!("{other:?}")),
    }
}

fn evaluate(text: &str) -> Result<String, String> {
    let expr = expression(text)?;
    let ty = expr.ty;
    let evaluator = Evaluator::new(&expr, &[], &runtime()).map_err(|error| error.to_string())?;
    let options = RecordBatchOptions::new().with_row_count(Some(1));
    let row = RecordBatch::try_new_with_options(Arc::new(arrow::datatypes::Schema::empty()), Vec::new(), &options).unwrap();
    let answer = evaluator.eval(&row).map_err(|error| error.to_string())?;
    assert_eq!(*answer.data_type(), ty.arrow(), "`{text}` lies as its type wants");
    assert_eq!(answer.len(), 1);
    Ok(Value::from_cell(&answer, 0, ty).to_text())
}

#[test]
fn function_examples_are_correct() {
    let mut wrong = Vec::new();
    let mut without = Vec::new();
    for function in all().chain(super::transformation::ALL.iter().copied()) {
        if function.examples.is_empty()
            && !function.name.starts_with('$')
            && !matches!(function.name, "neg" | "geo_info_from_ip_address" | "parse_user_agent")
        {
            without.push(function.name);
        }
        for (text, expected) in function.examples {
            match evaluate(text) {
                Ok(answer) if answer == *expected => {}
                other => wrong.push(format!("{}: {text} is {other:?}, not {expected:?}", function.name)),
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(without, Vec::<&str>::new(), "functions without an example");
}

#[test]
fn names_are_unique() {
    let mut names: Vec<&str> = all().flat_map(|function| std::iter::once(function.name).chain(function.aliases.iter().copied())).collect();
    names.sort_unstable();
    let count = names.len();
    names.dedup();
    assert_eq!(names.len(), count);
}

/// The outermost call of an example: function name and arguments.
fn outermost(expr: &ast::Expr) -> Option<(String, Vec<&ast::Expr>)> {
    match &expr.kind {
        ast::ExprKind::Call(call) => Some((call.name.text.clone(), call.args.iter().collect())),
        ast::ExprKind::Binary { op, left, right, .. } => Some(((*op).to_owned(), vec![left, right])),
        ast::ExprKind::In { op, left, list } => Some(((*op).to_owned(), std::iter::once(&**left).chain(list).collect())),
        ast::ExprKind::Between { negated, operand, low, high } => {
            Some((if *negated { "!between" } else { "between" }.to_owned(), vec![operand, low, high]))
        }
        _ => None,
    }
}

/// Name and argument values of the outermost call in `text`.
fn call(text: &str) -> Option<(String, Vec<Value>)> {
    let query = format!("print v = {text}");
    let parsed = crate::syntax::parse(&query);
    let ast::StatementKind::Query(ast::Expr { kind: ast::ExprKind::Source(print), .. }) = &parsed.script.statements.first()?.kind else {
        return None;
    };
    let ast::OperatorKind::Print(printed) = &print.kind else { return None };
    let ast::ExprKind::Named { value, .. } = &printed.first()?.kind else { return None };
    let (name, args) = outermost(value)?;
    let values = args.iter().map(|arg| {
        let expr = expression(&query[arg.place.start..arg.place.end]).ok()?;
        crate::eval::fold(&expr, &runtime())
    });
    Some((name, values.collect::<Option<_>>()?))
}

/// Invariants of every kernel: a scalar argument and a constant column give equal results, prepared with or without the constants, in
/// batches of one row and of several; and nulls are handled anywhere.
#[test]
fn constants_and_columns_agree() {
    let mut compared = 0;
    for (text, _) in all().flat_map(|function| function.examples) {
        let Some((name, values)) = call(text) else { continue };
        let Some(function) = super::find(&name).filter(|function| function.deterministic) else { continue };
        let args: Vec<Arg> = values.iter().map(|value| Arg { ty: value.ty(), constant: Some(value) }).collect();
        let resolved = match &function.signature {
            Signature::Fixed { args: wanted, returns, .. } => {
                Resolved { args: wanted[..args.len()].iter().map(|(_, ty)| *ty).collect(), returns: *returns }
            }
            Signature::Custom(custom) => custom(&args).unwrap_or_else(|error| panic!("{text}: {error:?}")),
            Signature::Overloads(_) => continue,
        };
        let types = &resolved.args;
        let constants: Vec<Option<Value>> = values.iter().zip(types).map(|(value, ty)| Some(value.cast(*ty))).collect();
        let prepare =
            |constants: &[Option<Value>]| (function.prepare)(&Prepare { constants, types, returns: resolved.returns, now: runtime().now });
        let arrays: Vec<ArrayRef> =
            constants.iter().flatten().zip(types).map(|(value, ty)| Value::array(std::slice::from_ref(value), *ty)).collect();
        let kernel = prepare(&constants).unwrap_or_else(|error| panic!("{text}: {error}"));
        let scalars: Vec<Column> = arrays.iter().cloned().map(Column::Scalar).collect();
        let expected = Value::from_cell(&kernel.eval(&Args { arrays: &scalars, rows: 1 }), 0, resolved.returns);
        let unknown = prepare(&vec![None; constants.len()]);
        for rows in [1, 3] {
            let columns: Vec<Column> = arrays.iter().map(|one| Column::Array(crate::eval::repeat(one, rows))).collect();
            for kernel in std::iter::once(&kernel).chain(unknown.as_ref()) {
                for arrays in [&columns, &scalars] {
                    let answer = kernel.eval(&Args { arrays, rows });
                    assert_eq!(answer.len(), rows, "{text}");
                    assert_eq!(*answer.data_type(), resolved.returns.arrow(), "{text}");
                    for row in 0..rows {
                        let got = Value::from_cell(&answer, row, resolved.returns);
                        assert!(got == expected || got.to_text() == expected.to_text(), "{text}: {got:?}, as a constant {expected:?}");
                        compared += 1;
                    }
                }
                for index in 0..columns.len() {
                    let mut holed = columns.clone();
                    holed[index] = Column::Array(crate::value::cells::nulls(types[index], rows));
                    assert_eq!(kernel.eval(&Args { arrays: &holed, rows }).len(), rows, "{text}");
                }
            }
        }
    }
    assert!(compared > 1000, "{compared}");
}
