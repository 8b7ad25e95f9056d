//! `ipv4_lookup(table, address, network, extra keys…, return_unmatched)`, `ipv6_lookup` — look up rows of a table by the network that
//! contains an address. Source: the public KQL reference, `ipv4-lookup-plugin`, `ipv6-lookup-plugin`.
//!
//! `ipv4_lookup` returns the input's columns first, `ipv6_lookup` the table's, as in all examples of the reference.
//!
//! Either side may be an address or a network in prefix notation; they match if the bits of the shorter prefix are equal. If several
//! networks match, there is one row for each.

use std::net::{IpAddr, Ipv4Addr};

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::concat_batches;
use arrow::record_batch::RecordBatch;
use hashbrown::HashMap;
use model::Type;

use super::{Argument, Bound, Call, PluginArg, PluginError, Shape, lookup};
use crate::Value;
use crate::ops::layout::{evaluate, run};
use crate::ops::{EvalError, Evaluator, OpState, Runtime, TableOp};
use crate::plan::{ColumnId, Expr, Field};

pub const ARGS_V4: &[PluginArg] = &[
    PluginArg { name: "LookupTable", shape: Shape::Table },
    PluginArg { name: "SourceIPv4Key", shape: Shape::Expr },
    PluginArg { name: "IPv4LookupKey", shape: Shape::TableColumn },
    PluginArg { name: "ExtraKey", shape: Shape::TableColumn },
];

pub const ARGS_V6: &[PluginArg] = &[
    PluginArg { name: "LookupTable", shape: Shape::Table },
    PluginArg { name: "SourceIPv6Key", shape: Shape::Expr },
    PluginArg { name: "IPv6LookupKey", shape: Shape::TableColumn },
    PluginArg { name: "return_unmatched", shape: Shape::TableColumn },
];

pub fn bind(call: Call, name: &'static str, v6: bool) -> Result<Bound, PluginError> {
    let Some(Argument::Table(table)) = call.arg(0) else {
        return Err(PluginError::Argument { index: 0, message: "must be a table".to_owned() });
    };
    let key = |index: usize| match call.arg(index) {
        Some(Argument::Expr { expr, .. }) if expr.ty == Type::String => Ok(expr.clone()),
        _ => Err(PluginError::Argument { index, message: "must be a string column".to_owned() }),
    };
    let (source, network) = (key(1)?, key(2)?);
    let mut unmatched = false;
    let mut extra = Vec::new();
    for index in 3..call.args.len() {
        match call.arg(index) {
            Some(Argument::Const(Value::Bool(flag))) => unmatched = *flag,
            Some(Argument::Expr { expr, .. }) if expr.ty == Type::Bool && expr.as_const().is_some() => {
                unmatched = expr.as_const().and_then(Value::as_bool).unwrap_or(false);
            }
            Some(Argument::Expr { expr, name }) => {
                // An extra key is a column of both sides.
                let Some(ours) = call.input.iter().find(|field| *field.name == **name) else {
                    return Err(PluginError::Argument { index, message: format!("the input has no column `{name}`") });
                };
                if ours.ty != expr.ty {
                    return Err(PluginError::Argument {
                        index,
                        message: format!("`{name}` is a {} there and a {} here", expr.ty, ours.ty),
                    });
                }
                extra.push((Expr::column(ours), expr.clone()));
            }
            _ => {}
        }
    }
    let inputs = call.input.len();
    // As in `lookup`, the extra keys are not repeated.
    let repeated: Vec<ColumnId> = extra.iter().flat_map(|(_, theirs)| theirs.columns()).collect();
    let (mut fields, columns) = lookup::fields(call.input, table, &repeated);
    if v6 {
        fields.rotate_left(inputs);
    }
    Ok(Bound { op: Box::new(IpLookup { name, v6, source, network, extra, columns, unmatched }), fields })
}

#[derive(Clone, Debug)]
struct IpLookup {
    name: &'static str,
    v6: bool,
    source: Expr,
    network: Expr,
    /// Columns that must be equal, in the input and the table.
    extra: Vec<(Expr, Expr)>,
    /// Columns of the table that are in the output.
    columns: Vec<ColumnId>,
    unmatched: bool,
}

impl TableOp for IpLookup {
    fn name(&self) -> &'static str {
        self.name
    }

    fn exprs(&self) -> Vec<&Expr> {
        [&self.source, &self.network].into_iter().chain(self.extra.iter().flat_map(|(ours, theirs)| [ours, theirs])).collect()
    }

    fn map_exprs(&self, f: &mut dyn FnMut(&Expr) -> Expr) -> Box<dyn TableOp> {
        let extra = self.extra.iter().map(|(ours, theirs)| (f(ours), f(theirs))).collect();
        Box::new(Self { source: f(&self.source), network: f(&self.network), extra, ..self.clone() })
    }

    fn passes(&self, field: ColumnId) -> bool {
        !self.columns.contains(&field)
    }

    fn per_row(&self) -> bool {
        false
    }

    fn start(&self, inputs: &[Vec<Field>], outputs: &[Field], runtime: &Runtime) -> Result<Box<dyn OpState>, EvalError> {
        let [ours, theirs] = inputs else { return Err(EvalError::Run(format!("`{}` needs two inputs", self.name))) };
        let compile = |expr: &Expr, fields: &[Field]| Evaluator::new(expr, fields, runtime);
        Ok(Box::new(Running {
            op: self.clone(),
            source: compile(&self.source, ours)?,
            network: compile(&self.network, theirs)?,
            ours: self.extra.iter().map(|(expr, _)| compile(expr, ours)).collect::<Result<_, _>>()?,
            theirs: self.extra.iter().map(|(_, expr)| compile(expr, theirs)).collect::<Result<_, _>>()?,
            outputs: outputs.to_vec(),
            table: Vec::new(),
            built: None,
        }))
    }
}

