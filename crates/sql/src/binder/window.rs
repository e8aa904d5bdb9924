//! Window functions: where they may stand, what their windows are, and the plan that computes them.
//!
//! A call over a window is a column whose place is given when everything below the windows is known, as that
//! of an aggregate is. Windows of one partition and order are one node of the plan, whatever their frames.

use deltaic_dataflow::{Bound, Frame, Positional, Units};
use deltaic_query::{
    coercion::{Context, cast_context},
    expression::{Expr, ExprKind},
    functions::aggregate_of,
    plan::{Plan, SortKey, WindowCall, WindowFunction},
};
use deltaic_types::{DataType, EvalError, Value};
use sqlparser::{
    ast::{
        self, FunctionArg, FunctionArgExpr, FunctionArguments, NamedWindowDefinition, NamedWindowExpr,
        Spanned, WindowFrame, WindowFrameBound, WindowFrameUnits, WindowSpec, WindowType,
    },
    tokenizer::Span,
};

use super::{
    Binder,
    aggregate::{Aggregates, WINDOW_PLACES},
    coercion::Operand,
    folded,
    scope::Scope,
};
use crate::error::SqlError;

/// What becomes of a call over a window that is met.
pub(super) enum Windows<'a> {
    /// It is an error: the clause.
    Forbidden(&'static str),
    /// It is collected; the windows of the WINDOW clause.
    Collected(Vec<Windowed>, &'a [NamedWindowDefinition]),
}

/// A call and its window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Windowed {
    window: BoundWindow,
    call: WindowCall,
}

/// A window: over the columns of the rows, and over groups once they are known.
#[derive(Debug, Clone, PartialEq, Eq)]
struct BoundWindow {
    partition: Vec<Expr>,
    order: Vec<(Expr, SortKey)>,
}

/// A window as it is written, with what it takes from the window it names.
#[derive(Clone, Copy, Default)]
struct Written<'a> {
    partition: &'a [ast::Expr],
    order: &'a [ast::OrderByExpr],
    frame: Option<&'a WindowFrame>,
}

/// The functions that know places.
const POSITIONAL: [Positional; 11] = [
    Positional::RowNumber,
    Positional::Rank,
    Positional::DenseRank,
    Positional::PercentRank,
    Positional::CumeDist,
    Positional::Ntile,
    Positional::Lag,
    Positional::Lead,
    Positional::FirstValue,
    Positional::LastValue,
    Positional::NthValue,
];

/// The function of a name that knows places.
pub(super) fn positional_of(name: &str) -> Option<Positional> {
    POSITIONAL.into_iter().find(|positional| positional.name() == name)
}

impl<'a> Windows<'a> {
    /// Those of a SELECT.
    pub(super) fn of(named: &'a [NamedWindowDefinition]) -> Self {
        Self::Collected(Vec::new(), named)
    }

    /// What was collected.
    pub(super) fn collected(self) -> Vec<Windowed> {
        match self {
            Self::Collected(calls, _) => calls,
            Self::Forbidden(_) => Vec::new(),
        }
    }
}

impl Windowed {
    /// All expressions in it.
    pub(super) fn exprs(&self) -> Vec<&Expr> {
        let BoundWindow { partition, order } = &self.window;
        partition.iter().chain(order.iter().map(|(expr, _)| expr)).chain(self.call.exprs()).collect()
    }

    /// Replaces each expression by what `change` makes of it.
    pub(super) fn try_map(
        &mut self,
        change: &mut dyn FnMut(&Expr) -> Result<Expr, SqlError>,
    ) -> Result<(), SqlError> {
        let BoundWindow { partition, order } = &mut self.window;
        for expr in partition.iter_mut().chain(order.iter_mut().map(|(expr, _)| expr)) {
            *expr = change(expr)?;
        }
        let mut failure = None;
        let change = std::cell::RefCell::new(change);
        let failed = std::cell::RefCell::new(&mut failure);
        self.call = self.call.clone().map(&|expr| {
            (*change.borrow_mut())(expr).unwrap_or_else(|error| {
                failed.borrow_mut().get_or_insert(error);
                expr.clone()
            })
        });
        failure.map_or(Ok(()), Err)
    }
}

