//! `declare pattern`: tables selected by strings, `country("Canada").Alberta`.
//!
//! Source: the public KQL reference, `pattern-statement`. Strings are compared exactly, without wildcards. A pattern declared without cases
//! never matches; a reference without a matching case is an error that lists the unresolved references.

use std::rc::Rc;

use super::scope::{Binding, Cx, DeclaredPattern, Env, Relation, UserFunction};
use super::{Binder, diagnostics as code};
use crate::Value;
use crate::syntax::ast::{self, ExprKind, Function, Name, ParameterType, Place};

/// The pattern that `expr` calls, if any.
pub(super) fn pattern_of<'a>(expr: &'a ast::Expr, env: &Env) -> Option<(Rc<DeclaredPattern>, &'a ast::Call)> {
    let ExprKind::Call(call) = &expr.kind else { return None };
    match env.get(&call.name.text) {
        Some(Binding::Pattern(pattern)) => Some((pattern.clone(), call)),
        _ => None,
    }
}

impl Binder<'_> {
    pub(super) fn declare_pattern(&mut self, pattern: &ast::Pattern, env: Env) -> Env {
        let parameters: Vec<ast::Parameter> = pattern.parameters.iter().chain(&pattern.path).cloned().collect();
        for parameter in &parameters {
            if !matches!(parameter.ty, ParameterType::Scalar(model::Type::String)) {
                self.report(code::WRONG_TYPE, &parameter.name.place, "what a pattern is asked for with are strings");
            }
        }
        let mut cases = Vec::with_capacity(pattern.cases.len());
        for case in &pattern.cases {
            let Some(key) = self.key(&case.args, case.path.as_ref(), &env) else { continue };
            if key.len() != parameters.len() || case.path.is_some() != pattern.path.is_some() {
                let message = format!("a case of `{}` wants {} strings, this has {}", pattern.name.text, parameters.len(), key.len());
                self.report(code::ARGUMENT_COUNT, &case.place, message);
                continue;
            }
            let function = Function { view: false, parameters: parameters.clone(), body: case.body.clone(), place: case.place.clone() };
            let name = pattern.name.text.clone();
            let function =
                Rc::new(UserFunction { name, function, env: env.clone(), tabular: true, stored: false, use_of: Default::default() });
            let args: Vec<ast::Expr> = key.iter().map(|text| string(text, &case.place)).collect();
            self.trial(|binder| binder.table_user_call(&function, &args, None, &case.place, &mut Cx::constant(&env)));
            cases.push((key, function));
        }
        let declared = DeclaredPattern { has_path: pattern.path.is_some(), cases };
        env.with(&pattern.name.text, Binding::Pattern(Rc::new(declared)))
    }

    /// The strings of a case or a call; `None` and a diagnostic if one is not a constant string.
    fn key(&mut self, args: &[ast::Expr], path: Option<&Name>, env: &Env) -> Option<Vec<String>> {
        let mut key = Vec::with_capacity(args.len() + 1);
        for arg in args {
            let value = self.scalar(arg, &mut Cx::constant(env));
            match value.expr.as_const() {
                Some(Value::String(text)) => key.push(text.clone()),
                _ => {
                    if value.known {
                        self.report(code::NOT_CONSTANT, &arg.place, "a pattern is asked for with constant strings");
                    }
                    return None;
                }
            }
        }
        key.extend(path.map(|path| path.text.clone()));
        Some(key)
    }

    pub(super) fn pattern_table(
        &mut self,
        pattern: &DeclaredPattern,
        call: &ast::Call,
        path: Option<&Name>,
        place: &Place,
        env: &Env,
    ) -> Relation {
        let Some(key) = self.key(&call.args, path, env) else { return Relation::unknown() };
        let fits = |(case, _): &&(Vec<String>, Rc<UserFunction>)| *case == key && pattern.has_path == path.is_some();
        if let Some((_, function)) = pattern.cases.iter().find(fits) {
            let args: Vec<ast::Expr> = key.iter().map(|text| string(text, place)).collect();
            return self.table_user_call(function, &args, None, place, &mut Cx::constant(env));
        }
        let asked: Vec<String> = key.iter().take(call.args.len()).map(|text| format!("'{text}'")).collect();
        let path = path.map(|path| format!(".['{}']", path.text)).unwrap_or_default();
        let message = format!("one or more pattern references were not declared: `{}({}){path}`", call.name.text, asked.join(","));
        let help = Some(format!("`declare pattern {} = … {{ … }}` says which table each stands for", call.name.text));
        self.report_with(code::UNKNOWN_NAME, place, message, help);
        Relation::unknown()
    }
}

fn string(text: &str, place: &Place) -> ast::Expr {
    ast::Expr { kind: ExprKind::Literal(Value::String(text.to_owned())), place: place.clone() }
}