struct Running {
    op: IpLookup,
    source: Evaluator,
    network: Evaluator,
    ours: Vec<Evaluator>,
    theirs: Vec<Evaluator>,
    outputs: Vec<Field>,
    table: Vec<RecordBatch>,
    built: Option<Networks>,
}

/// The lookup table, indexed by prefix length and prefix bits.
struct Networks {
    rows: Option<RecordBatch>,
    /// Extra key values of the rows.
    extra: Vec<Vec<Value>>,
    by_length: Vec<(u8, HashMap<u128, Vec<u32>>)>,
    all: Vec<(u128, u8, u32)>,
}

/// The address as 128 bits, IPv4 mapped into IPv6, and its prefix length.
fn parse(text: &str, v6: bool) -> Option<(u128, u8)> {
    let (address, length) = match text.trim().split_once('/') {
        Some((address, length)) => (address, Some(length.parse::<u8>().ok()?)),
        None => (text.trim(), None),
    };
    match address.parse::<IpAddr>().ok()? {
        IpAddr::V4(address) => {
            let length = length.unwrap_or(32);
            (length <= 32).then(|| (Ipv4Addr::to_ipv6_mapped(&address).to_bits(), length + 96))
        }
        IpAddr::V6(address) if v6 => {
            let length = length.unwrap_or(128);
            (length <= 128).then(|| (address.to_bits(), length))
        }
        IpAddr::V6(_) => None,
    }
}

fn prefix(address: u128, length: u8) -> u128 {
    if length == 0 { 0 } else { address & (u128::MAX << (128 - length)) }
}

impl Running {
    fn networks(&mut self) -> Result<(), EvalError> {
        if self.built.is_some() {
            return Ok(());
        }
        let mut networks = Networks { rows: None, extra: Vec::new(), by_length: Vec::new(), all: Vec::new() };
        if let Some(first) = self.table.first() {
            let rows = concat_batches(&first.schema(), &self.table).map_err(run)?;
            let texts = self.network.eval(&rows)?;
            let texts = texts.as_string_view();
            networks.extra = values(&self.theirs, &rows)?;
            for row in 0..rows.num_rows() {
                if texts.is_valid(row)
                    && let Some((address, length)) = parse(texts.value(row), self.op.v6)
                {
                    let at = match networks.by_length.iter().position(|(known, _)| *known == length) {
                        Some(at) => at,
                        None => {
                            networks.by_length.push((length, HashMap::new()));
                            networks.by_length.len() - 1
                        }
                    };
                    networks.by_length[at].1.entry(prefix(address, length)).or_default().push(row as u32);
                    networks.all.push((address, length, row as u32));
                }
            }
            networks.rows = Some(rows);
        }
        self.built = Some(networks);
        Ok(())
    }
}

/// One column of values per evaluator.
fn values(evaluators: &[Evaluator], batch: &RecordBatch) -> Result<Vec<Vec<Value>>, EvalError> {
    let columns = evaluate(evaluators, batch)?;
    let cells = |(column, evaluator): (&ArrayRef, &Evaluator)| {
        (0..batch.num_rows()).map(|row| Value::from_cell(column, row, evaluator.ty())).collect()
    };
    Ok(columns.iter().zip(evaluators).map(cells).collect())
}

impl Networks {
    /// Matching rows, in table order.
    fn find(&self, text: &str, v6: bool, matches: impl Fn(u32) -> bool) -> Vec<u32> {
        let Some((address, length)) = parse(text, v6) else { return Vec::new() };
        let mut found: Vec<u32> = Vec::new();
        for (known, map) in self.by_length.iter().filter(|(known, _)| *known <= length) {
            found.extend(map.get(&prefix(address, *known)).into_iter().flatten());
        }
        if length < 128 {
            // Networks inside the one that is looked up.
            let inside = |(other, known, _): &&(u128, u8, u32)| *known > length && prefix(*other, length) == prefix(address, length);
            if self.by_length.iter().any(|(known, _)| *known > length) {
                found.extend(self.all.iter().filter(inside).map(|(_, _, row)| row));
            }
        }
        found.retain(|row| matches(*row));
        found.sort_unstable();
        found
    }
}

impl OpState for Running {
    fn push(&mut self, input: usize, batch: &RecordBatch, out: &mut Vec<RecordBatch>) -> Result<(), EvalError> {
        if input == 1 {
            self.table.push(batch.clone());
            return Ok(());
        }
        self.networks()?;
        let Some(networks) = &self.built else { return Ok(()) };
        let texts = self.source.eval(batch)?;
        let texts = texts.as_string_view();
        let extra = values(&self.ours, batch)?;
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for row in 0..batch.num_rows() {
            let same = |there: u32| {
                extra.iter().zip(&networks.extra).all(|(here, them)| !here[row].is_null() && here[row] == them[there as usize])
            };
            let found = if texts.is_valid(row) { networks.find(texts.value(row), self.op.v6, same) } else { Vec::new() };
            if found.is_empty() && self.op.unmatched {
                ours.push(row as u32);
                theirs.push(None);
            }
            ours.extend(std::iter::repeat_n(row as u32, found.len()));
            theirs.extend(found.into_iter().map(Some));
        }
        if ours.is_empty() {
            return Ok(());
        }
        out.push(lookup::beside(&self.outputs, &self.op.columns, batch, networks.rows.as_ref(), ours, theirs)?);
        Ok(())
    }

    fn finish(&mut self, _: &mut Vec<RecordBatch>) -> Result<(), EvalError> {
        Ok(())
    }

    fn size(&self) -> usize {
        self.table.iter().map(RecordBatch::get_array_memory_size).sum::<usize>() * 2
    }
}