/// A window by its columns, with the numbers of its calls.
type Node = (Vec<usize>, Vec<SortKey>, Vec<(usize, WindowCall)>);

/// The plan with its columns, then what windows ask for, then the calls; and the place of each call.
pub(super) fn over_windows(plan: Plan, windows: Vec<Windowed>) -> (Plan, Vec<usize>) {
    let types = plan.types();
    let own = |(place, data_type): (usize, &DataType)| Expr::column(place, data_type.clone());
    let mut exprs: Vec<Expr> = types.iter().enumerate().map(own).collect();
    let mut place_of = |expr: Expr| {
        exprs.iter().position(|other| *other == expr).unwrap_or_else(|| {
            exprs.push(expr);
            exprs.len() - 1
        })
    };
    let mut nodes: Vec<Node> = Vec::new();
    for (number, Windowed { window, call }) in windows.into_iter().enumerate() {
        let partition: Vec<usize> = window.partition.into_iter().map(&mut place_of).collect();
        let order: Vec<SortKey> =
            window.order.into_iter().map(|(expr, key)| SortKey { column: place_of(expr), ..key }).collect();
        match nodes.iter_mut().find(|(parts, by, _)| *parts == partition && *by == order) {
            Some((.., calls)) => calls.push((number, call)),
            None => nodes.push((partition, order, vec![(number, call)])),
        }
    }
    let mut width = exprs.len();
    let mut plan = if width == types.len() { plan } else { Plan::Project { input: Box::new(plan), exprs } };
    let mut placed = Vec::new();
    for (partition, order, calls) in nodes {
        placed.extend(calls.iter().enumerate().map(|(place, (number, _))| (*number, width + place)));
        width += calls.len();
        let calls = calls.into_iter().map(|(_, call)| call).collect();
        plan = Plan::Window { input: Box::new(plan), partition, order, calls };
    }
    placed.sort_unstable();
    (plan, placed.into_iter().map(|(_, place)| place).collect())
}

impl<'a> Binder<'a> {
    /// Binds with calls over windows forbidden in a clause.
    pub(super) fn without_windows<T>(
        &mut self,
        place: &'static str,
        within: impl FnOnce(&mut Self) -> Result<T, SqlError>,
    ) -> Result<T, SqlError> {
        let before = std::mem::replace(&mut self.windows, Windows::Forbidden(place));
        let result = within(self);
        self.windows = before;
        result
    }

    /// A call with OVER: a column whose place is given when everything below the windows is known.
    pub(super) fn window_function(
        &mut self,
        name: &str,
        call: &'a ast::Function,
        over: &'a WindowType,
        scope: &Scope,
    ) -> Result<Operand, SqlError> {
        let span = call.name.span();
        let position = self.at(span);
        let named = match (&self.windows, &self.aggregates) {
            (_, Aggregates::Forbidden("the arguments of an aggregate")) => {
                let place = "the arguments of an aggregate";
                return Err(SqlError::WindowNotAllowed { place, position });
            }
            (Windows::Forbidden(place), _) | (_, Aggregates::Forbidden(place)) => {
                return Err(SqlError::WindowNotAllowed { place, position });
            }
            (Windows::Collected(_, named), _) => *named,
        };
        let place = "the arguments of a window function";
        let (window, call) = self.without_windows(place, |binder| {
            let written = binder.written(over, named)?;
            let window = binder.bound_window(written, scope)?;
            let frame = binder.frame(written.frame, &window, scope, span)?;
            let call = binder.window_call(name, call, frame, scope)?;
            Ok((window, call))
        })?;
        let data_type = call.data_type.clone();
        let windowed = Windowed { window, call };
        let Windows::Collected(calls, _) = &mut self.windows else {
            return Err(SqlError::WindowNotAllowed { place, position });
        };
        let index = calls.iter().position(|other| *other == windowed).unwrap_or_else(|| {
            calls.push(windowed);
            calls.len() - 1
        });
        Ok(Expr::column(WINDOW_PLACES + index, data_type).into())
    }

