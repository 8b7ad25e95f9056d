//! `geo_polygon_lookup(table, polygon, longitude, latitude, radius, …)`, `geo_line_lookup(table, line, longitude, latitude, radius, …)`:
//! look up rows of a table by the polygon or line at a point. Source: the public KQL reference, `geo-polygon-lookup-plugin`,
//! `geo-line-lookup-plugin`.
//!
//! A point matches a polygon that contains it or, with a radius, one within that distance; it matches a line within the radius. All shapes
//! are in one spatial index, so that a point is compared only with nearby shapes; `lookup_area_radius` is a hint for a different algorithm
//! and does not affect the result.

use arrow::array::{Array, AsArray};
use arrow::compute::concat_batches;
use arrow::record_batch::RecordBatch;
use model::Type;
use s2rst::s2::contains_point_query::{ContainsPointQuery, VertexModel};
use s2rst::s2::lax_polyline::LaxPolyline;
use s2rst::s2::shape_index::ShapeIndex;

use super::{Argument, Bound, Call, PluginError, lookup};
use crate::Value;
use crate::geo::{Position, nearest, read};
use crate::ops::layout::run;
use crate::ops::{EvalError, Evaluator, OpState, Runtime, TableOp};
use crate::plan::{ColumnId, Expr, Field};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Lines,
    Polygons,
}

/// Argument indices of the two plug-ins.
const KEY: usize = 1;
const RADIUS: usize = 4;
const UNMATCHED: usize = 5;
const AREA_RADIUS: usize = 6;
const RETURN_KEY: usize = 7;

pub fn bind(call: Call, name: &'static str, kind: Kind) -> Result<Bound, PluginError> {
    let wrong = |index: usize, message: &str| PluginError::Argument { index, message: message.to_owned() };
    let Some(Argument::Table(table)) = call.arg(0) else { return Err(wrong(0, "must be a table")) };
    let key = match call.arg(KEY) {
        Some(Argument::Expr { expr, .. }) if expr.ty == Type::Dynamic && expr.columns().len() == 1 => expr.clone(),
        _ => return Err(wrong(KEY, "must be a dynamic column of the table")),
    };
    let coordinate = |index: usize| match call.arg(index) {
        Some(Argument::Expr { expr, .. }) if expr.ty.is_numeric() => Ok(expr.clone()),
        _ => Err(wrong(index, "must be a number")),
    };
    let (longitude, latitude) = (coordinate(2)?, coordinate(3)?);
    let real = |index: usize| match call.arg(index) {
        Some(Argument::Const(value)) => value.as_f64(),
        _ => None,
    };
    let flag = |index: usize| matches!(call.arg(index), Some(Argument::Const(Value::Bool(true))));
    let radius = real(RADIUS);
    let badly = |number: f64| !(number >= 0.0 && number.is_finite());
    if radius.is_some_and(badly) || kind == Kind::Lines && radius.is_none() {
        return Err(wrong(RADIUS, "must be a length in metres"));
    }
    if real(AREA_RADIUS).is_some_and(badly) {
        return Err(wrong(AREA_RADIUS, "must be a length in metres"));
    }
    let without = if flag(RETURN_KEY) { Vec::new() } else { key.columns() };
    let (fields, columns) = lookup::fields(call.input, table, &without);
    let op = GeoLookup { name, kind, key, longitude, latitude, radius, columns, unmatched: flag(UNMATCHED) };
    Ok(Bound { op: Box::new(op), fields })
}

#[derive(Clone, Debug)]
struct GeoLookup {
    name: &'static str,
    kind: Kind,
    /// The shape column of the table.
    key: Expr,
    longitude: Expr,
    latitude: Expr,
    radius: Option<f64>,
    /// Columns of the table that are in the output.
    columns: Vec<ColumnId>,
    unmatched: bool,
}

impl TableOp for GeoLookup {
    fn name(&self) -> &'static str {
        self.name
    }

    fn exprs(&self) -> Vec<&Expr> {
        vec![&self.longitude, &self.latitude, &self.key]
    }

    fn map_exprs(&self, f: &mut dyn FnMut(&Expr) -> Expr) -> Box<dyn TableOp> {
        Box::new(Self { longitude: f(&self.longitude), latitude: f(&self.latitude), key: f(&self.key), ..self.clone() })
    }

    fn passes(&self, field: ColumnId) -> bool {
        !self.columns.contains(&field)
    }

    fn per_row(&self) -> bool {
        false
    }

    fn start(&self, inputs: &[Vec<Field>], outputs: &[Field], runtime: &Runtime) -> Result<Box<dyn OpState>, EvalError> {
        let [ours, theirs] = inputs else { return Err(EvalError::Run(format!("`{}` needs two inputs", self.name))) };
        Ok(Box::new(Running {
            longitude: Evaluator::new(&self.longitude, ours, runtime)?,
            latitude: Evaluator::new(&self.latitude, ours, runtime)?,
            key: Evaluator::new(&self.key, theirs, runtime)?,
            op: self.clone(),
            outputs: outputs.to_vec(),
            table: Vec::new(),
            built: None,
        }))
    }
}

