//! Names inside a graph pattern: `x.name`, `e.name` of a variable-length edge, `all`, `any`, `map`, `inner_nodes`, `node_id` and related
//! functions. Source: the public KQL reference, `graph-match-operator` and the pages of the graph functions; types as in Microsoft's
//! parser.
//!
//! Outside `all`, `any` and `map`, a property of a variable-length edge has one value per edge traversed: a condition on it must hold for
//! all of them, and a projection returns them as an array.

use std::sync::Arc;

use model::Type;

use super::naming;
use super::scope::{Cx, Scalar};
use super::{Binder, diagnostics as code};
use crate::Value;
use crate::ops::graph::matching::{Lambda, LambdaKind, Over, Property, Read, Subject};
use crate::plan::{Expr, ExprKind as Bound, Field};
use crate::syntax::ast::{self, ExprKind, Name, Place};

/// The pattern element that a name refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Element {
    Node(usize),
    Edge(usize),
    /// A variable-length edge.
    Path(usize),
}

/// The elements of a pattern, and the properties read by expressions so far.
pub(super) struct Elements {
    pub names: Vec<(String, Element)>,
    /// Properties of edges, and of nodes by number.
    pub edges: Vec<Field>,
    pub nodes: Vec<Field>,
    pub open: bool,
    pub reads: Vec<Read>,
    pub lambdas: Vec<Lambda>,
    pub numbers: usize,
    /// The lambda being bound.
    pub inside: Option<(usize, Over)>,
    /// The variable-length edge that the current expression reads outside lambdas, with the number of the lambda it will become.
    pub spread: Option<(usize, usize)>,
}

impl Elements {
    pub fn find(&self, name: &str) -> Option<Element> {
        // Recorded: a node takes precedence over an edge of the same name.
        let named = || self.names.iter().filter(|(known, _)| known == name).map(|(_, element)| *element);
        named().find(|element| matches!(element, Element::Node(_))).or_else(|| named().next())
    }

    fn list(&self) -> String {
        let names: Vec<String> = self.names.iter().map(|(name, _)| format!("`{name}`")).collect();
        if names.is_empty() { "the pattern names nothing".to_owned() } else { format!("names of the pattern: {}", names.join(", ")) }
    }
}