    fn window_call(
        &mut self,
        name: &str,
        call: &'a ast::Function,
        frame: Frame,
        scope: &Scope,
    ) -> Result<WindowCall, SqlError> {
        let span = call.name.span();
        if let Some(positional) = positional_of(name) {
            return self.positional_call(positional, call, frame, scope);
        }
        let Some(aggregate) = aggregate_of(name) else {
            let reason =
                format!("OVER specified, but {name} is not a window function nor an aggregate function");
            return Err(SqlError::WrongKindOfFunction { reason, position: self.at(span) });
        };
        if let FunctionArguments::List(list) = &call.args {
            if list.duplicate_treatment == Some(ast::DuplicateTreatment::Distinct) {
                return Err(self.refuse("DISTINCT in a window function", None, span));
            }
            if !list.clauses.is_empty() {
                let instead = Some("The order of the window is that of the values.");
                return Err(self.refuse("ORDER BY in a window function", instead, span));
            }
        }
        if !call.within_group.is_empty() {
            return Err(self.refuse(&format!("OVER for the ordered-set aggregate {name}"), None, span));
        }
        // Aggregates of the groups may be arguments here.
        let call = self.aggregate_call(aggregate, name, call, scope)?;
        let data_type = call.data_type.clone();
        Ok(WindowCall { function: WindowFunction::Aggregate(call), frame, data_type })
    }

    fn positional_call(
        &mut self,
        function: Positional,
        call: &'a ast::Function,
        frame: Frame,
        scope: &Scope,
    ) -> Result<WindowCall, SqlError> {
        let (name, span) = (function.name(), call.name.span());
        if call.filter.is_some() {
            return Err(self.refuse("FILTER on a window function that is no aggregate", None, span));
        }
        let mut operands = Vec::new();
        if let FunctionArguments::List(list) = &call.args {
            if list.duplicate_treatment.is_some() || !list.clauses.is_empty() {
                return Err(self.refuse("DISTINCT and ORDER BY in a window function", None, span));
            }
            for argument in &list.args {
                let FunctionArg::Unnamed(FunctionArgExpr::Expr(argument)) = argument else {
                    return Err(self.refuse("named arguments and *", None, span));
                };
                operands.push(self.expr(argument, scope)?);
            }
        }
        let takes = match function {
            Positional::RowNumber
            | Positional::Rank
            | Positional::DenseRank
            | Positional::PercentRank
            | Positional::CumeDist => 0..=0,
            Positional::Ntile | Positional::FirstValue | Positional::LastValue => 1..=1,
            Positional::Lag | Positional::Lead => 1..=3,
            Positional::NthValue => 2..=2,
        };
        let types: Vec<String> = operands.iter().map(Operand::type_name).collect();
        let undefined = |binder: &Self| SqlError::UndefinedFunction {
            signature: format!("{name}({})", types.join(", ")),
            hint: None,
            position: binder.at(span),
        };
        if !takes.contains(&operands.len()) {
            return Err(undefined(self));
        }
        // A number of rows is an integer.
        let number_at = match function {
            Positional::Ntile => Some(0),
            Positional::Lag | Positional::Lead | Positional::NthValue => Some(1),
            _ => None,
        };
        let mut number = None;
        if let Some(at) = number_at.filter(|at| *at < operands.len()) {
            let operand = operands.remove(at);
            let fits = |from: &DataType| cast_context(from, &DataType::Integer) == Some(Context::Implicit);
            if !operand.data_type().is_none_or(fits) {
                return Err(undefined(self));
            }
            number = Some((at, self.coerce(operand, &DataType::Integer, Context::Implicit, name, span)?));
        }
        let mut arguments = match function {
            Positional::Lag | Positional::Lead if operands.len() == 2 => {
                self.unify(operands, name, span).map_err(|_| undefined(self))?
            }
            _ => operands.into_iter().map(|operand| self.settle(operand)).collect::<Result<_, _>>()?,
        };
        let value_type = arguments.first().map(|argument| argument.data_type.clone());
        if let Some((at, number)) = number {
            arguments.insert(at, number);
        }
        let data_type = match function {
            Positional::RowNumber | Positional::Rank | Positional::DenseRank => DataType::Bigint,
            Positional::PercentRank | Positional::CumeDist => DataType::Double,
            Positional::Ntile => DataType::Integer,
            _ => value_type.ok_or_else(|| undefined(self))?,
        };
        // What does not look at a frame is the same over all of them.
        let frame = match function {
            Positional::FirstValue | Positional::LastValue | Positional::NthValue => frame,
            _ => Frame::default(),
        };
        Ok(WindowCall { function: WindowFunction::Positional(function, arguments), frame, data_type })
    }