struct Running {
    op: GeoLookup,
    longitude: Evaluator,
    latitude: Evaluator,
    key: Evaluator,
    outputs: Vec<Field>,
    table: Vec<RecordBatch>,
    built: Option<Shapes>,
}

/// The lookup table and its shapes.
struct Shapes {
    rows: Option<RecordBatch>,
    index: ShapeIndex,
    /// The row of each shape in the index, ascending.
    owners: Vec<u32>,
    edges: usize,
}

impl Running {
    fn shapes(&mut self) -> Result<(), EvalError> {
        if self.built.is_some() {
            return Ok(());
        }
        let mut shapes = Shapes { rows: None, index: ShapeIndex::new(), owners: Vec::new(), edges: 0 };
        if let Some(first) = self.table.first() {
            let rows = concat_batches(&first.schema(), &self.table).map_err(run)?;
            let texts = self.key.eval(&rows)?;
            let texts = texts.as_string_view();
            for row in (0..rows.num_rows()).filter(|row| texts.is_valid(*row)) {
                shapes.add(texts.value(row), row as u32, self.op.kind);
            }
            shapes.rows = Some(rows);
        }
        shapes.index.build();
        self.built = Some(shapes);
        Ok(())
    }
}

impl Shapes {
    /// An invalid shape matches nothing.
    fn add(&mut self, json: &str, row: u32, kind: Kind) {
        match kind {
            Kind::Polygons => {
                let Some(polygon) = read::polygon(json) else { return };
                self.edges += polygon.num_vertices();
                self.index.add(Box::new(polygon));
                self.owners.push(row);
            }
            Kind::Lines => {
                for line in read::lines(json).map(|lines| lines.0).unwrap_or_default() {
                    self.edges += line.len();
                    self.index.add(Box::new(LaxPolyline::new(line)));
                    self.owners.push(row);
                }
            }
        }
    }

    /// Matching rows, in table order.
    fn find(&self, place: Position, radius: Option<f64>) -> Vec<u32> {
        let point = place.point();
        let shapes: Vec<usize> = match radius {
            Some(radius) => nearest::shapes_within(&self.index, point, radius),
            None => {
                let found = ContainsPointQuery::new(&self.index, VertexModel::SemiOpen).containing_shape_ids(point);
                found.into_iter().filter_map(|id| usize::try_from(i32::from(id)).ok()).collect()
            }
        };
        let mut rows: Vec<u32> = shapes.into_iter().filter_map(|shape| self.owners.get(shape).copied()).collect();
        rows.sort_unstable();
        rows.dedup();
        rows
    }
}

impl OpState for Running {
    fn push(&mut self, input: usize, batch: &RecordBatch, out: &mut Vec<RecordBatch>) -> Result<(), EvalError> {
        if input == 1 {
            self.table.push(batch.clone());
            return Ok(());
        }
        self.shapes()?;
        let Some(shapes) = &self.built else { return Ok(()) };
        let (longitudes, latitudes) = (self.longitude.eval(batch)?, self.latitude.eval(batch)?);
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for row in 0..batch.num_rows() {
            let longitude = Value::from_cell(&longitudes, row, self.longitude.ty()).as_f64();
            let latitude = Value::from_cell(&latitudes, row, self.latitude.ty()).as_f64();
            let place = longitude.zip(latitude).and_then(|(lng, lat)| Position::new(lng, lat));
            let found = place.map(|place| shapes.find(place, self.op.radius)).unwrap_or_default();
            if found.is_empty() && self.op.unmatched {
                ours.push(row as u32);
                theirs.push(None);
            }
            ours.extend(std::iter::repeat_n(row as u32, found.len()));
            theirs.extend(found.into_iter().map(Some));
        }
        if !ours.is_empty() {
            out.push(lookup::beside(&self.outputs, &self.op.columns, batch, shapes.rows.as_ref(), ours, theirs)?);
        }
        Ok(())
    }

    fn finish(&mut self, _: &mut Vec<RecordBatch>) -> Result<(), EvalError> {
        Ok(())
    }

    fn size(&self) -> usize {
        // Vertices are stored in the shape, its own index and ours.
        const PER_EDGE: usize = 200;
        let shapes = self.built.as_ref().map_or(0, |shapes| shapes.edges * PER_EDGE);
        self.table.iter().map(RecordBatch::get_array_memory_size).sum::<usize>() * 2 + shapes
    }
}