impl Binder<'_> {
    /// The pattern element that `name` refers to, if any.
    pub(super) fn element(&self, name: &Name, cx: &Cx) -> Option<Element> {
        cx.graph.as_ref().and_then(|elements| elements.find(&name.text))
    }

    /// The names of the pattern, for a help line.
    pub(super) fn elements_here(&self, cx: &Cx) -> Option<String> {
        cx.graph.as_ref().map(|elements| elements.list())
    }

    /// `x.name`
    pub(super) fn element_property(&mut self, side: &Name, element: Element, name: &Name, cx: &mut Cx) -> Scalar {
        let Some(elements) = cx.graph.as_deref_mut() else { return Self::unknown_scalar() };
        let fields = if matches!(element, Element::Node(_)) { &elements.nodes } else { &elements.edges };
        let Some(number) = fields.iter().position(|field| *field.name == name.text) else {
            if !elements.open {
                let near = code::did_you_mean(&name.text, fields.iter().map(|field| &*field.name));
                let help = near.unwrap_or_else(|| code::columns_here(fields).replace("columns", "properties"));
                self.report_with(code::UNKNOWN_NAME, &name.place, format!("`{}` has no property `{}`", side.text, name.text), Some(help));
            }
            return Self::unknown_scalar();
        };
        let field = fields[number].clone();
        let Some(subject) = self.subject(element, &side.place, elements) else { return Self::unknown_scalar() };
        self.property(subject, &field, number, elements)
    }

    /// The element itself: a bag of its properties; for a variable-length edge an array of bags.
    pub(super) fn whole_element(&mut self, element: Element, place: &Place, cx: &mut Cx) -> Scalar {
        let Some(elements) = cx.graph.as_deref_mut() else { return Self::unknown_scalar() };
        let subject = match element {
            Element::Node(node) => Subject::Node(node),
            Element::Edge(edge) => Subject::Edge(edge),
            Element::Path(edge) => {
                elements.numbers += 1;
                let number = elements.numbers;
                let bag = self.bag(Subject::Item(number), false, place, elements);
                return self.lambda(number, LambdaKind::Map, Over::Path(edge), bag, elements);
            }
        };
        self.bag(subject, matches!(element, Element::Node(_)), place, elements)
    }

    fn bag(&mut self, subject: Subject, of_node: bool, place: &Place, elements: &mut Elements) -> Scalar {
        let fields = if of_node { elements.nodes.clone() } else { elements.edges.clone() };
        if fields.is_empty() {
            return Scalar::known(Expr::constant(Value::Dynamic("{}".to_owned())));
        }
        let mut args = Vec::with_capacity(2 * fields.len());
        for (number, field) in fields.iter().enumerate() {
            args.push(Scalar::known(Expr::constant(Value::String(field.name.to_string()))));
            args.push(self.property(subject, field, number, elements));
        }
        let places = vec![place.clone(); args.len()];
        self.operator("$bag_pack_filled", args, &places, place)
    }

    /// The element read by a name alone or before a dot.
    fn subject(&mut self, element: Element, place: &Place, elements: &mut Elements) -> Option<Subject> {
        let edge = match element {
            Element::Node(node) => return Some(Subject::Node(node)),
            Element::Edge(edge) => return Some(Subject::Edge(edge)),
            Element::Path(edge) => edge,
        };
        match (elements.inside, elements.spread) {
            (Some((number, Over::Path(over))), _) if over == edge => Some(Subject::Item(number)),
            (None, Some((number, over))) if over == edge => Some(Subject::Item(number)),
            (None, None) => {
                elements.numbers += 1;
                elements.spread = Some((elements.numbers, edge));
                Some(Subject::Item(elements.numbers))
            }
            _ => {
                let help = "compare arrays instead: `map(edge, property)` gives one".to_owned();
                let message = "an expression that goes over two edges of variable length at once is not supported here yet";
                self.report_with(code::UNSUPPORTED, place, message, Some(help));
                None
            }
        }
    }

    fn property(&mut self, subject: Subject, field: &Field, number: usize, elements: &mut Elements) -> Scalar {
        let of_node = elements.nodes.get(number).is_some_and(|node| node.id == field.id);
        let property = if of_node { Property::Node(number) } else { Property::Column(field.id) };
        let known = !self.unknown.contains(&field.id);
        Scalar { expr: self.read(subject, property, field.ty, elements), known }
    }

    fn read(&mut self, subject: Subject, property: Property, ty: Type, elements: &mut Elements) -> Expr {
        let same = |read: &&Read| read.subject == subject && read.property == property;
        let id = match elements.reads.iter().find(same) {
            Some(read) => read.id,
            None => {
                let id = self.fresh();
                elements.reads.push(Read { id, ty, subject, property });
                id
            }
        };
        Expr { kind: Bound::Column(id), ty }
    }

    fn lambda(&mut self, number: usize, kind: LambdaKind, over: Over, value: Scalar, elements: &mut Elements) -> Scalar {
        let id = self.fresh();
        elements.lambdas.push(Lambda { id, number, kind, over, expr: value.expr });
        Scalar { expr: Expr { kind: Bound::Column(id), ty: kind.ty() }, known: true }
    }

    /// Converts an expression that read a variable-length edge outside lambdas to a lambda of the given kind.
    pub(super) fn spread_over(&mut self, value: Scalar, kind: LambdaKind, elements: &mut Elements) -> Scalar {
        match elements.spread.take() {
            Some((number, edge)) => self.lambda(number, kind, Over::Path(edge), value, elements),
            None => value,
        }
    }

    /// Binds a call of a graph function; `None` if it is not one.
    pub(super) fn graph_call(&mut self, call: &ast::Call, place: &Place, cx: &mut Cx) -> Option<Scalar> {
        let name = call.name.text.as_str();
        let kind = match name {
            "all" => LambdaKind::All,
            "any" => LambdaKind::Any,
            "map" => LambdaKind::Map,
            "inner_nodes" => {
                let help = "as in `all(inner_nodes(edge), condition)`".to_owned();
                let message = "`inner_nodes` stands as the first argument of `all`, `any` and `map` only";
                self.report_with(code::WRONG_TYPE, place, message, Some(help));
                return Some(Self::unknown_scalar());
            }
            "node_id" => return Some(self.node_call(call, Property::Id, Type::String, place, cx)),
            "node_degree_in" => return Some(self.node_call(call, Property::DegreeIn, Type::Long, place, cx)),
            "node_degree_out" => return Some(self.node_call(call, Property::DegreeOut, Type::Long, place, cx)),
            "labels" => {
                self.labelled(call, place, cx);
                return Some(Scalar::known(Expr::constant(Value::Dynamic("[]".to_owned()))));
            }
            _ => return None,
        };
        let [over, value] = &call.args[..] else {
            self.report(code::ARGUMENT_COUNT, place, format!("`{name}` wants 2 arguments, got {}", call.args.len()));
            return Some(Self::unknown_scalar());
        };
        let Some(over) = self.over(over, name, cx) else { return Some(Self::unknown_scalar()) };
        let elements = cx.graph.as_deref_mut()?;
        if elements.inside.is_some() {
            self.unsupported(place, &format!("`{name}` inside `all`, `any` or `map`"));
            return Some(Self::unknown_scalar());
        }
        elements.numbers += 1;
        let number = elements.numbers;
        let of_node = !matches!(over, Over::Path(_));
        let properties = if of_node { elements.nodes.clone() } else { elements.edges.clone() };
        // Properties are visible by their bare names inside it.
        let mut fields = Vec::with_capacity(properties.len());
        for (at, field) in properties.iter().enumerate() {
            let read = self.property(Subject::Item(number), field, at, elements);
            if let Bound::Column(id) = read.expr.kind {
                if !read.known {
                    self.unknown.insert(id);
                }
                fields.push(Field { id, name: field.name.clone(), ty: field.ty });
            }
        }
        elements.inside = Some((number, over));
        let open = elements.open;
        let mut inner = Cx { fields: &fields, open, graph: Some(elements), ..Cx::constant(cx.env) };
        let bound = if kind == LambdaKind::Map { self.scalar(value, &mut inner) } else { self.condition(value, &mut inner) };
        let elements = cx.graph.as_deref_mut()?;
        elements.inside = None;
        Some(self.lambda(number, kind, over, bound, elements))
    }

    /// The first argument of `all`, `any` and `map`.
    fn over(&mut self, expr: &ast::Expr, function: &str, cx: &Cx) -> Option<Over> {
        let inner = match &expr.kind {
            ExprKind::Call(call) if call.name.text == "inner_nodes" && call.args.len() == 1 => Some(&call.args[0]),
            _ => None,
        };
        let name = match &inner.unwrap_or(expr).kind {
            ExprKind::Name(name) => self.element(name, cx),
            _ => None,
        };
        match (name, inner) {
            (Some(Element::Edge(edge) | Element::Path(edge)), None) => Some(Over::Path(edge)),
            (Some(Element::Edge(edge) | Element::Path(edge)), Some(_)) => Some(Over::Inner(edge)),
            (Some(Element::Node(node)), None) => Some(Over::Node(node)),
            _ => {
                let help = self.elements_here(cx);
                let message = format!("`{function}` wants an edge of the pattern first, or `inner_nodes(edge)`");
                self.report_with(code::WRONG_TYPE, &expr.place, message, help);
                None
            }
        }
    }

    /// `node_id(x)`; without an argument inside `all`, `any` and `map`.
    fn node_call(&mut self, call: &ast::Call, property: Property, ty: Type, place: &Place, cx: &mut Cx) -> Scalar {
        let named = match &call.args[..] {
            [ast::Expr { kind: ExprKind::Name(name), .. }] => self.element(name, cx),
            _ => None,
        };
        let inside = cx.graph.as_ref().and_then(|elements| elements.inside);
        let subject = match (&call.args[..], named, inside) {
            ([_], Some(Element::Node(node)), _) => Some(Subject::Node(node)),
            ([], _, Some((number, Over::Inner(_) | Over::Node(_)))) => Some(Subject::Item(number)),
            _ => None,
        };
        match (subject, cx.graph.as_deref_mut()) {
            (Some(subject), Some(elements)) => Scalar::known(self.read(subject, property, ty, elements)),
            _ => {
                let help = "without an argument it stands inside `all`, `any` and `map` over `inner_nodes(edge)`".to_owned();
                self.report_with(code::WRONG_TYPE, place, format!("`{}` wants a node of the pattern", call.name.text), Some(help));
                Self::unknown_scalar()
            }
        }
    }

    /// Graphs built from tables have no labels, but the argument must be an element.
    fn labelled(&mut self, call: &ast::Call, place: &Place, cx: &Cx) {
        let right = match &call.args[..] {
            [] => cx.graph.as_ref().is_some_and(|elements| elements.inside.is_some()),
            [ast::Expr { kind: ExprKind::Name(name), .. }] => self.element(name, cx).is_some(),
            _ => false,
        };
        if !right {
            let help = self.elements_here(cx);
            self.report_with(code::WRONG_TYPE, place, "`labels` wants a node or an edge of the pattern", help);
        }
    }
}

/// The column name of an unnamed expression of the projection; most graph functions have none, even if an aggregate has the same name.
/// Recorded: `labels(a)` is `labels_a`, `map(p, …)` starts with the name of the edge.
pub(super) fn column_name(value: &ast::Expr) -> Option<String> {
    match &value.kind {
        ExprKind::Call(call) if matches!(call.name.text.as_str(), "map" | "labels") => {
            let [ast::Expr { kind: ExprKind::Name(element), .. }, rest @ ..] = &call.args[..] else { return None };
            match rest.first() {
                Some(value) => Some(format!("{}_{}", element.text, naming::name_of(value).unwrap_or_else(|| "Column".to_owned()))),
                None => Some(format!("labels_{}", element.text)),
            }
        }
        ExprKind::Call(call) if matches!(call.name.text.as_str(), "all" | "any") => None,
        ExprKind::Call(call) if call.name.text.starts_with("node_") => None,
        _ => naming::name_of(value),
    }
}

/// The binder's placeholder column for a node property.
pub(super) fn node_field(binder: &mut Binder, name: &Arc<str>, ty: Type, known: bool) -> Field {
    let field = Field { id: binder.fresh(), name: name.clone(), ty };
    if !known {
        binder.unknown.insert(field.id);
    }
    field
}