    fn invalid_window<T>(&self, reason: impl Into<String>, span: Span) -> Result<T, SqlError> {
        Err(SqlError::InvalidWindow { reason: reason.into(), position: self.at(span) })
    }

    /// A window with what it takes from those that it names.
    fn written(
        &self,
        over: &'a WindowType,
        named: &'a [NamedWindowDefinition],
    ) -> Result<Written<'a>, SqlError> {
        for (place, NamedWindowDefinition(name, _)) in named.iter().enumerate() {
            if named[..place].iter().any(|other| folded(&other.0) == folded(name)) {
                return self.invalid_window(format!("window \"{name}\" is already defined"), name.span);
            }
        }
        match over {
            WindowType::NamedWindow(name) => self.named_window(name, named),
            WindowType::WindowSpec(spec) => self.specified(spec, named),
        }
    }

    /// The window of a name; it may name one that stands before it.
    fn named_window(
        &self,
        name: &ast::Ident,
        named: &'a [NamedWindowDefinition],
    ) -> Result<Written<'a>, SqlError> {
        let found = named.iter().position(|window| folded(&window.0) == folded(name));
        match found.map(|place| (&named[..place], &named[place].1)) {
            Some((before, NamedWindowExpr::NamedWindow(other))) => self.named_window(other, before),
            Some((before, NamedWindowExpr::WindowSpec(spec))) => self.specified(spec, before),
            None => Err(SqlError::UndefinedObject {
                kind: "window",
                name: folded(name),
                position: self.at(name.span),
            }),
        }
    }

    fn specified(
        &self,
        spec: &'a WindowSpec,
        named: &'a [NamedWindowDefinition],
    ) -> Result<Written<'a>, SqlError> {
        let own = Written {
            partition: &spec.partition_by,
            order: &spec.order_by,
            frame: spec.window_frame.as_ref(),
        };
        let Some(name) = &spec.window_name else { return Ok(own) };
        let base = self.named_window(name, named)?;
        let overridden = if !own.partition.is_empty() {
            Some("PARTITION BY clause")
        } else if !own.order.is_empty() && !base.order.is_empty() {
            Some("ORDER BY clause")
        } else {
            None
        };
        if let Some(clause) = overridden {
            return self.invalid_window(format!("cannot override {clause} of window \"{name}\""), name.span);
        }
        if base.frame.is_some() {
            let reason = format!("cannot copy window \"{name}\" because it has a frame clause");
            return self.invalid_window(reason, name.span);
        }
        let order = if own.order.is_empty() { base.order } else { own.order };
        Ok(Written { partition: base.partition, order, frame: own.frame })
    }

    fn bound_window(&mut self, written: Written<'a>, scope: &Scope) -> Result<BoundWindow, SqlError> {
        let mut partition = Vec::new();
        for ast in written.partition {
            let operand = self.expr(ast, scope)?;
            partition.push(self.settle(operand)?);
        }
        let mut order = Vec::new();
        for criterion in written.order {
            let operand = self.expr(&criterion.expr, scope)?;
            order.push((self.settle(operand)?, self.criterion(0, criterion)?));
        }
        Ok(BoundWindow { partition, order })
    }

    fn frame(
        &mut self,
        frame: Option<&'a WindowFrame>,
        window: &BoundWindow,
        scope: &Scope,
        span: Span,
    ) -> Result<Frame, SqlError> {
        use WindowFrameBound as B;
        static CURRENT: WindowFrameBound = WindowFrameBound::CurrentRow;
        let Some(frame) = frame else { return Ok(Frame::default()) };
        let units = match frame.units {
            WindowFrameUnits::Rows => Units::Rows,
            WindowFrameUnits::Range => Units::Range,
            WindowFrameUnits::Groups => Units::Groups,
        };
        let (start, end) = (&frame.start_bound, frame.end_bound.as_ref().unwrap_or(&CURRENT));
        let wrong = match (start, end) {
            (B::Following(None), _) => Some("frame start cannot be UNBOUNDED FOLLOWING"),
            (_, B::Preceding(None)) => Some("frame end cannot be UNBOUNDED PRECEDING"),
            (B::CurrentRow, B::Preceding(_)) => {
                Some("frame starting from current row cannot have preceding rows")
            }
            (B::Following(_), B::Preceding(_) | B::CurrentRow) => {
                Some("frame starting from following row cannot end before it")
            }
            _ => None,
        };
        if let Some(reason) = wrong {
            return self.invalid_window(reason, span);
        }
        if units == Units::Groups && window.order.is_empty() {
            return self.invalid_window("GROUPS mode requires an ORDER BY clause", span);
        }
        let start = match start {
            B::Preceding(None) => Bound::First,
            B::CurrentRow => Bound::Current,
            B::Preceding(Some(offset)) => Bound::Before(self.offset(offset, units, window, scope)?),
            B::Following(Some(offset)) => Bound::After(self.offset(offset, units, window, scope)?),
            B::Following(None) => Bound::Last,
        };
        let end = match end {
            B::Following(None) => Bound::Last,
            B::CurrentRow => Bound::Current,
            B::Preceding(Some(offset)) => Bound::Before(self.offset(offset, units, window, scope)?),
            B::Following(Some(offset)) => Bound::After(self.offset(offset, units, window, scope)?),
            B::Preceding(None) => Bound::First,
        };
        Ok(Frame { units, start, end })
    }

    /// A distance from the current row: a constant.
    fn offset(
        &mut self,
        ast: &'a ast::Expr,
        units: Units,
        window: &BoundWindow,
        scope: &Scope,
    ) -> Result<Value, SqlError> {
        let span = ast.span();
        let operand = self.expr(ast, scope)?;
        let to = match (units, &window.order[..]) {
            (Units::Rows | Units::Groups, _) => DataType::Bigint,
            (Units::Range, [(expr, _)]) => {
                let given = operand.data_type();
                let to = if expr.data_type.is_integer() { DataType::Bigint } else { expr.data_type.clone() };
                let to = match to {
                    DataType::Numeric(_) => DataType::NUMERIC,
                    DataType::Timestamptz | DataType::Date => DataType::Interval,
                    to => to,
                };
                let fits = given
                    .is_none_or(|given| *given == to || cast_context(given, &to) == Some(Context::Implicit));
                if !(to.is_number() || to == DataType::Interval) || !fits {
                    let what = format!(
                        "RANGE with an offset of type {} for a column of type {}",
                        operand.type_name(),
                        expr.data_type
                    );
                    let instead =
                        "Offsets are numbers for numbers, and intervals for dates, instants and intervals.";
                    return Err(self.refuse(&what, Some(instead), span));
                }
                to
            }
            _ => {
                let reason = "RANGE with offset PRECEDING/FOLLOWING requires exactly one ORDER BY column";
                return self.invalid_window(reason, span);
            }
        };
        let expr = self.coerce(operand, &to, Context::Assignment, "offset of a frame", span)?;
        let ExprKind::Literal(value) = expr.kind else {
            let instead = Some("Write the offset as a constant.");
            return Err(self.refuse("an offset of a frame that is not constant", instead, span));
        };
        let error = match &value {
            Value::Null => EvalError::NullNotAllowed { place: "an offset of a frame".into() },
            value if is_negative(value) => {
                EvalError::InvalidArgument { function: "frame", reason: "an offset must not be negative" }
            }
            _ => return Ok(value),
        };
        Err(SqlError::InvalidLiteral { error, position: self.at(span) })
    }
}

fn is_negative(offset: &Value) -> bool {
    match offset {
        Value::Interval(interval) => interval.total_micros() < 0,
        number => *number < Value::Integer(0),
    }
}
